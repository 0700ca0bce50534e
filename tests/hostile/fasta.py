"""FASTA files."""

import bz2
import functools
import gzip
import lzma
import os
import re
import zlib
from pathlib import Path

import h5py
import numpy as np
import torch
from small_models import encode
from torch import Tensor, nn

from hostile.cases import LITTLE_MEMORY, QUIET_SCORE, SCORE, Kind, instead
from hostile.tidy import LENGTH, LETTERS, NAMES, PLAIN, fasta, folded

kind = Kind(__name__)
bad, odd = kind.bad, kind.odd
ANY = "score -q -m any.pt -f in.fa -o out.h5 --n-references 2"
A, B, C = LETTERS
# A model that says which length it takes.
FIXED = "score -m net.onnx -f in.fa -o out.h5 --n-references 2"
QUIET_FIXED = f"{FIXED} -q"
FILE = r"in\.fa"


# ---- content that is no FASTA of DNA


bad("empty", QUIET_SCORE, FILE, "empty", files={"in.fa": ""})
bad("blank lines only", QUIET_SCORE, FILE, "blank", files={"in.fa": "\n \n\t\n"})
bad("headings only", QUIET_SCORE, FILE, "no letters|no sequence", files={"in.fa": ">a\n>b\n"})
bad("text before the first heading", QUIET_SCORE, FILE, "line 1", files={"in.fa": f"{A}\n{PLAIN}"})
bad("a BED file", QUIET_SCORE, FILE, "not a FASTA", files={"in.fa": "chr1\t1\t25\n"})
bad("FASTQ", QUIET_SCORE, FILE, "not a FASTA", "line 1", files={"in.fa": f"@r\n{A}\n+\n{'I' * LENGTH}\n"})
bad("a web page", QUIET_SCORE, FILE, "not a FASTA", files={"in.fa": "<!DOCTYPE html><html>404</html>\n"})
bad("JSON", QUIET_SCORE, FILE, "not a FASTA", files={"in.fa": '{"a": "ACGT"}'})
bad("random bytes", QUIET_SCORE, FILE, files={"in.fa": bytes(range(256)) * 8})
bad("NUL bytes", QUIET_SCORE, FILE, files={"in.fa": bytes(4096)})
bad("UTF-16", QUIET_SCORE, FILE, files={"in.fa": PLAIN.encode("utf-16")})
bad("bzip2", QUIET_SCORE, FILE, files={"in.fa": bz2.compress(PLAIN.encode())})
bad("xz", QUIET_SCORE, FILE, files={"in.fa": lzma.compress(PLAIN.encode())})
bad("a zip archive", QUIET_SCORE, FILE, files={"in.fa": b"PK\x03\x04" + bytes(60)})
bad("gzip of nothing", QUIET_SCORE, FILE, "empty|blank|no ", files={"in.fa": gzip.compress(b"")})
bad(
    "gzip cut short",
    QUIET_SCORE,
    FILE,
    "cut short|truncated",
    files={"in.fa": gzip.compress(PLAIN.encode())[:50]},
)
bad("gzip's heading only", QUIET_SCORE, FILE, files={"in.fa": gzip.compress(PLAIN.encode())[:10]})
bad(
    "gzip with a wrong checksum",
    QUIET_SCORE,
    FILE,
    "damaged|crc",
    files={"in.fa": gzip.compress(PLAIN.encode())[:-8] + b"\1\2\3\4" + gzip.compress(PLAIN.encode())[-4:]},
)
bad(
    "gzip with letters behind it",
    QUIET_SCORE,
    FILE,
    files={"in.fa": gzip.compress(PLAIN.encode()) + b">x\nACGT\n"},
)
bad("gzip within gzip", QUIET_SCORE, FILE, files={"in.fa": gzip.compress(gzip.compress(PLAIN.encode()))})
for _sign, _name in (
    ("1", "a digit"),
    ("?", "a question mark"),
    ("\x00", "NUL"),
    ("\x1b[31m", "an escape code"),
    ("Á", "an accent"),
    ("\u2028", "a line separator"),
    ("А", "a Cyrillic A"),
    (">", "a >"),
):
    bad(
        f"{_name} in a sequence",
        QUIET_SCORE,
        FILE,
        "record 2",
        "line 4",
        code=(0, 1),
        skipped=1,
        files={"in.fa": f">s0\n{A}\n>s1\n{B[:10]}{_sign}{B[10:]}\n>s2\n{C}\n"},
    )
