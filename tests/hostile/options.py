"""Options, and what is contradictory among them."""

import shlex

from hostile.cases import LITTLE_MEMORY, SCORE, Kind
from hostile.fasta import wide
from hostile.tidy import LETTERS

kind = Kind(__name__)
bad, odd = kind.bad, kind.odd
BARE = "score -m net.pt -f in.fa -o out.h5"
MANY = "9" * 5000


def _with(*words: str, base: str = BARE) -> list[str]:
    return [*shlex.split(base), *words]


# ---- that cannot be parsed, or contradict each other: exit code 2


for _name, _command, _says in (
    ("no model", "score -f in.fa -o out.h5", "--model"),
    ("no output", "score -m net.pt -f in.fa", "--out"),
    ("no sequences", "score -m net.pt -o out.h5", "--fasta"),
    ("sequences of two kinds", f"{BARE} -g genome.fa -r in.bed", "--fasta|--genome"),
    ("a genome alone", "score -m net.pt -o out.h5 -g genome.fa", "--regions"),
    ("regions alone", "score -m net.pt -o out.h5 -r in.bed", "--genome"),
    ("an unknown option", f"{BARE} --quick", "--quick"),
    ("a further word", f"{BARE} more", "more"),
    ("an option without its value", "score -m net.pt -f in.fa -o", "-o|--out"),
    ("an output that is a folder to be", "score -m net.pt -f in.fa -o results/", "results/"),
    ("an output that is this folder", "score -m net.pt -f in.fa -o .", "--out"),
    ("several targets, one name", f"{BARE} --target 0,1", "target"),
    ("sizes without a bigWig", f"{BARE} -c sizes", "--bigwig"),
    ("overlap without a bigWig", f"{BARE} --overlap mean", "--bigwig"),
    ("frequencies for shuffles", f"{BARE} --frequencies 0.25,0.25,0.25,0.25", "frequenc"),
    ("a number of zeros", f"{BARE} --reference zeros --n-references 3", "--n-references"),
    ("a layer rule with gradient", f"{BARE} --rule gradient --layer-rule *=rescale", "--layer-rule"),
    ("padding without a genome", f"{BARE} --edge pad", "--edge"),
    ("chosen chromosomes without a genome", f"{BARE} --chroms chr1", "--chroms"),
    ("translated chromosomes without a genome", f"{BARE} --rename-chroms ucsc", "--rename-chroms"),
    (
        "a shard of standard input",
        "score -m net.pt -g genome.fa -r - -o out.h5 --shard 1/2 --batch-size 2",
        "--shard",
    ),
    ("prepare standard input", "prepare -g genome.fa -r -", "--regions"),
    ("auto batches in a shard", f"{BARE} --shard 1/2 --batch-size auto", "--batch-size|--shard"),
    ("auto shard outside an array", f"{BARE} --shard auto", "SLURM"),
    ("an unknown subcommand", "scores -m net.pt", "scores"),
    ("merge without parts", "merge -o out.h5", "PART"),
    ("merge without an output", "merge in.fa", "--out"),
    ("inspect without a model", "inspect", "--model"),
    ("inspect with a length of 0", "inspect -m net.pt --length 0", "--length"),
):
    bad(_name, _command, _says, code=2)
