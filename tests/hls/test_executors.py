"""QKeras = hls4ml = interpreter = Verilog on small firmware: equal words, a mutation found, failing tools."""

import errno
import json
import pickle
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from codae_l1.data.base.errors import InputError, ToolError
from codae_l1.data.base.files import read_json
from codae_l1.data.base.words import WordType
from codae_l1.hls.hls4ml.project import HlsProject, convert
from codae_l1.hls.network.mismatch import adversarial_counts, compare
from codae_l1.hls.network.records import firmware_network, read_network
from codae_l1.hls.rtl.build import Interpreter, RtlSimulation, build_rtl, trace
from codae_l1.hls.rtl.clocks import count_clocks
from codae_l1.hls.target.config import HlsConfig
from codae_l1.hls.trigger.emulator import Emulator, build_emulator
from codae_l1.quantization.f_m.config import ConvConfig, FirmwareConfig, input_word, output_word
from codae_l1.quantization.f_m.float_model import FloatModel
from codae_l1.quantization.f_m.network import FirmwareModel, build_qkeras
from codae_l1.quantization.f_m.precision import LayerPrecision
from codae_l1.scripts.run.executors import open_executor

CONFIG = FirmwareConfig(
    conv=(ConvConfig(2, (4, 4), (4, 4)),),
    dense=(4,),
    outputs=2,
    precision={
        "conv1": LayerPrecision(output_bits=4, output_integer=4),
        "output": LayerPrecision(output_bits=6, output_integer=2),
    },
)


def random_firmware(config, seed=3, scale=0.7):
    """Untrained firmware with weights so large that words overflow."""
    model, rng = build_qkeras(config, seed), np.random.default_rng(seed)
    model.set_weights([rng.normal(0, scale, w.shape) for w in model.get_weights()])
    return FirmwareModel.rounded(model, config)


@pytest.fixture(scope="session")
def firmware():
    return random_firmware(CONFIG)


@pytest.fixture(scope="session")
def counts():
    return adversarial_counts(CONFIG, seed=5, n_random=1000)


@pytest.fixture(scope="session")
def project(firmware, tmp_path_factory):
    return convert(firmware, HlsConfig(), tmp_path_factory.mktemp("hls") / "hls4ml")


