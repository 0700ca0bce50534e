"""Search for outputs of the same job that was divided into another number of shards."""

import re
from pathlib import Path

from deeplift_cli.outputs.workspace import workspace_folder


def other_division(out: Path, count: int) -> tuple[Path, int] | None:
    """Find an output, or a folder of finished batches, of another division of the same job.

    Parameters
    ----------
    out : Path
        The output, with ``{shard}`` in its name, which stands for I-of-N, and perhaps ``{target}``.
    count : int
        The number of shards of this division.

    Returns
    -------
    tuple of Path and int, or None
        A score file or a folder of finished batches, and the number of shards in its name. The value is None
        if there is no such file or folder, or the name has no ``{shard}``.

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
    """Return a regular expression that matches the names for which a name with ``{shard}`` stands."""
    stand_for = {"{shard}": r"[0-9]{1,10}-of-[0-9]{1,10}", "{target}": ".*"}
    before, _, after = name.partition("{shard}")
    first = r"[0-9]{1,10}-of-(?P<count>[0-9]{1,10})"
    rest = [
        "".join(stand_for.get(part, re.escape(part)) for part in re.split(r"(\{shard\}|\{target\})", text))
        for text in (before, after)
    ]
    return first.join(rest)
