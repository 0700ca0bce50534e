"""The hidden folder beside an output where a run keeps what it has finished."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hostile import merging
from hostile.cases import QUIET_SCORE, SCORE, Kind, Plain
from hostile.payloads import touch
from hostile.tidy import LETTERS

kind = Kind(__name__)
bad, odd = kind.bad, kind.odd
FOLDER = ".out.h5.pieces"
NAME = r"\.out\.h5\.(pieces|gone|merge)"


# ---- links and files of others


def _treasure(folder: Path) -> Path:
    """A folder of somebody else's."""
    found = folder / "treasure"
    found.mkdir()
    (found / "thesis.txt").write_text("years of work")
    (found / "00000000.npz").write_text("of another program")
    return found


def _linked(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).symlink_to(_treasure(folder).name)


for _words, _how in ((QUIET_SCORE, ""), (f"{QUIET_SCORE} --no-resume", ", --no-resume")):
    bad(
        f"links to a folder{_how}",
        _words,
        NAME,
        "link",
        make=_linked(FOLDER),
        safe=lambda folder: _untouched(folder),
    )
    # What is thrown away: the link is not followed.
    bad(
        f"the folder thrown away links to a folder{_how}",
        _words,
        NAME,
        code=(0, 1),
        make=_linked(".out.h5.gone"),
        safe=lambda folder: _untouched(folder),
    )
bad("links to nothing", QUIET_SCORE, NAME, make=lambda folder: (folder / FOLDER).symlink_to("gone"))
bad("links to itself", QUIET_SCORE, NAME, make=lambda folder: (folder / FOLDER).symlink_to(FOLDER))
bad("is a file", QUIET_SCORE, NAME, make=lambda folder: (folder / FOLDER).write_text("mine"))
bad("is a pipe", QUIET_SCORE, NAME, make=lambda folder: os.mkfifo(folder / FOLDER))
bad(
    "merge's links to a folder",
    merging.SHARDS,
    NAME,
    "link",
    make=lambda folder: (merging.shards()(folder), _linked(".out.h5.merge")(folder)),
)
bad(
    "merge's is a file",
    merging.SHARDS,
    NAME,
    make=lambda folder: (merging.shards()(folder), (folder / ".out.h5.merge").write_text("mine")),
)


def _untouched(folder: Path) -> None:
    """What is somebody else's is still there."""
    assert (folder / "treasure" / "thesis.txt").read_text() == "years of work"
    assert (folder / "treasure" / "00000000.npz").exists()


def _foreign(place: str, name: str = "thesis.txt", folder_of_it: bool = False) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / place).mkdir()
        if folder_of_it:
            (folder / place / name).mkdir()
            (folder / place / name / "thesis.txt").write_text("years of work")
        else:
            (folder / place / name).write_text("years of work")

    return make


def _foreign_is_there(place: str, name: str = "thesis.txt") -> Callable[[Path], None]:
    def check(folder: Path) -> None:
        assert (folder / place / name).exists(), "a foreign file was deleted"

    return check


# The folder stays where it is the user's own: `keeps` is for exit code 1, `check` for 0.
for _words, _how in ((QUIET_SCORE, ""), (f"{QUIET_SCORE} --no-resume", ", --no-resume")):
    bad(
        f"holds a foreign file{_how}",
        _words,
        NAME,
        code=(0, 1),
        make=_foreign(FOLDER),
        keeps=(FOLDER,),
        safe=_foreign_is_there(FOLDER),
    )
    bad(
        f"holds a foreign folder{_how}",
        _words,
        NAME,
        code=(0, 1),
        make=_foreign(FOLDER, "thesis", True),
        keeps=(FOLDER,),
        safe=_foreign_is_there(FOLDER, "thesis"),
    )
    bad(
        f"holds a foreign .npz{_how}",
        _words,
        NAME,
        code=(0, 1),
        make=_foreign(FOLDER, "results.npz"),
        keeps=(FOLDER,),
        safe=_foreign_is_there(FOLDER, "results.npz"),
    )
