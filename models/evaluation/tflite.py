"""TF-Lite versions of networks: float16 and int8, compared with Keras and timed in the same run.

float16        weights rounded to half precision, arithmetic in float32
int8           weights int8 per channel, activations rounded to int8 by the range of each event at run time
int8_static    weights and activations int8, ranges fixed beforehand on calibration events

`_convert` and `time_one` take any network as a tf.function of arrays. `compare` is for the parts of a full model: f_m
(mask -> z_m), f_r (mask -> z_R, of a CoDVAE softmax(l / tau)), decoder (z_R, z_m -> logits).
"""

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import whole_file
from codae_l1.data.base.progress import Progress
from codae_l1.models.codae.model import CoDAE

Kind = Literal["float16", "int8", "int8_static"]
PARTS = ("f_m", "f_r", "decoder")
# Events a call whose speed is measured.
BATCHES = (1, 256)
# CPU seconds that each speed is measured for, at least.
TIMED_SECONDS = 0.2
# Calibration events of int8_static.
CALIBRATION_EVENTS = 100
# What TensorFlow warns of, but the project knows: LiteRT, the successor, is another package, and inputs stay float32.
_KNOWN_WARNINGS = (r"\s*Warning: tf\.lite\.Interpreter is deprecated", "Statistics for quantized inputs were expected")


class _LiteModel:
    """A TF-Lite model: called on arrays (N, ...) float32, any N, it gives an array (N, ...) float32; one thread."""

    def __init__(self, content: bytes):
        import tensorflow as tf

        self.content = content
        with _known_warnings():
            self._interpreter = tf.lite.Interpreter(model_content=content, num_threads=1)
        inputs = self._interpreter.get_input_details()
        self._inputs = [d["index"] for d in sorted(inputs, key=lambda d: d["name"])]
        (output,) = self._interpreter.get_output_details()
        self._output, self._shapes = output["index"], None

    def __call__(self, *inputs: np.ndarray) -> np.ndarray:
        """The part's output."""
        shapes = [x.shape for x in inputs]
        if shapes != self._shapes:
            for index, shape in zip(self._inputs, shapes, strict=True):
                self._interpreter.resize_tensor_input(index, shape)
            self._interpreter.allocate_tensors()
            self._shapes = shapes
        for index, x in zip(self._inputs, inputs, strict=True):
            self._interpreter.set_tensor(index, x.astype(np.float32))
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._output)

    def save(self, path: Path | str) -> None:
        """Write the .tflite file, whole or not at all."""
        with whole_file(path) as temporary:
            temporary.write_bytes(self.content)


def _keras_parts(model: CoDAE, masks: np.ndarray) -> dict[str, tuple[Callable, list[np.ndarray]]]:
    """Part -> (compiled Keras function of arrays, its inputs for these masks (N, 72, 58, 1), float32)."""
    import tensorflow as tf

    masks = masks.astype(np.float32)
    functions = {
        "f_m": tf.function(lambda mask: model.f_m(mask)),
        "f_r": tf.function(lambda mask: model.latent(mask)),
        "decoder": tf.function(lambda z_r, z_m: model.decoder([z_r, z_m])),
    }
    latents = [functions[part](masks).numpy() for part in ("f_r", "f_m")]
    return {part: (functions[part], latents if part == "decoder" else [masks]) for part in PARTS}


