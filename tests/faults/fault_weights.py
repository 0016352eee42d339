"""Files of weights: the firmware's and the float model's .npz, .keras, TF-Lite files and checkpoints."""

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
from fault_changes import BYTES, NPZ, changed_table, with_value
from fault_config import changed_within, settled
from fault_engine import FileKind
from fault_formats import demand
from scoring_run import CONFIG, random_firmware

from codae_l1.data.base.config import dump


class Firmware(FileKind):
    """f_m.npz: words of a firmware."""

    def __init__(self, folder, name="weights"):
        super().__init__(folder, name, BYTES | NPZ | {"meta": self.meta, "word": self.word}, suffix=".npz")

    def write(self, path):
        random_firmware().save(path)

    def meta(self, rng, path):
        """One value of what the file says of itself."""
        content = self.content(path)
        meta = changed_table(rng, json.loads(str(content["meta"])))
        self.save(path, content | {"meta": np.array(json.dumps(meta))})

    def word(self, rng, path):
        """One word of one kernel or bias."""
        content = self.content(path)
        names = sorted(set(content) - {"meta"})
        name = names[rng.integers(len(names))]
        changed = content[name].copy()
        values = (64, -65, 4096, -4096, 2**40, 1, -1, 31, -32, 15, -16)
        changed.reshape(-1)[rng.integers(changed.size)] = values[rng.integers(len(values))]
        self.save(path, content | {name: changed})

    def content(self, path):
        with np.load(path) as file:
            return {name: file[name] for name in file.files}

    def save(self, path, content):
        with open(path, "wb") as handle:
            np.savez_compressed(handle, **content)

    def read(self, thing):
        from codae_l1.quantization.f_m.network import FirmwareModel
        from codae_l1.quantization.f_m.weights import weight_words

        found = FirmwareModel.load(thing)
        return self.told(found) | {"weights": weight_words(found.model, found.config)}

    def told(self, found):
        return {"config": settled(dump(found.config)), "sign": found.sign, "component": found.component}

    def plain(self, thing):
        content = self.content(thing)
        meta = json.loads(str(content.pop("meta")))
        demand(meta["format"] == 1, "another format")
        demand(meta["sign"] in (1, -1) and type(meta["sign"]) is int, "sign")
        demand(type(meta["component"]) is int and 0 <= meta["component"] < self.good["config"]["outputs"], "component")
        changed_within(settled(meta["config"]), found := self.read(thing)["config"])
        names = {f"{layer}.{role}" for layer in CONFIG.layers for role in ("kernel", "bias")}
        demand(set(content) == names, "names")
        for name, words in content.items():
            self.check(
                name,
                words,
                settled(dump(CONFIG.layer_precision(name.split(".")[0])))
                | found["precision"].get(name.split(".")[0], {}),
            )
        return {"config": found, "sign": meta["sign"], "component": meta["component"], "weights": content}

    def check(self, name, words, precision):
        """Wrong unless they are words of the layer's type."""
        demand(words.shape == self.good["weights"][name].shape, f"{name} of shape {words.shape}")
        demand(words.dtype.kind in "iu", f"{name} of {words.dtype}")
        bits = precision["bias_bits" if name.endswith("bias") and precision.get("bias_bits") else "weight_bits"]
        demand(np.all((words >= -(2 ** (bits - 1))) & (words < 2 ** (bits - 1))), f"{name} beyond {bits} bits")


class FloatFirmware(Firmware):
    """f_m_float.npz: floats of the same network."""

    def __init__(self, folder):
        super().__init__(folder, "weights_float")

    def write(self, path):
        from codae_l1.quantization.f_m.float_model import FloatModel
        from codae_l1.quantization.f_m.network import build_float

        FloatModel(build_float(CONFIG, seed=3), CONFIG).save(path)

    def word(self, rng, path):
        """One number of one kernel or bias."""
        content = self.content(path)
        names = sorted(set(content) - {"meta"})
        name = names[rng.integers(len(names))]
        self.save(path, content | {name: with_value(rng, content[name])})

    def read(self, thing):
        from codae_l1.quantization.f_m.float_model import FloatModel

        found, weights = FloatModel.load(thing), {}
        for name in found.config.layers:
            weights[f"{name}.kernel"], weights[f"{name}.bias"] = found.model.get_layer(name).get_weights()
        return self.told(found) | {"weights": weights}

    def check(self, name, words, precision):
        demand(words.shape == self.good["weights"][name].shape, f"{name} of shape {words.shape}")
        with np.errstate(over="ignore"):
            demand(words.dtype.kind == "f" and np.isfinite(words.astype("f4")).all(), f"{name} not finite")


