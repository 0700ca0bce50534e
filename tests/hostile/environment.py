"""What is around a run: streams, limits, users, folders, locales, signals."""

import signal
from pathlib import Path

import torch
from small_models import Net
from torch import Tensor

from hostile import merging
from hostile.cases import QUIET_SCORE, SCORE, Kind, instead, of_model
from hostile.tidy import LETTERS, WINDOWS

kind = Kind(__name__)
bad, odd = kind.bad, kind.odd
GENOME = "score -m net.onnx -g genome.fa -r in.bed -o out.h5 --n-references 2"
NAMELESS = 54321  # a user that no file of users knows
NOTES = ("index", "cache")


# ---- no home, nameless users


odd("no HOME", GENOME, *WINDOWS, notes=NOTES, environment={"HOME": None})
odd("a nameless user", GENOME, *WINDOWS, notes=NOTES, setting={"user": NAMELESS})
odd(
    "no HOME and a nameless user",
    GENOME,
    *WINDOWS,
    notes=NOTES,
    setting={"user": NAMELESS},
    environment={"HOME": None},
)
_NOWHERE = {"HOME": None, "DEEPLIFT_CACHE": None, "XDG_CACHE_HOME": None}
bad(
    "no HOME, a nameless user and no cache",
    f"{GENOME} -q",
    "DEEPLIFT_CACHE",
    code=(0, 1),
    setting={"user": NAMELESS},
    environment=_NOWHERE,
)
odd("no HOME, a nameless user and FASTA", SCORE, *LETTERS, setting={"user": NAMELESS}, environment=_NOWHERE)
odd(
    "inspect: no HOME and a nameless user",
    "inspect -m net.pt",
    setting={"user": NAMELESS},
    environment=_NOWHERE,
)
odd(
    "merge: no HOME and a nameless user",
    merging.SHARDS,
    make=merging.shards(),
    skipped=1,
    setting={"user": NAMELESS},
    environment=_NOWHERE,
)
odd(
    "an exported program, no HOME and a nameless user",
    of_model(SCORE, "m.pt2"),
    setting={"user": NAMELESS},
    environment=_NOWHERE,
    notes=("batch",),
    make=lambda folder: _exported(folder),
)
odd(
    "an ONNX file, no HOME and a nameless user",
    of_model(SCORE, "net.onnx"),
    *LETTERS,
    setting={"user": NAMELESS},
    environment=_NOWHERE,
)
bad(
    "a HOME that is a file",
    f"{GENOME} -q",
    "DEEPLIFT_CACHE|cache",
    code=(0, 1),
    environment={"HOME": "/dev/null", "DEEPLIFT_CACHE": None},
)
bad(
    "a HOME that does not exist",
    f"{GENOME} -q",
    "DEEPLIFT_CACHE|cache",
    code=(0, 1),
    environment={"HOME": "/proc/nowhere", "DEEPLIFT_CACHE": None},
)
bad(
    "a HOME that may not be written",
    f"{GENOME} -q",
    "DEEPLIFT_CACHE|cache",
    code=(0, 1),
    setting={"user": NAMELESS},
    environment={"HOME": "/", "DEEPLIFT_CACHE": None},
)
odd("an empty DEEPLIFT_CACHE", GENOME, *WINDOWS, notes=NOTES, environment={"DEEPLIFT_CACHE": ""})
odd("a TMPDIR that does not exist", GENOME, *WINDOWS, notes=NOTES, environment={"TMPDIR": "/nowhere/at/all"})
odd("a TMPDIR that may not be written", GENOME, *WINDOWS, notes=NOTES, environment={"TMPDIR": "/proc"})
odd(
    "a cache of blanks and no UTF-8",
    GENOME,
    *WINDOWS,
    notes=NOTES,
    make=lambda folder: None,
    environment={"DEEPLIFT_CACHE": "../my cache \udcff\n"},
)


def _exported(folder: Path) -> None:
    from hostile.exported_files import exported

    (folder / "m.pt2").write_bytes(exported().read_bytes())


# ---- streams


for _stream in ("stdin", "stdout", "stderr"):
    odd(f"closed {_stream}", SCORE, *LETTERS, setting={_stream: "closed"})
    odd(f"inspect: closed {_stream}", "inspect -m net.pt", setting={_stream: "closed"})
