"""Reading events: our HDF5 against the public .npz of the same events, in one run.

    python benchmarks/bench_reading.py ["$CODAE_SAMPLE"/train/*.npz]

Without files the first 2,000 shipped events are written in the public form. The peer is np.load of the four arrays,
nothing checked; ours verifies its checksum. CPU microseconds per event, the best of ten passes, taken in turn.
Prints one JSON object.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

REPEATS = 10
EVENTS = 2_000
PEER = "npz"


def load_npz(paths: list[Path]) -> list:
    import numpy as np

    loaded = []
    for path in paths:
        with np.load(path) as content:
            loaded.append({key: content[key] for key in ("images", "labels", "masses", "n_tracks")})
    return loaded


def public_file(path: Path) -> Path:
    """The first shipped events in the public form."""
    import numpy as np

    from codae_l1.data.formats._public import PUBLIC_CLASSES
    from codae_l1.data.formats.event_file import EventFile
    from codae_l1.data.sample import SAMPLE

    codes = {name: code for code, name in PUBLIC_CLASSES.items()}
    with EventFile(SAMPLE) as file:
        events = file.read(0, EVENTS)
    labels, masses = np.array([codes[name] for name in events.signal], np.float32).T
    arrays = {"images": events.images, "labels": labels, "masses": masses, "n_tracks": events.n_tracks[:, None]}
    np.savez_compressed(path, **arrays)
    return path


def best_seconds(readers: dict) -> dict[str, float]:
    best = dict.fromkeys(readers, float("inf"))
    for _ in range(REPEATS):
        for name, read in readers.items():
            started = time.process_time()
            read()
            best[name] = min(best[name], time.process_time() - started)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="*", help="public .npz files")
    files = parser.parse_args().files

    from codae_l1.scripts.run import cli

    cli.import_tensorflow()
    from codae_l1.data.formats import event_slices, read_events
    from codae_l1.data.formats.event_file import write_events
    from codae_l1.scripts.run.folder import stamp

    with tempfile.TemporaryDirectory() as folder:
        files = files or [public_file(Path(folder) / "public.npz")]
        ours = Path(folder) / "ours.h5"
        write_events(ours, (read_events(path) for path in files))
        n = sum(len(events) for events in event_slices(ours))
        readers = {
            PEER: lambda: load_npz(files),
            "hdf5_whole": lambda: read_events(ours),
            "hdf5_slices": lambda: [len(events) for events in event_slices(ours)],
        }
        seconds = best_seconds(readers)
        sizes = {PEER: sum(path.stat().st_size for path in files) / n, "hdf5": ours.stat().st_size / n}
    content = {
        "events": n,
        "cpu_us_per_event": {name: round(1e6 * s / n, 1) for name, s in seconds.items()},
        f"times_{PEER}": {name: round(seconds[PEER] / s, 1) for name, s in seconds.items()},
        "bytes_per_event": {name: round(size) for name, size in sizes.items()},
        "stamp": stamp(0),
    }
    print(json.dumps(content, indent=1))


if __name__ == "__main__":
    from codae_l1.scripts.run import cli

    cli.run(main, resumes=False)