bad(
    "bytes of no UTF-8 in a sequence",
    QUIET_SCORE,
    FILE,
    "record 2",
    code=(0, 1),
    skipped=1,
    files={"in.fa": f">s0\n{A}\n>s1\n".encode() + b"ACGT\xff\xfe" + b"A" * 18 + b"\n"},
)
_PROTEIN = "MEEPQSDPSVEPPLSQETFSDLWK"
bad(
    "protein",
    QUIET_SCORE,
    FILE,
    "nucleotide|protein|amino|letters? [EFILPQ]|'[EFILPQ]'",
    files={"in.fa": f">p53\n{_PROTEIN}\n>again\n{_PROTEIN[::-1]}\n"},
)
for _letter in "EFILPQJOZ":
    bad(
        f"the letter {_letter} in every record",
        QUIET_SCORE,
        FILE,
        "nucleotide|protein|letter",
        files={"in.fa": fasta(*(text[:12] + _letter + text[13:] for text in LETTERS))},
    )
bad(
    "protein in lower case",
    QUIET_SCORE,
    FILE,
    "nucleotide|protein|letter",
    files={"in.fa": f">p\n{_PROTEIN.lower()}\n"},
)


# ---- records that cannot be scored


bad("all too short", QUIET_FIXED, FILE, "24 bp|24", files={"in.fa": fasta("ACGT", "ACGTACGT")})
bad("all too long", QUIET_FIXED, FILE, "24 bp|24", files={"in.fa": fasta(A + A, B + B)})
bad("N only", QUIET_SCORE, FILE, "no base|N", files={"in.fa": fasta("N" * LENGTH, "n" * LENGTH)})
bad("gaps only", QUIET_SCORE, FILE, "no base", files={"in.fa": fasta("-" * LENGTH)})
bad(
    "twenty thousand short records", QUIET_FIXED, FILE, "20,000|20000", files={"in.fa": ">a\nACGT\n" * 20_000}
)
bad(
    "records of many lengths for a model of any length",
    ANY,
    FILE,
    "--length",
    files={"in.fa": fasta(A, A[:20], B + C)},
)
odd(
    "records of many lengths, cut and padded",
    f"{SCORE} --length {LENGTH}",
    A,
    "NN" + B[:20] + "NN",
    (A + B)[12:36],
    "N" * 11 + "C" + "N" * 12,
    skipped=2,
    notes=("skipped",),
    names=("s0", "s1", "s2", "s5"),
    files={"in.fa": fasta(A, B[:20], A + B, "", "N" * 99, "C")},
)
odd(
    "a record of 20 million letters that is not cut",
    f"{SCORE} --length {LENGTH}",
    A,
    skipped=1,
    notes=("skipped",),
    setting=LITTLE_MEMORY,
    files={"in.fa": fasta(A, "ACGT" * 5_000_000)},
)
odd(
    "a short record among good ones",
    SCORE,
    A,
    C,
    skipped=1,
    names=("s0", "s2"),
    files={"in.fa": fasta(A, B[:9], C)},
    notes=("skipped",),
)
odd(
    "a record of N among good ones",
    SCORE,
    A,
    C,
    skipped=1,
    names=("s0", "s2"),
    notes=("skipped",),
    files={"in.fa": fasta(A, "N" * LENGTH, C)},
)
odd(
    "protein among DNA",
    SCORE,
    A,
    C,
    skipped=1,
    names=("s0", "s2"),
    notes=("skipped",),
    files={"in.fa": fasta(A, _PROTEIN, C)},
)
odd(
    "an empty record among good ones",
    SCORE,
    A,
    C,
    skipped=1,
    names=("s0", "s2"),
    notes=("skipped",),
    files={"in.fa": f">s0\n{A}\n>s1\n>s2\n{C}\n"},
)
odd(
    "the first record is the bad one",
    FIXED,
    B,
    C,
    skipped=1,
    names=("s1", "s2"),
    notes=("skipped",),
    files={"in.fa": fasta("ACGT", B, C)},
)
odd(
    "the last record is the bad one",
    SCORE,
    A,
    B,
    skipped=1,
    names=("s0", "s1"),
    notes=("skipped",),
    files={"in.fa": fasta(A, B, "ACGT")},
)


