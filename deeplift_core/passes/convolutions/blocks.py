"""The adjoint of a convolution of very few channels, such as the bases that a model's first layer takes.

A kernel computes as many channels of a result at a time as a vector register holds numbers: 16 in float32, of
which four bases fill a quarter. Here the bases of neighbouring positions are channels side by side. These
channels are computed by a convolution whose stride is the number of these positions, and whose kernel holds
the taps of each position, shifted by one position each. The kernel contains zeros, whose products cost less
time than the full registers save. The adjoint takes between a third and half of the time.
"""

import torch
from torch import Tensor

aten = torch.ops.aten

# Four channels of this many positions fill a register.
_POSITIONS = 4
# Rows whose beginnings lie a multiple of this many bytes apart compete for the same places in the processor's
# cache, which costs more time than everything else.
_ALIASING = 2048


class BlockAdjoint:
    """The adjoint as a function: multipliers of the input [N, I, L], given those of the result.

    Parameters
    ----------
    weight : Tensor [O, I, 1, k]
    length : int
        L.
    padding : int
        The padding, which is below k, the number of taps. The convolution's stride and dilation are 1.
    """

    def __init__(self, weight: Tensor, length: int, padding: int) -> None:
        channels, self._channels, _, taps = weight.shape
        together = _POSITIONS * channels * weight.dtype.itemsize
        self._positions = _POSITIONS - 1 if together % _ALIASING == 0 else _POSITIONS
        self._length = length
        spare = -length % self._positions  # positions of the last block that lie beyond the end
        self._padding = taps - 1 - padding + spare
        moved = [(spare + place, self._positions - 1 - place) for place in range(self._positions)]
        kernel = weight.flip(3).transpose(0, 1)
        blocks = torch.cat([torch.nn.functional.pad(kernel, ends) for ends in moved])
        self._weight = blocks.contiguous(memory_format=torch.channels_last)

    def __call__(self, m: Tensor) -> Tensor:
        """Return [N, I, L] with channels last, given m [N, O, 1, L'] with channels last."""
        settings = [1, self._positions], [0, self._padding], [1, 1], False, [0, 0], 1
        blocks = aten.convolution.default(m, self._weight, None, *settings)
        positions = blocks.permute(0, 2, 3, 1).reshape(len(m), -1, self._channels)
        found: Tensor = positions[:, : self._length].transpose(1, 2)
        return found
