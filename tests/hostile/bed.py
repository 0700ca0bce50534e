"""Regions files."""

import gzip
import os
import re
from pathlib import Path

from hostile.cases import LITTLE_MEMORY, Kind, instead
from hostile.tidy import BED, CHR1, CHR2, LENGTH, WINDOWS

kind = Kind(__name__)
bad, odd = kind.bad, kind.odd
SCORE = "score -m net.onnx -g genome.fa -r in.bed -o out.h5 --n-references 2"
QUIET = f"{SCORE} -q"
FILE = r"in\.bed"
NOTES = ("index",)  # of the genome, which is told once
GOOD = "chr1\t100\t140\n"  # the first of WINDOWS
SECOND = "chr1\t200\t240\n"


# ---- what does not parse


bad("empty", QUIET, FILE, "empty", files={"in.bed": ""})
bad("blank lines only", QUIET, FILE, "no regions", files={"in.bed": "\n\n \n"})
bad(
    "comments only",
    QUIET,
    FILE,
    "no regions",
    files={"in.bed": "#chrom\tstart\tend\ntrack name=x\nbrowser x\n"},
)
bad("a heading without #", QUIET, FILE, "line 1", "#|heading", files={"in.bed": f"chrom\tstart\tend\n{BED}"})
for _name, _line in {
    "one column": "chr1",
    "two columns": "chr1\t100",
    "words": "chr1\tten\ttwenty",
    "fractions": "chr1\t100.5\t140.5",
    "powers of ten": "chr1\t1e2\t2e2",
    "thousands": "chr1\t1,000\t1,040",
    "hexadecimal": "chr1\t0x64\t0x8c",
    "digits of another script": "chr1\t١٠٠\t١٤٠",
    "wide digits": "chr1\t１００\t１４０",
    "underscores": "chr1\t1_00\t1_40",
    "empty columns": "chr1\t\t",
    "NA": "chr1\tNA\tNA",
    "a plus sign": "chr1\t+100\t+140",
    "the end before the start": "chr1\t140\t100",
    "the end at the start": "chr1\t100\t100",
    "commas": "chr1,100,140",
    "region notation": "chr1:100-140",
}.items():
    bad(_name, QUIET, FILE, "line 2", files={"in.bed": f"{GOOD}{_line}\n"})
for _count in (20, 400, 5000, 100_000):
    bad(
        f"an end of {_count:,} digits",
        QUIET,
        FILE,
        "line 2|no sequence is left|outside|after the chromosome",
        code=(0, 1),
        skipped=1,
        files={"in.bed": f"{GOOD}chr1\t100\t{'9' * _count}\n"},
    )
    bad(
        f"a summit of {_count:,} digits",
        QUIET,
        FILE,
        code=(0, 1),
        files={"in.bed": f"{GOOD}chr1\t100\t140\tx\t0\t+\t1\t1\t1\t{'9' * _count}\n"},
    )
bad(
    "every coordinate of 5,000 digits",
    QUIET,
    FILE,
    "line 1|chromosome",
    files={"in.bed": f"chr1\t{'8' * 5000}\t{'9' * 5000}\n"},
)
bad(
    "NUL in a name",
    QUIET,
    FILE,
    "line 2",
    "NUL|\\\\x00|control",
    code=(0, 1),
    skipped=1,
    files={"in.bed": f"{GOOD}chr1\t200\t240\ta\0b\n"},
)
bad("NUL in every name", QUIET, FILE, "line 1|no sequence", files={"in.bed": "chr1\t200\t240\ta\0b\n"})
bad(
    "NUL in a chromosome",
    QUIET,
    FILE,
    "line 2|chromosome",
    code=(0, 1),
    files={"in.bed": f"{GOOD}chr\0001\t200\t240\n"},
)
bad("random bytes", QUIET, FILE, files={"in.bed": bytes(range(256)) * 20})
bad("NUL bytes", QUIET, FILE, files={"in.bed": bytes(5000)})
bad("UTF-16", QUIET, FILE, files={"in.bed": BED.encode("utf-16")})
bad("gzip cut short", QUIET, FILE, "cut short|truncated", files={"in.bed": gzip.compress(BED.encode())[:-12]})
bad("FASTA", QUIET, FILE, "line 1", files={"in.bed": f">chr1\n{CHR1}\n"})
bad(
    "VCF",
    QUIET,
    FILE,
    "line 3",
    files={"in.bed": "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\nchr1\t100\trs1\tA\tC\n"},
)
bad("GTF", QUIET, FILE, "line 1", files={"in.bed": 'chr1\thavana\tgene\t100\t140\t.\t+\t.\tgene_id "x";\n'})
bad("a web page", QUIET, FILE, "line 1", files={"in.bed": "<html><body>404 Not Found</body></html>\n"})
bad("a line of 20 MB", QUIET, FILE, "line 1", files={"in.bed": "x" * 20_000_000})
bad("a bigWig's first bytes", QUIET, FILE, files={"in.bed": b"\x26\xfc\x8f\x88" + bytes(60)})


