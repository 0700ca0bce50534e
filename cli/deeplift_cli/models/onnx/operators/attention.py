"""Attention and rotary embeddings."""

import math
from functools import reduce

import torch
from torch import Tensor

from deeplift_cli.models.onnx.registry import operator


def _heads(x: Tensor, heads: int | None) -> Tensor:
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
    q, k, v = _heads(q, q_num_heads), _heads(k, kv_num_heads), _heads(v, kv_num_heads)
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


@operator("RotaryEmbedding")
def rotary_embedding(
    x: Tensor,
    cosines: Tensor,
    sines: Tensor,
    positions: Tensor | None = None,
    interleaved: int = 0,
    num_heads: int = 0,
    rotary_embedding_dim: int = 0,
) -> Tensor:
    """Turn pairs of features by angles that grow with the position."""
    shape, size = x.shape, rotary_embedding_dim
    x = _heads(x, num_heads or None).transpose(1, 2)  # [N, L, heads, size]
    size = size or x.shape[-1]
    turned, rest = x[..., :size], x[..., size:]
    if positions is not None:
        picked = positions.reshape(-1)
        cosines, sines = (
            table.index_select(0, picked).reshape(*positions.shape, -1) for table in (cosines, sines)
        )
    cosines, sines = cosines[..., : size // 2].unsqueeze(2), sines[..., : size // 2].unsqueeze(2)
    if interleaved:
        a, b = turned[..., 0::2], turned[..., 1::2]
        pairs = torch.stack([a * cosines - b * sines, b * cosines + a * sines], -1).flatten(-2)
    else:
        a, b = turned.chunk(2, -1)
        pairs = torch.cat([a * cosines - b * sines, b * cosines + a * sines], -1)
    y = torch.cat([pairs, rest], -1) if rest.shape[-1] else pairs
    return y.reshape(shape) if len(shape) == 3 else y.transpose(1, 2)


@operator("LinearAttention")
def linear_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    past: Tensor | None = None,
    decay: Tensor | None = None,
    beta: Tensor | None = None,
    *,
    q_num_heads: int,
    kv_num_heads: int,
    scale: float = 0.0,
    update_rule: str = "gated_delta",
    chunk_size: int = 64,  # noqa: ARG001
) -> tuple[Tensor, Tensor]:
    """Attention without softmax: a state of keys times values that each step reads after it is updated."""
    q, k, v = _heads(q, q_num_heads), _heads(k, kv_num_heads), _heads(v, kv_num_heads)
    repeats = q_num_heads // kv_num_heads
    gates = None if decay is None else _heads(decay, kv_num_heads).exp().unsqueeze(-1)  # [N, H, L, d or 1, 1]
    rates = None if beta is None else beta.transpose(1, 2).unsqueeze(-1)  # [N, H, L, 1]
    state = v.new_zeros(*k.shape[:2], k.shape[-1], v.shape[-1]) if past is None else past
    outputs = []
    for step in range(q.shape[2]):
        key, value = k[:, :, step], v[:, :, step]
        if gates is not None and update_rule.startswith("gated"):
            state = state * gates[:, :, step]
        if update_rule.endswith("delta"):
            value = value - (key.unsqueeze(-2) @ state).squeeze(-2)
            value = value if rates is None else value * rates[:, :, step]
        state = state + key.unsqueeze(-1) * value.unsqueeze(-2)
        read = state.repeat_interleave(repeats, 1) if repeats > 1 else state
        outputs.append((q[:, :, step].unsqueeze(-2) @ read).squeeze(-2))
    y = torch.stack(outputs, 1) * (scale or 1 / math.sqrt(q.shape[-1]))  # [N, L, H, size]
    return y.flatten(2), state
