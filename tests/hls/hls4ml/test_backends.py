"""hls4ml's backends: words equal QKeras's, what hls4ml took is what was predicted, and a project can be made anew."""

import dataclasses
import shutil

import numpy as np
import pytest

from codae_l1.data.base.errors import InputError, ToolError
from codae_l1.data.base.files import read_json
from codae_l1.hls.hls4ml import project as hls4ml_project
from codae_l1.hls.hls4ml._rows import check_words
from codae_l1.hls.hls4ml._taken import known_classes
from codae_l1.hls.hls4ml.backends import BACKENDS
from codae_l1.hls.hls4ml.check import check_project
from codae_l1.hls.hls4ml.effective import effective_table
from codae_l1.hls.hls4ml.prediction import predict_project, products
from codae_l1.hls.hls4ml.project import HlsProject, convert, write_project
from codae_l1.hls.network.mismatch import adversarial_counts, compare
from codae_l1.hls.network.records import firmware_network
from codae_l1.hls.rtl.vhdl import build_vhdl
from codae_l1.hls.target.config import HlsConfig
from codae_l1.quantization.f_m.config import ConvConfig, FirmwareConfig
from codae_l1.quantization.f_m.network import FirmwareModel, build_qkeras
from codae_l1.quantization.f_m.precision import LayerPrecision

CONFIG = FirmwareConfig(
    conv=(ConvConfig(2, (6, 5), (6, 5)),),
    dense=(3,),
    outputs=2,
    tied=False,
    precision={
        "conv1": LayerPrecision(output_bits=4, output_integer=4),
        "output": LayerPrecision(output_bits=6, output_integer=2),
    },
)
COUNTS = adversarial_counts(CONFIG, seed=5, n_random=60)


def random_firmware(config=CONFIG, seed=3):
    model, rng = build_qkeras(config, seed), np.random.default_rng(seed)
    model.set_weights([rng.normal(0, 0.7, w.shape) for w in model.get_weights()])
    return FirmwareModel.rounded(model, config)


def asked(backend, **given):
    return HlsConfig(backend=backend, part=BACKENDS[backend].part, **given)


@pytest.fixture(scope="session")
def firmware():
    return random_firmware()


@pytest.mark.parametrize(
    ("backend", "io_type", "strategy", "reuse"),
    [
        ("Vivado", "io_stream", "resource", 3),
        ("Vitis", "io_parallel", "distributed_arithmetic", 1),
        ("Catapult", "io_parallel", "distributed_arithmetic", 1),
        ("oneAPI", "io_stream", "latency", 7),
    ],
)
def test_every_backend_gives_the_words_of_qkeras(firmware, tmp_path, quick_compiler, backend, io_type, strategy, reuse):
    config = asked(backend, io_type=io_type, strategy=strategy, reuse_factor=reuse)
    network, output = firmware_network(firmware)
    notes = check_project(network, config)
    record = write_project(firmware.model, network, output, config, tmp_path / "project")
    project = HlsProject(tmp_path / "project")
    assert str(compare(firmware, project, COUNTS)) == f"qkeras-hls: {len(COUNTS)} events equal"
    assert len(np.unique(project.predict_words(COUNTS))) > 20
    assert (record["backend"], record["io_type"], record["not_compiled"]) == (backend, io_type, "")
    # What hls4ml took otherwise than asked is what was predicted, layer by layer.
    changed = {s.split(":")[0] for s in record["differences"] if not s.startswith("pipeline style")}
    assert changed == {n.received.split("layer ")[1].split()[0].rstrip(",") for n in notes}
    rows = {row["name"]: row for row in record["layers"]}
    taken = {row.name: (row.strategy, row.reuse) for row in products(network, config)}
    assert {name: (rows[name]["strategy"], rows[name]["reuse_factor"]) for name in taken} == taken
    # No path of the temporary folder is left beside those in the log, and the tool's input is there.
    files = [path for path in (tmp_path / "project").rglob("*.*") if path.is_file() and path.suffix != ".log"]
    assert not any(b"/.project-" in path.read_bytes() for path in files)
    assert list((tmp_path / "project").glob("build_prj.tcl" if backend != "oneAPI" else "CMakeLists.txt"))


