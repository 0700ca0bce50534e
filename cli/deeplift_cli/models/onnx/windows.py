"""Where the windows of convolutions and pooling lie, in all of ONNX's ways to say so."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

# The padding for maxima, within the range of bfloat16. -inf would not do, since its difference from itself is
# not a number.
LOWEST = -1e30


class Window:
    """Where the windows of a convolution or pooling lie, as the attributes of ONNX say it."""

    def __init__(
        self,
        kernel_shape: Sequence[int],
        strides: Sequence[int] | None = None,
        dilations: Sequence[int] | None = None,
        pads: Sequence[int] | None = None,
        auto_pad: str = "NOTSET",
        ceil_mode: int = 0,
    ) -> None:
        ones = [1] * len(kernel_shape)
        self.kernel = list(kernel_shape)
        self.strides, self.dilations = list(strides or ones), list(dilations or ones)
        self.pads = list(pads or [0] * 2 * len(ones)) if auto_pad == "NOTSET" else [0] * 2 * len(ones)
        self.auto_pad, self.ceil_mode = auto_pad, bool(ceil_mode)

    def amounts(self, sizes: Sequence[int]) -> list[tuple[int, int]]:
        """Return the padding before and after each spatial axis of an input of these `sizes`."""
        half = len(self.kernel)
        if not self.auto_pad.startswith("SAME"):
            return list(zip(self.pads[:half], self.pads[half:], strict=True))
        return [self._same(axis, size) for axis, size in enumerate(sizes)]

    def constant_amounts(self) -> list[tuple[int, int]] | None:
        """Return the padding where it is the same for inputs of all sizes; None where it is not."""
        if self.auto_pad.startswith("SAME") and any(stride != 1 for stride in self.strides):
            return None
        return self.amounts([1] * len(self.kernel))

    def _same(self, axis: int, size: int) -> tuple[int, int]:
        stride, reach = self.strides[axis], self.dilations[axis] * (self.kernel[axis] - 1) + 1
        total = max(0, (-(-size // stride) - 1) * stride + reach - size)
        small = total // 2
        return (total - small, small) if self.auto_pad == "SAME_LOWER" else (small, total - small)


def pad_spatial(x: Tensor, amounts: Sequence[tuple[int, int]], value: float) -> Tensor:
    """Pad the spatial axes of x [N, C, ...] with a constant; x itself where there is nothing to pad."""
    if not any(map(any, amounts)):
        return x
    return F.pad(x, [n for pair in reversed(amounts) for n in pair], value=value)


class SpatialPad(nn.Module):
    """Pad the spatial axes with zeros, as a window says."""

    def __init__(self, window: Window) -> None:
        super().__init__()
        self.window = window

    def forward(self, x: Tensor) -> Tensor:
        return pad_spatial(x, self.window.amounts(x.shape[2:]), 0.0)
