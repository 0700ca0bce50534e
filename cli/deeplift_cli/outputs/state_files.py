"""The small files in which one run tells the next what it was doing, and how far it came.

They may be cut short, edited, or left by another version. Each has one function that reads it and raises
ValueError for anything but what a run writes.
"""

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from deeplift_cli.options.numbers import LARGEST_BATCH
from deeplift_cli.outputs.publish import to_disc
from deeplift_cli.sequences.records import Skipped


@dataclass(frozen=True)
class JobState:
    """What the finished batches in a folder are of.

    Attributes
    ----------
    job : mapping of str to anything that JSON can hold
        What their scores depend on, as it was given.
    decisions : mapping
        What the run decided by itself: "batch_size" (int) and "compile" ("on" or "off"); empty before that.
    late : mapping of str to str
        What their scores depend on and the run found out later.
    """

    job: Mapping[str, Any]
    decisions: Mapping[str, Any]
    late: Mapping[str, str]

    def to_json(self) -> str:
        """Return the text that `parse_job` reads."""
        return json.dumps({"job": self.job, "decisions": self.decisions, "late": self.late}, indent=1)

    @property
    def digest(self) -> str:
        """Tells batches of this job from those of others: SHA-256 of all of it, as hex digits."""
        content = json.dumps([self.job, self.decisions, self.late], sort_keys=True)
        return sha256(content.encode()).hexdigest()


@dataclass(frozen=True)
class PieceHead:
    """The description that is kept with a finished batch.

    Attributes
    ----------
    digest : bytes
        Of the records that it was made from, see `Batch.digest`.
    job : str
        The digest of the `JobState`.
    regions : list of list
        The fields of each `Region`.
    sizes : dict of str to list of int
        Bytes of each compressed chunk, by dataset.
    skipped : list of Skipped
        Records of the batch whose scores are not finite, and which have no row.
    """

    digest: bytes
    job: str
    regions: list[list[Any]]
    sizes: dict[str, list[int]]
    skipped: list[Skipped]


def read_state(path: Path) -> str:
    """Return the text of a state file.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If it is something else than a file of text.
    """
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise ValueError("it is not a regular file")
    return path.read_text("utf-8")


def write_state(path: Path, text: str) -> None:
    """Write a state file, whole or not at all, and never through a link that stands in its place.

    Raises
    ------
    OSError
        If the disc is full, or the like.
    """
    temporary = path.with_name(f"{path.name}.part")
    temporary.unlink(missing_ok=True)
    with temporary.open("x", encoding="utf-8") as file:
        file.write(text)
    to_disc(temporary)
    os.replace(temporary, path)


def parse_job(text: str) -> JobState:
    """Parse ``job.json``.

    Raises
    ------
    ValueError
        If it is not what `JobState.to_json` writes.
    """
    found = _object(_json(text), {"job", "decisions", "late"})
    job, late = (_object(found[key]) for key in ("job", "late"))
    _check(all(isinstance(value, str) for value in late.values()), "what was found out late")
    return JobState(job, _decisions(found["decisions"]), late)


def _decisions(value: Any) -> dict[str, Any]:
    found = _object(value)
    if found:
        _object(found, {"batch_size", "compile"})
        _check(_is_count(found["batch_size"]) and 1 <= found["batch_size"] <= LARGEST_BATCH, "the batch size")
        _check(found["compile"] in ("on", "off"), "whether to compile")
    return found


def parse_complete(text: str) -> set[Path]:
    """Parse ``complete``: the outputs that a run had begun to publish.

    Raises
    ------
    ValueError
        If it is not a list of absolute paths.
    """
    found = _json(text)
    _check(isinstance(found, list), "the list of outputs")
    _check(
        all(isinstance(name, str) and os.path.isabs(name) and "\0" not in name for name in found), "a path"
    )
    return {Path(name) for name in found}


def parse_head(text: bytes) -> PieceHead:
    """Parse the head of a finished batch.

    Raises
    ------
    ValueError
        If it is not what `head_json` writes.
    """
    found = _object(_json(text.decode("utf-8")), {"digest", "job", "regions", "sizes", "skipped"})
    _check(isinstance(found["digest"], str) and isinstance(found["job"], str), "a digest")
    _check(isinstance(found["regions"], list), "the list of regions")
    _check(isinstance(found["skipped"], list), "the list of skipped records")
    for region in found["regions"]:
        _check(_are(region, (str, int, int, str, str, int)), "a region")
    for record in found["skipped"]:
        _check(_are(record, (int, str, int, str)), "a skipped record")
    sizes = _object(found["sizes"])
    for chunks in sizes.values():
        _check(isinstance(chunks, list) and all(_is_count(size) for size in chunks), "the sizes of chunks")
    skipped = [Skipped(*fields) for fields in found["skipped"]]
    return PieceHead(bytes.fromhex(found["digest"]), found["job"], found["regions"], sizes, skipped)


def head_json(head: PieceHead) -> bytes:
    """Return the text that `parse_head` reads."""
    return json.dumps(
        {
            "digest": head.digest.hex(),
            "job": head.job,
            "regions": head.regions,
            "sizes": head.sizes,
            "skipped": [[item.index, item.name, item.line, item.reason] for item in head.skipped],
        }
    ).encode()


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _object(value: Any, keys: set[str] | None = None) -> dict[str, Any]:
    _check(isinstance(value, dict) and keys in (None, set(value)), "an object")
    return dict(value)


def _are(fields: Any, kinds: tuple[type, ...]) -> bool:
    """Whether a list has a field of each of these types; a score file holds numbers of 64 bits."""
    if not isinstance(fields, list) or len(fields) != len(kinds):
        return False
    return all(
        _is_number(field) if kind is int else isinstance(field, kind)
        for field, kind in zip(fields, kinds, strict=True)
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def _is_count(value: Any) -> bool:
    return _is_number(value) and bool(value >= 0)


def _check(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(f"{what} is not what a run writes")
