"""What tests of the vendor's steps run on: stand-ins of the tools, the reports they copy, a project, an RTL folder."""

import shutil
from pathlib import Path

import numpy as np

from codae_l1.data.base.words import WordType
from codae_l1.hls.target.config import HlsConfig
from codae_l1.hls.vendor._steps import run_steps
from codae_l1.hls.vendor._vivado import rtl_source, rtl_steps
from codae_l1.hls.vendor.hls4ml_steps import STEPS, Expected, hls4ml_steps, project_source, vectors

REPORTS = Path(__file__).parents[1] / "hls" / "vendor" / "texts"
# Does what build_opt.tcl asks, as hls4ml's build_prj.tcl would, with the reports of a folder.
VITIS = (REPORTS / "vitis_hls").read_text()
VIVADO = (REPORTS / "vivado").read_text()
WORD, WORDS = WordType(True, 2, 1), np.array([[3], [-1], [0]])


class Bench:
    """Programs alone on PATH with the shell's own, the reports they copy, an hls4ml project, an RTL folder."""

    def __init__(self, root):
        self.programs, self.reports = root / "bin", root / "reports"
        self.project, self.work, self.rtl = root / "project", root / "work", root / "rtl"
        shutil.copytree(REPORTS, self.reports)
        for folder in (self.programs, self.project / "firmware", self.project / "tb_data", self.rtl / "src"):
            folder.mkdir(parents=True)
        shutil.copy(REPORTS / "project.tcl", self.project)
        for name in ("build_prj.tcl", "codae_test.cpp", "firmware/codae.cpp", "firmware/libcodae.so"):
            (self.project / name).write_text(name)
        (self.rtl / "src" / "codae.v").write_text("module codae; endmodule\n")
        (self.reports / "results").write_text("1.5 \n-0.5 \n0 \n")
        self.install("vitis_hls", VITIS)
        self.install("vivado", VIVADO)

    def install(self, name, script):
        (self.programs / name).write_text(f"#!/bin/sh\n{script.format(reports=self.reports)}\n")
        (self.programs / name).chmod(0o755)

    @property
    def calls(self):
        file = self.reports / "calls"
        return [line.strip() for line in file.read_text().splitlines()] if file.exists() else []

    def run(self, *selected, timeout_s=60.0, counts=0, **options):
        source = project_source(self.project) | vectors(np.full((3, 2), counts), WORDS, WORD)
        steps = hls4ml_steps(self.project, Expected(WORDS, WORD))
        return run_steps(steps, source, self.work, selected or STEPS, timeout_s, **options)

    def run_rtl(self, *selected):
        source = rtl_source(self.rtl)
        return run_steps(rtl_steps(list(source), HlsConfig()), source, self.work / "rtl", selected, 60.0)
