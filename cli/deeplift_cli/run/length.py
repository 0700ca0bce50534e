"""A check that the model's length, `--length` and the lengths of the records agree."""

from deeplift_cli.errors import UserError
from deeplift_cli.models.explainer import Explained
from deeplift_cli.options.settings import ScoreOptions
from deeplift_cli.sequences import Source


def check_length(options: ScoreOptions, explained: Explained, source: Source) -> None:
    """Refuse options and inputs that leave the length of the windows open, or contradict each other.

    Raises
    ------
    UserError
        If a model that takes any length is to score records of several lengths without `--length`, or
        `--length` is not the only length that a model takes.
    """
    if options.length not in (None, explained.length):
        raise UserError(
            f"{options.model} takes sequences of {explained.length:,} bp only, not the {options.length:,} bp "
            f"of --length; give --length {explained.length}, or leave it out"
        )
    facts = source.facts
    if options.length is None and explained.takes_any_length and facts.shortest != facts.longest:
        if options.fasta is not None:
            records = f"FASTA file {options.fasta} has records"
            remedy = "each record is then cut or padded with N about its centre"
        else:
            records = f"regions file {options.regions} has regions"
            remedy = "windows of L bp are then cut around their centres"
        raise UserError(
            f"{records} of {facts.shortest:,} to {facts.longest:,} bp, and {options.model} takes any length: "
            f"give --length L ({remedy})"
        )
