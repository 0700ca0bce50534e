"""Where outputs are to go."""

import os
from collections.abc import Callable
from pathlib import Path

from hostile.cases import QUIET_SCORE, SCORE, Kind
from hostile.tidy import LETTERS, PLAIN

kind = Kind(__name__)
bad, odd = kind.bad, kind.odd


def _to(name: str, *more: str) -> list[str]:
    return ["score", "-q", "-m", "net.pt", "-f", "in.fa", f"--out={name}", "--n-references", "2", *more]


def _existing(folder: Path) -> None:
    (folder / "out.h5").write_text("mine")


bad("exists", QUIET_SCORE, r"out\.h5", "--overwrite", make=_existing)
bad(
    "its BED file exists",
    QUIET_SCORE,
    r"out\.bed",
    "--overwrite",
    make=lambda folder: (folder / "out.bed").write_text("mine"),
)
bad(
    "its table of skipped records exists",
    QUIET_SCORE,
    r"out\.skipped\.tsv",
    "--overwrite",
    make=lambda folder: (folder / "out.skipped.tsv").write_text("mine"),
)
bad(
    "its bigWig exists",
    f"{QUIET_SCORE} --bigwig out.bw -c sizes",
    r"out\.bw",
    "--overwrite",
    make=lambda folder: (folder / "out.bw").write_text("mine"),
)
bad("a folder", _to("shelf"), "shelf", make=lambda folder: (folder / "shelf").mkdir())
bad(
    "a folder, to be overwritten",
    _to("shelf", "--overwrite"),
    "shelf",
    make=lambda folder: (folder / "shelf").mkdir(),
)
bad("its BED file is a folder", QUIET_SCORE, r"out\.bed", make=lambda folder: (folder / "out.bed").mkdir())
bad("in a folder that is missing", _to("nowhere/out.h5"), "nowhere", "does not exist")
bad("in a file", _to("in.fa/out.h5"), r"in\.fa", "not a folder")
bad("in a folder of a name of 300 bytes", _to("x" * 300 + "/out.h5"))
bad("a name of 300 bytes", _to("x" * 300), "too long")
bad("a path of 5,000 bytes", _to("./" * 2500 + "out.h5"), "too long", code=(0, 1))
bad("in /proc", _to("/proc/out.h5"), "/proc")
bad("/dev/null", _to("/dev/null"), "/dev/null")
bad("/dev/null, to be overwritten", _to("/dev/null", "--overwrite"), "/dev/null")
bad("/dev/full", _to("/dev/full", "--overwrite"), "/dev/full")
bad("a pipe", _to("pipe", "--overwrite"), "pipe", make=lambda folder: os.mkfifo(folder / "pipe"))
bad("the FASTA", _to("in.fa", "--overwrite"), r"in\.fa", "input")
bad("the model", _to("net.pt", "--overwrite"), r"net\.pt", "input")
bad("the FASTA by another path", _to("./../work/in.fa", "--overwrite"), r"in\.fa", "input")
bad(
    "the FASTA by a link",
    _to("link", "--overwrite"),
    "link|in.fa",
    make=lambda folder: (folder / "link").symlink_to("in.fa"),
)
bad(
    "a link to itself",
    _to("link", "--overwrite"),
    "link",
    make=lambda folder: (folder / "link").symlink_to("link"),
)
bad(
    "a link to nowhere",
    _to("out.h5"),
    r"out\.h5",
    make=lambda folder: (folder / "out.h5").symlink_to("nowhere/out.h5"),
    code=(0, 1),
)
bad(
    "a link to a file that is not its own",
    _to("link"),
    "link",
    "--overwrite",
    make=lambda folder: (folder / "link").symlink_to("sizes"),
)
bad(
    "regions that are its BED file",
    "score -q -m net.onnx -g genome.fa -r in.bed -o in.h5",
    r"in\.bed",
    "input",
)
bad("two outputs of one name", f"{QUIET_SCORE} --bigwig out.h5 -c sizes", r"out\.h5", "two")
bad("a bigWig in place of the BED file", f"{QUIET_SCORE} --bigwig out.bed -c sizes", r"out\.bed", "two")
bad("references in place of scores", f"{QUIET_SCORE} --save-references out.h5", r"out\.h5", "two")
bad("a bigWig in a folder that is missing", f"{QUIET_SCORE} --bigwig nowhere/x.bw -c sizes", "nowhere")
bad(
    "two targets of one name",
    f"{QUIET_SCORE.replace('out.h5', 'a{target}.h5')} --target 0,0",
    "twice",
    code=2,
)
bad(
    "a folder that may not be written",
    _to("shelf/out.h5"),
    "shelf",
    "permission",
    setting={"user": 54321},
    make=lambda folder: ((folder / "shelf").mkdir(), (folder / "shelf").chmod(0o555)),
)
bad(
    "a file that may not be written, to be overwritten",
    _to("shelf/out.h5", "--overwrite"),
    "shelf|out.h5",
    code=(0, 1),
    setting={"user": 54321},
    make=lambda folder: (
        (
            (folder / "shelf").mkdir(),
            (folder / "shelf" / "out.h5").write_text("mine"),
            (folder / "shelf").chmod(0o555),
        )
    ),
)


# ---- bigWig


