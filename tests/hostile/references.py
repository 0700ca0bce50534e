"""Files of references and of background sequences, and frequencies."""

import gzip
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from small_models import encode, random_letters

from hostile.cases import SCORE, Kind
from hostile.tidy import LENGTH, LETTERS, fasta

kind = Kind(__name__)
bad, odd = kind.bad, kind.odd
FILE_WORDS = "score -m net.pt -f in.fa -o out.h5 --reference file:refs.h5"
FILE_QUIET = f"{FILE_WORDS} -q"
FILE = r"refs\.h5"
BACKGROUND = "score -q -m net.pt -f in.fa -o out.h5 --reference background:back.fa --n-references 2"
BACK = r"back\.fa"
SET = np.stack([encode(random_letters(seed)) for seed in (11, 12)]).astype(np.float32)  # [R, 4, L]


def h5(write: Callable[[h5py.File], object], name: str = "refs.h5") -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        with h5py.File(folder / name, "w") as file:
            write(file)

    return make


def dataset(values: Any, name: str = "references", **options: Any) -> Callable[[Path], None]:
    return h5(lambda file: file.create_dataset(name, data=values, **options))


# ---- file:


def _bomb(shape: tuple[int, ...]) -> Callable[[Path], None]:
    """A dataset that says to be huge, of which nothing is written."""
    chunk = (1,) * (len(shape) - 2) + shape[-2:]
    return h5(
        lambda file: file.create_dataset("references", shape, np.float32, chunks=chunk, compression="gzip")
    )


def _link(path: str) -> Callable[[Path], None]:
    return h5(lambda file: file.__setitem__("references", h5py.ExternalLink(path, "/references")))


bad("a file that is missing", FILE_QUIET.replace("refs.h5", "none.h5"), r"none\.h5", "do(es)? not exist")
bad("a file of text", FILE_QUIET, FILE, "HDF5", files={"refs.h5": "hello"})
bad("an empty file", FILE_QUIET, FILE, files={"refs.h5": ""})
bad("a folder", FILE_QUIET, FILE, make=lambda folder: (folder / "refs.h5").mkdir())
bad("a pipe", FILE_QUIET, FILE, make=lambda folder: os.mkfifo(folder / "refs.h5"))
bad(
    "an HDF5 file cut short",
    FILE_QUIET,
    FILE,
    make=lambda folder: (dataset(SET)(folder), os.truncate(folder / "refs.h5", 900)),
)
bad("HDF5's first bytes", FILE_QUIET, FILE, files={"refs.h5": b"\x89HDF\r\n\x1a\n" + bytes(2000)})
bad("no dataset", FILE_QUIET, FILE, "references", make=h5(lambda file: None))
bad("a group", FILE_QUIET, FILE, "references", make=h5(lambda file: file.create_group("references")))
bad(
    "a type in place of a dataset",
    FILE_QUIET,
    FILE,
    "references",
    make=h5(lambda file: file.__setitem__("references", np.dtype("f4"))),
)
bad("a link to another file", FILE_QUIET, FILE, make=_link("/etc/passwd"))
bad(
    "a link to a pipe",
    FILE_QUIET,
    FILE,
    make=lambda folder: (os.mkfifo(folder / "pipe"), _link("pipe")(folder)),
)
bad(
    "a link to itself",
    FILE_QUIET,
    FILE,
    make=h5(lambda file: file.__setitem__("references", h5py.SoftLink("/references"))),
)
bad("text", FILE_QUIET, FILE, make=dataset(np.full((1, 4, LENGTH), b"A")))
bad("complex numbers", FILE_QUIET, FILE, make=dataset(SET.astype(np.complex64)))
bad("records", FILE_QUIET, FILE, make=dataset(np.zeros((1, 4, LENGTH), [("a", "f4"), ("b", "i4")])))
bad("no values", FILE_QUIET, FILE, make=dataset(h5py.Empty("f4")))
bad("a single number", FILE_QUIET, FILE, make=dataset(np.float32(1)))
for _name, _shape in {
    "two axes": (4, LENGTH),
    "five axes": (1, 1, 1, 4, LENGTH),
    "the axis of bases last": (2, LENGTH, 4),
    "no references": (0, 4, LENGTH),
    "five bases": (2, 5, LENGTH),
    "a base too short": (2, 4, LENGTH - 1),
    "no bases": (2, 4, 0),
}.items():
    bad(_name, FILE_QUIET, FILE, make=dataset(np.zeros(_shape, np.float32)))
