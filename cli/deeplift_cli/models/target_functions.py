"""What `--target` means for a model, as functions of its output that the core records once.

Shapes are those of the explained output, [K, ...]. Functions are frozen and compared by their fields.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from deeplift_core import OfOutput, TargetError, TargetFunction

# An index of an axis, or a range of them: its start, and the index behind its end (None: to the axis' end).
Part = int | tuple[int, int | None]


@dataclass(frozen=True)
class Reduced(TargetFunction):
    """One element, or the mean, sum or maximum over a part of the output.

    Attributes
    ----------
    function : str
        "mean", "sum" or "max"; the same for a single element.
    parts : tuple of Part
        A part for each axis after the batch; further axes of length 1 need none. Without parts the whole
        output is taken.
    text : str
        The target as the user wrote it, for messages.
    """

    function: str
    parts: tuple[Part, ...]
    text: str

    def __call__(self, output: Tensor) -> Tensor:
        """Return [K]; `TargetError` where the output has other axes, or no such index."""
        value = self._part_of(output)
        if value.dim() == 1:
            return value
        flat = value.flatten(1)
        if self.function == "mean":
            return flat.mean(1)
        return flat.sum(1) if self.function == "sum" else flat.amax(1)

    def covers(self, output_shape: tuple[int, ...], axis: int) -> bool:
        """Return whether all indices of an axis are in it.

        Parameters
        ----------
        output_shape : tuple of int
            The shape without the batch.
        axis : int
            The number of an axis, with the batch as axis 0.
        """
        if not self.parts:
            return True
        if axis > len(self.parts):
            return False
        part = self.parts[axis - 1]
        return not isinstance(part, int) and part[0] == 0 and part[1] in (None, output_shape[axis - 1])

    def _part_of(self, output: Tensor) -> Tensor:
        shape = tuple(output.shape[1:])
        if not self.parts or (not shape and self.parts == (0,)):
            return output
        behind = shape[len(self.parts) :]
        if len(self.parts) > len(shape) or any(size != 1 for size in behind):
            ranges = ", ".join(f"0 to {size - 1}" for size in shape) or "none"
            raise TargetError(
                f"target {self.text} has {len(self.parts)} place(s) in brackets, and an output of shape "
                f"{shape} takes one for each axis ({ranges})"
            )
        value, axis = output, 1
        for part, size in zip(self.parts, shape, strict=False):
            start, end = (part, part + 1) if isinstance(part, int) else (part[0], part[1] or size)
            if end > size:
                raise TargetError(
                    f"target {self.text} is out of range: the output has shape {shape}, valid is 0 to "
                    f"{size - 1}"
                )
            if isinstance(part, int):
                value = value.select(axis, part)
            else:
                value = value.narrow(axis, start, end - start)
                axis += 1
        return value


@dataclass(frozen=True)
class Less(TargetFunction):
    """One term less another."""

    first: Reduced
    second: Reduced

    def __call__(self, output: Tensor) -> Tensor:
        """Return [K]."""
        return self.first(output) - self.second(output)


def terms_of(target: object) -> tuple[Reduced, ...]:
    """Return the terms of a target; none of an index or of a head."""
    scalar = target.target if isinstance(target, OfOutput) else target
    if isinstance(scalar, Less):
        return scalar.first, scalar.second
    return (scalar,) if isinstance(scalar, Reduced) else ()


@dataclass(frozen=True)
class MeanCounts(TargetFunction):
    """The mean over tracks of log counts [K, k] or [K]."""

    def __call__(self, output: Tensor) -> Tensor:
        """Return [K]."""
        return output if output.dim() == 1 else output.flatten(1).mean(1)


@dataclass(frozen=True)
class WeightedProfile(TargetFunction):
    """The logits of a profile, less their mean, weighted by their softmax and summed.

    Attributes
    ----------
    positions : int or None
        The axis of positions, where softmax and mean are taken in each track by itself; None where they are
        taken over positions and tracks together, as bpnet-lite's ProfileWrapper does.
    """

    positions: int | None = None

    def __call__(self, output: Tensor) -> Tensor:
        """Return [K] for logits [K, k, L], [K, L, k] or [K, L]."""
        logits, axis = (output.flatten(1), 1) if self.positions is None else (output, self.positions)
        logits = logits - logits.mean(axis, keepdim=True)
        return (logits * torch.softmax(logits, axis)).flatten(1).sum(1)