def _convert(function: Any, inputs: list[np.ndarray], kind: Kind, batch: int | None = None) -> _LiteModel:
    """Convert a tf.function, given its inputs for calibration events (N, ...) float32, to a kind.

    batch: events a call, where that is known beforehand; None leaves it open.
    """
    import tensorflow as tf

    if kind not in get_args(Kind):
        raise InputError(f"kind {kind!r}", f"one of {', '.join(get_args(Kind))}", "choose one of them")
    # Inputs are told apart by their names; the converter changes their order.
    names = [f"input{i}" for i in range(len(inputs))]
    specs = [tf.TensorSpec((batch, *x.shape[1:]), tf.float32, name) for x, name in zip(inputs, names, strict=True)]
    with _known_warnings():
        concrete, module = function.get_concrete_function(*specs), tf.Module()
        module.values = list(concrete.graph.variables)  # pyright: ignore[reportAttributeAccessIssue]
        converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if kind == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if kind == "int8_static":
            events = range(min(len(inputs[0]), CALIBRATION_EVENTS))
            converter.representative_dataset = lambda: (
                {name: x[i : i + 1] for name, x in zip(names, inputs, strict=True)} for i in events
            )
        return _LiteModel(converter.convert())


def time_one(function: Any, inputs: list[np.ndarray], kind: Kind = "float16") -> dict[str, Any]:
    """A network event by event, as TF-Lite in one thread: `cpu_ms` of an event, `bytes` of the model, and the
    `largest_difference` of an output number from Keras.

    function: a tf.function of one output. inputs: its arrays (N >= 1, ...) float32 of the same events.
    """
    inputs = [np.asarray(x, np.float32) for x in inputs]
    if not len(inputs[0]):
        raise InputError("0 events to time", "at least one", "give more events")
    lite = _convert(function, inputs, kind, batch=1)
    events = [[x[i : i + 1] for x in inputs] for i in range(len(inputs[0]))]
    differences = [np.abs(lite(*event) - function(*event).numpy()).max() for event in events]
    speed = _speeds(lite, inputs, (1,))["cpu_ms_batch_1"]
    return {"cpu_ms": speed, "bytes": len(lite.content), "largest_difference": float(np.max(differences))}


def compare(
    model: CoDAE,
    calibration_masks: np.ndarray,
    masks: np.ndarray,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Convert every part to every kind, and hold it against Keras on masks (N, 72, 58, 1); one row each.

    A row: part, kind ("keras" too), bytes, largest difference of an output number from Keras and the correlation of all
    numbers with Keras's, CPU milliseconds per event in calls of each of BATCHES. folder: where to write the files.
    """
    calibration = _keras_parts(model, calibration_masks)
    rows = []
    for i, (part, (function, inputs)) in enumerate(_keras_parts(model, masks).items()):
        expected = function(*inputs).numpy()
        rows.append({"part": part, "kind": "keras", **_speeds(lambda *x, f=function: f(*x).numpy(), inputs, BATCHES)})
        for kind in get_args(Kind):
            lite = _convert(function, calibration[part][1], kind)
            if folder is not None:
                lite.save(folder / f"{part}_{kind}.tflite")
            found = lite(*inputs)
            difference = {
                "bytes": len(lite.content),
                "largest_difference": float(np.abs(found - expected).max()),
                "correlation": float(np.corrcoef(found.ravel(), expected.ravel())[0, 1]),
            }
            rows.append({"part": part, "kind": kind, **difference, **_speeds(lite, inputs, BATCHES)})
        if progress:
            progress(i + 1, len(PARTS), part)
    return rows


def _speeds(function: Callable, inputs: list[np.ndarray], sizes: tuple[int, ...]) -> dict[str, float]:
    """CPU milliseconds per event, all threads together, in calls of each batch size."""
    speeds = {}
    for size in sizes:
        batch = [np.resize(x, (size, *x.shape[1:])) for x in inputs]
        function(*batch)
        calls, spent, started = 0, 0.0, time.process_time()
        while not calls or spent < TIMED_SECONDS:
            function(*batch)
            calls, spent = calls + 1, time.process_time() - started
        speeds[f"cpu_ms_batch_{size}"] = 1e3 * spent / calls / size
    return speeds


@contextmanager
def _known_warnings() -> Iterator[None]:
    """A block in which the warnings that are known are not shown."""
    with warnings.catch_warnings():
        for message in _KNOWN_WARNINGS:
            warnings.filterwarnings("ignore", message, UserWarning)
        yield
