"""Genomes, their indexes, and the cache of both."""

import gzip
import io
import os
from pathlib import Path
from typing import Any

from Bio import bgzf
from small_models import random_letters

from hostile.cases import Kind, instead
from hostile.tidy import CHR1, CHR2, GENOME, WINDOWS, folded

kind = Kind(__name__)
bad, odd = kind.bad, kind.odd
SCORE = "score -m net.onnx -g genome.fa -r in.bed -o out.h5 --n-references 2"
QUIET = f"{SCORE} -q"
FILE = r"genome\.fa"
NOTES = ("index", "unpacked copy")
LATER = 2_000_000_000  # seconds since 1970: an index of then is newer than any genome


# ---- an index beside the genome that is not its own: the letters are those of the FASTA


def entry(name: str, letters: str, offset: int, width: int = 60, end: int = 1) -> str:
    """One line of an index."""
    return f"{name}\t{len(letters)}\t{offset}\t{width}\t{width + end}\n"


FIRST = len(">chr1\n")
SECOND = FIRST + len(folded(CHR1)) + len("\n>chr2\n")
RIGHT = entry("chr1", CHR1, FIRST) + entry("chr2", CHR2, SECOND)


def with_index(text: str | bytes, genome: str = GENOME) -> Any:
    def make(folder: Path) -> None:
        (folder / "genome.fa").write_text(genome, newline="")
        index = folder / "genome.fa.fai"
        index.write_bytes(text if isinstance(text, bytes) else text.encode())
        os.utime(index, (LATER, LATER))

    return make


def _numbers(first: tuple[int, ...], second: tuple[int, ...]) -> str:
    return "".join(
        "\t".join([name, *map(str, numbers)]) + "\n" for name, numbers in (("chr1", first), ("chr2", second))
    )


_GOOD1, _GOOD2 = (400, FIRST, 60, 61), (90, SECOND, 60, 61)
for _name, _index in {
    "the right one": RIGHT,
    "offsets one too large": _numbers((400, FIRST + 1, 60, 61), (90, SECOND + 1, 60, 61)),
    "offsets one too small": _numbers((400, FIRST - 1, 60, 61), (90, SECOND - 1, 60, 61)),
    "one offset one too large": _numbers(_GOOD1, (90, SECOND + 1, 60, 61)),
    "swapped names": entry("chr2", CHR1, FIRST) + entry("chr1", CHR2, SECOND),
    "offsets of 0": _numbers((400, 0, 60, 61), (90, 0, 60, 61)),
    "an offset within a chromosome": _numbers((300, FIRST + 61, 60, 61), _GOOD2),
    "both names at one offset": _numbers(_GOOD1, (90, FIRST, 60, 61)),
    "lines of another width": _numbers((400, FIRST, 50, 51), (90, SECOND, 50, 51)),
    "ends of lines of two bytes": _numbers((400, FIRST, 60, 62), (90, SECOND, 60, 62)),
    "no ends of lines": _numbers((400, FIRST, 60, 60), (90, SECOND, 60, 60)),
    "lengths too large": _numbers((480, FIRST, 60, 61), (99, SECOND, 60, 61)),
    "lengths too small": _numbers((220, FIRST, 60, 61), (60, SECOND, 60, 61)),
    "one chromosome missing": entry("chr1", CHR1, FIRST),
    "a chromosome that is not there": RIGHT + "chr3\t50\t100\t60\t61\n",
    "a name twice": RIGHT + entry("chr1", CHR1, FIRST),
    "negative numbers": _numbers((-400, -6, -60, -61), _GOOD2),
    "widths of 0": _numbers((400, FIRST, 0, 0), _GOOD2),
    "numbers of 5,000 digits": f"chr1\t{'4' * 5000}\t6\t60\t61\n",
    "offsets of 1e20": _numbers((400, 10**20, 60, 61), _GOOD2),
    "three columns": "chr1\t400\t6\n",
    "six columns": RIGHT.replace("\n", "\t1\n"),
    "words": "not an index\n",
    "empty": "",
    "CRLF": RIGHT.replace("\n", "\r\n"),
    "random bytes": bytes(range(256)),
    "NUL bytes": bytes(100),
    "blank lines": RIGHT.replace("\n", "\n\n"),
    "no newline at the end": RIGHT.rstrip("\n"),
    "blanks for tabs": RIGHT.replace("\t", " "),
    "fractions": RIGHT.replace("60", "60.0"),
}.items():
    odd(f"an index with {_name}", SCORE, *WINDOWS, notes=NOTES, make=with_index(_index))
