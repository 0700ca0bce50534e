"""`deeplift score`: contribution scores of every sequence of a file."""

from collections.abc import Callable
from math import isnan
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

import deeplift_references
from deeplift_cli import reference_kinds  # noqa: F401 - registers its kinds
from deeplift_cli.errors import UserError
from deeplift_cli.models.layout import LAYOUTS, Layout
from deeplift_cli.options import ScoreOptions
from deeplift_cli.outputs.overlap import RULES as OVERLAPS
from deeplift_cli.target_specs import parse_targets
from deeplift_core import ACTIVATION_RULES, RULES, OptionError
from deeplift_core.rule_names import check_activation_rule, parse_rule

_FILE = click.Path(path_type=Path)
_SEED = click.IntRange(-(2**63), 2**63 - 1)  # what the score file's attributes hold
_LARGEST_BATCH = 2**24
_MOST_THREADS = 1024  # beyond some thousands OpenMP ends the process


def _parsed(parse: Callable[[Any], Any]) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """A click callback: what ``parse`` refuses with ValueError is an unusable option (exit code 2)."""

    def callback(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
        try:
            if isinstance(value, tuple):
                return tuple(parse(item) for item in value)
            return None if value is None else parse(value)
        except ValueError as error:
            raise click.BadParameter(str(error), context, parameter) from error

    return callback


def _rule(text: str) -> str:
    parse_rule(text)
    return text


def _layer_rule(text: str) -> tuple[str, str]:
    pattern, found, rule = text.rpartition("=")
    if not found or not pattern:
        raise OptionError(f"{text!r} is not PATTERN=RULE")
    return pattern, check_activation_rule(rule)


def _reference(text: str) -> str:
    deeplift_references.parse_spec(text)
    return text


def _frequencies(text: str) -> tuple[float, ...] | None:
    if text == "auto":
        return None
    values = tuple(float(part) for part in text.split(","))
    deeplift_references.make("frequency", frequencies=values)
    return values


def _batch_size(text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isdecimal() or not 1 <= int(text) <= _LARGEST_BATCH:
        raise ValueError(f"{text!r} is neither auto nor a number of sequences from 1 to {_LARGEST_BATCH:,}")
    return int(text)


def _new_file(text: str) -> Path:
    if text.endswith(("/", "/.")) or Path(text).name in ("", ".", ".."):
        raise ValueError(f"{text!r} is a folder; give the name of a file")
    return Path(text)


def _alphabet(text: str) -> str:
    try:
        return Layout("ncl", text).alphabet
    except UserError as error:
        raise ValueError(str(error)) from error


def _limit(value: float) -> float:
    if isnan(value):
        raise ValueError("nan is no limit")
    return value


def _device(text: str) -> str:
    kind, _, place = text.partition(":")
    if text not in ("auto", "cpu", "cuda") and not (kind == "cuda" and place.isdecimal()):
        raise ValueError(f"{text!r} is not auto, cpu, cuda or cuda:N")
    return text


def _output(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


_REFERENCES = "|".join(kind.usage for kind in deeplift_references.kinds().values())
_OPTIONS = (
    click.option("-m", "--model", type=_FILE, required=True, help="ONNX, TorchScript or torch.export file."),
    click.option("-f", "--fasta", type=_FILE, help="Sequences, all of the model's length (.gz too)."),
    click.option("-g", "--genome", type=_FILE, help="Genome FASTA, with --regions (.gz too)."),
    click.option(
        "-r", "--regions", "--peaks", type=_FILE,
        help="BED or narrowPeak: windows around the summits, or else the midpoints.",
    ),
    click.option("-o", "--out", required=True, callback=_parsed(_new_file), metavar="PATH",
                 help="HDF5 file of scores to write."),
    click.option("--bigwig", callback=_parsed(_new_file), metavar="PATH",
                 help="Also write a bigWig of the observed bases' contributions."),
    click.option(
        "-c", "--chrom-sizes", type=_FILE, help="For --bigwig with --fasta: two columns, name and length."
    ),
    click.option("--output", default="0", callback=_parsed(_output), metavar="NAME|INDEX",
                 help="Which output, if the model has several.  [default: 0]"),
    click.option("--target", "targets", default="0", callback=_parsed(parse_targets), metavar="SPEC",
                 help="Element of the output: 3, or several: 0,3,5, or (50,1) with more axes.  [default: 0]"),
    click.option("--rule", default="genomics-default", callback=_parsed(_rule), show_default=True,
                 metavar="|".join(RULES), help="How activations are explained."),
    click.option("--layer-rule", "layer_rules", multiple=True, callback=_parsed(_layer_rule),
                 metavar="PATTERN=RULE",
                 help=f"Another rule for modules whose name fits; RULE is {', '.join(ACTIVATION_RULES)}."),
    click.option("--reference", default="dinucleotide", callback=_parsed(_reference), show_default=True,
                 metavar=_REFERENCES, help="What sequences are compared with."),
    click.option("--save-references", callback=_parsed(_new_file), metavar="PATH",
                 help="Write the references used, for --reference file:."),
    click.option("--frequencies", default="auto", callback=_parsed(_frequencies), metavar="A,C,G,T|auto",
                 help="For --reference frequency; auto counts the bases of the input.  [default: auto]"),
    click.option("--n-references", "--n-shuffles", type=click.IntRange(min=1), default=20, show_default=True,
                 help="Shuffles, or background sequences, for each sequence."),
    click.option("--seed", type=_SEED, default=0, show_default=True, metavar="INTEGER",
                 help="For shuffles and draws."),
    click.option("--layout", type=click.Choice(["auto", *LAYOUTS]), default="auto", show_default=True,
                 help="Axes of the model's input: n batch, c bases, l positions."),
    click.option("--alphabet", default="ACGT", callback=_parsed(_alphabet), show_default=True,
                 metavar="LETTERS", help="The model's order of bases."),
    click.option("--logits/--no-logits", default=True, show_default=True,
                 help="Explain the logit before a final sigmoid or softmax."),
    click.option("--centre/--no-centre", default=True, show_default=True,
                 help="For softmax: subtract the mean over its classes."),
    click.option("--rc-average", is_flag=True, help="Average with the reverse complement's scores."),
    click.option("--strand-aware", is_flag=True, help="Score minus-strand regions as reverse complements."),
    click.option("--overlap", type=click.Choice(list(OVERLAPS)), default="nearest-centre", show_default=True,
                 help="bigWig: which window counts where several overlap."),
    click.option("--max-completeness-error", type=click.FloatRange(min=0), metavar="E",
                 callback=_parsed(_limit),
                 help="Exit with 3 if summation-to-delta is off by more (relative)."),
    click.option("--batch-size", default="auto", callback=_parsed(_batch_size), metavar="auto|K",
                 help="Sequences at a time.  [default: auto]"),
    click.option("--device", default="auto", callback=_parsed(_device), metavar="auto|cpu|cuda[:i]",
                 help="Where to compute.  [default: auto]"),
    click.option("--threads", type=click.IntRange(1, _MOST_THREADS), metavar="N",
                 help="CPU threads.  [default: torch's]"),
    click.option("--precision", type=click.Choice(["float32", "float64"]), default="float32",
                 show_default=True, help="To compute in."),
    click.option("--overwrite", is_flag=True, help="Replace outputs that exist."),
    click.option("--allow-pickle", is_flag=True, help="Load pickled modules too, which can run any code."),
)  # fmt: skip


def _with_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@click.command("score", context_settings={"help_option_names": ["-h", "--help"]})
@_with_options
@click.option("-q", "--quiet", is_flag=True, help="No progress, notes or summary.")
@click.option("-v", "--verbose", is_flag=True, help="More notes.")
@click.pass_context
def command(context: click.Context, /, quiet: bool, verbose: bool, **given: Any) -> int:
    """Score sequences: which bases made the model say this?

    \b
    deeplift score -m model.onnx -f peaks.fa -o scores.h5
    deeplift score -m model.onnx -g hg38.fa -r peaks.narrowPeak -o scores.h5 --bigwig scores.bw

    Writes contribution scores (HDF5), the scored windows (.bed) and what was skipped (.skipped.tsv).
    """
    _refuse_contradictions(context, given)
    # These import torch, which takes seconds that --help should not.
    from deeplift_cli.pipeline import score
    from deeplift_cli.screen import Screen

    screen = Screen(quiet=quiet, verbose=verbose)
    options = ScoreOptions(**given)
    with screen.progress() as progress:
        summary, written = score(options, screen, progress)
    screen.show(summary.lines(written))
    for line in summary.warnings():
        screen.note(f"warning: {line}")
    beyond = summary.beyond_limit()
    if beyond is None:
        return 0
    screen.problem(beyond)
    return 3


def _refuse_contradictions(context: click.Context, given: dict[str, Any]) -> None:
    """Options that cannot be meant together (exit code 2)."""

    def said(*names: str) -> list[str]:
        default = (ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP)
        return [name for name in names if context.get_parameter_source(name) not in default]

    if given["fasta"] and (given["genome"] or given["regions"]):
        raise click.UsageError("give either --fasta, or --genome with --regions")
    if not given["fasta"] and not (given["genome"] and given["regions"]):
        missing = "--regions" if given["genome"] else "--genome" if given["regions"] else None
        raise click.UsageError(
            f"{missing} is missing" if missing else "give --fasta, or --genome with --regions"
        )
    kind, _ = deeplift_references.parse_spec(given["reference"])
    if said("frequencies") and kind.name != "frequency":
        raise click.UsageError(f"--frequencies goes with --reference frequency, not {kind.name}")
    if said("n_references") and not kind.takes_count:
        raise click.UsageError(
            f"--reference {kind.usage} decides by itself how many; leave out --n-references"
        )
    if given["layer_rules"] and given["rule"].partition(":")[0] in ("gradient", "integrated-gradients"):
        raise click.UsageError(f"--layer-rule does not go with --rule {given['rule']}")
    if said("overlap", "chrom_sizes") and not given["bigwig"]:
        raise click.UsageError("--overlap and --chrom-sizes go with --bigwig")
    for name in ("out", "bigwig"):
        if given[name] and len(given["targets"]) > 1 and "{target}" not in given[name].name:
            raise click.UsageError(
                f"several targets need {{target}} in the name of --{name}, one file for each"
            )