bad(
    "a foreign folder called as what is thrown away",
    QUIET_SCORE,
    NAME,
    code=(0, 1),
    make=_foreign(".out.h5.gone"),
    keeps=(".out.h5.gone",),
    safe=_foreign_is_there(".out.h5.gone"),
)
bad(
    "merge's holds a foreign file",
    merging.SHARDS,
    NAME,
    code=(0, 1),
    make=lambda folder: (merging.shards()(folder), _foreign(".out.h5.merge")(folder)),
    keeps=(".out.h5.merge",),
    safe=_foreign_is_there(".out.h5.merge"),
)
bad(
    "holds a link to a foreign file",
    QUIET_SCORE,
    NAME,
    code=(0, 1),
    keeps=(FOLDER,),
    safe=lambda folder: _untouched(folder),
    make=lambda folder: (
        (
            (folder / FOLDER).mkdir(),
            (folder / FOLDER / "00000000.npz").symlink_to(_treasure(folder) / "thesis.txt"),
        )
    ),
)
bad(
    "job.json links to a foreign file",
    QUIET_SCORE,
    NAME,
    code=(0, 1),
    keeps=(FOLDER,),
    safe=lambda folder: _untouched(folder),
    make=lambda folder: (
        (
            (folder / FOLDER).mkdir(),
            (folder / FOLDER / "job.json").symlink_to(_treasure(folder) / "thesis.txt"),
        )
    ),
)


# ---- state files of valid JSON and another shape: that part starts over, and a line says so


def _state(name: str, text: str | bytes) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / FOLDER).mkdir()
        (folder / FOLDER / name).write_bytes(text if isinstance(text, bytes) else text.encode())

    return make


def bad_job(name: str, content: str | bytes) -> None:
    """A job.json of another shape: the run starts over, or says how to."""
    bad(
        f"job.json holds {name}",
        QUIET_SCORE,
        NAME,
        "--no-resume",
        code=(0, 1),
        keeps=(FOLDER,),
        make=_state("job.json", content),
        plain=Plain(letters=LETTERS),
    )


OVER = ("over|again|damaged|ignored|not used|start|is dropped",)
for _text in (
    "[]",
    "{}",
    "7",
    "null",
    "true",
    '"text"',
    '{"job": 1}',
    '{"job": {}, "decisions": 7}',
    '{"job": [], "decisions": []}',
    '{"job": {}, "decisions": {}, "additions": 5}',
    '{"job": {}, "decisions": {"batch_size": "x"}}',
    '{"job": null, "decisions": null, "additions": null}',
    '{"job": {"a": {"b": []}}, "decisions": {}}',
    '{"job": NaN}',
    "{",
    "",
    "not JSON",
    '{"job": {}, "job": []}',
):
    bad_job(_text or "nothing", _text)
bad_job("an integer of 5,000 digits", "9" * 5000)
bad_job("brackets 100,000 deep", "[" * 100_000)
bad_job("random bytes", bytes(range(256)))
bad_job("NUL bytes", bytes(100))
for _text in (
    "5",
    "null",
    "{}",
    '{"a": 1}',
    "[1, 2]",
    "[null]",
    "[[]]",
    '"text"',
    "{",
    "",
    "[" * 100_000,
    f"[{'9' * 5000}]",
    '["\\u0000"]',
    '["a\\u0000b"]',
    '["/etc/passwd"]',
    '["in.fa"]',
    '["\\ud800"]',
):
    _shown = _text if 0 < len(_text) < 40 else f"{len(_text):,} signs"
    odd(f"complete holds {_shown}", SCORE, *LETTERS, make=_state("complete", _text), notes=OVER)
