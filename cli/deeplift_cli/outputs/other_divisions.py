"""Outputs of a job that was divided into another number of shards."""

import re
from pathlib import Path

from deeplift_cli.outputs.workspace import workspace_folder


def other_division(out: Path, count: int) -> tuple[Path, int] | None:
    """Find what lies where shards go and belongs to another division of the same outputs.

    Parameters
    ----------
    out : Path
        The output, with ``{shard}`` in its name, for which I-of-N stands, and perhaps ``{target}``.
    count : int
        The number of shards that is no other division.

    Returns
    -------
    tuple of Path and int, or None
        A score file or a folder of finished batches, and the number of shards there. None if there is none,
        or the name has no ``{shard}``.

    Raises
    ------
    OSError
        If the folder cannot be read.
    """
    if "{shard}" not in out.name or not out.parent.is_dir():
        return None
    names = [re.compile(_pattern(path.name)) for path in (out, workspace_folder(out))]
    for path in sorted(out.parent.iterdir()):
        found = next(filter(None, (name.fullmatch(path.name) for name in names)), None)
        if found is not None and int(found["count"]) != count:
            return path, int(found["count"])
    return None


def _pattern(name: str) -> str:
    """A regular expression for the names that this one with ``{shard}`` stands for."""
    stand_for = {"{shard}": r"[0-9]{1,10}-of-[0-9]{1,10}", "{target}": ".*"}
    before, _, after = name.partition("{shard}")
    first = r"[0-9]{1,10}-of-(?P<count>[0-9]{1,10})"
    rest = [
        "".join(stand_for.get(part, re.escape(part)) for part in re.split(r"(\{shard\}|\{target\})", text))
        for text in (before, after)
    ]
    return first.join(rest)