bad("fewer records than sequences", FILE_QUIET, FILE, make=dataset(np.stack([SET])))
bad("NaN", FILE_QUIET, FILE, "finite|nan", make=dataset(SET * np.nan))
bad("infinity", FILE_QUIET, FILE, "finite|inf", make=dataset(SET * np.inf))
bad("numbers of 1e38", FILE_QUIET, FILE, code=(0, 1), make=dataset(SET * 1e38))
bad(
    "digests of another shape",
    FILE_QUIET,
    FILE,
    make=h5(
        lambda file: (
            file.create_dataset("references", data=np.stack([SET] * 3)),
            file.create_dataset("sequence_digest", data=np.float32(1)),
        )
    ),
)
bad(
    "a group in place of digests",
    FILE_QUIET,
    FILE,
    make=h5(
        lambda file: (
            file.create_dataset("references", data=np.stack([SET] * 3)),
            file.create_group("sequence_digest"),
        )
    ),
)
bad(
    "digests of other sequences",
    FILE_QUIET,
    FILE,
    "other sequences|record",
    make=h5(
        lambda file: (
            file.create_dataset("references", data=np.stack([SET] * 3)),
            file.create_dataset("sequence_digest", data=np.full(3, b"0" * 32)),
        )
    ),
)
bad("a set that says to be 400 GB", FILE_QUIET, FILE, "memory", make=_bomb((1_000_000_000, 4, LENGTH)))
bad("sets of a billion each", FILE_QUIET, FILE, "memory", make=_bomb((3, 250_000_000, 4, LENGTH)))
bad("a chunk of random bytes", FILE_QUIET, FILE, make=lambda folder: _spoil(folder))
odd("int8 in place of float32", FILE_WORDS, make=dataset(SET.astype(np.int8)))
odd("float64", FILE_WORDS, make=dataset(SET.astype(np.float64)))
odd("float16, big-endian", FILE_WORDS, make=dataset(SET.astype(">f2")))
odd("truth values", FILE_WORDS, make=dataset(SET.astype(bool)))
odd("frequencies in place of bases", FILE_WORDS, make=dataset(np.full((1, 4, LENGTH), 0.25, np.float32)))
odd("one reference", FILE_WORDS, make=dataset(SET[:1]))
odd("a set for each", FILE_WORDS, make=dataset(np.stack([SET] * 3)))
odd(
    "the same sequence as reference",
    FILE_WORDS,
    notes=("identical|equal", "shuffle"),
    make=dataset(np.stack([encode(LETTERS[0])])),
)
odd(
    "colons in the file's name",
    FILE_WORDS.replace("refs.h5", "a:b:c.h5"),
    make=h5(lambda file: file.create_dataset("references", data=SET), "a:b:c.h5"),
)
odd(
    "blanks and a newline in the file's name",
    ["score", "-m", "net.pt", "-f", "in.fa", "-o", "out.h5", "--reference", "file:a b\nc.h5"],
    make=h5(lambda file: file.create_dataset("references", data=SET), "a b\nc.h5"),
)
odd("saved and used", f"{SCORE} --save-references saved.h5", *LETTERS)


def _spoil(folder: Path) -> None:
    with h5py.File(folder / "refs.h5", "w") as file:
        values = file.create_dataset("references", data=SET, chunks=SET.shape, compression="gzip")
        values.id.write_direct_chunk((0, 0, 0), bytes(range(256)))


# ---- background:


bad("a background that is missing", BACKGROUND.replace("back.fa", "none.fa"), r"none\.fa", "does not exist")
bad("an empty background", BACKGROUND, BACK, "empty", files={"back.fa": ""})
bad("a background of protein", BACKGROUND, BACK, files={"back.fa": ">p\nMEEPQSDPSVEPPLSQETFSDLWK\n"})
bad("a background of N", BACKGROUND, BACK, "ACGT|base", files={"back.fa": fasta("N" * LENGTH)})
bad("a background of another length", BACKGROUND, BACK, "24", files={"back.fa": fasta("ACGT", "ACGTA")})
bad("a background with digits", BACKGROUND, BACK, "record 1|line 2", files={"back.fa": fasta("1" * LENGTH)})
bad(
    "a background cut short",
    BACKGROUND,
    BACK,
    "cut short|truncated",
    files={"back.fa": gzip.compress(fasta(*LETTERS).encode())[:40]},
)
bad(
    "a background that is a pipe", BACKGROUND, BACK, "pipe", make=lambda folder: os.mkfifo(folder / "back.fa")
)
bad(
    "a background that is a folder",
    BACKGROUND,
    BACK,
    "folder",
    make=lambda folder: (folder / "back.fa").mkdir(),
)
bad("a background of no name", shlex.split(BACKGROUND.replace("back.fa", "")), "background", code=(1, 2))
odd(
    "a background of odd spelling",
    BACKGROUND,
    files={
        "back.fa": gzip.compress(fasta(*(text.lower() for text in LETTERS)).replace("\n", "\r\n").encode())
    },
)
odd(
    "a background with records of no use",
    BACKGROUND,
    files={"back.fa": fasta("ACGT", "N" * LENGTH, LETTERS[0], LETTERS[1])},
)
odd("the input as background", BACKGROUND.replace("back.fa", "in.fa"), notes=("identical|equal",))


# ---- --frequencies


for _name, _text in {
    "three": "0.5,0.3,0.2",
    "five": "0.2,0.2,0.2,0.2,0.2",
    "words": "a,b,c,d",
    "NaN": "nan,nan,nan,nan",
    "infinite": "inf,0,0,0",
    "negative": "-0.5,0.5,0.5,0.5",
    "a sum of 4": "1,1,1,1",
    "a sum of 0": "0,0,0,0",
    "nothing": "",
    "commas": ",,,",
    "1e400": "1e400,0,0,0",
    "5,000 digits": f"0.{'2' * 5000},0.25,0.25,0.25",
    "a line break": "0.25\n0.25",
    "percent": "25%,25%,25%,25%",
}.items():
    bad(
        f"frequencies: {_name}",
        [*SCORE.split()[:-2], "--reference", "frequency", "--frequencies", _text],
        "--frequencies|frequenc",
        code=2,
    )
_PLAIN_FREQUENCIES = SCORE.replace("--n-references 2", "--reference frequency")
for _name, _text in {
    "blanks": " 0.25, 0.25 ,0.25,0.25",
    "powers of ten": "2.5e-1,25e-2,.25,0.250",
    "one base only": "1,0,0,0",
    "auto": "auto",
}.items():
    odd(f"frequencies: {_name}", [*_PLAIN_FREQUENCIES.split(), "--frequencies", _text])
