"""Attention and transformers."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.entry import Net, entry

D, HEADS = 8, 2


def _tokens(stride: int = 3) -> nn.Module:
    """Twelve or so positions of D features, [N, L, D]."""
    return nn.Sequential(nn.Conv1d(4, D, 5, stride=stride), nn.ReLU())


@entry("softmax_inside")
def softmax_inside() -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        return s.last(torch.softmax(2 * s.conv(x), 1).mean(-1))

    return Net(forward, conv=nn.Conv1d(4, 6, 5), last=nn.Linear(6, 2))


@entry("log_softmax_inside")
def log_softmax_inside() -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        return s.last(torch.relu(F.log_softmax(s.conv(x), -1) + 3).mean(-1))

    return Net(forward, conv=nn.Conv1d(4, 6, 5), last=nn.Linear(6, 2))


@entry("softmax_written_out", spelling_of="softmax_inside")
def softmax_written_out() -> nn.Module:
    """exp over its sum, as some have it."""

    def forward(s: Net, x: Tensor) -> Tensor:
        e = (2 * s.conv(x)).exp()
        return s.last((e / e.sum(1, keepdim=True)).mean(-1))

    return Net(forward, conv=nn.Conv1d(4, 6, 5), last=nn.Linear(6, 2))


@entry("softmax_stabilised", spelling_of="softmax_inside")
def softmax_stabilised() -> nn.Module:
    """The largest logit taken off first."""

    def forward(s: Net, x: Tensor) -> Tensor:
        z = 2 * s.conv(x)
        e = (z - z.max(1, keepdim=True)[0]).exp()
        return s.last((e / e.sum(1, keepdim=True)).mean(-1))

    return Net(forward, conv=nn.Conv1d(4, 6, 5), last=nn.Linear(6, 2))


@entry("multihead_attention")
def multihead() -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        h = s.tokens(x).transpose(1, 2)
        return s.last((h + s.attention(h, h, h, need_weights=False)[0]).mean(1))

    return Net(
        forward,
        tokens=_tokens(),
        attention=nn.MultiheadAttention(D, HEADS, batch_first=True),
        last=nn.Linear(D, 2),
    )


@entry("multihead_attention_with_weights", spelling_of="multihead_attention")
def multihead_with_weights() -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        h = s.tokens(x).permute(2, 0, 1)
        return s.last((h + s.attention(h, h, h)[0]).mean(0))

    return Net(forward, tokens=_tokens(), attention=nn.MultiheadAttention(D, HEADS), last=nn.Linear(D, 2))


@entry("attention_written_out", spelling_of="multihead_attention")
def written_out() -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        h = s.tokens(x).transpose(1, 2)
        n, length, _ = h.shape
        a = s.attention
        qkv = F.linear(h, a.in_proj_weight, a.in_proj_bias)
        q, k, v = qkv.reshape(n, length, 3, HEADS, D // HEADS).permute(2, 0, 3, 1, 4)
        weights = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(D // HEADS), -1)
        mixed = (weights @ v).transpose(1, 2).reshape(n, length, D)
        return s.last((h + a.out_proj(mixed)).mean(1))

    return Net(
        forward,
        tokens=_tokens(),
        attention=nn.MultiheadAttention(D, HEADS, batch_first=True),
        last=nn.Linear(D, 2),
    )


@entry("attention_by_einsum", spelling_of="multihead_attention")
def by_einsum() -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        h = s.tokens(x).transpose(1, 2)
        a = s.attention
        parts = (F.linear(h, w, b) for w, b in zip(a.in_proj_weight.chunk(3), a.in_proj_bias.chunk(3),
                                                   strict=True))  # fmt: skip
        q, k, v = (part.unflatten(-1, (HEADS, D // HEADS)) for part in parts)
        logits = torch.einsum("nihd,njhd->nhij", q * (D // HEADS) ** -0.5, k)
        mixed = torch.einsum("nhij,njhd->nihd", logits.softmax(-1), v).flatten(2)
        return s.last((h + a.out_proj(mixed)).mean(1))

    return Net(
        forward,
        tokens=_tokens(),
        attention=nn.MultiheadAttention(D, HEADS, batch_first=True),
        last=nn.Linear(D, 2),
    )


@entry("scaled_dot_product", spelling_of="multihead_attention")
def scaled_dot_product() -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        h = s.tokens(x).transpose(1, 2)
        a = s.attention
        parts = F.linear(h, a.in_proj_weight, a.in_proj_bias).chunk(3, -1)
        q, k, v = (part.unflatten(-1, (HEADS, D // HEADS)).transpose(1, 2) for part in parts)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return s.last((h + a.out_proj(mixed)).mean(1))

    return Net(
        forward,
        tokens=_tokens(),
        attention=nn.MultiheadAttention(D, HEADS, batch_first=True),
        last=nn.Linear(D, 2),
    )


@entry("causal_attention")
def causal() -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        h = s.tokens(x).transpose(1, 2).unsqueeze(1)
        mixed = F.scaled_dot_product_attention(h, 0.5 * h, h, is_causal=True)
        return s.last(mixed[:, 0, -1])

    return Net(forward, tokens=_tokens(), last=nn.Linear(D, 2))


@entry("masked_attention")
def masked() -> nn.Module:
    """Local windows: logits outside them are -inf."""

    def forward(s: Net, x: Tensor) -> Tensor:
        h = s.tokens(x).transpose(1, 2)
        logits = h @ s.key(h).transpose(1, 2)
        place = torch.arange(h.shape[1])
        far = (place[:, None] - place).abs() > 2
        weights = logits.masked_fill(far, float("-inf")).softmax(-1)
        return s.last((weights @ h).mean(1))

    return Net(forward, tokens=_tokens(), key=nn.Linear(D, D), last=nn.Linear(D, 2))


@entry("relative_attention")
def relative() -> nn.Module:
    """Enformer's: content and position terms with biases, the position term shifted into place."""

    def shifted(logits: Tensor) -> Tensor:
        n, h, i, j = logits.shape
        padded = torch.cat([logits.new_zeros(n, h, i, 1), logits], -1).reshape(n, h, j + 1, i)
        return padded[:, :, 1:].reshape(n, h, i, j)[..., : (j + 1) // 2]

    def forward(s: Net, x: Tensor) -> Tensor:
        h = s.norm(s.tokens(x).transpose(1, 2))
        length = h.shape[1]
        q, k, v = (part(h).unflatten(-1, (HEADS, 4)).transpose(1, 2) for part in (s.q, s.k, s.v))
        distance = torch.arange(1 - length, length, dtype=h.dtype)
        basis = torch.stack([distance.sign(), (-distance.abs() / 3).exp(), distance / length], -1)
        r = s.r(basis).unflatten(-1, (HEADS, 4)).transpose(0, 1)
        q = q / 2
        content = torch.einsum("nhid,nhjd->nhij", q + s.content_bias, k)
        position = shifted(torch.einsum("nhid,hjd->nhij", q + s.position_bias, r))
        mixed = ((content + position).softmax(-1) @ v).transpose(1, 2).flatten(2)
        return s.last((h + s.out(mixed)).mean(1))

    return Net(
        forward, tokens=_tokens(), norm=nn.LayerNorm(D), q=nn.Linear(D, D, False), k=nn.Linear(D, D, False),
        v=nn.Linear(D, D, False), r=nn.Linear(3, D, False), out=nn.Linear(D, D), last=nn.Linear(D, 2),
        content_bias=nn.Parameter(torch.randn(1, HEADS, 1, 4)),
        position_bias=nn.Parameter(torch.randn(1, HEADS, 1, 4)),
    )  # fmt: skip


@entry("rotary_attention")
def rotary() -> nn.Module:
    """Rotary embeddings by turning pairs of halves (nucleotide transformers, Borzoi's kin)."""

    def turned(t: Tensor) -> Tensor:
        half = t.shape[-1] // 2
        angles = torch.outer(
            torch.arange(t.shape[-2], dtype=t.dtype), 0.3 ** torch.arange(half, dtype=t.dtype)
        )
        cos, sin = torch.cat([angles.cos()] * 2, -1), torch.cat([angles.sin()] * 2, -1)
        a, b = t.chunk(2, -1)
        return t * cos + torch.cat([-b, a], -1) * sin

    def forward(s: Net, x: Tensor) -> Tensor:
        h = s.tokens(x).transpose(1, 2)
        q, k, v = (part.unflatten(-1, (HEADS, 4)).transpose(1, 2) for part in s.qkv(h).split(D, -1))
        mixed = F.scaled_dot_product_attention(turned(q), turned(k), v)
        return s.last(mixed.transpose(1, 2).flatten(2).mean(1))

    return Net(forward, tokens=_tokens(), qkv=nn.Linear(D, 3 * D), last=nn.Linear(D, 2))


@entry(
    "rotary_complex", spelling_of="rotary_interleaved", not_in_onnx="the exporters write no complex numbers"
)
def rotary_complex() -> nn.Module:
    """Rotary embeddings as a product of complex numbers (Llama's way)."""

    def turned(t: Tensor) -> Tensor:
        half = t.shape[-1] // 2
        angles = torch.outer(
            torch.arange(t.shape[-2], dtype=t.dtype), 0.3 ** torch.arange(half, dtype=t.dtype)
        )
        pairs = torch.view_as_complex(t.unflatten(-1, (half, 2)).contiguous())
        return torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)).flatten(-2)

    def forward(s: Net, x: Tensor) -> Tensor:
        h = s.tokens(x).transpose(1, 2)
        q, k, v = (part.unflatten(-1, (HEADS, 4)).transpose(1, 2) for part in s.qkv(h).split(D, -1))
        mixed = F.scaled_dot_product_attention(turned(q), turned(k), v)
        return s.last(mixed.transpose(1, 2).flatten(2).mean(1))

    return Net(forward, tokens=_tokens(), qkv=nn.Linear(D, 3 * D), last=nn.Linear(D, 2))