def test_libero_is_written_where_it_has_code_and_says_what_it_needs(tmp_path):
    dense = random_firmware(FirmwareConfig(conv=(), dense=(3,), tied=False, precision={}))
    network, output = firmware_network(dense)
    record = write_project(dense.model, network, output, asked("Libero"), tmp_path / "libero")
    assert record["not_compiled"].startswith("written, not compiled: needs Microchip's SmartHLS (shls on PATH)")
    assert "set_project PolarFire MPF300 hw_only" in (tmp_path / "libero" / "config.tcl").read_text()
    assert "dense_latency" in (tmp_path / "libero" / "firmware" / "nnet_utils" / "nnet_dense.h").read_text()
    with pytest.raises(
        InputError, match=r"libero was written, not compiled: needs Microchip's SmartHLS.*compiled proj"
    ):
        HlsProject(tmp_path / "libero")
    with pytest.raises(InputError, match=r"hls.backend = 'Libero'.*; take Vitis, Vivado, Catapult, oneAPI"):
        convert(dense, asked("Libero"), tmp_path / "other")


def test_libero_refuses_what_it_would_leave_out(firmware, tmp_path):
    network, output = firmware_network(firmware)
    assert "Conv2D" not in known_classes("Libero")
    with pytest.raises(
        InputError, match=r"backend Libero, which has no code for conv1 \(Conv2D\) and would leave it out"
    ):
        write_project(firmware.model, network, output, asked("Libero"), tmp_path / "libero")
    with pytest.raises(
        InputError, match=r"backend Libero with io_stream, which hls4ml 1.3 cannot write; expected io_par"
    ):
        write_project(firmware.model, network, output, asked("Libero", io_type="io_stream"), tmp_path / "libero")
    assert list(tmp_path.iterdir()) == []


def test_a_project_converted_again_is_the_new_one(firmware, tmp_path, quick_compiler):
    other, folder = random_firmware(seed=4), tmp_path / "hls4ml"
    first = convert(firmware, HlsConfig(), folder)
    second = convert(other, HlsConfig(parallel_pixels=0), folder)
    for project in (second, HlsProject(folder)):
        assert compare(other, project, COUNTS).different == 0
        assert compare(firmware, project, COUNTS[:50]).different > 0
    assert len(list((folder / "emulation").iterdir())) == 1
    # The first library goes on as long as someone holds it.
    assert compare(firmware, first, COUNTS).different == 0
    # All pixels at once: hls4ml pipelines the whole network, and nothing is left to say of it.
    record = read_json(second.folder / "project.json")
    assert (record["pipeline_style"], record["differences"]) == ("pipeline", [])
    assert effective_table(record).endswith("hls4ml took all as asked.")
    assert predict_project(firmware_network(other)[0], HlsConfig(parallel_pixels=0)).interval_cycles_forecast == 1


def test_the_effective_configuration_is_printed_and_weights_move(firmware, tmp_path, quick_compiler, monkeypatch):
    monkeypatch.setattr("codae_l1.hls.hls4ml.project._EMBEDDED_WEIGHTS", 10)
    config = HlsConfig(strategy="resource", reuse_factor=7, layer_reuse={"output": 3})
    project = convert(firmware, config, tmp_path / "hls4ml")
    record = read_json(project.folder / "project.json")
    shown = effective_table(record)
    assert (
        "hls4ml 1.3.0, Vitis, io_parallel, pipeline style dataflow, xcvu13p-flga2577-2-e, 5 ns less 27% that" in shown
    )
    assert "conv1: asked for reuse factor 7, hls4ml took 6." in shown
    assert "output: asked for" not in shown
    assert "conv1 computes 1 of its pixels at once, so events may follow each other every 54 clocks at best" in shown
    assert record["asked"]["reuse_factor"] == {"conv1": 7, "dense1": 7, "output": 3}
    row = next(row for row in record["layers"] if row["name"] == "conv1")
    assert (row["strategy"], row["reuse_factor"], row["interval"]) == ("resource", 6, 54)
    assert predict_project(firmware_network(firmware)[0], config).interval_cycles_forecast == 54
    # Weights beside the code are found where the project is now.
    assert record["weights"] == "firmware/weights"
    moved = shutil.move(tmp_path / "hls4ml", tmp_path / "moved")
    assert compare(firmware, HlsProject(moved), COUNTS).different == 0
    shutil.rmtree(moved / "firmware" / "weights")
    with pytest.raises(
        InputError, match=r"weights holds no weights; expected a whole hls4ml project; convert it again"
    ):
        HlsProject(moved)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("fixed<6,3,RND_CONV,SAT>", r"layer a: asked for words fixed<6,3,RND_CONV,SAT>, hls4ml took fixed<6,3,TRN,W"),
        (
            "fixed<7,3>",
            r"layer a: asked for words fixed<7,3>, hls4ml took fixed<6,3,TRN,WRAP,0>; expected the words th",
        ),
        (None, r"layer a: asked for words fixed<6,3>, hls4ml removed the layer; expected .*; take another backend"),
    ],
)
def test_a_word_that_hls4ml_changes_or_a_layer_it_drops_is_an_error(word, message):
    rows = [{"name": "a", "result": "fixed<6,3,TRN,WRAP,0>"}, {"name": "b", "result": "uint<4>"}]
    check_words(rows, {"a": "fixed<6,3>", "b": "ufixed<4,4>"})
    with pytest.raises(ToolError, match=message):
        check_words(rows[word is None :], {"b": "ufixed<4,4>", "a": word or "fixed<6,3>"})


