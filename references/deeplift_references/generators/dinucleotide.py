"""Shuffles that keep every dinucleotide count."""

from deeplift_references.base import Reference
from deeplift_references.registry import Settings, register
from deeplift_references.shuffling import Shuffle


@register(
    "dinucleotide",
    help="shuffles that keep the count of each dinucleotide (drawn uniformly)",
    takes_count=True,
    has_expectation=True,
)
def make_dinucleotide(argument: str | None, settings: Settings) -> Reference:  # noqa: ARG001 - takes none
    """Make dinucleotide shuffles.

    Each maximal run of ACGT is replaced by a draw from the uniform distribution over all sequences that
    have the same dinucleotide counts and the same first and last base. A run may stay unchanged by chance,
    and always does if no other such sequence exists.
    """
    return Shuffle("dinucleotide", settings.n_references, settings.seed)
