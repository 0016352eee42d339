"""The config of a run: partial tables, presets, and the shipped files."""

import dataclasses
import json
import shutil
import subprocess
import sys
import typing
from pathlib import Path

import pytest

from codae_l1.data.base.config import dump, parse
from codae_l1.data.base.errors import InputError
from codae_l1.data.generation.config import GenerationConfig
from codae_l1.models.codae.config import COMPACT, PAPER, SwapConfig
from codae_l1.models.training.config import COMPACT_TRAINING, TrainingConfig
from codae_l1.quantization.config import ScanConfig, SpaceConfig
from codae_l1.quantization.f_m.config import DISTANCE, ConvConfig, FirmwareConfig
from codae_l1.quantization.f_m.precision import LayerPrecision
from codae_l1.scripts.run.config import DataConfig, RunConfig, load_config
from codae_l1.scripts.run.folder import RunFolder

CONFIGS = Path(__file__).parents[3] / "scripts" / "configs"
OLD = Path(__file__).parent / "config_0_1.json"


def number_keys(config, where=()):
    """Dotted path of each number in a config's tables, and the table that sets it to a value."""
    for name, value in dump(config).items():
        if isinstance(value, dict):
            inner = getattr(config, name)
            yield from number_keys(inner, (*where, name)) if dataclasses.is_dataclass(inner) else ()
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield (*where, name)


def test_a_packaged_config_is_found_beside_a_folder_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()
    assert load_config("demo") == load_config(CONFIGS / "demo.toml")


def test_a_file_name_of_a_packaged_config_says_where_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=rf"^demo.toml does not exist; .*--config {CONFIGS}/demo.toml is the shipped"):
        load_config("demo.toml")
    monkeypatch.chdir(CONFIGS.parents[1])
    with pytest.raises(InputError, match=r"--config scripts/configs/demo.toml is the shipped one$"):
        load_config("demo.toml")
    with pytest.raises(InputError, match=r"^else.toml does not exist; .*correct its name$"):
        load_config("else.toml")


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan"), 10**400, -(10**400), 2**63])
def test_numbers_are_finite_in_every_key(value):
    keys = list(number_keys(RunConfig()))
    assert len(keys) > 80
    for path in keys:
        table = value
        for name in reversed(path):
            table = {name: table}
        with pytest.raises(InputError, match=rf"^{'.'.join(path)} (=|of) .*; expected .*; correct") as error:
            parse(RunConfig, table)
        assert len(str(error.value)) < 200


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"seed = {'9' * 5000}", "is not TOML"),
        (f"a = {'[' * 3000}", "is not TOML"),
        ("[firmware]\ncount_bits = 1000000000", "firmware.count_bits = 1000000000; expected at most 4096"),
        ("[[firmware.conv]]\nfilters = 1000000000", "filters = 1000000000; expected at most 4096"),
        ("[model]\nlatent_channels = 1000000000", "model.latent_channels = 1000000000; expected numbers <= 8192"),
        (
            "[hls]\nreuse_factor = 1000000000000",
            "hls.reuse_factor = 1000000000000; expected a number above zero, at most",
        ),
        ("[scan.space]\nfilters = [-2]", r"scan.space.filters = \[-2\]; expected numbers >= 1"),
        (
            '[trigger]\npoints = ["1e-3", "0.001"]',
            r"trigger.points = \['1e-3', '0.001'\]; expected at least one, all different",
        ),
        ('[trigger]\npoints = ["1 kHz", "1  kHz"]', "expected at least one, all different"),
        ("[trigger]\npoints = []", "expected at least one, all different"),
        ('[trigger]\npoints = ["1e-300"]', "working point '1e-300'; expected a share of crossings .*, at least 1e-09"),
        ('[trigger]\npoints = ["1e-9 kHz pure"]', "working point '1e-9 kHz pure'; expected a share"),
        ("[training]\nlearning_rate = 0", "training.learning_rate = 0.0; expected a finite number above zero"),
        (
            "[systems.dirichlet.training]\nlearning_rate = 0.0",
            "training.learning_rate = 0.0; expected a finite number above",
        ),
        ("[evaluation]\nfprs = []", r"evaluation.fprs = \[\]; expected at least one number"),
        ("[evaluation]\nrates_khz = []", r"evaluation.rates_khz = \[\]; expected at least one number"),
        ("[evaluation]\nfprs = [1e-300]", r"evaluation.fprs\[0\] = 1e-300; expected 0, or at least 1e-12"),
        ("[distill]\nlearning_rate = 1e-300", "distill.learning_rate = 1e-300; expected 0, or at least 1e-12"),
        ("[scan.space]\nweight_bits = [4, -4]", r"scan.space.weight_bits = \[4, -4\]; expected numbers >= 1"),
    ],
)
def test_what_cannot_be_built_is_refused_at_once(tmp_path, text, words):
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(InputError, match=words):
        load_config(tmp_path / "c.toml")


