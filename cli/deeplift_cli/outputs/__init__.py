"""Where scores go: pieces while a run is at it, HDF5 with its companions, bigWig."""

from deeplift_cli.outputs.bigwig import write_bigwig
from deeplift_cli.outputs.chrom_sizes import Placement, read_chrom_sizes
from deeplift_cli.outputs.layout import ScoreLayout
from deeplift_cli.outputs.packed import PackedBatch, ScoredBatch, pack
from deeplift_cli.outputs.publish import Publication, check_writable
from deeplift_cli.outputs.score_file import ScoreFile, companions, not_written
from deeplift_cli.outputs.workspace import Workspace, begun_outputs, clean_up

__all__ = [
    "PackedBatch",
    "Placement",
    "Publication",
    "ScoreFile",
    "ScoreLayout",
    "ScoredBatch",
    "Workspace",
    "begun_outputs",
    "check_writable",
    "clean_up",
    "companions",
    "not_written",
    "pack",
    "read_chrom_sizes",
    "write_bigwig",
]