# ---- regions that cannot be scored


bad("every region outside", QUIET, FILE, "400 bp|400", files={"in.bed": "chr1\t395\t440\nchr2\t85\t99\n"})
bad("every chromosome unknown", QUIET, "chrX", files={"in.bed": "chrX\t1\t90\n"})
bad(
    "chromosomes without chr",
    QUIET,
    "'1'",
    "chr1|rename-chroms",
    files={"in.bed": "1\t100\t140\n2\t20\t60\n"},
)
bad("chromosomes of RefSeq", QUIET, "NC_000001", files={"in.bed": "NC_000001.11\t100\t140\n"})
bad("before the chromosome", QUIET, FILE, "before|outside|negative", files={"in.bed": "chr1\t-50\t-10\n"})
bad(
    "at the last of 64 bits",
    QUIET,
    FILE,
    "chromosome|outside|beyond",
    files={"in.bed": "chr1\t9223372036854775800\t9223372036854775807\n"},
)
bad(
    "a region of 1e12 bp for a model of any length",
    QUIET.replace("net.onnx", "any.pt"),
    "memory|400 bp|chromosome",
    files={"in.bed": "chr1\t0\t1000000000000\n"},
)
bad(
    "widths that differ, for a model of any length",
    QUIET.replace("net.onnx", "any.pt"),
    FILE,
    "--length",
    files={"in.bed": "chr1\t100\t140\nchr1\t200\t260\nchr2\t10\t20\n"},
)
for _name, _line in {
    "a region past the end": "chr1\t390\t410",
    "a region before the start": "chr1\t0\t10",
    "no chromosome": "\t100\t140",
    "an unknown chromosome": "chrX\t100\t140",
    "a region of 1e20": "chr1\t100000000000000000000\t100000000000000000040",
    "a negative start": "chr1\t-100\t-60",
    "a summit outside": "chr1\t100\t140\tx\t0\t+\t1\t1\t1\t300",
    "a chromosome in other letters": "CHR1\t100\t140",
}.items():
    odd(
        f"{_name} among good regions",
        SCORE,
        *WINDOWS[:2],
        skipped=1,
        notes=(*NOTES, "skipped"),
        files={"in.bed": f"{GOOD}{_line}\n{SECOND}"},
    )


# ---- spellings


_LINES = BED.splitlines()
for _name, _text in {
    "three columns": "".join("\t".join(line.split("\t")[:3]) + "\n" for line in _LINES),
    "CRLF": BED.replace("\n", "\r\n"),
    "CR": BED.replace("\n", "\r"),
    "no newline at the end": BED.rstrip("\n"),
    "blanks between columns": BED.replace("\t", "  "),
    "a byte-order mark": "\ufeff" + BED,
    "blank lines": BED.replace("\n", "\n\n \n"),
    "gzip": gzip.compress(BED.encode()),
    "track, browser and comments": f"browser position chr1:1-2\ntrack name='x y'\n#c\n{BED}",
    "twenty columns": BED.replace("\n", "\t." * 20 + "\n"),
    "blanks around columns": BED.replace("\t", " \t "),
    "summits in narrowPeak": "".join(
        f"chr{c}\t{s}\t{s + 90}\tx\t0\t.\t1\t1\t1\t{m}\n"
        for c, s, m in ((1, 90, 30), (1, 200, 20), (2, 0, 40))
    ),
    "summits as pandas writes them": "".join(
        f"chr{c}\t{s}\t{s + 90}\tx\t0\t.\t1\t1\t1\t{m}.0\n"
        for c, s, m in ((1, 90, 30), (1, 200, 20), (2, 0, 40))
    ),
    "no summits": BED.replace("\t.\n", "\t.\t1\t1\t1\t-1\n"),
    "strands of no kind": BED.replace("\t+\n", "\tplus\n").replace("\t-\n", "\t\n"),
    "scores of no kind": BED.replace("\t0\t", "\tNaN\t"),
    "regions of one base": "chr1\t120\t121\nchr1\t220\t221\nchr2\t40\t41\n",
    "leading zeros": "chr1\t00100\t000140\n" + SECOND + "chr2\t20\t60\n",
    "BED12": "".join(f"{line}\t1\t2\t0\t1\t40,\t0,\n" for line in _LINES),
    "regions wider than a chromosome": "chr1\t-180\t420\nchr1\t0\t440\nchr2\t-20\t100\n",
}.items():
    odd(_name, SCORE, *WINDOWS, notes=NOTES, files={"in.bed": _text})
