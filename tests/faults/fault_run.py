"""A run folder with one thing wrong in one of its files, and arrays that are none for its executors."""

import json
import shutil
from pathlib import Path

import numpy as np
from fault_changes import BYTES, JSON, NPZ, NUMBERS, changed_array
from fault_engine import Kind, Wrong
from fault_formats import demand
from scoring_run import make_scoring_run

import codae_l1
from codae_l1.data.base.words import WordType

# Executors whose making needs no further compiling, and all that load what the run folder holds.
QUICK, WHOLE = ("emulator", "interpreter"), ("qkeras", "hls", "emulator", "interpreter", "rtl")
SHAPE = (18, 15, 1)


def counts_of_events(n=12):
    """Counts (n, 18, 15, 1), some beyond the input word."""
    rng = np.random.default_rng(7)
    return rng.integers(0, 40, (n, *SHAPE)) * (rng.random((n, *SHAPE)) < 0.3)


class OfRun(Kind):
    """A kind that needs a finished run: the folder `good`, which is made where it is not there."""

    executors, whole = QUICK, False

    def make(self):
        if not (self.folder / "good").exists():
            make_scoring_run(self.folder / "good", self.whole)


class Run(OfRun):
    """A finished run: every file of every stage, and their words."""

    def __init__(self, folder):
        names = ("any_bytes", "any_json", "any_npz", "swapped", "gone", "unrecorded", "other_config")
        super().__init__(folder, "run", {name: getattr(self, name) for name in names})
        self.case = folder / "case"

    def make(self):
        super().make()
        self.files = sorted(
            p.relative_to(self.folder / "good") for p in (self.folder / "good").rglob("*") if p.is_file()
        )

    def copy(self):
        shutil.rmtree(self.case, ignore_errors=True)
        return Path(shutil.copytree(self.folder / "good", self.case, symlinks=True))

    def chosen(self, rng, *suffixes):
        """A file of the run, of some suffixes; each kind of file as often as any other."""
        files = [f for f in self.files if not suffixes or f.suffix in suffixes]
        kinds = sorted({f.suffix for f in files})
        kind = kinds[rng.integers(len(kinds))]
        files = [f for f in files if f.suffix == kind]
        return self.case / files[rng.integers(len(files))]

    def any_bytes(self, rng, thing):
        """Bits, blocks or the end of any file."""
        list(BYTES.values())[rng.integers(len(BYTES))](rng, self.chosen(rng))

    def any_json(self, rng, thing):
        """A value of any JSON, or JSON that is none."""
        list(JSON.values())[int(rng.random() < 0.3)](rng, self.chosen(rng, ".json"))

    def any_npz(self, rng, thing):
        """An array of any .npz."""
        list(NPZ.values())[rng.integers(len(NPZ))](rng, self.chosen(rng, ".npz"))

    def swapped(self, rng, thing):
        """A file with the content of another one of its kind."""
        path = self.chosen(rng)
        others = [f for f in self.files if f.suffix == path.suffix and self.case / f != path]
        if others:
            shutil.copyfile(self.case / others[rng.integers(len(others))], path)

    def gone(self, rng, thing):
        """A file that is not there, empty, a folder, or a link to nothing."""
        path, kind = self.chosen(rng), rng.integers(4)
        path.unlink()
        if kind == 1:
            path.touch()
        elif kind == 2:
            path.mkdir()
        elif kind == 3:
            path.symlink_to("nowhere")

    def unrecorded(self, rng, thing):
        """A stage's JSON whose record is gone or another value: then nothing says what is right."""
        path = self.case / f"{('quantize', 'convert', 'synthesize')[rng.integers(3)]}.json"
        content = json.loads(path.read_text())
        values = (None, [], {}, "text", {"sum": 1}, {"sum": "", "files": []}, {"files": {"x": None}}, [1])
        if rng.random() < 0.3:
            del content["record"]
        else:
            content["record"] = values[rng.integers(len(values))]
        path.write_text(json.dumps(content))

    def other_config(self, rng, thing):
        """A value of config.json."""
        JSON["json_value"](rng, self.case / "config.json")

    def read(self, thing):
        run = codae_l1.open_run(thing)
        found = {name: run.executor(name).words(self.images()) for name in self.executors}
        stages = ("make_data", "train", "quantize", "convert", "synthesize")
        said = {stage: {k: v for k, v in run.read(stage).items() if k != "record"} for stage in stages}
        return {"words": found, "said": said, "sign": run.trained.sign}

    def images(self):
        """Counts of some events, as executors take them."""
        return counts_of_events()


class WholeRun(Run):
    """The same with all executors, whose libraries are compiled."""

    executors, whole = WHOLE, True

    def __init__(self, folder):
        super().__init__(folder)
        self.name = "run_whole"


