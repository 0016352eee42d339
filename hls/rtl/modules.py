"""The pipeline's Verilog or VHDL with module names of its own, so that several pipelines fit one project.

da4ml names the pipeline's modules after one top for every network, and its small ones (`shift_adder`, `mux`) alike for
all. Here each module becomes <namespace>_..., and its file is named after it; the top, `codae`, becomes
<namespace>_pipeline: no name is the bare namespace, which could be a keyword.
"""

import re
from pathlib import Path

from codae_l1.data.base.errors import InputError
from codae_l1.hls.rtl.build import TOP

# Of a Verilog module, of a VHDL entity.
_DEFINITION = re.compile(r"^[ \t]*(?:module\s+(\w+)|entity\s+(\w+)\s+is\b)", re.MULTILINE)


def _module_name(name: str, namespace: str) -> str:
    """A module's name in a namespace.

    >>> [_module_name(name, "f_m_v1") for name in ("codae", "codae_stage0", "mux")]
    ['f_m_v1_pipeline', 'f_m_v1_stage0', 'f_m_v1_mux']
    """
    return f"{namespace}_{'pipeline' if name == TOP else name.removeprefix(f'{TOP}_')}"


def renamed_sources(source: Path, namespace: str) -> dict[str, str]:
    """{path below `source`: text} of all files but memories, every module in them renamed, wherever it is used.

    Names of modules are replaced as whole words in all files: what else has such a name is renamed with it.
    Raises InputError where two modules would have one name.
    """
    paths = [path for path in sorted(source.rglob("*")) if path.is_file() and "memfiles" not in path.parts]
    texts = {path.relative_to(source): path.read_text() for path in paths}
    modules = [match[1] or match[2] for text in texts.values() for match in _DEFINITION.finditer(text)]
    names = {name: _module_name(name, namespace) for name in modules}
    if len(set(names.values())) < len(modules):
        raise InputError(f"modules {', '.join(sorted(modules))}", "names that stay different", "build the RTL again")
    words = re.compile(rf"\b({'|'.join(names)})\b")
    return {
        path.with_name(names.get(path.stem, _module_name(path.stem, namespace)) + path.suffix).as_posix(): words.sub(
            lambda match: names[match[1]], text
        )
        for path, text in texts.items()
    }