bad(
    "complete names an output that is not its own",
    QUIET_SCORE,
    r"out\.h5",
    "--overwrite",
    keeps=(FOLDER,),
    make=lambda folder: (
        (_state("complete", '["elsewhere.h5"]')(folder), (folder / "out.h5").write_text("mine"))
    ),
)
odd("published lies alone", SCORE, *LETTERS, make=_state("published", ""), notes=OVER)
odd("an empty folder", SCORE, *LETTERS, make=lambda folder: (folder / FOLDER).mkdir())
odd("an old lock", SCORE, *LETTERS, make=_state("lock", "4711 elsewhere"), notes=OVER)
for _name in ("job.json", "complete", "lock", "published", "skipped.tsv", "00000000.npz"):
    bad(
        f"{_name} is a folder",
        QUIET_SCORE,
        NAME,
        code=(0, 1),
        keeps=(FOLDER,),
        make=_foreign(FOLDER, _name, True),
    )
for _name in ("job.json", "complete", "lock"):
    bad(
        f"{_name} is a pipe",
        QUIET_SCORE,
        NAME,
        code=(0, 1),
        keeps=(FOLDER,),
        make=lambda folder, name=_name: (((folder / FOLDER).mkdir(), os.mkfifo(folder / FOLDER / name))),
    )


def _hostile_piece(folder: Path) -> None:
    """A batch, seemingly finished, whose arrays are pickles."""
    (folder / FOLDER).mkdir()
    with open(folder / FOLDER / "00000000.npz", "wb") as file:
        values: Any = {"head": np.array([touch(folder)], object), "rows": np.array([touch(folder)], object)}
        np.savez(file, **values)


bad(
    "a finished batch that is a pickle",
    QUIET_SCORE,
    NAME,
    "--no-resume",
    code=(0, 1),
    make=_hostile_piece,
    keeps=(FOLDER,),
)
odd(
    "a finished batch that is a pickle, --no-resume",
    f"{SCORE} --no-resume",
    *LETTERS,
    make=_hostile_piece,
    notes=OVER,
)


# ---- goes on from what an interrupted run left


def _interrupted(edit: Callable[[Path], object] | None = None) -> Callable[[Path], None]:
    """What a run left whose bigWig could not be written: all batches are finished."""

    def make(folder: Path) -> None:
        from hostile.running import Place, run_together

        place = Place(folder.parent)
        words = f"{QUIET_SCORE} --batch-size 1".split()
        run_together(place, [words], setting={"limits": {"RLIMIT_FSIZE": 12_000}})
        if edit is not None and (folder / FOLDER).is_dir():
            edit(folder / FOLDER)

    return make


AGAIN = f"{SCORE} --batch-size 1"
MORE = ("earlier|over|again|damaged|kept|ignored|start",)
odd("goes on", AGAIN, *LETTERS, make=_interrupted(), notes=MORE)
for _name, _edit in {
    "a batch is empty": lambda folder: [path.write_bytes(b"") for path in folder.glob("*.npz")],
    "a batch is cut short": lambda folder: [
        os.truncate(path, path.stat().st_size // 2) for path in folder.glob("*.npz")
    ],
    "a batch is random bytes": lambda folder: [
        path.write_bytes(bytes(range(256))) for path in folder.glob("*.npz")
    ],
    "the state is gone": lambda folder: (folder / "job.json").unlink(missing_ok=True),
    "batches have one another's names": lambda folder: _exchange(sorted(folder.glob("*.npz"))),
}.items():
    bad(
        f"goes on where {_name}",
        f"{AGAIN} -q",
        NAME,
        "--no-resume|again",
        code=(0, 1),
        make=_interrupted(_edit),
        keeps=(FOLDER,),
    )


def _exchange(paths: list[Path]) -> None:
    if len(paths) > 1:
        spare = paths[0].with_suffix(".x")
        paths[0].rename(spare)
        paths[1].rename(paths[0])
        spare.rename(paths[1])


bad(
    "of another job",
    f"{AGAIN} -q --seed 5",
    NAME,
    "--seed",
    "--no-resume",
    make=_interrupted(),
    keeps=(FOLDER,),
    code=(0, 1),
)
odd("of another job, --no-resume", f"{SCORE} --no-resume", *LETTERS, make=_interrupted(), notes=MORE)
