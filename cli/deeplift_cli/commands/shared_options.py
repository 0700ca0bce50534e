"""Command-line options of several subcommands, defined once so that they mean the same everywhere."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from deeplift_cli.errors import OptionsError, UserError
from deeplift_cli.models.layouts import BASES, ENCODINGS_OF_N, IDS, LAYOUTS, UNKNOWN, Layout
from deeplift_cli.models.registry import known_kinds
from deeplift_cli.options.further_inputs import FurtherInput, parse_input
from deeplift_cli.options.numbers import LARGEST_BATCH, whole_number
from deeplift_cli.options.target_grammar import parse_targets
from deeplift_cli.options.token_ids import EXAMPLE, TokenIds, parse_token_ids
from deeplift_cli.outputs import overlaps
from deeplift_core import OptionError
from deeplift_core.assignment.names import LAYER_RULES, check_layer_rule


class _File(click.Path):
    """The name of a file. click does not check the file: the code that reads a file reports its problems."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":  # which would become the working folder
            self.fail("an empty name is the name of no file", param, ctx)
        return super().convert(value, param, ctx)


FILE = _File(path_type=Path, readable=False)
_MOST_THREADS = 1024  # OpenMP ends the process at more than some thousands of threads


def parsed(parse: Callable[[Any], Any]) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """Return a click callback that parses a value; a ValueError of ``parse`` gives exit code 2."""

    def callback(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
        try:
            if isinstance(value, tuple):
                return tuple(parse(item) for item in value)
            return None if value is None else parse(value)
        except ValueError as error:
            raise click.BadParameter(str(error), context, parameter) from error

    return callback


def new_file(text: str) -> Path:
    """Parse the name of a file to write."""
    if text.endswith(("/", "/.")) or Path(text).name in ("", ".", ".."):
        raise ValueError(f"{text!r} is a folder; give the name of a file")
    return Path(text)


def new_folder(text: str) -> Path:
    """Parse the name of a folder to make."""
    if not text:
        raise ValueError("an empty name is the name of no folder")
    path = Path(text)
    return path.resolve() if path.name in ("", "..") else path


def _inputs(context: click.Context, parameter: click.Parameter, value: Any) -> tuple[FurtherInput, ...]:
    found: tuple[FurtherInput, ...] = parsed(parse_input)(context, parameter, value)
    twice = [name for name, count in Counter(name for name, _ in found).items() if count > 1]
    if twice:
        raise click.BadParameter(f"{twice[0]!r} has several values", context, parameter)
    return found


def _layer_rule(text: str) -> tuple[str, str]:
    pattern, found, rule = text.rpartition("=")
    if not found or not pattern:
        raise OptionError(f"{text!r} is not PATTERN=RULE")
    return pattern, check_layer_rule(rule)


def _batch_size(text: str) -> int | None:
    if text == "auto":
        return None
    rows = whole_number(text) if text.isdecimal() else 0
    if not 1 <= rows <= LARGEST_BATCH:
        raise ValueError(
            f"{text[:40]!r} is neither auto nor a number of sequences from 1 to {LARGEST_BATCH:,}"
        )
    return rows


def _alphabet(text: str) -> str:
    try:
        return Layout("ncl", text).alphabet
    except UserError as error:
        raise ValueError(str(error)) from error


def _token_ids(context: click.Context, parameter: click.Parameter, text: str | None) -> TokenIds:
    found: TokenIds | None = parsed(parse_token_ids)(context, parameter, text)
    return found or ()


def chosen_models(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options `model` and `models` of `ScoreOptions` from the values of `MODELS`."""
    first, *further = given["model"]
    return {"model": first, "models": given["model"] if further else ()}


def refuse_contradictory_layout(given: Mapping[str, Any]) -> None:
    """Refuse options of the input's layout that contradict each other (exit code 2)."""
    letters = [letter for letter, _ in given["token_ids"]] or given["alphabet"]
    if given["layout"] == IDS and not given["token_ids"]:
        raise click.UsageError(
            f"--layout ids needs the number of each letter in the model's tokenizer, as in {EXAMPLE}"
        )
    if given["token_ids"] and given["layout"] not in ("auto", IDS):
        raise click.UsageError(f"--token-ids goes with --layout ids, not {given['layout']}")
    if given["token_ids"] and given["alphabet"] != BASES:
        raise click.UsageError("--alphabet does not go with --token-ids: ids have no order of channels")
    if given["encode_n"] == "uniform" and UNKNOWN in letters:
        raise click.UsageError(
            "--encode-n uniform goes with four letters: the model has a channel or a token for N"
        )


def _device(text: str) -> str:
    kind, _, place = text.partition(":")
    if text not in ("auto", "cpu", "cuda") and not (kind == "cuda" and place.isdecimal()):
        raise ValueError(f"{text[:40]!r} is not auto, cpu, cuda or cuda:N")
    if place:
        whole_number(place)
    return text


def _output(text: str) -> int | str:
    if not text:
        raise ValueError("an empty name is the name of no output")
    return whole_number(text) if text.isdecimal() else text


class Described(click.Option):
    """An option whose help text is made from a registry when the help is shown.

    Parameters
    ----------
    describe : callable
        Returns the attributes ``help`` or ``metavar`` by name.
    """

    def __init__(self, *given: Any, describe: Callable[[], dict[str, str]], **options: Any) -> None:
        super().__init__(*given, **options)
        self._describe = describe

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        for name, text in self._describe().items():
            setattr(self, name, text)
        return super().get_help_record(ctx)


def one_model(context: click.Context, _: click.Parameter, given: tuple[Path, ...]) -> Path | None:
    """Return the only model; several, which are folds for other subcommands, are refused (exit code 2).

    Raises
    ------
    click.UsageError
    """
    if len(given) > 1:
        raise click.UsageError(
            f"--model is given {len(given)} times, but `deeplift {context.info_name}` takes one model; "
            "leave out all but one",
            context,
        )
    return given[0] if given else None


MODEL = click.option(
    "-m",
    "--model",
    type=FILE,
    required=True,
    multiple=True,
    callback=one_model,
    cls=Described,
    describe=lambda: {"help": f"Model file: {known_kinds()}."},
)
MODELS = click.option(
    "-m",
    "--model",
    type=FILE,
    required=True,
    multiple=True,
    cls=Described,
    describe=lambda: {
        "help": f"Model file: {known_kinds()}; given several times, the folds whose mean is scored."
    },
)
OUTPUT = click.option(
    "--output",
    callback=parsed(_output),
    metavar="NAME|INDEX",
    help="Which output, if the model has several.  [default: 0, or the one of the head that --target names]",
)
TARGET = click.option(
    "--target",
    "targets",
    default="0",
    callback=parsed(parse_targets),
    metavar="SPEC",
    help="What is explained of the output: 3, a name, (50,1), mean(0:10,1), 3-1, all, counts, profile and "
    "others; several, as 0,3,5, with {target} in --out: docs/targets.md.  [default: 0; counts for models "
    "with a profile and counts]",
)
LABELS = click.option(
    "--labels",
    type=FILE,
    metavar="FILE",
    help="Names of the model's classes or tracks for --target, one a line.",
)
INPUT = click.option(
    "--input",
    "further_inputs",
    multiple=True,
    callback=_inputs,
    metavar="NAME=zeros|NUMBER|FILE.npy",
    help="Value of an input beside the sequence: one for all records, or FILE.npy with a row for each.",
)
LAYER_RULE = click.option(
    "--layer-rule",
    "layer_rules",
    multiple=True,
    callback=parsed(_layer_rule),
    metavar="PATTERN=RULE",
    help=f"Another rule for modules whose name fits; RULE is {', '.join(LAYER_RULES)}.",
)
LAYOUT = click.option(
    "--layout",
    type=click.Choice(["auto", *LAYOUTS]),
    default="auto",
    show_default=True,
    help="Axes of the model's input: n batch, c bases, l positions; ids are token ids [N, L].",
)
ALPHABET = click.option(
    "--alphabet",
    default="ACGT",
    callback=parsed(_alphabet),
    show_default=True,
    metavar="LETTERS",
    help="The model's order of bases, with N where it has a channel for N.",
)
ENCODE_N = click.option(
    "--encode-n",
    type=click.Choice(ENCODINGS_OF_N),
    default="zeros",
    show_default=True,
    help="What the model gets for N: zeros, or 1/4 for each base.",
)
TOKEN_IDS = click.option(
    "--token-ids",
    callback=_token_ids,
    metavar="A=I,C=J,...",
    help="For models of token ids: the id of A, C, G, T and, where there is one, of N.",
)
LOGITS = click.option(
    "--logits/--no-logits",
    default=True,
    show_default=True,
    help="Explain the logit before a final sigmoid or softmax.",
)
BATCH_SIZE = click.option(
    "--batch-size",
    default="auto",
    callback=parsed(_batch_size),
    metavar="auto|K",
    help="Number of sequences in a batch.  [default: auto]",
)
DEVICE = click.option(
    "--device",
    default="auto",
    callback=parsed(_device),
    metavar="auto|cpu|cuda[:i]",
    help="Device that computes.  [default: auto]",
)
THREADS = click.option(
    "--threads", type=click.IntRange(1, _MOST_THREADS), metavar="N", help="CPU threads.  [default: torch's]"
)
PRECISION = click.option(
    "--precision",
    type=click.Choice(["float32", "bfloat16", "float64"]),
    default="float32",
    show_default=True,
    help="Type in which to compute.",
)
COMPILE = click.option(
    "--compile",
    type=click.Choice(["auto", "on", "off"]),
    default="auto",
    show_default=True,
    help="Compile the model's scoring first; auto compiles for long jobs, but not for shards.",
)
ALLOW_PICKLE = click.option(
    "--allow-pickle",
    is_flag=True,
    help="Load files that can run any code: pickled modules, and archives that are refused otherwise.",
)


OVERLAP = click.option(
    "--overlap",
    type=click.Choice(list(overlaps.RULES)),
    default=overlaps.DEFAULT,
    show_default=True,
    help="bigWig: which window counts where several overlap.",
)


@contextmanager
def unusable_options(context: click.Context) -> Iterator[None]:
    """Options that turn out to be unusable once a file is read end the command as others do (exit code 2)."""
    try:
        yield
    except OptionsError as error:
        raise click.UsageError(str(error), context) from error


def with_options(options: Sequence[Callable[..., Any]]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that gives a command these options, in this order."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate
