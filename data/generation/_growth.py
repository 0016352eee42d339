"""Work folders of fewer crossings that become those of more: the pool and the whole chunks are the same."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codae_l1.data.base.config import dump, parse
from codae_l1.data.base.files import read_table, write_json
from codae_l1.data.generation._crossing_chunks import crossing_tasks
from codae_l1.data.generation._parallel import STAMP, versions
from codae_l1.data.generation._pool import pool_chunks
from codae_l1.data.generation.crossings_config import CrossingsConfig


def has_fewer(made: Mapping[str, Any], config: CrossingsConfig) -> bool:
    """Whether what is made by the config `made` (as `dump` gives it) is a part of what is made by `config`.

    >>> small, large = (CrossingsConfig(n_crossings=(0, 0, 0, n), n_signal_validation=0) for n in (1500, 4000))
    >>> has_fewer(dump(small), large), has_fewer(dump(large), small)
    (True, False)
    """
    theirs, ours = dict(made), dump(config)
    numbers = theirs.pop("n_crossings", None), ours.pop("n_crossings")
    if theirs != ours or numbers[0] == numbers[1]:
        return False
    before = parse(CrossingsConfig, dict(made))
    fewer = all(few <= many for few, many in zip(before.n_crossings, config.n_crossings, strict=True))
    return fewer and list(pool_chunks(before)) == list(pool_chunks(config))


def grow(config: CrossingsConfig, content: dict[str, Any], folder: Path) -> None:
    """Let a work folder of fewer crossings be one of this config: chunks that were the last, and not whole, go."""
    if not (folder / STAMP).exists():
        return
    stamp = read_table(folder / STAMP, ("config", "versions"))
    made = {key: value for key, value in stamp["config"].items() if key != "measure"}
    alike = stamp == {"config": made | {"measure": content["measure"]}, "versions": versions()}
    if not alike or not has_fewer(made, config):
        return
    now = set(crossing_tasks(config))
    for task in crossing_tasks(parse(CrossingsConfig, made)):
        if task not in now:
            (folder / task.file).unlink(missing_ok=True)
    write_json(folder / STAMP, {**stamp, "config": content})
