"""Attention and rotary embeddings."""

import math

import torch
from torch import Tensor

from deeplift_cli.models.onnx_conversion.calls import call


def _heads(x: Tensor, heads: int | None) -> Tensor:
    """[N, L, heads x size] to [N, heads, L, size]."""
    if x.dim() == 4 or heads is None:
        return x
    return x.reshape(x.shape[0], x.shape[1], heads, -1).transpose(1, 2)


def _bias(
    mask: Tensor | None,
    lengths: Tensor | None,
    scores: tuple[int, int],
    left: int,
    is_causal: int,
    windows: tuple[int, int],
    q: Tensor,
) -> Tensor | None:
    """What is added to the scores: the mask, and minus infinity where attention may not go."""
    rows, columns = scores
    allowed = None
    offset = torch.tensor(left, device=q.device) if lengths is None else (lengths - rows)[:, None, None, None]
    row = torch.arange(rows, device=q.device)[:, None] + offset
    column = torch.arange(columns, device=q.device)
    if is_causal:
        allowed = column <= row
    if lengths is not None:
        within = column < lengths[:, None, None, None]
        allowed = within if allowed is None else allowed & within
    before, after = windows
    if before >= 0:
        near = column >= row - before
        allowed = near if allowed is None else allowed & near
    if after >= 0:
        near = column <= row + after
        allowed = near if allowed is None else allowed & near
    added = None
    if mask is not None:
        missing = columns - mask.shape[-1]
        if missing > 0:  # a shorter mask leaves the rest out
            fill = False if mask.dtype == torch.bool else float("-inf")
            mask = torch.nn.functional.pad(mask, (0, missing), value=fill)
        added = _as_bias(mask, q.dtype) if mask.dtype == torch.bool else mask
    if allowed is not None:
        bias = _as_bias(allowed, q.dtype)
        added = bias if added is None else added + bias
    return added


def _as_bias(allowed: Tensor, dtype: torch.dtype) -> Tensor:
    zeros = torch.zeros(allowed.shape, dtype=dtype, device=allowed.device)
    return zeros.masked_fill(~allowed, float("-inf"))


@call("Attention")
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
    left_window: int = -1,
    right_window: int = -1,
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
    bias = _bias(mask, lengths, (q.shape[2], k.shape[2]), left, is_causal, (left_window, right_window), q)
    capped = softcap * torch.tanh(products / softcap) if softcap else products
    biased = capped if bias is None else capped + bias
    weights = torch.softmax(biased, -1)
    y = weights @ v
    if rank == 3:
        y = y.transpose(1, 2).reshape(y.shape[0], y.shape[2], -1)
    return y, *present, (products, biased, capped, weights)[qk_matmul_output_mode]


@call("RotaryEmbedding")
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
