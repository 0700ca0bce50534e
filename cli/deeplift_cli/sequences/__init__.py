"""Readers of sequences: FASTA records, or windows of a genome around regions."""

from deeplift_cli.sequences.cache import cache_folder
from deeplift_cli.sequences.encode import one_hot
from deeplift_cli.sequences.fasta import FastaSource
from deeplift_cli.sequences.genome import GenomeSource
from deeplift_cli.sequences.input_index import (
    InputIndex,
    Source,
    open_prepared_source,
    open_source,
    whole_input,
)
from deeplift_cli.sequences.records import Record, Region, Skipped
from deeplift_cli.sequences.sampling import Sample
from deeplift_cli.sequences.selection import Selection, make_selection

__all__ = [
    "FastaSource",
    "GenomeSource",
    "InputIndex",
    "Record",
    "Region",
    "Sample",
    "Selection",
    "Skipped",
    "Source",
    "cache_folder",
    "make_selection",
    "one_hot",
    "open_prepared_source",
    "open_source",
    "whole_input",
]
