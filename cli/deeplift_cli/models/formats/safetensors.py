"""Weights in safetensors files, as the Hugging Face hub has them, with a config.json beside or without."""

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deeplift_cli.models.architecture import OPTIONS, Hyperparameters
from deeplift_cli.models.examination.archive import require_memory
from deeplift_cli.models.foreign import errors_in_one_line
from deeplift_cli.models.model_file import ModelFile
from deeplift_cli.models.registry import Candidate, Format
from deeplift_cli.models.weights import with_architecture, without_architecture

_LONGEST_HEADER = 100_000_000  # bytes, as the format has it
_COPIES = 2  # the file's tensors and the network's


def recognises(candidate: Candidate) -> bool:
    """Return whether the file begins with a length of eight bytes and a JSON object, or has the suffix."""
    is_named_so = candidate.path.suffix == ".safetensors" and not candidate.members
    return is_named_so or _begins_so(candidate.head)


def _begins_so(head: bytes) -> bool:
    """Return whether a file begins as safetensors do."""
    return head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] <= _LONGEST_HEADER


def read(
    path: Path,
    *,
    allow_pickle: bool,
    architecture: str | None = None,
    model_args: str | Mapping[str, Any] | None = None,
) -> ModelFile:
    """Load weights into the network that `architecture` builds.

    Raises
    ------
    UserError
        Where the file is damaged, no architecture is named, or the weights are not its.
    """
    del allow_pickle  # there is no code in the file
    import safetensors
    import safetensors.torch

    require_memory(str(path), path.stat().st_size * _COPIES)
    with errors_in_one_line(f"safetensors file {path} is damaged or truncated"):
        state = safetensors.torch.load_file(path)
    if architecture is None:
        raise without_architecture(path, "safetensors")
    return with_architecture(
        path, state, Hyperparameters(), format_name="safetensors", architecture=architecture, given=model_args
    )


FORMAT = Format(
    "safetensors", "weights in safetensors (with --architecture)", recognises, read, options=OPTIONS
)
