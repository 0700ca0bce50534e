"""The small files with the state of a run, from which the next run of the same job resumes.

The files may be truncated, edited, or written by another version. Each file has one function that parses it
and raises ValueError unless the content is what a run writes.
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
    """The job to which the finished batches in a folder belong.

    Attributes
    ----------
    job : mapping of str to anything that JSON can hold
        The fingerprint of the job.
    decisions : mapping
        The choices of the run: "batch_size" (int) and "compile" ("on" or "off"); empty before the choices.
    additions : mapping of str to str
        Values that were added to the fingerprint after the folder was opened.
    """

    job: Mapping[str, Any]
    decisions: Mapping[str, Any]
    additions: Mapping[str, str]

    def to_json(self) -> str:
        """Return the text that `parse_job` reads."""
        return json.dumps(
            {"job": self.job, "decisions": self.decisions, "additions": self.additions}, indent=1
        )

    @property
    def digest(self) -> str:
        """The SHA-256 of the whole state as hex digits, which differs between the batches of two jobs."""
        content = json.dumps([self.job, self.decisions, self.additions], sort_keys=True)
        return sha256(content.encode()).hexdigest()


@dataclass(frozen=True)
class PieceHead:
    """The description in the piece of a finished batch.

    Attributes
    ----------
    digest : bytes
        The digest of the records of the batch, see `Batch.digest`.
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
        If there is no such file.
    ValueError
        If the file is not a regular file of text.
    """
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise ValueError("it is not a regular file")
    return path.read_text("utf-8")


def write_state(path: Path, text: str) -> None:
    """Write a state file, whole or not at all, and never follow a link with its name.

    Raises
    ------
    OSError
        If the file cannot be written, such as on a full disc.
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
        If the text is not what `JobState.to_json` returns.
    """
    found = _object(_json(text), {"job", "decisions", "additions"})
    job, additions = (_object(found[key]) for key in ("job", "additions"))
    _check(all(isinstance(value, str) for value in additions.values()), "what was found out additions")
    return JobState(job, _decisions(found["decisions"]), additions)


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
        If the text is not a list of absolute paths.
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
        If the text is not what `head_json` returns.
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
    """Return whether a list has one field of each of these types; numbers must fit 64 bits."""
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
