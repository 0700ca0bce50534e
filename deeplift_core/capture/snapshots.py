"""Copies of the constants of a recording, which neither training nor in-place code changes later."""

from typing import Any, NamedTuple

import torch
from torch import Tensor


class _Held(NamedTuple):
    """A copy, and the storage that was copied. As long as this is held, no other storage gets its address."""

    storage: torch.UntypedStorage
    version: int | None
    copy: Tensor


class Snapshots:
    """One copy of each constant, however many calls read the constant.

    Several recordings of one model may share the copies.
    """

    def __init__(self) -> None:
        self._held: dict[Any, _Held] = {}

    def of(self, tensor: Tensor, *, sequence_weight: bool = False) -> Tensor:
        """Return a copy of ``tensor``'s value at present.

        Parameters
        ----------
        tensor : Tensor
            A constant.
        sequence_weight : bool
            True if the tensor holds weights [O, I, k] of a convolution along a sequence. The copy lies in
            memory such that ``copy.unsqueeze(2)`` is contiguous in torch.channels_last, the fastest layout
            for scoring. No second copy of the weights is then needed.
        """
        address = int(tensor.untyped_storage()._cdata)
        layout = (tensor.storage_offset(), tuple(tensor.shape), tensor.stride(), tensor.dtype)
        key = (address, *layout, sequence_weight)
        version = None if tensor.is_inference() else tensor._version
        held = self._held.get(key)
        if held is None or held.version != version or version is None:
            copy = _channels_last(tensor.detach()) if sequence_weight else tensor.detach().clone()
            held = self._held[key] = _Held(tensor.untyped_storage(), version, copy)
        return held.copy


def _channels_last(weight: Tensor) -> Tensor:
    """Return a copy of weights [O, I, k] with the strides of channels last: I next to I, then k, then O."""
    out, channels, taps = weight.shape
    return weight.new_empty_strided((out, channels, taps), (channels * taps, 1, channels)).copy_(weight)