def test_a_conversion_with_a_changed_word_leaves_nothing(firmware, tmp_path, quick_compiler, monkeypatch):
    words = hls4ml_project._asked_words

    def other(network):
        return words(network) | {"no_such_layer": "fixed<2,1>"}

    monkeypatch.setattr(hls4ml_project, "_asked_words", other)
    with pytest.raises(ToolError, match="layer no_such_layer: asked for words fixed<2,1>, hls4ml removed the layer"):
        convert(firmware, HlsConfig(), tmp_path / "hls4ml")
    assert list(tmp_path.glob("hls4ml*")) == []


def test_a_user_s_folder_is_not_replaced_by_a_library_function(firmware, tmp_path, quick_compiler):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("years of work")
    network, output = firmware_network(firmware)
    with pytest.raises(InputError, match=r"thesis holds other files \(thesis.tex\)"):
        convert(firmware, HlsConfig(), tmp_path / "thesis")
    with pytest.raises(InputError, match=r"thesis holds other files \(thesis.tex\)"):
        build_vhdl(network, output, HlsConfig(), tmp_path / "thesis")
    assert (tmp_path / "thesis" / "thesis.tex").read_text() == "years of work"


def test_a_compiler_that_fails_on_another_backend_leaves_its_log(firmware, tmp_path, monkeypatch):
    broken = tmp_path / "broken-c++"
    broken.write_text("#!/bin/sh\necho 'no such pipe' >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    with pytest.raises(ToolError, match=r"ended with status 3: .*no such pipe.*read the log .*hls4ml-hls4ml.log"):
        convert(firmware, asked("oneAPI"), tmp_path / "hls4ml")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["broken-c++", "hls4ml-hls4ml.log"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"backend": "Quartus"}, r"hls.backend = 'Quartus'; expected one of Vitis, Vivado, Catapult, oneAPI, Libero"),
        ({"io_type": "io_serial"}, r"hls.io_type = 'io_serial'; expected one of io_parallel, io_stream"),
        ({"strategy": "da"}, r"hls.strategy = 'da'; expected one of latency, resource, distributed_arithmetic"),
        ({"backend": "oneAPI"}, r"hls.part = 'xcvu13p-flga2577-2-e' for backend oneAPI; expected .*'Agilex7'"),
        ({"layer_reuse": {"conv1": 0}}, r"hls.layer_reuse.conv1 = 0; expected a number above zero"),
        ({"parallel_pixels": -1}, r"hls.parallel_pixels = -1; expected a number of pixels, or 0 for all"),
    ],
)
def test_a_nonsense_backend_configuration_is_refused(given, words):
    with pytest.raises(InputError, match=words):
        HlsConfig(**given)


def test_a_config_keeps_its_part_when_the_backend_changes():
    config = dataclasses.replace(HlsConfig(part="xcvu9p"), backend="Catapult", io_type="io_stream")
    assert (config.part, config.reuse("conv1")) == ("xcvu9p", 1)