@pytest.mark.parametrize(
    ("table", "section", "expected"),
    [
        ("[training]\nepochs = 3", "training", dataclasses.replace(COMPACT_TRAINING, epochs=3)),
        ('[training]\npreset = "paper"\nepochs = 3', "training", TrainingConfig(epochs=3)),
        ("[model]\nlatent_channels = 32", "model", dataclasses.replace(COMPACT, latent_channels=32)),
        ('[model]\npreset = "paper"', "model", PAPER),
        ('[model.swaps]\nnorm = "batch"', "model", dataclasses.replace(COMPACT, swaps=SwapConfig(norm="batch"))),
    ],
)
def test_a_table_changes_the_compact_run(tmp_path, table, section, expected):
    (tmp_path / "run.toml").write_text(table)
    assert load_config(tmp_path / "run.toml") == dataclasses.replace(RunConfig(), **{section: expected})


def test_a_systems_table_changes_its_own_training():
    default = RunConfig().systems.cct.training
    config = parse(RunConfig, {"systems": {"cct": {"training": {"epochs": 3}}}})
    assert config.systems.cct.training == dataclasses.replace(default, epochs=3)
    assert config.systems.cct.training != TrainingConfig(epochs=3)


def test_shipped_configs_are_the_compact_run_but_for_what_they_name():
    """Every key, so that a change of a default shows here."""
    demo = dump(load_config(CONFIGS / "demo.toml"))
    assert demo == dump(RunConfig(training=dataclasses.replace(COMPACT_TRAINING, epochs=3)))
    assert load_config(CONFIGS / "distilled.toml") == RunConfig(firmware=FirmwareConfig())
    assert load_config(CONFIGS / "distance.toml") == RunConfig(firmware=DISTANCE)
    bits = {"conv1": LayerPrecision(5, output_bits=4), "conv2": LayerPrecision(2, output_bits=6)}
    calorimeter = dataclasses.replace(
        DISTANCE,
        inputs=("ecal", "hcal"),
        distance=(("ecal", "hcal"),),
        conv=(ConvConfig(2, (1, 1), (1, 1)), *DISTANCE.conv),
        precision={**bits, "dense1": LayerPrecision(7, output_bits=8)},
    )
    assert load_config(CONFIGS / "calorimeter.toml") == RunConfig(firmware=calorimeter)
    both = load_config(CONFIGS / "tracks_calorimeter.toml").firmware
    assert (both.inputs, both.hidden) == (("tracks", "ecal", "hcal"), (32, 40, 4, 2))
    generated = GenerationConfig(n_qcd=60_000, n_signal=300, seed=20_261)
    training = dataclasses.replace(COMPACT_TRAINING, epochs=4)
    assert load_config(CONFIGS / "large.toml") == RunConfig(data=DataConfig("generate", generated), training=training)
    space = SpaceConfig(
        filters=(2, 3, 4, 6, 8, 12), kernels=(3,), weight_bits=(6, 7, 8), word_bits=(6, 7, 8), sparsity=(0.0,)
    )
    assert load_config(CONFIGS / "scan.toml") == RunConfig(scan=ScanConfig(trials=30, batch=6, space=space))
    compact = TrainingConfig(epochs=10, batch_size=32, learning_rate=4e-3, final_rate=0.05, deterministic=True)
    assert compact == COMPACT_TRAINING


def test_a_stored_config_of_before_the_distance_keeps_its_network(tmp_path):
    """config.json of a run names every key; without this one its network was none."""
    stored = dump(RunConfig(firmware=FirmwareConfig()))
    del stored["firmware"]["distance"]
    (tmp_path / "config.json").write_text(json.dumps(stored))
    assert load_config(tmp_path / "config.json").firmware == FirmwareConfig()


def test_a_table_for_the_network_of_before_is_refused_or_says_its_preset(tmp_path):
    """No table of the distilled network becomes a distance without a word."""
    path = tmp_path / "mine.toml"
    for table in ("conv = [{filters = 12, kernel = [3, 3], stride = [3, 3]}]", "dense = [8]", 'inputs = ["hcal"]'):
        path.write_text(f"[firmware]\n{table}\n")
        with pytest.raises(InputError, match=r'set firmware\.preset = "distilled"'):
            load_config(path)
        path.write_text(f'[firmware]\npreset = "distilled"\n{table}\n')
        assert not load_config(path).firmware.distance


@pytest.mark.parametrize(
    ("table", "sizes", "others", "remedy"),
    [
        ({"distance": []}, "[], dense = [1] make layers conv1, dense1, output", "dense2, dense3", "distilled"),
        (
            {"dense": []},
            "[['tracks']], dense = [] make layers conv1, dense1, dense2, output",
            "dense3",
            "distance",
        ),
        ({"preset": "distilled", "conv": []}, "[], dense = [] make layers output", "conv1", None),
    ],
)
def test_layers_that_are_gone_are_named_by_the_sizes_that_took_them(table, sizes, others, remedy):
    start = f'set firmware.preset = "{remedy}", or ' if remedy else ""
    with pytest.raises(InputError) as error:
        parse(RunConfig, {"firmware": table})
    assert str(error.value) == (
        f"firmware.distance = {sizes}, but firmware.precision is of {others}, too; "
        f"expected bits of these layers alone; {start}write a whole table firmware.precision"
    )


