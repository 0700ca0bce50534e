"""Attention."""

import math
from functools import reduce

import torch
from torch import Tensor

from deeplift_cli.models.onnx.registry import operator


def heads_apart(x: Tensor, heads: int | None) -> Tensor:
    """[N, L, heads x size] to [N, heads, L, size]."""
    if x.dim() == 4 or heads is None:
        return x
    return x.reshape(x.shape[0], x.shape[1], heads, -1).transpose(1, 2)


def _allowed(
    lengths: Tensor | None, scores: tuple[int, int], left: int, is_causal: int, windows: tuple[int, int]
) -> list[Tensor]:
    """Where attention may go, by each of the reasons that are given."""
    rows, columns = scores
    offset = torch.tensor(left) if lengths is None else (lengths - rows)[:, None, None, None]
    row = torch.arange(rows, device=offset.device)[:, None] + offset
    column = torch.arange(columns, device=offset.device)
    found = [column <= row] if is_causal else []
    if lengths is not None:
        found.append(column < lengths[:, None, None, None])
    before, after = windows
    if before >= 0:
        found.append(column >= row - before)
    if after >= 0:
        found.append(column <= row + after)
    return found


def _padded(mask: Tensor, columns: int) -> Tensor:
    """A mask of all columns: a shorter one leaves the rest out."""
    missing = columns - mask.shape[-1]
    fill = False if mask.dtype == torch.bool else float("-inf")
    return torch.nn.functional.pad(mask, (0, missing), value=fill) if missing > 0 else mask


def _attended(scores: Tensor, added: Tensor | None, allowed: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Scores with what is added to them, and their softmax where attention may go.

    A row that may attend to nothing gets weights of 0, not NaN.
    """
    biased = scores if added is None else scores + added
    if not allowed:
        return biased, torch.softmax(biased, -1)
    closed = ~reduce(torch.logical_and, allowed)
    barrier = torch.zeros(closed.shape, dtype=scores.dtype, device=closed.device)
    nothing = closed.all(-1, keepdim=True)
    within = biased + barrier.masked_fill(closed & ~nothing, float("-inf"))
    weights = torch.softmax(within, -1).masked_fill(nothing, 0.0)
    return biased + barrier.masked_fill(closed, float("-inf")), weights


@operator("Attention")
def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None = None,
    past_key: Tensor | None = None,
    past_value: Tensor | None = None,
    lengths: Tensor | None = None,
    is_causal: int = 0,
    kv_num_heads: int | None = None,
    q_num_heads: int | None = None,
    qk_matmul_output_mode: int = 0,
    scale: float | None = None,
    softcap: float = 0.0,
    softmax_precision: int | None = None,  # noqa: ARG001
    left_window_size: int = -1,
    right_window_size: int = -1,
) -> tuple[Tensor, ...]:
    """Scaled dot-product attention with masks, shared heads, caches and capped scores."""
    rank = q.dim()
    q, k, v = heads_apart(q, q_num_heads), heads_apart(k, kv_num_heads), heads_apart(v, kv_num_heads)
    k = k if past_key is None else torch.cat([past_key, k], 2)
    v = v if past_value is None else torch.cat([past_value, v], 2)
    present, repeats = (k, v), q.shape[1] // k.shape[1]
    if repeats > 1:
        k, v = k.repeat_interleave(repeats, 1), v.repeat_interleave(repeats, 1)
    factor = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    products = (q * math.sqrt(factor)) @ (k.transpose(-1, -2) * math.sqrt(factor))
    left = 0 if past_key is None else past_key.shape[2]
    windows = (left_window_size, right_window_size)
    allowed = _allowed(lengths, (q.shape[2], k.shape[2]), left, is_causal, windows)
    added = None if mask is None else _padded(mask, k.shape[2])
    if added is not None and added.dtype == torch.bool:
        allowed, added = [*allowed, added], None
    capped = softcap * torch.tanh(products / softcap) if softcap else products
    biased, weights = _attended(capped, added, allowed)
    y = weights @ v
    if rank == 3:
        y = y.transpose(1, 2).reshape(y.shape[0], y.shape[2], -1)
    return y, *present, (products, capped, biased, weights)[qk_matmul_output_mode]