_OTHER = GENOME.replace(">chr1\n", ">chr1 of another assembly\n")
odd("an index of another heading", SCORE, *WINDOWS, notes=NOTES, make=with_index(RIGHT, _OTHER))
odd(
    "an index of lines of another width",
    SCORE,
    *WINDOWS,
    notes=NOTES,
    make=with_index(RIGHT, f">chr1\n{folded(CHR1, 50)}\n>chr2\n{folded(CHR2, 50)}\n"),
)
odd(
    "an index of a file with LF for one with CRLF",
    SCORE,
    *WINDOWS,
    notes=NOTES,
    make=with_index(RIGHT, GENOME.replace("\n", "\r\n")),
)
odd(
    "an index that is a folder",
    SCORE,
    *WINDOWS,
    notes=NOTES,
    make=lambda folder: (folder / "genome.fa.fai").mkdir(),
)
odd(
    "an index that is a pipe",
    SCORE,
    *WINDOWS,
    notes=NOTES,
    make=lambda folder: os.mkfifo(folder / "genome.fa.fai"),
)
odd(
    "an index that links to nothing",
    SCORE,
    *WINDOWS,
    notes=NOTES,
    make=lambda folder: (folder / "genome.fa.fai").symlink_to("gone"),
)


# ---- a cache that holds what it should not


_SWAPPED = f">chr2\n{folded(CHR2)}\n>chr1\n{folded(CHR1)}\n"


def _exchange(text: str) -> Any:
    """Another genome of the same name, size and time."""

    def change(folder: Path) -> None:
        path = folder / "genome.fa"
        time = path.stat().st_mtime_ns
        assert len(text) == path.stat().st_size
        path.write_text(text)
        os.utime(path, ns=(time, time))
        for name in ("out.h5", "out.bed", "out.skipped.tsv"):
            (folder / name).unlink()

    return change


odd(
    "another order of chromosomes, same size and time",
    SCORE,
    *WINDOWS,
    notes=NOTES,
    first=(QUIET,),
    change=_exchange(_SWAPPED),
)
odd(
    "another heading, same size and time",
    SCORE,
    *WINDOWS,
    notes=NOTES,
    first=(QUIET,),
    files={"genome.fa": GENOME.replace(">chr1\n", ">chr1 abc\n").replace(">chr2\n", ">chr2 \n")},
    change=_exchange(GENOME.replace(">chr1\n", ">chr1 \n").replace(">chr2\n", ">chr2 abc\n")),
)


def _spoil_cache(how: str) -> Any:
    def change(folder: Path) -> None:
        for path in (folder.parent / "cache").rglob("*"):
            if path.is_file() and how == "empty":
                path.write_bytes(b"")
            elif path.is_file() and how == "cut":
                path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
            elif path.is_file():
                path.write_bytes(path.read_bytes().replace(b"\t6\t", b"\t7\t"))
        for name in ("out.h5", "out.bed", "out.skipped.tsv"):
            (folder / name).unlink()

    return change


for _how in ("empty", "cut", "off by one"):
    odd(
        f"a cached index that is {_how}",
        SCORE,
        *WINDOWS,
        notes=NOTES,
        first=(QUIET,),
        change=_spoil_cache(_how),
    )
_GZIPPED = instead(SCORE, "-g genome.fa.gz")
for _how in ("empty", "cut"):
    odd(
        f"a cached copy that is {_how}",
        _GZIPPED,
        *WINDOWS,
        notes=NOTES,
        first=(f"{_GZIPPED} -q",),
        change=_spoil_cache(_how),
        files={"genome.fa.gz": gzip.compress(GENOME.encode())},
    )
_UNUSABLE = r"DEEPLIFT_CACHE|cache"
bad("a cache folder that is a file", QUIET, _UNUSABLE, code=(0, 1), environment={"DEEPLIFT_CACHE": "sizes"})
bad("a cache folder in a file", QUIET, _UNUSABLE, code=(0, 1), environment={"DEEPLIFT_CACHE": "sizes/cache"})
bad("a cache folder in /proc", QUIET, _UNUSABLE, code=(0, 1), environment={"DEEPLIFT_CACHE": "/proc/cache"})
bad(
    "a cache folder that may not be written",
    QUIET,
    _UNUSABLE,
    code=(0, 1),
    setting={"user": 54321},
    make=lambda folder: (folder.parent / "cache").chmod(0o555),
)


# ---- content