@entry("rotary_interleaved")
def rotary_interleaved() -> nn.Module:
    def turned(t: Tensor) -> Tensor:
        half = t.shape[-1] // 2
        angles = torch.outer(
            torch.arange(t.shape[-2], dtype=t.dtype), 0.3 ** torch.arange(half, dtype=t.dtype)
        )
        even, odd = t[..., 0::2], t[..., 1::2]
        pairs = (even * angles.cos() - odd * angles.sin(), odd * angles.cos() + even * angles.sin())
        return torch.stack(pairs, -1).flatten(-2)

    def forward(s: Net, x: Tensor) -> Tensor:
        h = s.tokens(x).transpose(1, 2)
        q, k, v = (part.unflatten(-1, (HEADS, 4)).transpose(1, 2) for part in s.qkv(h).split(D, -1))
        mixed = F.scaled_dot_product_attention(turned(q), turned(k), v)
        return s.last(mixed.transpose(1, 2).flatten(2).mean(1))

    return Net(forward, tokens=_tokens(), qkv=nn.Linear(D, 3 * D), last=nn.Linear(D, 2))


@entry("learned_queries")
def learned_queries() -> nn.Module:
    """Cross-attention of constant queries over the sequence (Perceiver), with a class token."""

    def forward(s: Net, x: Tensor) -> Tensor:
        h = s.tokens(x).transpose(1, 2)
        h = torch.cat([s.token.expand(h.shape[0], -1, -1), h], 1) + s.places(torch.arange(h.shape[1] + 1))
        queries = s.queries.expand(h.shape[0], -1, -1)
        return s.last(s.attention(queries, h, h)[0].flatten(1))

    return Net(
        forward, tokens=_tokens(), token=nn.Parameter(torch.randn(1, 1, D)), places=nn.Embedding(8, D),
        queries=nn.Parameter(torch.randn(1, 3, D)),
        attention=nn.MultiheadAttention(D, HEADS, batch_first=True), last=nn.Linear(3 * D, 2),
    )  # fmt: skip