class Arrays(OfRun):
    """Counts that are no counts, given to the executors of a run; right words are those of the interpreter."""

    def __init__(self, folder):
        names = ("array", "value", "masked", "huge", "layout", "other", "images")
        super().__init__(folder, "arrays", {name: getattr(self, name) for name in names})

    def make(self):
        super().make()
        run = codae_l1.open_run(self.folder / "good")
        self.opened = {name: run.executor(name) for name in self.executors}
        self.reference = self.opened["interpreter"]

    def copy(self):
        return counts_of_events()

    def array(self, rng, counts):
        """Type, axes, rank, length."""
        return changed_array(rng, counts)

    def value(self, rng, counts):
        """One number: negative, huge, a fraction, none."""
        kinds = ("i4", "i8", "u8", "f4", "f8", "i2")
        counts = counts.astype(kinds[rng.integers(len(kinds))])
        value = (*NUMBERS, -1, -(2**31), 2**31, 2**62, 2**15)[rng.integers(len(NUMBERS) + 5)]
        with np.errstate(all="ignore"):
            if counts.dtype.kind in "iu" and np.isfinite(value):
                limits = np.iinfo(counts.dtype)
                value = int(min(max(value, limits.min), limits.max))
            elif counts.dtype.kind in "iu":
                counts = counts.astype("f8")
            counts.reshape(-1)[rng.integers(counts.size)] = value
        return counts

    def masked(self, rng, counts):
        """A masked array."""
        return np.ma.MaskedArray(counts, rng.random(counts.shape) < 0.1)

    def huge(self, rng, counts):
        """Unsigned integers at or above 2^63."""
        counts = counts.astype("u8")
        counts.reshape(-1)[rng.integers(counts.size)] = 2**63 + int(rng.integers(2**62))
        return counts

    def layout(self, rng, counts):
        """The same counts in other memory: byte order, strides, Fortran, read-only, small types, flat."""
        kind = rng.integers(7)
        counts = counts.astype((">i4", "i8", "u1", "i2", "u4", "i4", "u2")[kind])
        if rng.random() < 0.3:
            counts = np.asfortranarray(counts)
        elif rng.random() < 0.3:
            counts = np.repeat(counts, 2, axis=0)[::2]
        elif rng.random() < 0.3:
            counts = counts.reshape(len(counts), -1)
        counts.flags.writeable = False
        return counts[: rng.integers(len(counts) + 1)]

    def other(self, rng, counts):
        """What is no array."""
        values = (None, [], "text", 3, [[1, 2], [3]], {"a": 1}, object(), counts.tolist(), np.float64(1), b"x")
        return values[rng.integers(len(values))]

    def images(self, rng, counts):
        """Images in GeV with one thing wrong."""
        images = np.zeros((3, 72, 58, 3), "f4")
        images[:, 5:9, 5:9] = 2.0
        return changed_array(rng, images) if rng.random() < 0.7 else images.astype(("f8", "f2", ">f4")[rng.integers(3)])

    def read(self, thing):
        found = {}
        for name, executor in self.opened.items():
            images = isinstance(thing, np.ndarray) and thing.ndim == 4 and thing.shape[1] == 72
            found[name] = executor.words(thing) if images else executor.predict_words(thing)
        words = list(found.values())
        demand(all(np.array_equal(words[0], other) for other in words[1:]), "executors that differ")
        return words[0]

    def plain(self, thing):
        if not isinstance(thing, np.ndarray) or isinstance(thing, np.ma.MaskedArray):
            raise Wrong(f"a {type(thing).__name__}")
        if thing.ndim == 4 and thing.shape[1:] == (72, 58, 3):
            demand(thing.dtype.kind == "f" and bool(np.all(np.isfinite(thing) & (thing >= 0))), "energies")
            with np.errstate(over="ignore"):
                demand(np.isfinite(thing.astype("f4")).all(), "energies beyond float32")
            padded = np.pad((thing[..., 0].astype("f4") > 0).astype(int), ((0, 0), (0, 0), (1, 1)))
            thing = padded.reshape(len(thing), 18, 4, 15, 4).sum(axis=(2, 4))[..., None]
        demand(thing.dtype.kind in "iu", f"{thing.dtype}")
        demand(thing.shape[1:] in (SHAPE, (270,)), f"{thing.shape}")
        demand(not thing.size or (int(thing.min()) >= 0 and int(thing.max()) < 2**63), "beyond int64")
        high = WordType(False, 5, 0).bounds[1]
        clean = np.minimum(thing.astype("u8"), high).astype("i8").reshape(len(thing), *SHAPE)
        return self.reference.predict_words(np.ascontiguousarray(clean))


class WholeArrays(Arrays):
    """The same with all executors."""

    executors, whole = WHOLE, True

    def __init__(self, folder):
        super().__init__(folder)
        self.name = "arrays_whole"