for _option, _values in {
    "--target": (
        "x",
        "-1",
        "",
        "(0,",
        "(0,1",
        "0)",
        "()",
        "((0))",
        "0,,1",
        "0 1",
        "1.5",
        "(",
        "0,0",
        "²",
        "0;1",
        "\n",
        "(" * 10_000,
    ),
    "--rule": (
        "lrp",
        "",
        "rescale:3",
        "integrated-gradients:0",
        "integrated-gradients:-1",
        "integrated-gradients:x",
        "gradient:",
    ),
    "--layer-rule": ("conv", "=rescale", "conv=", "conv=best", "="),
    "--reference": ("blank", "", "zeros:3", "dinucleotide:x", "background", "file", "background:", "file:"),
    "--n-references": ("0", "-5", "x", "", "1.5", "1e3", "²"),
    "--seed": ("x", "", "1.5", str(2**63), str(-(2**63) - 1)),
    "--batch-size": ("0", "-1", "x", "", "1.5", "²", "10**3"),
    "--threads": ("0", "-1", "x", "1000000"),
    "--device": ("tpu", "cuda:", "cuda:x", "cuda:-1", ""),
    "--precision": ("float8", ""),
    "--dtype": ("float64", ""),
    "--compile": ("yes", ""),
    "--layout": ("lcn", ""),
    "--alphabet": ("ACGG", "ACG", "", "ACGTACGT", "NNNN", "αβγδ"),
    "--encode-n": ("ones", ""),
    "--token-ids": (
        "",
        "7,8,9,10",
        "A=7,C=8,G=9",
        "A=7,C=8,G=9,T=9",
        "A=7,C=8,G=9,T=x",
        "A=7,C=8,G=9,T=10,N=²",
    ),
    "--overlap": ("sum",),
    "--shard": ("0/3", "4/3", "1", "1/", "/3", "a/3", "-1/3", "1/3/3", "", "1/0", "²/³"),
    "--max-completeness-error": ("-1", "nan", "x", ""),
    "--length": ("0", "-1", "1.5", "x", "", "²", "268435457", MANY),
    "--edge": ("clip", ""),
    "--max-n": ("-0.1", "1.1", "nan", "x", "", "inf"),
    "--chroms": ("", ",", "chr1,,chr2"),
    "--sample": ("0", "-1", "1.5", "x", ""),
    "--rename-chroms": ("",),
}.items():
    for _value in _values:
        _shown = _value if len(_value) < 30 else f"{_value[:3]}... of {len(_value):,} signs"
        bad(f"{_option} {_shown!r}", _with(f"{_option}={_value}"), _option, code=2)


# ---- numbers beyond what is sensible


for _option in (
    "--n-references",
    "--seed",
    "--batch-size",
    "--threads",
    "--target",
    "--output",
    "--max-completeness-error",
):
    bad(
        f"{_option} of 5,000 digits",
        _with(_option, MANY, "-q"),
        code=(0, 1, 2) if "error" in _option else (1, 2),
    )
for _name, _words in {
    "a shard of 5,000 digits": ("--shard", f"1/{MANY}"),
    "a shard's number of 5,000 digits": ("--shard", f"{MANY}/{MANY}"),
    "a target's index of 5,000 digits": ("--target", f"(0,{MANY})"),
    "steps of 5,000 digits": ("--rule", f"integrated-gradients:{MANY}"),
    "a device of 5,000 digits": ("--device", f"cuda:{MANY}"),
}.items():
    bad(_name, _with(*_words, "-q"), code=(1, 2))