odd(
    "all streams closed", SCORE, *LETTERS, setting={"stdin": "closed", "stdout": "closed", "stderr": "closed"}
)
bad("closed stderr and a bad file", instead(QUIET_SCORE, "-f none.fa"), setting={"stderr": "closed"})
bad(
    "closed stdout and a bad file",
    instead(QUIET_SCORE, "-f none.fa"),
    r"none\.fa",
    setting={"stdout": "closed"},
)
odd("a reader of stdout that has gone", SCORE, *LETTERS, setting={"stdout": "broken"})
bad(
    "inspect: a reader of stdout that has gone",
    "inspect -m net.pt",
    code=(0, 1, 141),
    setting={"stdout": "broken"},
)
odd("a reader of stderr that has gone", SCORE, *LETTERS, setting={"stderr": "broken"})
bad(
    "a full disc behind stdout",
    SCORE,
    "stdout|output|space",
    code=(0, 1),
    setting={"stdout": "full"},
    keeps=("out.*",),
)
bad(
    "inspect: a full disc behind stdout",
    "inspect -m net.pt",
    "stdout|output|space",
    setting={"stdout": "full"},
)
bad(
    "inspect --json: a full disc behind stdout",
    "inspect -m net.pt --json",
    "stdout|output|space",
    setting={"stdout": "full"},
)
bad("help: a full disc behind stdout", "score --help", "stdout|output|space", setting={"stdout": "full"})
odd(
    "stdout in ASCII",
    SCORE,
    LETTERS[0],
    setting={"encoding": "ascii"},
    files={"in.fa": f">染色体\n{LETTERS[0]}\n>kürz\nACGT\n"},
    skipped=1,
    notes=("skipped",),
)
bad(
    "stderr in ASCII and a file's name that is not",
    ["score", "-q", "-m", "net.pt", "-f", "染色体.fa", "-o", "out.h5"],
    r"\\u67d3|does not exist",
    setting={"encoding": "ascii"},
)
for _name, _value in {
    "COLUMNS": "0",
    "TERM": "dumb",
    "NO_COLOR": "1",
    "FORCE_COLOR": "1",
    "LINES": "-5",
    "TERM ": "",
    "COLUMNS ": "many",
    "TERM  ": "xterm\x1b[31m",
}.items():
    odd(f"{_name.strip()}={_value!r}", SCORE, *LETTERS, environment={_name.strip(): _value})
odd("inspect: COLUMNS=1", "inspect -m net.pt", environment={"COLUMNS": "1"})


# ---- a process of its own: what Python reads when it starts