BIGWIG = f"{QUIET_SCORE} --bigwig out.bw"
PLACED = f">chr1:10-34\n{LETTERS[0]}\n>chr2:5-29\n{LETTERS[1]}\n"
bad("a bigWig without sizes", BIGWIG, "--chrom-sizes")
bad("sizes that are missing", f"{BIGWIG} -c none", "none", "does not exist")
bad("sizes that are empty", f"{BIGWIG} -c empty", "empty", files={"empty": "", "in.fa": PLACED})
bad("sizes that are a pipe", f"{BIGWIG} -c pipe", "pipe", make=lambda folder: os.mkfifo(folder / "pipe"))
bad("sizes of FASTA", f"{BIGWIG} -c in.fa", r"in\.fa", "line 1")
for _name, _text in {
    "words": "chr1\tlong\n",
    "one column": "chr1\n",
    "negative": "chr1\t-400\n",
    "0": "chr1\t0\nchr2\t0\n",
    "5,000 digits": f"chr1\t{'9' * 5000}\n",
    "1e20": "chr1\t100000000000000000000\nchr2\t90\n",
    "beyond 32 bits": "chr1\t5000000000\nchr2\t90\n",
    "twice, and different": "chr1\t400\nchr1\t500\n",
    "fractions": "chr1\t400.5\n",
    "NUL": "chr\0001\t400\n",
    "too small": "chr1\t20\nchr2\t90\n",
}.items():
    bad(
        f"sizes: {_name}",
        f"{BIGWIG} -c sizes",
        "sizes|chr1",
        code=1 if _name != "beyond 32 bits" else (0, 1),
        files={"sizes": _text, "in.fa": PLACED},
    )
bad("records without a place", f"{BIGWIG} -c sizes", "s0|record 1", "coordinates|chr")
bad(
    "a chromosome without its size",
    f"{BIGWIG} -c sizes",
    "chr3",
    files={"in.fa": f">chr3:0-24\n{LETTERS[0]}\n"},
)
bad(
    "records beyond the end",
    f"{BIGWIG} -c sizes",
    "chr2",
    "90",
    files={"in.fa": f">chr2:80-104\n{LETTERS[0]}\n"},
)
odd(
    "sizes of odd spelling",
    f"{SCORE} --bigwig out.bw -c sizes",
    *LETTERS[:2],
    files={"sizes": "\ufeffchr1\t400\textra\r\n\r\nchr2 90\r\nchr3\t1", "in.fa": PLACED},
)
odd(
    "records at both ends",
    f"{SCORE} --bigwig out.bw -c sizes",
    *LETTERS[:2],
    files={"in.fa": f">chr2:0-24\n{LETTERS[0]}\n>chr2:66-90\n{LETTERS[1]}\n"},
)
odd(
    "overlapping records",
    f"{SCORE} --bigwig out.bw -c sizes",
    *LETTERS,
    files={"in.fa": "".join(f">chr1:{10 + i}-{34 + i}\n{text}\n" for i, text in enumerate(LETTERS))},
)
odd(
    "the same place three times",
    f"{SCORE} --bigwig out.bw -c sizes",
    *LETTERS,
    files={"in.fa": "".join(f">chr1:10-34\n{text}\n" for text in LETTERS)},
    notes=("name",),
)


# ---- odd and valid


def _written(name: str | bytes) -> Callable[[Path], None]:
    def check(folder: Path) -> None:
        assert os.path.exists(
            os.path.join(os.fsencode(folder), name if isinstance(name, bytes) else name.encode())
        )

    return check


for _name, _file in {
    "blanks": "my scores .h5",
    "a newline": "a\nb.h5",
    "no UTF-8": b"caf\xe9\xff.h5",
    "Chinese": "分.h5",
    "a minus sign first": "-out.h5",
    "rich's markup": "[red]x.h5",
    "an escape code": "\x1b[31m.h5",
    "no suffix": "scores",
    "a hidden file": ".scores.h5",
    "two suffixes": "a.b.c.h5",
    "a suffix alone": ".h5",
    "250 bytes": "x" * 247 + ".h5",
    "a percent sign": "%s.h5",
    "a brace": "{x}.h5",
    "the suffix .bed": "scores.bed.h5",
    "a wildcard": "*.h5",
    "a backslash": "a\\b.h5",
    "a minus sign alone": "-",
}.items():
    odd(
        f"an output's name of {_name}",
        [word for word in _to(os.fsdecode(_file)) if word != "-q"],
        check=_written(_file),
        **({"code": (0, 1)} if _name == "250 bytes" else {}),
    )
odd("to be overwritten", f"{SCORE} --overwrite", *LETTERS, make=_existing)
odd(
    "an absolute path",
    SCORE,
    *LETTERS,
    make=lambda folder: [*SCORE.split()[:5], "-o", str(folder / "out.h5"), "--n-references", "2"],
)
odd("a path of dots", SCORE.replace("out.h5", "./../work/./out.h5"), *LETTERS)
odd(
    "targets in the name",
    SCORE.replace("out.h5", "out{target}.h5") + " --target 0,1",
    check=_written("out1.h5"),
)
odd(
    "several outputs",
    f"{SCORE} --bigwig out.bw -c sizes --save-references refs.h5",
    *LETTERS[:2],
    files={"in.fa": PLACED},
    check=_written("out.bw"),
)


def _hard_link(folder: Path) -> None:
    os.link(folder / "in.fa", folder / "out.h5")


def _still_there(folder: Path) -> None:
    assert (folder / "in.fa").read_text() == PLAIN


odd(
    "a hard link of the input, to be overwritten",
    f"{SCORE} --overwrite",
    *LETTERS,
    make=_hard_link,
    check=_still_there,
)