class KerasFile(FileKind):
    """A small model in .keras."""

    def __init__(self, folder):
        super().__init__(folder, "keras", BYTES, suffix=".keras")

    def write(self, path):
        import keras

        from codae_l1.models.training.saving import save_model

        keras.utils.set_random_seed(1)
        inputs = keras.Input((8,))
        save_model(keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Dense(16, "relu")(inputs))), path)

    def read(self, thing):
        import keras

        from codae_l1.models.training.saving import load_model

        model = load_model(thing, keras.Model)
        names = [layer.name.rstrip("_0123456789") for layer in model.layers]
        return {"layers": names, "weights": [np.asarray(w) for w in model.get_weights()]}


class TfLite(FileKind):
    """The mask encoder of a small CoDAE as a TF-Lite file."""

    def __init__(self, folder):
        super().__init__(folder, "tflite", {**BYTES, "word": self.word}, suffix=".tflite")

    def write(self, path):
        from published_files import SMALL, random_model, write_tflite

        write_tflite(random_model(SMALL), "f_m", path)

    def word(self, rng, path):
        """One float16 of the file is no number, or another."""
        content = bytearray(path.read_bytes())
        place = int(rng.integers(len(content) // 2)) * 2
        content[place : place + 2] = np.array([np.nan, np.inf, -1.0, 6e4], "f2")[[rng.integers(4)]].tobytes()
        path.write_bytes(content)

    def read(self, thing):
        from published_files import SMALL

        from codae_l1.models.codae._tflite_weights import read_tflite

        return self.told([read_tflite(thing, SMALL)])

    def told(self, parts):
        """Part -> layer -> role -> values, of parts that a model takes."""
        from published_files import SMALL, random_model

        from codae_l1.models.codae._published_layout import assign

        self.model = getattr(self, "model", None) or random_model(SMALL)
        for part in parts:
            if part.layers:
                assign(self.model, part)
        return {p.part: {layer: dict(weights) for layer, weights in p.layers.items()} for p in parts if p.layers}

    def plain(self, thing):
        from tensorflow.lite.python import schema_py_generated as schema

        found, raw = self.read(thing), thing.read_bytes()
        model = schema.ModelT.InitFromPackedBuf(raw, 0)
        stored = {
            np.sort(np.frombuffer(np.asarray(b.data, "u1").tobytes()[: len(b.data) // 2 * 2], "f2")).tobytes()
            for b in model.buffers
            if b.data is not None
        }
        for layer, weights in found["f_m"].items():
            for role, values in weights.items():
                demand(values.shape == self.good["f_m"][layer][role].shape, f"{layer} {role} of shape {values.shape}")
                demand(np.isfinite(values).all(), f"{layer} {role} not finite")
                demand(np.sort(values.ravel().astype("f2")).tobytes() in stored, f"{layer} {role} not in the file")
        return found


class Checkpoint(TfLite):
    """A small CoDAE in a TensorFlow checkpoint."""

    def __init__(self, folder):
        super().__init__(folder)
        self.name, self.changes = "checkpoint", {**BYTES, "index": self.index}

    def make(self):
        from published_files import SMALL, checkpoint_variables, random_model, write_checkpoint

        (self.folder / "good").mkdir(exist_ok=True)
        write_checkpoint(checkpoint_variables(random_model(SMALL)), self.folder / "good" / "weights-1")

    def copy(self):
        case = self.folder / "case"
        shutil.rmtree(case, ignore_errors=True)
        return Path(shutil.copytree(self.folder / "good", case)) / "weights-1.data-00000-of-00001"

    def index(self, rng, path):
        """A change of the index instead of the data."""
        list(BYTES.values())[rng.integers(len(BYTES))](rng, path.with_name("weights-1.index"))

    def read(self, thing):
        from published_files import SMALL

        from codae_l1.models.codae._checkpoint_weights import read_checkpoint

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.told(read_checkpoint(thing.with_name("weights-1"), SMALL))

    def plain(self, thing):
        # Every variable has a sum of its own.
        demand(False, "other weights")
