"""The content of a model file: the module, and the inputs and outputs that the file declares."""

import hashlib
import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the import of torch takes seconds, and `deeplift --help` must be fast
    from torch import nn

    from deeplift_cli.models.further_inputs import FurtherInputs

_CONTROLS = "X_ctl"  # bpnet-lite's name


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a model, as its file declares it.

    Attributes
    ----------
    name : str
    shape : tuple of (int or None), or None
        The sizes, with None for an axis of any length; None as a whole if the number of axes is not known.
    dtype : str or None
        The type as torch prints it without ``torch.`` ("float32"); None if the file does not declare it.
    """

    name: str
    shape: tuple[int | None, ...] | None
    dtype: str | None

    def __str__(self) -> str:
        shape = "?" if self.shape is None else ", ".join("?" if n is None else str(n) for n in self.shape)
        return f"{self.name} ({shape})"


@dataclass(frozen=True)
class ModelFile:
    """A model that was read from a file.

    Attributes
    ----------
    module : torch.nn.Module
        The module in evaluation mode, float32, on the CPU, with parameters that need no gradient.
    format : str
        Name of the format in the registry ("onnx", "torchscript", ...).
    path : pathlib.Path
    sha256 : str
        The digest of the file's bytes, followed by those of its external data files (ONNX), if any.
    inputs, outputs : tuple of TensorSpec
        The declared inputs and outputs; empty if the format does not declare them.
    notes : tuple of str
        One-line things that the user should be told.
    labels : tuple of str
        Names of the classes or tracks of an output, in order; empty where the file has none.
    weights : tuple of str
        Names of the weights in the file, where the module does not keep them.
    further : FurtherInputs or None
        Values of inputs that are not the sequence; the module then takes the sequence alone, or the sequence
        and the values that differ by record.
    token_letters : str
        The letters whose token ids the model takes, "ACGT" or "ACGTN", if the module was made to take one-hot
        rows of these in place of the ids; else "".
    """

    module: "nn.Module"
    format: str
    path: Path
    sha256: str
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    notes: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()
    further: "FurtherInputs | None" = None
    token_letters: str = ""

    @property
    def batch_size(self) -> int | None:
        """The number of rows that every batch must have; None if it is free or not known."""
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
    tracks = _control_tracks(module)
    return (*found, TensorSpec(_CONTROLS, (None, tracks, None), "float32")) if tracks else found


def _control_tracks(module: "nn.Module") -> int:
    """Return the number of control tracks that a model of bpnet-lite needs; 0 for all other models."""
    tracks = getattr(module, "n_control_tracks", 0)
    takes_them = isinstance(tracks, int) and _CONTROLS in inspect.signature(module.forward).parameters
    return int(tracks) if takes_them else 0


def batch_note(rows: int) -> str:
    """Return the note for a model whose batch size is fixed."""
    return f"the model takes only batches of exactly {rows} rows"
