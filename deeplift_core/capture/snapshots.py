"""Copies of the constants of a recording: neither training nor in-place code changes them later."""

from typing import Any, NamedTuple

import torch
from torch import Tensor


class _Held(NamedTuple):
    """A copy and what it was made of; holding the storage keeps its address from being used again."""

    storage: torch.UntypedStorage
    version: int | None
    copy: Tensor


class Snapshots:
    """One copy of each constant, however often it is used.

    Several recordings of one model may share the copies.
    """

    def __init__(self) -> None:
        self._held: dict[Any, _Held] = {}

    def of(self, tensor: Tensor, *, sequence_weight: bool = False) -> Tensor:
        """The value of ``tensor`` as it is now.

        Parameters
        ----------
        tensor : Tensor
            A constant.
        sequence_weight : bool
            Whether these are weights [O, I, k] of a convolution along a sequence. Their copy lies in memory
            such that ``copy.unsqueeze(2)`` is contiguous in torch.channels_last, the fastest layout for
            scoring, so that no second copy of the weights is needed.
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
    """A copy of weights [O, I, k] with the strides of channels last: I next to I, then k, then O."""
    out, channels, taps = weight.shape
    return weight.new_empty_strided((out, channels, taps), (channels * taps, 1, channels)).copy_(weight)
