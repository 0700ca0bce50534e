"""Draw rows of the example's kind, on which a recording is compared with its model."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

# Sizes of an axis along which a one-hot base lies: A, C, G, T, and perhaps N.
_BASES = (4, 5)
# Share of the positions that have no base, as N has none, in every second row of A, C, G and T.
_UNKNOWN = 0.1


class Rows(NamedTuple):
    """Two batches of K rows. Some rows are in both, at different places and among different rows.

    Attributes
    ----------
    first, second : tuple of Tensor [K, ...]
        One tensor for each input of the model.
    in_first, in_second : Tensor
        Places of the common rows in each batch.
    in_example, beside : Tensor
        The place in the example of a row that the second batch has at the place ``beside``. Both are empty
        if there is a single row.
    """

    first: tuple[Tensor, ...]
    second: tuple[Tensor, ...]
    in_first: Tensor
    in_second: Tensor
    in_example: Tensor
    beside: Tensor


def other_rows(example: Sequence[Tensor]) -> Rows:
    """Draw two batches like ``example``; every call draws the same ones.

    Every second row of the second batch is a row of the first, in reverse order. The rows between them are
    new, so that every statistic over rows, every neighbour and every place of a common row changes. The last
    of the rows between them is one of the example, which has neighbours of another kind there: without N,
    for instance.

    Parameters
    ----------
    example : sequence of Tensor [K, ...]
        An input of zeros and ones becomes zeros and ones; if there is an axis along which the example has one
        1, so have the new rows, but for a few positions without a base where the axis has 4 letters. Whole
        numbers become whole numbers, and other numbers uniform ones, within the example's range. The rows'
        compositions differ, and hence their averages.
    """
    rows = len(example[0])
    generator = torch.Generator().manual_seed(0)
    first = tuple(_drawn(tensor, generator) for tensor in example)
    second = tuple(_drawn(tensor, generator) for tensor in example)
    places = torch.arange((rows + 1) // 2, device=example[0].device)
    in_first, in_second = rows - 1 - places, 2 * places
    for there, here in zip(second, first, strict=True):
        there[in_second] = here[in_first]
    beside = (2 * places + 1)[: rows // 2][-1:]
    in_example = (beside + 1) % rows
    for there, tensor in zip(second, example, strict=True):
        there[beside] = tensor.detach()[in_example]
    return Rows(first, second, in_first, in_second, in_example, beside)


def _drawn(example: Tensor, generator: torch.Generator) -> Tensor:
    """Draw rows like those of one input."""
    values = example.detach().cpu()
    if ((values == 0) | (values == 1)).all():
        axis = _axis_of_ones(values)
        drawn = _bits(values, generator) if axis is None else _one_hot(values, axis, generator)
    else:
        drawn = _numbers(values, generator)
    return drawn.to(device=example.device, dtype=example.dtype)


def _axis_of_ones(values: Tensor) -> int | None:
    """Return the axis along which there is one 1, preferably of a size that bases have; else None."""
    axes = sorted(range(1, values.dim()), key=lambda axis: values.shape[axis] not in _BASES)
    for axis in axes:
        total = values.sum(axis)
        if (total == 1).all() or (values.shape[axis] in _BASES and (total <= 1).all()):
            return axis
    return None


def _one_hot(values: Tensor, axis: int, generator: torch.Generator) -> Tensor:
    rows, letters = values.shape[0], values.shape[axis]
    others = [size for place, size in enumerate(values.shape[1:], 1) if place != axis]
    # With the fourth power, letters are rare in some rows and common in others.
    shares = torch.rand(rows, letters, generator=generator).pow(4) + 1e-3
    count = torch.Size(others).numel()
    drawn = torch.multinomial(shares, max(count, 1), replacement=True, generator=generator)[:, :count]
    places = drawn.reshape(rows, *others).unsqueeze(axis)
    ones = torch.ones(places.shape, dtype=values.dtype)
    if letters == 4 and count > 1:
        # The example may have a base everywhere, and what a model does elsewhere would not show.
        own = torch.Generator().manual_seed(count)
        unknown = torch.rand(rows, count, generator=own) < _UNKNOWN
        unknown[:, int(torch.randint(count, (), generator=own))] = True
        unknown[rows % 2 :: 2] = False
        ones.masked_fill_(unknown.reshape(ones.shape), 0)
    return torch.zeros_like(values).scatter_(axis, places, ones)


def _bits(values: Tensor, generator: torch.Generator) -> Tensor:
    share = 0.2 + 0.6 * _for_each_row(values, generator)
    return torch.rand(values.shape, generator=generator) < share


def _numbers(values: Tensor, generator: torch.Generator) -> Tensor:
    finite = values[values.isfinite()]
    low, high = (float(end) for end in finite.aminmax()) if len(finite) else (0.0, 1.0)
    low, high = (low, high) if low < high else (0.0, 1.0)
    drawn = torch.rand(values.shape, generator=generator)
    # With powers between 1/4 and 4, most numbers are small in some rows and large in others.
    drawn.pow_(4 ** (2 * _for_each_row(values, generator) - 1))
    if (finite == finite.round()).all():
        return drawn.mul_(high - low + 1).add_(low).floor_().clamp_(max=high)
    return drawn.mul_(high - low).add_(low)


def _for_each_row(values: Tensor, generator: torch.Generator) -> Tensor:
    return torch.rand(values.shape[0], *(1 for _ in values.shape[1:]), generator=generator)
