"""A corpus of hostile and odd inputs, and the real command run on each (docs/testing.md).

Each case is stated in the module of its kind: what is written into an empty folder, the command, and by the
contract its exit code and what its one message has to name.
"""

from hostile import (
    bed,
    environment,
    exported_files,
    fasta,
    genomes,
    keras_files,
    merging,
    onnx_files,
    options,
    outputs,
    pickled_files,
    references,
    torchscript_files,
    verifying,
    weights_files,
    work_folders,
)
from hostile.cases import CASES

__all__ = [
    "CASES",
    "bed",
    "environment",
    "exported_files",
    "fasta",
    "genomes",
    "keras_files",
    "merging",
    "onnx_files",
    "options",
    "outputs",
    "pickled_files",
    "references",
    "torchscript_files",
    "verifying",
    "weights_files",
    "work_folders",
]