bad("empty", QUIET, FILE, "empty", files={"genome.fa": ""})
bad("a BED file", QUIET, FILE, "not a FASTA", files={"genome.fa": "chr1\t1\t40\n"})
bad("headings only", QUIET, r"genome\.fa|in\.bed", files={"genome.fa": ">chr1\n>chr2\n"})
bad(
    "two chromosomes of one name",
    QUIET,
    FILE,
    "chr1",
    "second|twice|duplicate|two",
    files={"genome.fa": GENOME.replace(">chr2", ">chr1")},
)
bad("random bytes", QUIET, FILE, files={"genome.fa": b">chr1\n" + bytes(range(256)) * 3})
bad(
    "NUL bytes at the regions", QUIET, FILE, files={"genome.fa": f">chr1\n{'A' * 60}\n".encode() + bytes(400)}
)
bad(
    "gzip cut short",
    instead(QUIET, "-g genome.fa.gz"),
    r"genome\.fa\.gz",
    "cut short|truncated|damaged",
    files={"genome.fa.gz": gzip.compress(GENOME.encode())[:90]},
)
bad(
    "2bit",
    instead(QUIET, "-g genome.2bit"),
    r"genome\.2bit",
    "not a FASTA|2bit",
    files={"genome.2bit": b"\x43\x27\x41\x1a" + bytes(60)},
)
bad(
    "protein",
    QUIET,
    FILE,
    "nucleotide|protein|letter|no sequence is left",
    files={"genome.fa": f">chr1\n{'MEEPQSDPSVEPPLSQETFS' * 20}\n"},
)
bad("missing", instead(QUIET, "-g none.fa"), r"none\.fa", "does not exist")
bad("a folder", instead(QUIET, "-g ."), "folder")
bad("a pipe", instead(QUIET, "-g pipe"), "pipe", make=lambda folder: os.mkfifo(folder / "pipe"))
bad("/dev/zero", instead(QUIET, "-g /dev/zero"), "/dev/zero")
odd(
    "a chromosome of protein among others",
    SCORE,
    WINDOWS[2],
    skipped=2,
    notes=(*NOTES, "skipped"),
    files={"genome.fa": f">chr1\n{folded('MEEPQSDPSVEPPLSQETFS' * 20)}\n>chr2\n{folded(CHR2)}\n"},
)


def bgzipped(text: str) -> bytes:
    """In the blocks of bgzip."""
    buffer = io.BytesIO()
    writer = bgzf.BgzfWriter(fileobj=buffer)
    writer.write(text.encode())
    writer.flush()
    data = buffer.getvalue()
    writer.close()
    return data + bgzf._bgzf_eof


for _name, _text in {
    "lower case": GENOME.replace("A", "a").replace("T", "t"),
    "CRLF": GENOME.replace("\n", "\r\n"),
    "CR": GENOME.replace("\n", "\r"),
    "one line each": f">chr1\n{CHR1}\n>chr2\n{CHR2}\n",
    "one letter a line": f">chr1\n{folded(CHR1, 1)}\n>chr2\n{folded(CHR2, 1)}\n",
    "lines of several widths": f">chr1\n{CHR1[:7]}\n{CHR1[7:99]}\n{CHR1[99:]}\n>chr2\n{folded(CHR2, 50)}\n",
    "descriptions": GENOME.replace(">chr1", ">chr1 dna:chromosome REF"),
    "blank lines at the end": GENOME + "\n\n\n",
    "blank lines between": GENOME.replace("\n>chr2", "\n\n>chr2"),
    "no newline at the end": GENOME.rstrip("\n"),
    "an empty chromosome": GENOME.replace(">chr2", ">chrEmpty\n>chr2"),
    "an empty chromosome at the end": GENOME + ">chrEmpty\n",
    "RNA": GENOME.replace("T", "U"),
    "a byte-order mark": "\ufeff" + GENOME,
    "blanks at ends of lines": GENOME.replace("\n", " \n"),
    "a thousand further contigs": GENOME + "".join(f">un{number}\nACGT\n" for number in range(1000)),
    "N and IUPAC letters elsewhere": GENOME.replace(
        f">chr2\n{CHR2[:20]}", f">chr2\n{'NRYKMSWBDHV-*nnnnnnn'}"
    ),
}.items():
    odd(_name, SCORE, *WINDOWS, notes=NOTES, files={"genome.fa": _text})
for _name, _file, _data in (
    ("gzip", "genome.fa.gz", gzip.compress(GENOME.encode())),
    ("bgzip", "genome.fa.gz", bgzipped(GENOME)),
    ("bgzip named .fa", "zipped.fa", bgzipped(GENOME)),
    ("a plain file named .gz", "genome.fa.gz", GENOME.encode()),
    (
        "gzip in two members",
        "genome.fa.gz",
        gzip.compress(GENOME[:300].encode()) + gzip.compress(GENOME[300:].encode()),
    ),
    ("a plain file named .zip", "genome.zip", GENOME.encode()),
):
    odd(_name, instead(SCORE, f"-g {_file}"), *WINDOWS, notes=NOTES, files={_file: _data})
