"""Where scores go: HDF5 with its companions, bigWig."""

from deeplift_cli.outputs.bigwig import write_bigwig
from deeplift_cli.outputs.chrom_sizes import Placement, read_chrom_sizes
from deeplift_cli.outputs.publish import Publication, check_writable
from deeplift_cli.outputs.score_file import ScoredBatch, ScoreFile, companions

__all__ = [
    "Placement",
    "Publication",
    "ScoreFile",
    "ScoredBatch",
    "check_writable",
    "companions",
    "read_chrom_sizes",
    "write_bigwig",
]