# ---- headings


bad(
    "NUL in a heading",
    QUIET_SCORE,
    FILE,
    "line 3|record 2",
    "NUL|\\\\x00|control",
    code=(0, 1),
    skipped=1,
    files={"in.fa": f">s0\n{A}\n>s\x001\n{B}\n>s2\n{C}\n"},
)
bad(
    "NUL in every heading",
    QUIET_SCORE,
    FILE,
    "NUL|\\\\x00|control",
    files={"in.fa": PLAIN.replace(">s", ">s\0")},
)
_COLONS = ":".join("a" * 50_000)
bad("a heading of 50,000 colons", QUIET_SCORE, FILE, code=(0, 1), files={"in.fa": f">{_COLONS}\n{A}\n"})
bad(
    "a heading of 50,000 colons and digits",
    QUIET_SCORE,
    FILE,
    code=(0, 1),
    files={"in.fa": f">{':1-1' * 50_000}x\n{A}\n"},
)
bad(
    "a heading of 50,000 pairs of colons",
    QUIET_SCORE,
    FILE,
    code=(0, 1),
    files={"in.fa": f">{'::' * 50_000}chr1:5-\n{A}\n"},
)
bad("a heading of 20 MB", QUIET_SCORE, FILE, code=(0, 1), files={"in.fa": f">{'x' * 20_000_000}\n{A}\n"})
for _start in (
    "1" * 5000,
    "0" * 5000,
    "9" * 20,
    "100000000000000000000",
    "9223372036854775807",
    "4294967296",
):
    _end = f"{int(_start[:400] if len(_start) > 4000 else _start) + LENGTH}"
    _shown = _start if len(_start) <= 20 else f"{_start[:1]} {len(_start)} times"
    odd(f"coordinates from {_shown}", SCORE, A, B, files={"in.fa": f">chr1:{_start}-{_end}\n{A}\n>s1\n{B}\n"})
odd(
    "coordinates from one of 5,000 digits to the same",
    SCORE,
    A,
    files={"in.fa": f">chr1:{'7' * 5000}-{'7' * 4998 + '99'}\n{A}\n"},
)
odd(
    "coordinates that the length does not bear out",
    SCORE,
    A,
    names=("chr1:5-9",),
    files={"in.fa": f">chr1:5-9\n{A}\n"},
)
odd("coordinates below 0", SCORE, A, names=("chr1:-5-19",), files={"in.fa": f">chr1:-5-19\n{A}\n"})
odd(
    "coordinates on the minus strand",
    SCORE,
    check=lambda folder: _in_genome_orientation(folder),
    names=("peak::chr1:1,000-1,024(-)",),
    files={"in.fa": f">peak::chr1:1,000-1,024(-)\n{A}\n"},
)
odd("coordinates with the end first", SCORE, A, files={"in.fa": f">chr1:500-476\n{A}\n"})
odd("a heading of no words", SCORE, A, B, files={"in.fa": f">\n{A}\n> \t\n{B}\n"})
odd(
    "records of one name",
    SCORE,
    A,
    B,
    C,
    names=("s0", "s0", "s0"),
    files={"in.fa": fasta(*LETTERS, names=("s0",) * 3)},
    notes=("name",),
)
odd("blanks before the name", SCORE, A, B, notes=("seq",), files={"in.fa": f"> seq 0\n{A}\n> seq 1\n{B}\n"})
for _name, _heading in {
    "rich's markup": "[red]x[/red]",
    "a formula": "=1+1",
    "a format": "%s{0}{x}",
    "a shell's command": "$(touch${IFS}x);`x`",
    "a path": "../../etc/passwd",
    "Chinese": "染色体",
    "an emoji": "🧬",
    "a line separator": "a\u2028b",
    "a next line": "a\u0085b",
    "a vertical tab": "a\x0bb",
    "a file separator": "a\x1cb",
    "a right-to-left mark": "a\u202eb",
    "quotes": "\"'`",
    "a backslash": "a\\nb",
    "a minus sign": "-o",
    "combining letters": "e\u0301",
}.items():
    odd(
        f"{_name} in a heading",
        SCORE,
        A,
        C,
        files={"in.fa": f">{_heading}\n{A}\n>s2\n{C}\n"},
        check=lambda folder: _one_line_each(folder, 2),
    )