odd(
    "bgzip without its end",
    instead(SCORE, "-g genome.fa.gz"),
    *WINDOWS,
    notes=(*NOTES, "cut short"),
    files={"genome.fa.gz": bgzipped(GENOME)[:-28]},
)


def _nothing_unpacked(folder: Path) -> None:
    """A bgzip genome is read in place."""
    assert not [
        path
        for path in (folder.parent / "cache").rglob("*")
        if path.is_file() and path.stat().st_size > 50_000
    ]


_LARGE = f">chr1\n{folded(CHR1)}\n>chr2\n{folded(CHR2)}\n>chr3\n{folded(random_letters(9, 200_000))}\n"
odd(
    "bgzip of several blocks",
    instead(SCORE, "-g genome.fa.gz"),
    *WINDOWS,
    notes=NOTES,
    check=_nothing_unpacked,
    files={"genome.fa.gz": bgzipped(_LARGE)},
)
odd(
    "bgzip with an index of offsets off by one",
    instead(SCORE, "-g genome.fa.gz"),
    *WINDOWS,
    notes=NOTES,
    files={
        "genome.fa.gz": bgzipped(GENOME),
        "genome.fa.gz.gzi": bytes(8),
        "genome.fa.gz.fai": _numbers((400, FIRST + 1, 60, 61), (90, SECOND + 1, 60, 61)),
    },
    make=lambda folder: (
        [os.utime(folder / f"genome.fa.gz.{end}", (LATER, LATER)) for end in ("fai", "gzi")]
    ),
)
odd(
    "bgzip with a block index of random bytes",
    instead(SCORE, "-g genome.fa.gz"),
    *WINDOWS,
    notes=NOTES,
    files={
        "genome.fa.gz": bgzipped(_LARGE),
        "genome.fa.gz.gzi": bytes(range(256)),
        "genome.fa.gz.fai": RIGHT,
    },
    make=lambda folder: (
        [os.utime(folder / f"genome.fa.gz.{end}", (LATER, LATER)) for end in ("fai", "gzi")]
    ),
)
bad(
    "bgzip with a damaged block",
    instead(QUIET, "-g genome.fa.gz"),
    r"genome\.fa\.gz",
    files={"genome.fa.gz": bgzipped(GENOME)[:60] + bytes(40) + bgzipped(GENOME)[100:]},
)


def _names(one: str, two: str) -> dict[str, str]:
    return {
        "genome.fa": GENOME.replace("chr1", one).replace("chr2", two),
        "in.bed": f"{one}\t100\t140\n{two}\t20\t60\n",
    }


for _name, _one in {
    "pipes": "gi|1|ref",
    "a colon": "HLA-A*01:01",
    "Chinese": "染色体",
    "a comma": "a,b",
    "rich's markup": "[red]",
    "quotes": "'a\"",
    "200 letters": "c" * 200,
    "a slash": "a/b",
    "a format": "%s{}",
    "one digit": "1",
    "a double point": "..",
    "a minus sign": "-1",
}.items():
    odd(
        f"a chromosome's name of {_name}",
        f"{SCORE} --bigwig out.bw",
        WINDOWS[0],
        WINDOWS[2],
        notes=NOTES,
        files=_names(_one, "chr2"),
    )


def _wild(folder: Path) -> list[str]:
    name = b"ge nome\n\xff.fa"
    with open(os.path.join(os.fsencode(folder), name), "wb") as file:
        file.write(GENOME.encode())
    return [
        "score",
        "-m",
        "net.onnx",
        "-g",
        os.fsdecode(name),
        "-r",
        "in.bed",
        "-o",
        "out.h5",
        "--n-references",
        "2",
    ]


odd("a file name of blanks, a newline and no UTF-8", SCORE, *WINDOWS, notes=NOTES, make=_wild)


def _read_only(folder: Path) -> list[str]:
    shelf = folder / "shelf"
    shelf.mkdir()
    (shelf / "genome.fa").write_text(GENOME)
    (shelf / "genome.fa").chmod(0o444)
    shelf.chmod(0o555)
    return instead(SCORE, "-g shelf/genome.fa").split()


odd("in a read-only folder", SCORE, *WINDOWS, notes=NOTES, make=_read_only, setting={"user": 54321})
