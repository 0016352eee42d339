"""da4ml solves what windows of equal weights ask it for once, and nothing that differs; the traced program is the same.

The whole trace is tried in a process of its own: in this one, da4ml may have been compiled by Numba.
"""

import os
import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np

from codae_l1.hls.network.records import read_network
from codae_l1.hls.rtl import build
from codae_l1.hls.rtl._tracer import solved_once
from codae_l1.quantization.f_m.config import ConvConfig, FirmwareConfig, input_word
from codae_l1.quantization.f_m.network import build_qkeras

# Traces argv[1] with what is kept, then without it: same programs? How often was da4ml's solver called?
_BOTH = """
import contextlib, pickle, sys
from da4ml.cmvm import api
from codae_l1.hls.rtl import build
from codae_l1.hls.target.config import HlsConfig

network, solve, calls = pickle.load(open(sys.argv[1], "rb")), api._solve, []

def counted(kernel, **options):
    calls.append(kernel)
    return solve(kernel, **options)

api._solve = counted
programs = [[logic.to_binary().tobytes() for logic in build.trace_here(network, HlsConfig())]]
once = len(calls)
build.solved_once = contextlib.nullcontext
programs += [[logic.to_binary().tobytes() for logic in build.trace_here(network, HlsConfig())]]
print(programs[0] == programs[1], once, len(calls) - once)
"""


def test_the_program_is_the_same_and_windows_are_solved_once(tmp_path):
    config = FirmwareConfig(conv=(ConvConfig(2, (3, 3), (3, 3)),), dense=(2,), count_bits=3)
    model, rng = build_qkeras(config, 1), np.random.default_rng(1)
    model.set_weights([rng.normal(0, 0.4, w.shape) for w in model.get_weights()])
    (tmp_path / "network.pickle").write_bytes(pickle.dumps(read_network(model, input_word(config))))
    command, environment = [sys.executable, "-c", _BOTH, "network.pickle"], {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    same, once, always = done.stdout.split()
    assert same == "True"
    # 30 windows, each solved at several depths.
    assert 0 < 5 * int(once) < int(always)


def test_what_differs_in_a_weight_or_an_option_is_solved_again(monkeypatch):
    from da4ml.cmvm import api

    asked = []

    def solver(kernel, **options):
        asked.append((kernel.tolist(), options))
        return len(asked)

    monkeypatch.setattr(api, "_solve", solver)
    kernel = np.array([[1, 2], [3, 4]], np.float32)
    one_other = np.array([[1, 2], [3, 5]], np.float32)
    with solved_once():
        assert api._solve(kernel, method="wmc", latencies=[0.0, 0.0]) == 1
        assert api._solve(kernel.copy(), method="wmc", latencies=[0.0, 0.0]) == 1
        assert api._solve(one_other, method="wmc", latencies=[0.0, 0.0]) == 2
        assert api._solve(kernel.reshape(1, 4), method="wmc", latencies=[0.0, 0.0]) == 3
        assert api._solve(kernel, method="wmc", latencies=[0.0, 1.0]) == 4
        assert api._solve(kernel, method="wmc-dc", latencies=[0.0, 0.0]) == 5
    assert api._solve is solver


def test_a_long_option_that_differs_in_its_middle_is_solved_again(monkeypatch):
    from da4ml.cmvm import api

    asked = []
    monkeypatch.setattr(api, "_solve", lambda kernel, **options: asked.append(options) or len(asked))
    kernel, latencies = np.ones((2000, 1), np.float32), np.zeros(2000)
    with solved_once():
        assert api._solve(kernel, latencies=latencies) == 1
        assert api._solve(kernel, latencies=latencies.copy()) == 1
        later = latencies.copy()
        later[1000] = 1
        assert api._solve(kernel, latencies=later) == 2


def test_weights_that_are_zero_do_not_make_a_network_large():
    config = FirmwareConfig.PRESETS["distilled"]
    model, rng = build_qkeras(replace(config, dense=(8,)), 1), np.random.default_rng(1)
    model.set_weights([rng.normal(0, 0.4, w.shape) for w in model.get_weights()])
    network = read_network(model, input_word(config))
    [large] = [layer for layer in network.layers if getattr(layer, "name", "") == "dense1"]
    assert np.count_nonzero(large.kernel) > 500
    assert not build._is_small(network)
    large.kernel[8:] = 0
    assert build._is_small(network)