for _name, _heading, _shown in (
    ("an escape code", "\x1b[31mred", r"\\x1b"),
    ("a bell", "a\x07b", r"\\x07"),
):
    _text = f">{_heading}\n{A}\n"
    odd(f"a record with {_name} in its heading", SCORE, C, skipped=1, files={"in.fa": f"{_text}>s2\n{C}\n"})
    bad(
        f"only a record with {_name} in its heading",
        QUIET_SCORE,
        FILE,
        "control character",
        _shown,
        never=(re.escape(_heading),),
        files={"in.fa": _text},
    )
odd(
    "bytes of no UTF-8 in a heading",
    SCORE,
    A,
    files={"in.fa": b">caf\xe9\xff\n" + A.encode() + b"\n"},
    check=lambda folder: _one_line_each(folder, 1),
)
odd("a heading of 10,000 words", SCORE, A, names=("s0",), files={"in.fa": f">s0{' x' * 10_000}\n{A}\n"})


def _in_genome_orientation(folder: Path) -> None:
    """The letters run along the minus strand; rows of the file run along the genome."""
    with h5py.File(folder / "out.h5") as file:
        np.testing.assert_array_equal(file["raw/seq"][0], encode(A)[::-1, ::-1])
        assert file["regions/strand"][0] == b"-"


def _one_line_each(folder: Path, rows: int) -> None:
    """Each record is one line of the BED file, of the ten columns of narrowPeak."""
    lines = (folder / "out.bed").read_bytes().split(b"\n")[:-1]
    assert len(lines) == rows
    assert all(line.count(b"\t") == 9 for line in lines)


# ---- spellings


_LOWER = "".join(line.lower() if place % 2 else line for place, line in enumerate(PLAIN.splitlines(True)))
_GZIP = gzip.compress(PLAIN.encode())
for _name, _text in {
    "lower case": _LOWER,
    "mixed case": PLAIN.replace("C", "c").replace("G", "g"),
    "RNA": PLAIN.replace("T", "U"),
    "CRLF": PLAIN.replace("\n", "\r\n"),
    "CR": PLAIN.replace("\n", "\r"),
    "line ends of all kinds": PLAIN.replace("\n", "\r\n", 1).replace("\n>s1", "\r>s1"),
    "no newline at the end": PLAIN.rstrip("\n"),
    "a byte-order mark": "\ufeff" + PLAIN,
    "blank lines": PLAIN.replace("\n", "\n\n\n"),
    "blank lines first": "\n\n" + PLAIN,
    "one letter a line": "".join(f">s{i}\n{folded(text, 1)}\n" for i, text in enumerate(LETTERS)),
    "lines of several lengths": f">s0\n{A[:5]}\n{A[5:6]}\n{A[6:]}\n>s1\n{B}\n>s2\n{C[:20]}\n{C[20:]}\n",
    "blanks within lines": f">s0\n{A[:8]} {A[8:16]}\t{A[16:]} \n>s1\n  {B}\n>s2\n{C}\n",
    "numbers of no column": PLAIN,
    "descriptions": PLAIN.replace("\n>", " \n>").replace(">s1", ">s1 a | b : c, 1-2"),
    "gzip": _GZIP,
    "gzip in two members": gzip.compress(PLAIN[:40].encode()) + gzip.compress(PLAIN[40:].encode()),
    "gzip padded with zeros": _GZIP + bytes(512),
    "gzip without compression": gzip.compress(PLAIN.encode(), 0),
    "an empty gzip member first": gzip.compress(b"") + _GZIP,
}.items():
    if _name != "numbers of no column":
        odd(_name, SCORE, *LETTERS, names=NAMES, files={"in.fa": _text})
