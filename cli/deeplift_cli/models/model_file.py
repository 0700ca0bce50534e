"""What reading a model file gives: the module and what the file says about its inputs and outputs."""

import hashlib
import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # torch takes seconds to import, and `deeplift --help` must not
    from torch import nn

_CONTROLS = "X_ctl"  # bpnet-lite's name


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a model, as far as its file declares it.

    Attributes
    ----------
    name : str
    shape : tuple of (int or None), or None
        None for an axis of any length; None as a whole where not even the number of axes is known.
    dtype : str or None
        As torch prints it without ``torch.`` ("float32"); None where the file does not say.
    """

    name: str
    shape: tuple[int | None, ...] | None
    dtype: str | None

    def __str__(self) -> str:
        shape = "?" if self.shape is None else ", ".join("?" if n is None else str(n) for n in self.shape)
        return f"{self.name} ({shape})"


@dataclass(frozen=True)
class ModelFile:
    """A model that was read.

    Attributes
    ----------
    module : torch.nn.Module
        In evaluation mode, float32, on the CPU, with parameters that need no gradient.
    format : str
        Name of the format in the registry ("onnx", "torchscript", ...).
    path : pathlib.Path
    sha256 : str
        Of the file's bytes, followed by those of further files that were read with it: external data of ONNX,
        the configuration beside weights, the code of their architecture.
    inputs, outputs : tuple of TensorSpec
        Empty where the format does not declare them.
    notes : tuple of str
        One-line things that the user should be told.
    """

    module: "nn.Module"
    format: str
    path: Path
    sha256: str
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def batch_size(self) -> int | None:
        """The number of rows that every batch must have; None where any will do, or none is known."""
        if not self.inputs or not self.inputs[0].shape:
            return None
        return self.inputs[0].shape[0]


def file_sha256(path: Path, further: Iterable[Path] = ()) -> str:
    """Return the SHA-256 of `path`'s bytes followed by those of the `further` files, as hex digits."""
    digest = hashlib.sha256()
    for part in (path, *further):
        with part.open("rb") as handle:
            while block := handle.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def inputs_of_forward(module: "nn.Module") -> tuple[TensorSpec, ...]:
    """Return the parameters that ``forward`` cannot do without; none where it takes any number.

    Models of bpnet-lite that were trained with control tracks need ``X_ctl``, although it has a default.
    """
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(module.forward).parameters.values()
    needed = [item.name for item in parameters if item.kind in kinds and item.default is item.empty]
    found = tuple(TensorSpec(name, None, None) for name in needed)
    tracks = control_tracks(module)
    return (*found, TensorSpec(_CONTROLS, (None, tracks, None), "float32")) if tracks else found


def control_tracks(module: "nn.Module") -> int:
    """Return the number of control tracks that a model of bpnet-lite needs; 0 for all other models."""
    tracks = getattr(module, "n_control_tracks", 0)
    takes_them = isinstance(tracks, int) and _CONTROLS in inspect.signature(module.forward).parameters
    return int(tracks) if takes_them else 0


def batch_note(rows: int) -> str:
    """Return the note for a model whose batch size is fixed."""
    return f"the model takes batches of exactly {rows}, and runs on no more at a time"
