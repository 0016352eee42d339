"""A pipeline's Verilog or VHDL, as da4ml writes it, without memory files and without the network's JSON."""

import shutil
from pathlib import Path
from typing import Any

from codae_l1.hls.rtl._tables import embed_tables
from codae_l1.hls.target.config import HlsConfig


def write_source(pipeline: Any, top: str, folder: Path, config: HlsConfig, language: str) -> None:
    """Write a Pipeline's source into folder/src; language: "verilog" or "vhdl"."""
    from da4ml.codegen.rtl.rtl_model import RTLModel

    writer = RTLModel(pipeline, top, folder, language, part_name=config.part, clock_period=config.clock_period_ns)
    writer.write()
    embed_tables(folder / "src", top, language)
    # The network's JSON would be stored twice more; interpreter.npz holds it.
    shutil.rmtree(folder / "model")