def keys(cls, where=""):
    """Dotted path of each key that a TOML file may have; an entry of a list or dict of tables counts once."""
    hints = typing.get_type_hints(cls)
    for f in (f for f in dataclasses.fields(cls) if f.init):
        hint = hints[f.name]
        inner = [a for a in (hint, *typing.get_args(hint)) if dataclasses.is_dataclass(a)]
        yield from keys(inner[0], f"{where}{f.name}.") if inner else (f"{where}{f.name}",)


def test_a_config_has_at_most_200_keys():
    found = list(keys(RunConfig))
    assert "training.epochs" in found
    assert "model.categorical.components" in found
    assert "firmware.precision.weight_bits" in found
    assert len(found) <= 200, len(found)


def of_then():
    """What the config of release 0.1 means: the distilled network, one of whose words was written otherwise."""
    config = load_config(CONFIGS / "distilled.toml")
    precision = config.firmware.precision
    output = dataclasses.replace(precision["output"], output_integer=3)
    return dataclasses.replace(
        config, firmware=dataclasses.replace(config.firmware, precision={**precision, "output": output})
    )


def test_a_config_of_release_0_1_is_read(tmp_path):
    """The config.json of a demo run of then, all keys written out; removed ones have the values that are constants."""
    assert load_config(OLD) == of_then()
    content = json.loads(OLD.read_text())
    content["systems"]["dirichlet"]["training"]["beta_2"] = 0.999
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(InputError) as error:
        load_config(tmp_path / "config.json")
    words = (
        "systems.dirichlet.training.beta_2 = 0.999, which can no longer be set; expected 0.99, its only value by now"
    )
    assert str(error.value).endswith(f"{words}; remove the key, or use the release that wrote the file")


def test_a_run_folder_of_release_0_1_is_opened_as_it_is(tmp_path):
    shutil.copy(OLD, tmp_path / "config.json")
    assert RunFolder(tmp_path).config == RunFolder(tmp_path, of_then()).config
    assert (tmp_path / "config.json").read_text() == OLD.read_text()


QUICK = """
import sys
try:
    {}
finally:
    print(sorted({{"tensorflow", "keras", "qkeras", "hls4ml", "da4ml", "sklearn", "scipy"}} & set(sys.modules)))
"""


BAD = ("--config", "bad.toml", "--run", "run")


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("run_chain", "--help"),
        ("run_chain", *BAD),
        ("train", "--model", "cct", *BAD),
        ("compare", *BAD),
        ("jets", *BAD[:2], "--out", "out"),
    ],
    ids=" ".join,
)
def test_a_config_is_read_without_keras(tmp_path, words):
    (tmp_path / "bad.toml").write_text("[training]\nepoch = 3")
    script = CONFIGS.parent / f"{words[0]}.py" if words else None
    start = f"import runpy; runpy.run_path({str(script)!r}, run_name='__main__')"
    code = f"sys.argv = {list(words)}; {start}" if words else "import codae_l1.scripts.run.config"
    command = [sys.executable, "-c", QUICK.format(code)]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.stdout.splitlines()[-1] == "[]", result.stderr
    if "bad.toml" in words:
        assert result.returncode == 2
        assert "unknown key training.epoch; expected one of epochs" in result.stderr


@pytest.mark.parametrize(
    "key", ["given_energies = true", "input_margin = 2.0", "sparsity = 0.5", "scores = { mse = 1.0 }"]
)
def test_what_has_no_effect_on_a_distance_is_refused(tmp_path, key):
    (tmp_path / "mine.toml").write_text(f"[distill]\n{key}\n")
    with pytest.raises(
        InputError, match=rf"distill\.{key.split()[0]} = .* with firmware\.distance; expected its default"
    ):
        load_config(tmp_path / "mine.toml")
    (tmp_path / "mine.toml").write_text(f'[firmware]\npreset = "distilled"\n[distill]\n{key}\n')
    assert load_config(tmp_path / "mine.toml").distill != RunConfig().distill


def test_a_distance_is_learned_again_from_other_crossings(tmp_path):
    """Stage quantize depends on the crossings that it learns from, and on none where it distils."""
    none = dataclasses.replace(RunConfig().trigger, crossings="none")
    for firmware, differs in ((DISTANCE, True), (FirmwareConfig(), False)):
        config = RunConfig(firmware=firmware)
        runs = [RunFolder(tmp_path / f"{differs}", config), RunFolder(tmp_path / f"{differs} none", config)]
        runs[1].config = dataclasses.replace(config, trigger=none)
        assert (runs[0]._inputs("quantize") != runs[1]._inputs("quantize")) is differs