@pytest.fixture(scope="session")
def rtl_folder(firmware, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rtl") / "rtl"
    build_rtl(*firmware_network(firmware), HlsConfig(latency_cutoff=3.0), folder)
    return folder


@pytest.fixture(scope="session")
def emulator(firmware, tmp_path_factory):
    folder = tmp_path_factory.mktemp("emulator") / "emulator"
    network = read_network(firmware.model, input_word(CONFIG))
    build_emulator(network, output_word(CONFIG), HlsConfig(), folder, CONFIG.pooling)
    return Emulator(folder)


@pytest.fixture(params=["hls", "emulator", "interpreter", "rtl"])
def executor(request, project, emulator, rtl_folder):
    made = {"hls": lambda: HlsProject(project.folder), "interpreter": lambda: Interpreter(rtl_folder)}
    made["emulator"] = lambda: Emulator(emulator.folder)
    return made.get(request.param, lambda: RtlSimulation(rtl_folder))()


def test_every_executor_gives_the_words_of_qkeras(firmware, executor, counts):
    mismatch = compare(firmware, executor, counts)
    assert str(mismatch) == f"qkeras-{executor.name}: {len(counts)} events equal"
    assert mismatch.different == 0
    assert mismatch.compared == len(counts)


def test_the_error_of_an_auto_encoder_is_exact(tmp_path):
    """Encoder, decoder, squares and their sum, with weights so large that every word overflows."""
    config = FirmwareConfig.PRESETS["autoencoder"]
    model = random_firmware(config, scale=0.3)
    build_rtl(*firmware_network(model), HlsConfig(), tmp_path / "rtl", simulate=False)
    network, folder = read_network(model.model, input_word(config)), tmp_path / "emulator"
    build_emulator(network, output_word(config), HlsConfig(), folder, config.pooling)
    counts = adversarial_counts(config, seed=5, n_random=500)
    assert len(np.unique(model.predict_words(counts))) > 20
    interpreter, emulator = Interpreter(tmp_path / "rtl"), Emulator(folder)
    assert compare(model, interpreter, counts).different == 0
    # The code for every processor, then that for AVX2 where the processor has it, as from the start.
    for avx2 in (0, 1):
        assert emulator._library.codae_use_avx2(avx2) <= avx2
        assert compare(model, emulator, counts).different == 0


@pytest.mark.parametrize("avx2", [False, True])
def test_the_emulator_gives_the_words_of_qkeras_with_and_without_avx2(firmware, emulator, counts, avx2):
    use = emulator._library.codae_use_avx2
    try:
        if bool(use(int(avx2))) != avx2:
            pytest.skip("this processor has no AVX2")
        words, beyond = firmware.predict_words(counts), np.where(counts >= 31, 2**40 + counts, counts)
        for one in (emulator, Emulator(emulator.folder, each=True)):
            np.testing.assert_array_equal(one.predict_words(counts), words)
            np.testing.assert_array_equal(one.predict_words(beyond), words)
            np.testing.assert_array_equal(one.predict_words(counts[:21]), words[:21])
    finally:
        use(1)


def test_the_input_makes_words_saturate_and_vary(firmware, counts):
    words = firmware.predict_words(counts)
    low, high = output_word(CONFIG).bounds
    assert (words.min(), words.max()) == (low, high)
    assert len(np.unique(words)) > 20


def test_every_traced_layer_agrees(firmware, project, emulator, rtl_folder, counts):
    from codae_l1.hls.network.mismatch import _qkeras_layers

    expected = _qkeras_layers(firmware, counts[:300])
    for executor in (project, emulator, Interpreter(rtl_folder)):
        layers = executor.predict_layers(counts[:300])
        assert {"conv1", "conv1_relu", "dense1_relu", "output", "output_word"} <= set(layers)
        for name, values in layers.items():
            np.testing.assert_array_equal(values.reshape(300, -1), expected[name].reshape(300, -1), err_msg=name)


@pytest.mark.parametrize("name", ["conv1", "dense1", "output"])
def test_one_weight_changed_by_one_lsb_is_found_and_its_layer_named(
    firmware, project, emulator, rtl_folder, counts, name
):
    changed = random_firmware(CONFIG)
    layer = changed.model.get_layer(name)
    kernel = layer.get_weights()[0]
    position = np.unravel_index(np.abs(kernel).argmin(), kernel.shape)
    kernel[position] += 2.0 ** -(
        CONFIG.layer_precision(name).weight_bits - 1 - CONFIG.layer_precision(name).weight_integer
    )
    layer.set_weights([kernel, *layer.get_weights()[1:]])
    for executor in (project, emulator, Interpreter(rtl_folder)):
        mismatch = compare(changed, executor, counts)
        assert mismatch.different > 0
        assert mismatch.worst_lsb > 0
        assert mismatch.first_layer.layer == name
        assert mismatch.samples[0]["qkeras"] != mismatch.samples[0][executor.name]
        assert f"first in layer {name} (" in str(mismatch)


def test_a_rounding_bias_free_of_ties_is_exact_too(counts, tmp_path):
    config = FirmwareConfig(conv=(ConvConfig(1, (6, 5), (6, 5)),), dense=(2,), count_bits=3)
    firmware = random_firmware(config, seed=8)
    build_rtl(*firmware_network(firmware), HlsConfig(), tmp_path / "rtl", simulate=False)
    assert compare(firmware, Interpreter(tmp_path / "rtl"), counts).different == 0


def test_latency_and_interval_are_counted_in_the_simulation(rtl_folder):
    found = count_clocks(rtl_folder)
    assert found.latency_cycles == RtlSimulation(rtl_folder).design.stages >= 3
    assert found.interval_cycles == 1
    assert (found.steps, found.events) == (16, 256)
    assert found.tool.startswith("Verilator 5.")


def test_a_latency_that_is_not_the_stages_is_refused(rtl_folder, tmp_path):
    other = shutil.copytree(rtl_folder, tmp_path / "rtl")
    design = json.loads((other / "design.json").read_text())
    (other / "design.json").write_text(json.dumps(design | {"stages": design["stages"] + 1}))
    message = rf"answers after {design['stages']} clocks; expected its {design['stages'] + 1} stages \(da4ml"
    with pytest.raises(ToolError, match=message):
        count_clocks(other)


def test_an_event_on_one_edge_shows_its_word_after_the_stages_alone(rtl_folder, firmware, counts):
    simulation, words = RtlSimulation(rtl_folder), firmware.predict_words(counts)
    event = int(np.flatnonzero((words != words[0]).any(1))[0])
    stages = simulation.design.stages
    stream = np.repeat(counts[:1], 4 * stages, 0)
    stream[2 * stages] = counts[event]
    seen = simulation.predict_clocks(stream)[stages:]
    expected = np.repeat(words[:1], 3 * stages, 0)
    expected[2 * stages] = words[event]
    np.testing.assert_array_equal(seen, expected)


def test_no_event_gives_no_word(executor, counts):
    assert executor.predict_words(counts[:0]).shape == (0, 2)


WRONG = {
    "cut": (lambda c: c[:, :17], r"counts of shape \(4, 17, 15, 1\), int64; expected integers \(N, 18, 15, 1\)"),
    "floats": (lambda c: c.astype(np.float64), "float64; expected integers"),
    "transposed": (lambda c: c.transpose(0, 2, 1, 3), r"counts of shape \(4, 15, 18, 1\), int64"),
    "no inputs": (lambda c: c[..., 0], r"counts of shape \(4, 18, 15\), int64"),
    "negative": (lambda c: c - 32, "counts from -32 to .*; expected counts from 0 to 9223372036854775807"),
    "too large": (
        lambda c: np.full(c.shape, 2**63, np.uint64),
        "counts from 9223372036854775808 to 9223372036854775808",
    ),
    "masked": (lambda c: np.ma.masked_greater(c, 3), "counts in a masked array, whose mask would be ignored"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_counts_that_are_none_are_refused_by_all(firmware, executor, counts, wrong):
    change, words = WRONG[wrong]
    for one in (executor, firmware, FloatModel(firmware.model, CONFIG)):
        with pytest.raises(InputError, match=words):
            (one.predict if isinstance(one, FloatModel) else one.predict_words)(change(counts[:4]))


def test_flattened_and_large_counts_do_in_all(firmware, executor, counts):
    words = firmware.predict_words(counts[:50])
    large = np.where(counts[:50] >= 31, np.uint64(2**63 - 1), counts[:50].astype(np.uint64))
    for one in (executor, firmware):
        np.testing.assert_array_equal(one.predict_words(counts[:50].reshape(50, -1)), words)
        np.testing.assert_array_equal(one.predict_words(large), words)
        np.testing.assert_array_equal(one.predict_words(np.asfortranarray(counts[:50].astype(">i2"))), words)


def test_the_effective_configuration_is_stored(project):
    record = read_json(project.folder / "project.json")
    assert record["tool"].startswith("hls4ml 1.3")
    layers = {layer["name"]: layer for layer in record["layers"]}
    assert layers["counts"]["result"] == "ufixed<5,5,TRN,SAT,0>"
    assert layers["output_word"]["result"] == "fixed<6,3,RND_CONV,SAT,0>"
    assert layers["conv1"]["reuse_factor"] == 1


def test_hls4ml_keeps_quiet(firmware, tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("CXX", "true")
    with pytest.raises(ToolError, match=r"true made no emulation/libcodae_hls.so; expected a shared library"):
        convert(firmware, HlsConfig(), tmp_path / "hls4ml")
    assert capfd.readouterr() == ("", "")
    assert "conv1" in (tmp_path / "hls4ml-hls4ml.log").read_text()


def test_no_compiler_is_said_with_the_remedy(firmware, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(ToolError, match=r"no C\+\+ compiler on PATH; expected .*apt-get install g\+\+"):
        convert(firmware, HlsConfig(), tmp_path / "hls4ml")
    assert not (tmp_path / "hls4ml").exists()


def test_a_failing_compiler_leaves_its_log_and_no_project(firmware, tmp_path, monkeypatch):
    broken = tmp_path / "broken-c++"
    broken.write_text("#!/bin/sh\necho 'no space in the register file' >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    with pytest.raises(ToolError, match=r"ended with status 3.*no space in the register file.*read the log") as raised:
        convert(firmware, HlsConfig(), tmp_path / "hls4ml")
    assert [p.name for p in tmp_path.iterdir() if p.name != "broken-c++"] == ["hls4ml-hls4ml.log"]
    assert str(tmp_path / "hls4ml-hls4ml.log") in str(raised.value)


def test_a_failing_verilator_is_named_with_its_log(firmware, tmp_path, monkeypatch):
    program = tmp_path / "verilator_bin"
    program.write_text("#!/bin/sh\necho '%Error: cannot find file'\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr("codae_l1.hls.rtl.verilator._find_verilator", lambda: (program, tmp_path))
    with pytest.raises(ToolError, match=r"Verilator ended with status 1: .*%Error: cannot find file") as raised:
        build_rtl(*firmware_network(firmware), HlsConfig(), tmp_path / "rtl")
    assert str(tmp_path / "rtl-verilator.log") in str(raised.value)
    assert not (tmp_path / "rtl").exists()


def test_a_run_without_its_simulation_says_what_to_do(tmp_path):
    with pytest.raises(InputError, match=r"design.json does not exist; expected a JSON file; run the stage"):
        RtlSimulation(tmp_path)


@pytest.mark.parametrize("executor", [RtlSimulation, Interpreter])
def test_verilog_without_its_sum_is_refused(rtl_folder, tmp_path, executor):
    folder = shutil.copytree(rtl_folder, tmp_path / "rtl")
    design = json.loads((folder / "design.json").read_text())
    (folder / "design.json").write_text(json.dumps(design | {"source_sha256": ""}))
    with pytest.raises(InputError, match=r"rtl/src has been changed since it was made"):
        executor(folder)


class _Altered:
    """An executor's library or program whose first output is changed by `by` LSB in event 7 of many."""

    def __init__(self, given, by):
        self.given, self.by = given, by

    def __call__(self, *arguments):
        out = self.given(*arguments).copy()
        # A slice: the layers of a single event are traced unchanged.
        out[7:8, 0] += self.by * output_word(CONFIG).lsb
        return out


@pytest.mark.parametrize("kind", ["hls", "interpreter", "qkeras"])
@pytest.mark.parametrize("by", [0.4, np.nan])
def test_an_output_between_two_words_is_not_rounded_away(firmware, project, rtl_folder, counts, monkeypatch, kind, by):
    executor = alter(kind, by, firmware, project, rtl_folder, monkeypatch)
    message = rf"executor {kind} gave 1 of 200 outputs off the grid of ap_fixed<6,3,.*; expected multiples of 0.125"
    with pytest.raises(ToolError, match=message):
        executor.predict_words(counts[:100])


@pytest.mark.parametrize("kind", ["hls", "interpreter"])
def test_an_output_out_of_range_is_not_clipped_away(firmware, project, rtl_folder, counts, monkeypatch, kind):
    words, high = firmware.predict_words(counts[:100]), output_word(CONFIG).bounds[1]
    executor = alter(kind, int(high + 1 - words[7, 0]), firmware, project, rtl_folder, monkeypatch)
    mismatch = compare(firmware, executor, counts[:100])
    assert executor.predict_words(counts[:100])[7, 0] == high + 1
    assert (mismatch.different, mismatch.worst_lsb) == (1, high + 1 - words[7, 0])


def alter(kind, by, firmware, project, rtl_folder, monkeypatch):
    if kind == "qkeras":
        monkeypatch.setattr(firmware.model, "predict_on_batch", _Altered(firmware.model.predict_on_batch, by))
        return firmware
    executor = HlsProject(project.folder) if kind == "hls" else Interpreter(rtl_folder)
    method = "_predict" if kind == "hls" else "_run"
    monkeypatch.setattr(executor, method, _Altered(getattr(executor, method), by))
    return executor


def test_a_full_disk_is_said_and_leaves_nothing(firmware, tmp_path, monkeypatch):
    from hls4ml.writer.vitis_writer import VitisWriter

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(VitisWriter, "write_hls", full)
    message = r"hls4ml could not be written \(No space left on device\); .*; nothing half-written was left"
    with pytest.raises(InputError, match=message):
        convert(firmware, HlsConfig(), tmp_path / "hls4ml")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def traced_apart(monkeypatch):
    """The network, and da4ml imported the way it must not be for it, so that the trace has a process of its own."""
    core = SimpleNamespace(cmvm=SimpleNamespace(py_func=None))
    monkeypatch.setitem(sys.modules, "da4ml.cmvm.core", core)
    word = WordType(False, 3, 0)
    layer = SimpleNamespace(kernel=None)
    return SimpleNamespace(layers=(layer,), input_shape=(2,), input_word=word)


def test_a_trace_that_fails_in_its_process_says_why(traced_apart):
    with pytest.raises(ToolError, match=r"tracing the network ended with status 1: .*AttributeError: .*expected a"):
        trace(traced_apart, HlsConfig())


def test_a_trace_that_takes_too_long_is_stopped(traced_apart):
    with pytest.raises(ToolError, match=r"tracing the network took longer than hls.tool_timeout_s = 0.1; expected"):
        trace(traced_apart, HlsConfig(tool_timeout_s=0.1))


def test_a_script_without_a_main_guard_can_trace(firmware, tmp_path):
    network = read_network(firmware.model, input_word(CONFIG))
    (tmp_path / "network.pickle").write_bytes(pickle.dumps(network))
    script = tmp_path / "user.py"
    script.write_text(
        "import pickle, sys\nfrom codae_l1.hls.target.config import HlsConfig\n"
        "from codae_l1.hls.rtl.build import trace\n"
        # Numba compiles here, as where hls4ml was imported first.
        "import da4ml.cmvm.core\n"
        "network = pickle.load(open(sys.argv[1], 'rb'))\nprint('cost', trace(network, HlsConfig())[0].cost)\n"
    )
    done = subprocess.run([sys.executable, script, tmp_path / "network.pickle"], capture_output=True, text=True)
    assert done.stderr == ""
    assert float(done.stdout.removeprefix("cost ")) > 100


@pytest.mark.parametrize("name", ["interpreter", "rtl"])
def test_the_configured_jobs_reach_the_executor(rtl_folder, name):
    config = SimpleNamespace(hls=HlsConfig(jobs=3))
    opened = []
    run = SimpleNamespace(
        require=lambda stage: {},
        path=lambda *names: rtl_folder,
        config=config,
        library=lambda stage, path: opened.append((stage, path.exists())),
    )
    assert open_executor(run, name).threads == 3
    # The compiled simulation is checked before it is loaded.
    assert opened == ([("synthesize", True)] if name == "rtl" else [])