NEW = {"process": "new"}
odd(
    "LC_ALL=C and names that are not ASCII",
    ["score", "-m", "net.pt", "-f", "染 色.fa", "-o", "分.h5", "--n-references", "2"],
    setting=NEW,
    environment={"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    make=lambda folder: (folder / "in.fa").rename(folder / "染 色.fa"),
)
odd(
    "a locale that does not exist",
    SCORE,
    *LETTERS,
    long=True,
    setting=NEW,
    environment={"LC_ALL": "xx_YY.UTF-16", "LANG": "xx"},
)
odd(
    "PYTHONIOENCODING=ascii and closed streams",
    SCORE,
    *LETTERS,
    long=True,
    setting={**NEW, "stdout": "closed", "stdin": "closed"},
    environment={"PYTHONIOENCODING": "ascii"},
)
odd(
    "OMP_NUM_THREADS of no number",
    SCORE,
    *LETTERS,
    setting=NEW,
    environment={"OMP_NUM_THREADS": "many", "MKL_NUM_THREADS": "-1"},
    notes=("OMP", "thread", "^$"),
    long=True,
)
odd("PYTHONOPTIMIZE=2", SCORE, *LETTERS, long=True, setting=NEW, environment={"PYTHONOPTIMIZE": "2"})
for _after in (0.25, 0.7, 1.2):
    bad(
        f"Ctrl-C after {_after} s",
        SCORE,
        "interrupt|stopped|SIGINT",
        code=(0, 130),
        setting={**NEW, "signal": (signal.SIGINT, _after)},
        long=_after != 0.7,
    )
bad("help: Ctrl-C", "score --help", code=(0, 130), setting={**NEW, "signal": (signal.SIGINT, 0.1)}, long=True)
bad(
    "SIGTERM at once, imports done",
    SCORE,
    "stopped|SIGTERM",
    code=(0, 143, -15),
    setting={"signal": (signal.SIGTERM, 0.12)},
    keeps=(".out.h5.pieces",),
)
bad(
    "SIGHUP at once, imports done",
    SCORE,
    "stopped|SIGHUP",
    code=(0, 129, -1),
    setting={"signal": (signal.SIGHUP, 0.05)},
    keeps=(".out.h5.pieces",),
)


# ---- limits


MB = 1 << 20
for _more in (16, 64, 200):
    bad(
        f"ulimit -v, {_more} MB more",
        QUIET_SCORE,
        "memory|thread|resource|alloc",
        code=(0, 1),
        setting={"limits": {"RLIMIT_AS": _more * MB}},
        keeps=(".out.h5.pieces",),
    )
    bad(
        f"inspect: ulimit -v, {_more} MB more",
        "inspect -m net.pt",
        "memory|thread|resource|alloc",
        code=(0, 1),
        setting={"limits": {"RLIMIT_AS": _more * MB}},
    )


class Large(Net):
    """Needs half a gigabyte for each row."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.logits(x)
        return (y.unsqueeze(-1) * torch.ones(60_000_000)).mean(-1)


def _large(folder: Path) -> None:
    from hostile.torchscript_files import script

    script(Large(), folder / "large.pt")


bad(
    "ulimit -v and a large model",
    "score -q -m large.pt -f in.fa -o out.h5 --n-references 2",
    r"large\.pt",
    "memory",
    make=_large,
    setting={"limits": {"RLIMIT_AS": 300 * MB}},
)
bad(
    "no thread can be started",
    QUIET_SCORE,
    "thread",
    code=(0, 1),
    setting={"user": NAMELESS, "limits": {"RLIMIT_NPROC": 0}},
    keeps=(".out.h5.pieces",),
)
bad(
    "no thread can be started, a genome",
    f"{GENOME} -q",
    "thread",
    code=(0, 1),
    setting={"user": NAMELESS, "limits": {"RLIMIT_NPROC": 0}},
    keeps=(".out.h5.pieces",),
)
for _files in (4, 8, 16, 24):
    bad(
        f"{_files} open files",
        QUIET_SCORE,
        "open files|too many",
        code=(0, 1),
        setting={"limits": {"RLIMIT_NOFILE": _files}},
        keeps=(".out.h5.pieces",),
    )
for _size in (0, 100, 3_000, 20_000):
    bad(
        f"files of {_size:,} bytes at most",
        QUIET_SCORE,
        r"out\.(h5|bed|skipped)",
        "large|written",
        code=(0, 1),
        setting={"limits": {"RLIMIT_FSIZE": _size}},
        keeps=(".out.h5.pieces",),
    )
    bad(
        f"merge: files of {_size:,} bytes at most",
        merging.SHARDS,
        r"out\.(h5|bed|skipped)",
        "large|written",
        code=(0, 1),
        make=merging.shards(),
        setting={"limits": {"RLIMIT_FSIZE": _size}},
    )
bad(
    "the cache: files of 10 bytes at most",
    f"{GENOME} -q",
    "cache|DEEPLIFT_CACHE|out.h5",
    code=(0, 1),
    setting={"limits": {"RLIMIT_FSIZE": 10}},
)
bad(
    "a bigWig: files of 9,000 bytes at most",
    f"{GENOME} -q --bigwig out.bw",
    r"out\.",
    "large|written",
    code=(0, 1),
    setting={"limits": {"RLIMIT_FSIZE": 9_000}},
    keeps=(".out.h5.pieces",),
)


# ---- folders


def _full_paths(folder: Path) -> list[str]:
    (folder.parent / "gone").mkdir()
    words = ["score", "-q", "-m", "net.pt", "-f", "in.fa", "-o", "out.h5"]
    return [str(folder / word) if "." in word else word for word in words]


bad(
    "a working folder that is gone",
    QUIET_SCORE,
    r"net\.pt|folder|directory",
    setting={"folder": "../gone", "remove": "../gone"},
    make=lambda folder: (folder.parent / "gone").mkdir(),
)
bad(
    "a working folder that is gone, and full paths",
    QUIET_SCORE,
    "folder|directory|exist",
    code=(0, 1),
    setting={"folder": "../gone", "remove": "../gone"},
    make=lambda folder: _full_paths(folder),
)
odd("a file mode of 077", SCORE, *LETTERS, setting={"umask": 0o077})
bad(
    "a file mode of 777",
    QUIET_SCORE,
    "permission|written|out.h5",
    code=(0, 1),
    setting={"umask": 0o777, "user": NAMELESS},
    keeps=(".out.h5.pieces", ".out.h5.*"),
)
bad(
    "a read-only folder",
    QUIET_SCORE,
    "permission",
    setting={"user": NAMELESS},
    make=lambda folder: folder.chmod(0o555),
)
odd(
    "a read-only folder, and an output elsewhere",
    instead(SCORE, "-o ../home/out.h5"),
    setting={"user": NAMELESS},
    make=lambda folder: folder.chmod(0o555),
)
odd("a path of 3,000 bytes", SCORE, make=lambda folder: _deep(folder))
odd(
    "an array task of two",
    SCORE.replace("out.h5", "out{shard}.h5") + " --shard auto --batch-size 1",
    notes=("index",),
    environment={
        "SLURM_ARRAY_TASK_ID": "1",
        "SLURM_ARRAY_TASK_COUNT": "2",
        "SLURM_ARRAY_TASK_MIN": "0",
        "SLURM_ARRAY_TASK_MAX": "1",
    },
)
odd(
    "a shard, and a cache that cannot be written",
    f"{SCORE} --shard 1/1 --batch-size 1",
    *LETTERS,
    notes=("without an index",),
    environment={"DEEPLIFT_CACHE": "/proc/nowhere"},
)


def _deep(folder: Path) -> list[str]:
    path = folder
    for _ in range(14):
        path = path / ("d" * 200)
        path.mkdir()
    return ["score", "-m", "net.pt", "-f", "in.fa", "-o", str(path / "out.h5"), "--n-references", "2"]