odd("a form feed at the end of a line", SCORE, *LETTERS, files={"in.fa": PLAIN.replace("\n>", "\f\n>")})
odd("IUPAC letters", SCORE, "ACGTNNNNNNNNNNNACGTNNNNN", files={"in.fa": ">i\nACGTNRYKMSWBDHVacgtn-*nn\n"})
odd("a gzip file named .fa", SCORE.replace("in.fa", "zipped.fa"), *LETTERS, files={"zipped.fa": _GZIP})
odd("a plain file named .gz", SCORE.replace("in.fa", "plain.fa.gz"), *LETTERS, files={"plain.fa.gz": PLAIN})
odd("a single record", SCORE, A, names=("s0",), files={"in.fa": fasta(A)})
odd(
    "a record of one repeated base",
    SCORE,
    "A" * LENGTH,
    notes=("identical|equal", "shuffle"),
    files={"in.fa": fasta("A" * LENGTH)},
)
odd(
    "a record with a single base",
    SCORE,
    "N" * 11 + "G" + "N" * 12,
    notes=("identical|equal", "shuffle"),
    files={"in.fa": fasta("N" * 11 + "G" + "N" * 12)},
)


# ---- names of files, and what is no file


def _named(name: str | bytes) -> object:
    def make(folder: Path) -> list[str]:
        path = os.path.join(os.fsencode(folder), name if isinstance(name, bytes) else name.encode())
        with open(path, "wb") as file:
            file.write(PLAIN.encode())
        return [
            "score",
            "-m",
            "net.pt",
            f"--fasta={os.fsdecode(name)}",
            "-o",
            "out.h5",
            "--n-references",
            "2",
        ]

    return make


for _name, _file in {
    "blanks": "my sequences .fa",
    "a newline": "a\nb.fa",
    "a tab": "a\tb.fa",
    "no UTF-8": b"caf\xe9\xff.fa",
    "Chinese": "序列.fa",
    "a minus sign first": "-in.fa",
    "quotes": "a'b\"c.fa",
    "rich's markup": "[bold]x.fa",
    "a wildcard": "*.fa",
    "a percent sign": "%s.fa",
    "a backslash": "a\\b.fa",
    "no suffix": "sequences",
    "an escape code": "\x1b[31m.fa",
    "a tilde": "~.fa",
    "braces": "{target}.fa",
    "255 bytes": "x" * 252 + ".fa",
}.items():
    odd(f"a file name of {_name}", SCORE, *LETTERS, make=_named(_file))


def _link(folder: Path) -> None:
    (folder / "real.fa").write_text(PLAIN)
    (folder / "in.fa").unlink()
    (folder / "in.fa").symlink_to("real.fa")


