"""The target of the benchmark of executors, on numbers by hand: what is said where it is missed."""

import importlib.util
from pathlib import Path

import pytest

_FILE = Path(__file__).parents[1] / "benchmarks" / "bench_executors.py"


@pytest.mark.parametrize(
    ("emulator", "peer", "said"),
    [
        (1_000_000, 100_000, []),
        (999_999, 50_000, ["emulator: 999,999 scores per second and core, fewer than 1,000,000"]),
        (1_500_000, 160_000, ["emulator: 9.4 times hls, less than 10"]),
        (
            800_000,
            100_000,
            [
                "emulator: 800,000 scores per second and core, fewer than 1,000,000",
                "emulator: 8.0 times hls, less than 10",
            ],
        ),
    ],
)
def test_an_emulator_below_its_target_is_said_to_be(emulator, peer, said):
    spec = importlib.util.spec_from_file_location("bench_executors", _FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.shortfalls({"emulator": emulator, "hls": peer, "rtl": 1e9}) == said
