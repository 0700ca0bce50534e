"""Shuffles that keep the count of every base."""

from deeplift_references.base import Reference
from deeplift_references.registry import Settings, register
from deeplift_references.shuffling import Shuffle


@register(
    "mononucleotide",
    help="shuffles that keep the count of each base (drawn uniformly)",
    takes_count=True,
    has_expectation=True,
)
def make_mononucleotide(argument: str | None, settings: Settings) -> Reference:  # noqa: ARG001 - takes none
    """Make mononucleotide shuffles: each maximal run of ACGT is permuted uniformly, its ends too."""
    return Shuffle("mononucleotide", settings.n_references, settings.seed)