odd("twice the same region", SCORE, WINDOWS[0], WINDOWS[0], notes=NOTES, files={"in.bed": GOOD * 2})
odd(
    "out of order",
    SCORE,
    *reversed(WINDOWS),
    notes=NOTES,
    files={"in.bed": "".join(f"{line}\n" for line in reversed(_LINES))},
)
odd(
    "at both ends of a chromosome",
    SCORE,
    CHR1[:24],
    CHR1[-24:],
    CHR2[:24],
    CHR2[-24:],
    notes=NOTES,
    files={"in.bed": "chr1\t0\t24\nchr1\t376\t400\nchr2\t0\t24\nchr2\t66\t90\n"},
)
odd("odd widths", SCORE, CHR1[108:132], notes=NOTES, files={"in.bed": "chr1\t100\t141\n"})
for _name, _word in {
    "blanks": "my peak",
    "Chinese": "峰",
    "quotes": '"a\'b"',
    "a formula": "=1+1",
    "rich's markup": "[/red]",
    "60,000 letters": "x" * 60_000,
    "a semicolon": "a;b=c",
    "a #": "a#b",
    "a comma": "a,b",
    "a double point": "..",
    "a format": "%s{}",
}.items():
    odd(
        f"a name of {_name}",
        SCORE,
        WINDOWS[0],
        notes=NOTES,
        names=(_word,),
        files={"in.bed": f"chr1\t100\t140\t{_word}\n"},
    )
for _name, _word, _shown in (
    ("an escape code", "\x1b[31mred", r"\\x1b"),
    ("a line separator", "a\u2028b", r"\\u2028"),
    ("a next line", "a\u0085b", r"\\x85"),
):
    odd(
        f"a name of {_name}",  # skipped and listed: a terminal or a reader of lines would obey it
        SCORE,
        WINDOWS[1],
        notes=(*NOTES, "skipped"),
        names=("two",),
        skipped=1,
        files={"in.bed": f"chr1\t100\t140\t{_word}\nchr1\t200\t240\ttwo\n"},
    )
    bad(
        f"only a name of {_name}",
        QUIET,
        FILE,
        "control character",
        _shown,
        never=(re.escape(_word),),
        files={"in.bed": f"chr1\t100\t140\t{_word}\n"},
    )
bad("only a name of 1 MB", QUIET, FILE, "more than", files={"in.bed": f"chr1\t100\t140\t{'x' * 1_000_000}\n"})
odd("a name of no UTF-8", SCORE, WINDOWS[0], notes=NOTES, files={"in.bed": b"chr1\t100\t140\tcaf\xe9\n"})
odd(
    "names of all regions the same",
    SCORE,
    *WINDOWS[:2],
    names=("x", "x"),
    notes=(*NOTES, "name"),
    files={"in.bed": "chr1\t100\t140\tx\nchr1\t200\t240\tx\n"},
)
odd(
    "an empty name",
    SCORE,
    WINDOWS[0],
    names=("chr1:100-140",),
    notes=NOTES,
    files={"in.bed": "chr1\t100\t140\t\t0\t+\n"},
)
odd("strand-aware, all strands", f"{SCORE} --strand-aware", notes=NOTES)
odd(
    "a minus strand and no --strand-aware",
    SCORE,
    WINDOWS[1],
    notes=NOTES,
    files={"in.bed": "chr1\t200\t240\tx\t0\t-\n"},
)


