"""Convolutions along a sequence, computed as images with their channels side by side.

On every device this is the fastest form: with channels last a convolution is a product of matrices that
needs no copy of its input, and all elementwise operations on its result keep the order of memory.

The image is one pixel high, with one exception: the taps of dilated convolutions of many channels lie so far
apart in memory that a CPU's caches do not hold them together. In rows as long as the dilation the taps lie
one below the other, and the same convolution takes a tenth to a half less time. Also on a CPU, the adjoint to
very few channels goes through blocks of positions (:mod:`deeplift_core.passes.convolutions.blocks`), and in
float64, for which torch has a slow kernel, products of matrices
(:mod:`deeplift_core.passes.convolutions.tap_products`) take the place of both.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from deeplift_core.passes.convolutions.blocks import BlockAdjoint
from deeplift_core.passes.convolutions.tap_products import tap_products, tap_products_adjoint
from deeplift_core.passes.thresholds import BLOCK_CHANNELS, ROWS_CHANNELS, ROWS_DISTANCE, TAPS_CHANNELS
from deeplift_core.rules.linear import convolution_adjoint

aten = torch.ops.aten
Settings = tuple[Any, ...]


def prepared(weight: Tensor) -> Tensor:
    """Return weights [O, I, k] as :func:`convolution` takes them: [O, I, 1, k] with channels last."""
    return _as_image(weight)


def convolution(x: Tensor, weight: Tensor, bias: Tensor | None, *settings: Any) -> Tensor:
    """Return ``aten.convolution`` of x [N, C, L] with prepared weights.

    Parameters
    ----------
    x : Tensor [N, C, L]
    weight : Tensor [O, I, 1, k]
    bias : Tensor [O] or None
    *settings
        Stride, padding, dilation, transposed, output padding (each with one number) and groups.
    """
    if _in_products(weight, settings):
        return tap_products(x, by_taps(weight), bias, *padding_and_dilation(settings))
    image = _as_image(x)
    if not _in_rows(weight, settings):
        result: Tensor = aten.convolution.default(image, weight, bias, *_in_line(settings))
        return result.squeeze(2)
    padding, dilation = padding_and_dilation(settings)
    length = x.shape[2] + 2 * padding - dilation * (weight.shape[3] - 1)
    rows = _rows(image, dilation)
    return _line(aten.convolution.default(rows, weight.mT, bias, *_down_columns(settings)), length)


def adjoint_of(weight: Tensor, shape: torch.Size, settings: Settings) -> Callable[[Tensor], Tensor]:
    """Return the adjoint of :func:`convolution` with these weights, prepared for all later calls.

    Parameters
    ----------
    weight : Tensor [O, I, 1, k]
    shape : torch.Size
        The shape of the convolution's input [N, C, L].
    settings : tuple
        The settings of :func:`convolution`.

    Returns
    -------
    callable
        Multipliers of the input [N, C, L], given those of the result.
    """
    _, channels, length = shape
    padding, dilation = padding_and_dilation(settings)
    if _in_products(weight, settings):
        return lambda m: tap_products_adjoint(m, by_taps(weight), length, padding, dilation)
    if _in_blocks(weight, settings):
        in_blocks = BlockAdjoint(weight, length, padding)
        return lambda m: in_blocks(_as_image(m))
    if not _in_rows(weight, settings):
        line = channels, 1, length
        return lambda m: _adjoint(_as_image(m), line, weight, _in_line(settings)).squeeze(2)
    rows = channels, -(-length // dilation), dilation

    def in_rows(m: Tensor) -> Tensor:
        image = _rows(_as_image(m), dilation)
        return _line(_adjoint(image, rows, weight.mT, _down_columns(settings)), length)

    return in_rows


def _adjoint(m: Tensor, image: tuple[int, int, int], weight: Tensor, settings: Settings) -> Tensor:
    channels, height, width = image
    channels_last = channels * height * width, 1, channels * width, channels
    return convolution_adjoint(m, weight, (len(m), *image), channels_last, settings)


def _in_products(weight: Tensor, settings: Settings) -> bool:
    of_doubles = weight.device.type == "cpu" and weight.dtype == torch.float64
    return of_doubles and min(weight.shape[:2]) >= TAPS_CHANNELS and is_plain(settings)


def _in_blocks(weight: Tensor, settings: Settings) -> bool:
    padding, dilation = padding_and_dilation(settings)
    _, channels, _, taps = weight.shape
    return (
        weight.device.type == "cpu"
        and weight.dtype != torch.float64
        and channels <= BLOCK_CHANNELS
        and padding < taps > 1 == dilation
        and is_plain(settings)
    )


def is_plain(settings: Settings) -> bool:
    """Return whether a convolution has stride 1 and one group, and is not transposed."""
    stride, _, _, transposed, _, groups = settings
    return (stride[0], transposed, groups) == (1, False, 1)


def by_taps(weight: Tensor) -> Tensor:
    """Return prepared weights [O, I, 1, k] as a matrix for each tap, [k, I, O], in the same memory."""
    return weight.squeeze(2).permute(2, 1, 0)


def padding_and_dilation(settings: Settings) -> tuple[int, int]:
    """Return the two numbers of a convolution along one axis."""
    _, (padding,), (dilation,), *_ = settings
    return padding, dilation


def _in_rows(weight: Tensor, settings: Settings) -> bool:
    padding, dilation = padding_and_dilation(settings)
    channels = min(weight.shape[:2])
    return (
        weight.device.type == "cpu"
        and channels >= ROWS_CHANNELS
        and channels * dilation >= ROWS_DISTANCE
        and weight.shape[3] > 1
        and padding % dilation == 0
        and is_plain(settings)
    )


def _rows(image: Tensor, length: int) -> Tensor:
    """Return an image [N, C, 1, L] as [N, C, ceil(L / length), length], filled up with zeros."""
    batch, channels, _, total = image.shape
    count = -(-total // length)
    filled = torch.nn.functional.pad(image, (0, count * length - total))
    return filled.permute(0, 2, 3, 1).reshape(batch, count, length, channels).permute(0, 3, 1, 2)


def _line(rows: Tensor, length: int) -> Tensor:
    """Return rows one after the other, cut to this length: a sequence [N, C, L] with channels last."""
    line = rows.permute(0, 2, 3, 1).flatten(1, 2)[:, :length]
    return line.contiguous().transpose(1, 2)


def _as_image(value: Tensor) -> Tensor:
    return value.unsqueeze(2).contiguous(memory_format=torch.channels_last)


def _in_line(settings: Settings) -> Settings:
    stride, padding, dilation, transposed, output_padding, groups = settings

    def both(of_length: Sequence[int], of_height: int) -> list[int]:
        return [of_height, *of_length]

    return both(stride, 1), both(padding, 0), both(dilation, 1), transposed, both(output_padding, 0), groups


def _down_columns(settings: Settings) -> Settings:
    padding, dilation = padding_and_dilation(settings)
    return [1, 1], [padding // dilation, 0], [1, 1], False, [0, 0], 1