odd("a symbolic link", SCORE, *LETTERS, make=_link)
bad("missing", instead(QUIET_SCORE, "-f none.fa"), r"none\.fa", "does not exist|no such")
bad(
    "missing, with a newline in its name",
    ["score", "-q", "-m", "net.pt", "-f", "no\nne.fa", "-o", "out.h5"],
    "does not exist",
)
bad(
    "missing, with no UTF-8 in its name",
    ["score", "-q", "-m", "net.pt", "-f", "n\udcff.fa", "-o", "out.h5"],
    "does not exist",
)
bad(
    "missing, with an escape code in its name",
    ["score", "-q", "-m", "net.pt", "-f", "n\x1b[31m.fa", "-o", "out.h5"],
    "does not exist",
    never=("\x1b",),
)
bad("an empty name", ["score", "-q", "-m", "net.pt", "-f", "", "-o", "out.h5"], code=(1, 2))
bad(
    "a name of 300 bytes",
    ["score", "-q", "-m", "net.pt", "-f", "x" * 300, "-o", "out.h5"],
    "too long|does not exist",
)
bad("a folder", instead(QUIET_SCORE, "-f ."), "folder|directory")
bad("/dev/null", instead(QUIET_SCORE, "-f /dev/null"), "/dev/null")
bad("/dev/zero", instead(QUIET_SCORE, "-f /dev/zero"), "/dev/zero")
bad("a pipe", instead(QUIET_SCORE, "-f pipe"), "pipe", make=lambda folder: os.mkfifo(folder / "pipe"))
bad(
    "a link to nothing",
    instead(QUIET_SCORE, "-f link"),
    "link",
    make=lambda folder: (folder / "link").symlink_to("gone"),
)
bad(
    "a link to itself",
    instead(QUIET_SCORE, "-f link"),
    "link",
    make=lambda folder: (folder / "link").symlink_to("link"),
)
bad("a file in a file", instead(QUIET_SCORE, "-f in.fa/in.fa"), r"in\.fa")
bad(
    "a file that may not be read",
    QUIET_SCORE,
    FILE,
    "permission",
    setting={"user": 54321},
    make=lambda folder: (folder / "in.fa").chmod(0),
)


# ---- bombs


class Wide(nn.Module):
    """Takes any length, and needs 2 kB for each base."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.conv = nn.Conv1d(4, 512, 5, padding=2)
        self.last = nn.Linear(512, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.conv(x)).mean(-1))


@functools.cache
def _wide() -> bytes:
    import io

    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(Wide().eval()), buffer)
    return buffer.getvalue()


def wide(folder: Path) -> None:
    """Write a model that takes any length and needs much memory."""
    (folder / "wide.pt").write_bytes(_wide())


def _long_record(folder: Path, length: int) -> None:
    wide(folder)
    (folder / "in.fa").write_text(f">s0\n{'ACGTTGCA' * (length // 8)}\n")


WIDE = "score -q -m wide.pt -f in.fa -o out.h5"
_ESTIMATE = r"\d ?[kMGT]i?B\b|\d+ (giga|mega)?bytes"
bad(
    "a record of 10 Mb for a model of any length",
    WIDE,
    "memory",
    _ESTIMATE,
    r"in\.fa|bp|wide\.pt",
    make=lambda folder: _long_record(folder, 10_000_000),
)
bad(
    "a record of 100 Mb for a model of any length",
    WIDE,
    "memory",
    _ESTIMATE,
    long=True,
    make=lambda folder: _long_record(folder, 100_000_000),
)
bad(
    "a record of 10 Mb for a model of 24 bp",
    QUIET_FIXED,
    FILE,
    "24 bp",
    make=lambda folder: _long_record(folder, 10_000_000),
)
bad(
    "gzip of 200 MB of newlines",
    QUIET_SCORE,
    FILE,
    files={"in.fa": gzip.compress(b"\n" * 10_000_000, 1) * 20},
    long=True,
)


def _zip_bomb(folder: Path) -> None:
    """3 GB of letters on one line, of 3 MB."""
    member = gzip.compress(b"A" * 50_000_000, 6)
    (folder / "in.fa").write_bytes(gzip.compress(b">s0\n") + member * 60)


bad("gzip of a record of 3 GB", QUIET_SCORE, FILE, r"in\.fa", make=_zip_bomb, long=True)
bad(
    "a damaged deflate stream",
    QUIET_SCORE,
    FILE,
    "damaged|invalid",
    files={"in.fa": _GZIP[:20] + bytes(255 - byte for byte in _GZIP[20:40]) + _GZIP[40:]},
)
bad("zlib in place of gzip", QUIET_SCORE, FILE, files={"in.fa": zlib.compress(PLAIN.encode())})