@entry("linear_attention")
def linear_attention() -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        h = s.tokens(x).transpose(1, 2)
        q, k, v = s.qkv(h).chunk(3, -1)
        q, k = F.elu(q) + 1, F.elu(k) + 1
        mixed = q @ (k.transpose(1, 2) @ v) / (q @ k.sum(1).unsqueeze(-1))
        return s.last(mixed.mean(1))

    return Net(forward, tokens=_tokens(), qkv=nn.Linear(D, 3 * D), last=nn.Linear(D, 2))


def _transformer(**settings: object) -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        h = s.tokens(x).transpose(1, 2)
        return s.last(s.encoder(h + s.places).mean(1))

    layer = nn.TransformerEncoderLayer(D, HEADS, 12, dropout=0.1, batch_first=True, **settings)
    return Net(
        forward, tokens=_tokens(), places=nn.Parameter(torch.randn(7, D)),
        encoder=nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), last=nn.Linear(D, 2),
    )  # fmt: skip


entry("transformer_encoder")(lambda: _transformer())
entry("transformer_encoder_norm_first")(lambda: _transformer(norm_first=True, activation="gelu"))


@entry("transformer_encoder_layer")
def encoder_layer() -> nn.Module:
    layer = nn.TransformerEncoderLayer(D, HEADS, 12, batch_first=True)
    return Net(
        lambda s, x: s.last(s.layer(s.tokens(x).transpose(1, 2)).flatten(1)),
        tokens=_tokens(),
        layer=layer,
        last=nn.Linear(7 * D, 2),
    )