# ---- chosen and translated chromosomes, padding, N


NAMES = {"names": "1\tchr1\n2\tchr2\n", "in.bed": BED.replace("chr", "")}
odd("chromosomes translated", f"{SCORE} --rename-chroms ucsc", *WINDOWS, notes=NOTES, files=NAMES)
odd("chromosomes translated by a file", f"{SCORE} --rename-chroms names", *WINDOWS, notes=NOTES, files=NAMES)
odd("a chosen chromosome", f"{SCORE} --chroms chr1", *WINDOWS[:2], notes=NOTES)
odd(
    "windows padded at both ends",
    f"{SCORE} --edge pad",
    "N" * 7 + CHR1[:17],
    CHR2[75:] + "N" * 9,
    notes=NOTES,
    files={"in.bed": "chr1\t0\t10\nchr2\t86\t89\n"},
)
odd(
    "padded by half of the window",
    f"{SCORE} --edge pad --max-n 0.4",
    WINDOWS[0],
    skipped=2,
    notes=(*NOTES, "skipped"),
    files={"in.bed": f"chr1\t-9\t9\n{GOOD}chr1\t410\t420\n"},
)
for _name, _content in {
    "empty": "",
    "blank": "\n \n",
    "one column": "1\n",
    "an empty name": "1\t\n",
    "NUL in a name": "1\tchr\0\n",
    "an escape code in a name": "1\tchr\x1b[31m\n",
    "one name twice": "1\tchr1\n1\tchr2\n",
    "bytes": bytes(range(256)) * 20,
    "gzip cut short": gzip.compress(b"1\tchr1\n" * 99)[:-12],
    "a line of 20 MB": "x" * 20_000_000,
}.items():
    bad(
        f"a file of chromosome names: {_name}",
        f"{QUIET} --rename-chroms names",
        "names",
        never=("\x1b", "\0"),
        files=NAMES | {"names": _content},
    )
bad("a file of chromosome names: missing", f"{QUIET} --rename-chroms none", "none does not exist")
bad("a file of chromosome names: a folder", f"{QUIET} --rename-chroms .", "folder")
bad("a file of chromosome names: /dev/zero", f"{QUIET} --rename-chroms /dev/zero", "/dev/zero")
bad(
    "a file of chromosome names: a pipe",
    f"{QUIET} --rename-chroms pipe",
    "pipe",
    make=lambda folder: os.mkfifo(folder / "pipe"),
)
bad("a chosen chromosome that no genome has", f"{QUIET} --chroms chr1,chr77", "'chr77'", "--chroms")
bad("a chosen chromosome that no region is on", f"{QUIET} --chroms chr2", "--chroms", files={"in.bed": GOOD})
bad(
    "a window of 268 million bp, padded",
    f"{QUIET.replace('net.onnx', 'any.pt')} --edge pad --length 268435456",
    "memory",
    setting=LITTLE_MEMORY,
)


# ---- what is no file


bad("missing", instead(QUIET, "-r none.bed"), r"none\.bed", "does not exist")
bad("a folder", instead(QUIET, "-r ."), "folder")
bad("a pipe", instead(QUIET, "-r pipe"), "pipe", make=lambda folder: os.mkfifo(folder / "pipe"))
bad("/dev/zero", instead(QUIET, "-r /dev/zero"), "/dev/zero")
bad("the genome itself", instead(QUIET, "-r genome.fa"), r"genome\.fa", "line 1")


def _wild(folder: Path) -> list[str]:
    path = os.path.join(os.fsencode(folder), b"re gions\n\xff.bed")
    with open(path, "wb") as file:
        file.write(BED.encode())
    return [
        *SCORE.split()[:5],
        "-r",
        os.fsdecode(b"re gions\n\xff.bed"),
        "-o",
        "out.h5",
        "--n-references",
        "2",
    ]


odd("a file name of blanks, a newline and no UTF-8", SCORE, *WINDOWS, notes=NOTES, make=_wild)
assert len(WINDOWS[0]) == LENGTH
