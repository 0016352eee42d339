"""Header files such as those of a checkout of CICADA, with weights that are made up."""

from pathlib import Path

import numpy as np


def write_header(path: Path, values: np.ndarray) -> None:
    numbers = ", ".join(f"{v:.10f}" for v in values.ravel())
    name = path.stem
    text = f"//shape {list(values.shape)}\nnamespace X{{\n#ifdef TEXT\n  t {name}[{values.size}];\n#else\n"
    path.write_text(f"{text}  t {name}[{values.size}] = {{{numbers}}};\n#endif\n}}\n")


def write_weights(folder: Path, w3, w7, b7, w10) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in {"w3": w3, "w7": w7, "b7": b7, "w10": w10}.items():
        write_header(folder / f"{name}.h", np.asarray(values, float))
    return folder


def random_weights(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {
        "w3": rng.integers(-300, 301, (4, 2, 2)) / 256,
        "w7": rng.integers(-8, 9, (252, 16)) / 64,
        "b7": rng.integers(-64, 65, 16) / 16,
        "w10": rng.integers(-600, 1200, 16) / 256,
    }
