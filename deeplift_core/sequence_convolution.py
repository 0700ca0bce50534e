"""Convolutions along a sequence, computed as images one pixel high with their channels side by side.

On every device that is the fastest form: with channels last a convolution is a product of matrices that
needs no copy of its input, and all that is done to its result element by element keeps the order. Weights are
brought into this form once, when the model is recorded.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten
_Settings = tuple[Any, ...]


def prepared(weight: Tensor) -> Tensor:
    """Weights [O, I, k] as :func:`convolution` takes them: [O, I, 1, k]."""
    return _as_image(weight)


def convolution(x: Tensor, weight: Tensor, bias: Tensor | None, *settings: Any) -> Tensor:
    """``aten.convolution`` of x [N, C, L] with prepared weights.

    Parameters
    ----------
    x : Tensor [N, C, L]
    weight : Tensor [O, I, 1, k]
    bias : Tensor [O] or None
    *settings
        Stride, padding, dilation, transposed, output padding (each with one number) and groups.
    """
    result: Tensor = aten.convolution.default(_as_image(x), weight, bias, *_for_images(settings))
    return result.squeeze(2)


convolution.stands_for = aten.convolution.default  # type: ignore[attr-defined]


def adjoint(m: Tensor, shape: torch.Size, weight: Tensor, settings: _Settings) -> Tensor:
    """Multipliers of the input of this ``shape`` [N, C, L], given those of :func:`convolution`'s result."""
    # Only its shape is read; in any other layout it would be copied first, which takes time.
    rows, channels, length = shape
    shape_only = torch.empty(
        (rows, channels, 1, length), dtype=m.dtype, device=m.device, memory_format=torch.channels_last
    )
    grads: tuple[Tensor, ...] = aten.convolution_backward.default(
        _as_image(m), shape_only, weight, None, *_for_images(settings), [True, False, False]
    )
    return grads[0].squeeze(2)


def _as_image(value: Tensor) -> Tensor:
    return value.unsqueeze(2).contiguous(memory_format=torch.channels_last)


def _for_images(settings: _Settings) -> _Settings:
    stride, padding, dilation, transposed, output_padding, groups = settings

    def both(of_length: Sequence[int], of_height: int) -> list[int]:
        return [of_height, *of_length]

    return both(stride, 1), both(padding, 0), both(dilation, 1), transposed, both(output_padding, 0), groups
