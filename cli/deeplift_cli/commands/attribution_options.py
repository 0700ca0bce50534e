"""Options of `score` and `variants` that say how contributions are computed."""

from collections.abc import Mapping
from math import isnan
from typing import Any

import click

import deeplift_references
from deeplift_cli import reference_kinds  # noqa: F401 - registers its kinds
from deeplift_cli.commands.further_options import is_given
from deeplift_cli.commands.shared_options import Described, new_file, parsed
from deeplift_cli.options.rules import takes_gradients
from deeplift_core import RULES
from deeplift_core.assignment.names import parse_rule

_SEED = click.IntRange(-(2**63), 2**63 - 1)  # an attribute of the score file holds the seed


def _rule(text: str) -> str:
    parse_rule(text)
    return text


def _reference(text: str) -> str:
    deeplift_references.parse_spec(text)
    return text


def _frequencies(text: str) -> tuple[float, ...] | None:
    if text == "auto":
        return None
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise ValueError(f"{text[:60]!r} is neither auto nor four numbers, A,C,G,T") from error
    deeplift_references.make("frequency", frequencies=values)
    return values


def _limit(value: float) -> float:
    if isnan(value):
        raise ValueError("nan is no limit")
    return value


def _kinds_of_reference() -> dict[str, str]:
    """Return the names of the kinds of reference; a kind that cannot be loaded is reported on its use."""
    deeplift_references.load_kinds_of_other_packages()
    return {"metavar": "|".join(kind.usage for kind in deeplift_references.kinds().values())}


RULE = click.option(
    "--rule",
    default="genomics-default",
    callback=parsed(_rule),
    show_default=True,
    metavar="|".join(RULES),
    help="How activations are explained.",
)
REFERENCE = click.option(
    "--reference",
    default="dinucleotide",
    callback=parsed(_reference),
    show_default=True,
    cls=Described,
    describe=_kinds_of_reference,
    help="What sequences are compared with.",
)
SAVE_REFERENCES = click.option(
    "--save-references",
    callback=parsed(new_file),
    metavar="PATH",
    help="Write the references to a file, for --reference file:.",
)
FREQUENCIES = click.option(
    "--frequencies",
    default="auto",
    callback=parsed(_frequencies),
    metavar="A,C,G,T|auto",
    help="For --reference frequency; auto counts the bases of the input.  [default: auto]",
)
N_REFERENCES = click.option(
    "--n-references",
    "--n-shuffles",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="Number of shuffles, or background sequences, for each sequence.",
)
SEED = click.option(
    "--seed",
    type=_SEED,
    default=0,
    show_default=True,
    metavar="INTEGER",
    help="Seed of shuffles and of all draws.",
)
CENTRE = click.option(
    "--centre/--no-centre",
    default=True,
    show_default=True,
    help="For softmax: subtract the mean over its classes.",
)
RC_AVERAGE = click.option("--rc-average", is_flag=True, help="Average with the reverse complement's scores.")
MAX_COMPLETENESS_ERROR = click.option(
    "--max-completeness-error",
    type=click.FloatRange(min=0),
    metavar="E",
    callback=parsed(_limit),
    help="Exit with 3 if summation-to-delta is off by more (relative).",
)
DTYPE = click.option(
    "--dtype",
    type=click.Choice(["float32", "float16"]),
    default="float32",
    show_default=True,
    help="Type of the stored scores.",
)


def refuse_contradicting_references(context: click.Context, given: Mapping[str, Any]) -> None:
    """Refuse options of references and rules that contradict each other.

    Raises
    ------
    click.UsageError
    """
    kind, _ = deeplift_references.parse_spec(given["reference"])
    if is_given(context, "frequencies") and kind.name != "frequency":
        raise click.UsageError(f"--frequencies goes with --reference frequency, not {kind.name}")
    if is_given(context, "n_references") and not kind.takes_count:
        raise click.UsageError(
            f"--reference {kind.usage} decides by itself how many; leave out --n-references"
        )
    if given["layer_rules"] and takes_gradients(given["rule"]):
        raise click.UsageError(f"--layer-rule does not go with --rule {given['rule']}")