bad(
    "a billion references",
    _with("--n-references", "1000000000", "-q"),
    "memory",
    "--n-references",
    code=(1, 2),
)
bad(
    "sixteen million rows a batch",
    _with("--batch-size", "16000000", "-q"),
    "memory",
    "--batch-size",
    code=(1, 2),
)
bad("two billion rows a batch", _with("--batch-size", "2000000000", "-q"), "--batch-size", code=(1, 2))
bad(
    "inspect: sixteen million rows a batch",
    "inspect -m net.pt --batch-size 16000000",
    "memory",
    "--batch-size",
    code=(1, 2),
    setting=LITTLE_MEMORY,
)
bad(
    "1e11 steps of integrated gradients",
    _with("--rule", "integrated-gradients:100000000000", "-q"),
    "steps|integrated",
    code=(1, 2),
)
bad(
    "a billion steps of integrated gradients",
    _with("--rule", "integrated-gradients:1000000000", "-q"),
    "steps|integrated|memory",
    code=(1, 2),
)
bad(
    "inspect: a length of 2**28",
    "inspect -m wide.pt --length 268435456",
    "memory",
    code=(1, 2),
    make=wide,
    setting=LITTLE_MEMORY,
)
bad("a million targets", _with("--target", ",".join(map(str, range(100_000))), "-q"), code=(1, 2))
bad("a target with 10,000 axes", _with("--target", f"({','.join('0' * 10_000)})", "-q"), code=(1, 2))
bad("a target out of range", _with("--target", "2", "-q"), "target 2|'2'", "0 to 1|0 and 1")
bad("a target of 1e30", _with("--target", str(10**30), "-q"), "0 to 1")
bad("a target of too many axes", _with("--target", "(0,1)", "-q"), "target|axes|shape")
bad("an output that is not there", _with("--output", "7", "-q"), "output")
bad(
    "an output's name that is not there",
    _with("--output", "profile", "-q", base="score -m net.onnx -f in.fa -o out.h5"),
    "'profile'",
    "logit",
)
bad("an output of no name", _with("--output", "", "-q"), code=(1, 2))
bad("a layer rule for no layer", _with("--layer-rule", "nowhere*=rescale", "-q"), "nowhere")
bad("a layer rule of a thousand stars", _with("--layer-rule", f"{'*a' * 1000}*b=rescale", "-q"))
bad("a layer rule of brackets", _with("--layer-rule", "[[[!!]]=rescale", "-q"), code=(1, 2))
bad("a layout that does not fit", _with("--layout", "nc1l", "-q"), "nc1l")
bad("a device that is not there", _with("--device", "cuda:99", "-q"), "cuda:99|CUDA")
bad(
    "an array task that is no number",
    _with("--shard", "auto"),
    "SLURM|shard",
    code=2,
    environment={
        "SLURM_ARRAY_TASK_ID": "x",
        "SLURM_ARRAY_TASK_COUNT": "2",
        "SLURM_ARRAY_TASK_MIN": "1",
        "SLURM_ARRAY_TASK_MAX": "2",
    },
)
bad(
    "an array task of 5,000 digits",
    _with("--shard", "auto"),
    "SLURM|shard",
    code=2,
    environment={
        "SLURM_ARRAY_TASK_ID": MANY,
        "SLURM_ARRAY_TASK_COUNT": MANY,
        "SLURM_ARRAY_TASK_MIN": "1",
        "SLURM_ARRAY_TASK_MAX": MANY,
    },
)
bad(
    "an array with gaps",
    _with("--shard", "auto"),
    "gaps|--shard",
    code=2,
    environment={
        "SLURM_ARRAY_TASK_ID": "9",
        "SLURM_ARRAY_TASK_COUNT": "2",
        "SLURM_ARRAY_TASK_MIN": "1",
        "SLURM_ARRAY_TASK_MAX": "9",
    },
)
bad(
    "an array task beyond its array",
    _with("--shard", "auto"),
    "SLURM|shard|array",
    code=2,
    environment={
        "SLURM_ARRAY_TASK_ID": "9",
        "SLURM_ARRAY_TASK_COUNT": "2",
        "SLURM_ARRAY_TASK_MIN": "1",
        "SLURM_ARRAY_TASK_MAX": "2",
    },
)


# ---- odd and valid


for _name, _words in {
    "the smallest seed": ("--seed", str(-(2**63))),
    "the largest seed": ("--seed", str(2**63 - 1)),
    "a seed with zeros before it": ("--seed", "00"),
    "gradients": ("--rule", "gradient"),
    "one step": ("--rule", "integrated-gradients:1"),
    "no limit of completeness": ("--max-completeness-error", "inf"),
    "zeros": ("--reference", "zeros"),
    "the mean": ("--reference", "mean"),
    "both strands": ("--rc-average",),
    "all layers by one rule": ("--layer-rule", "*=rescale"),
    "a batch of more than there is": ("--batch-size", "1000"),
    "one thread": ("--threads", "1"),
    "scores in float16": ("--dtype", "float16"),
    "float64": ("--precision", "float64"),
    "bfloat16": ("--precision", "bfloat16"),
    "verbose": ("-v",),
    "quiet and verbose": ("-q", "-v"),
}.items():
    odd(_name, _with(*_words), notes=(".",))
odd("an alphabet in lower case", f"{SCORE} --alphabet acgt", *LETTERS)
odd("an alphabet of RNA", f"{SCORE} --alphabet ACGU", *LETTERS)
odd("a target in brackets", f"{SCORE} --target '( 0 , )'", *LETTERS)
odd("a target in blanks", f"{SCORE} --target ' 0 '", *LETTERS)
odd("a batch of one", f"{SCORE} --batch-size 1", *LETTERS)
odd(
    "the default said again",
    f"{SCORE} --seed 0 --layout ncl --logits --centre --overwrite --no-resume",
    *LETTERS,
)
odd("one shard of a billion", f"{SCORE} --shard 7/1000000000 --batch-size 2", notes=("indexing",))
odd("one shard of one", f"{SCORE} --shard 1/1 --batch-size 3", *LETTERS, notes=("indexing",))
odd("help", "--help")
odd("help of score", "score --help")
odd("help of inspect", "inspect -h")
odd("help of merge", "merge --help")
odd("the version", "--version")
