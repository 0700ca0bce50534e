"""Rotary embeddings and attention without softmax."""

import math

import torch
from torch import Tensor

from deeplift_cli.models.onnx.operators.attention import heads_apart
from deeplift_cli.models.onnx.registry import operator


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
    x = heads_apart(x, num_heads or None).transpose(1, 2)  # [N, L, heads, size]
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
    q, k, v = heads_apart(q, q_num_heads), heads_apart(k, kv_num_heads), heads_apart(v, kv_num_heads)
    repeats = q_num_heads // kv_num_heads
    # [N, H, L, d or 1, 1]
    gates = None if decay is None else heads_apart(decay, kv_num_heads).exp().unsqueeze(-1)
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
