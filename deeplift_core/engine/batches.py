"""Sequences cut into batches of exactly K rows, and the results of batches put together again."""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from deeplift_core.results import BY_LAYER, Attribution


def batches(
    inputs: tuple[Tensor, ...], references: tuple[Tensor, ...], size: int, shared: bool
) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    """Batches of exactly ``size`` rows [K, ...] and their references [K, R, ...]; the last row fills up."""
    total = inputs[0].shape[0]
    for start in range(0, total, size):
        rows = [rows_from(tensor, start, size).contiguous() for tensor in inputs]
        if shared:
            yield rows, [tensor.expand(size, *tensor.shape) for tensor in references]
        else:
            yield rows, [rows_from(tensor, start, size) for tensor in references]


def rows_from(tensor: Tensor, start: int, size: int) -> Tensor:
    """Exactly ``size`` rows from ``start`` on; the last row fills up."""
    return tensor[torch.arange(start, start + size, device=tensor.device).clamp(max=len(tensor) - 1)]


def joined(batches: Sequence[Attribution], rows: int, one_input: bool) -> Attribution:
    """The results of all batches as one, without the rows that filled the last batch up."""
    whole = {
        item.name: _join([getattr(batch, item.name) for batch in batches], rows)
        for item in fields(Attribution)
    }
    if one_input:
        for name in BY_LAYER:
            whole[name] = whole[name][0]
    return Attribution(**whole)


def _join(batches: list[Any], rows: int) -> Any:
    """Batches one after the other, without the padding."""
    if isinstance(batches[0], list):
        return tuple(_join(list(column), rows) for column in zip(*batches, strict=True))
    if batches[0] is None:
        return None
    *whole, last = batches
    return torch.cat([*whole, last[: rows - sum(map(len, whole))]])
