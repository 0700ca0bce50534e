"""Pools of every kind: maxima, averages, sums, lengths, attention."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.entry import Net, entry

Function = Callable[[Tensor], Tensor]


def _pooled(pool: Function) -> nn.Module:
    """A pool between convolutions and the last layer."""

    def forward(s: Net, x: Tensor) -> Tensor:
        return s.last(pool(s.second(torch.relu(s.first(x)))).flatten(1))

    features = pool(torch.ones(1, 5, 18)).numel()
    return Net(forward, first=nn.Conv1d(4, 6, 5), second=nn.Conv1d(6, 5, 3), last=nn.Linear(features, 2))


_POOLS: dict[str, Function] = {
    "max_module": nn.MaxPool1d(3),
    "max_pairs": nn.MaxPool1d(2),
    "max_pairs_uneven": lambda x: F.max_pool1d(x[..., 1:], 2),
    "max_overlapping": nn.MaxPool1d(5, 2),
    "max_padded": nn.MaxPool1d(4, 3, padding=2),
    "max_ceil": nn.MaxPool1d(4, 3, ceil_mode=True),
    "max_dilated": nn.MaxPool1d(3, 2, dilation=2),
    "max_adaptive": nn.AdaptiveMaxPool1d(5),
    "max_global": nn.AdaptiveMaxPool1d(1),
    "max_dim": lambda x: x.max(dim=-1)[0],
    "max_dim_values": lambda x: torch.max(x, 2, keepdim=True).values,
    "max_amax": lambda x: torch.amax(x, (-1,)),
    "max_amax_of_windows": lambda x: x.unfold(-1, 4, 3).amax(-1),
    "max_reshaped": lambda x: x.reshape(x.shape[0], 5, 6, 3).max(-1)[0],
    "max_2d": lambda x: F.max_pool2d(x.unsqueeze(2), (1, 3), (1, 2)).squeeze(2),
    "max_2d_adaptive": lambda x: F.adaptive_max_pool2d(x.reshape(x.shape[0], 5, 3, 6), (2, 3)),
    "max_over_channels": lambda x: x.max(1).values,
    "max_minus_min": lambda x: x.amax(-1) - x.amin(-1),
    "max_of_everything": lambda x: x + x.flatten(1).max(1).values[:, None, None],
    "max_with_indices": lambda x: F.max_pool1d(x, 3, return_indices=True)[0],
    "min_negated": lambda x: -F.max_pool1d(-x, 3),
    "min_dim": lambda x: x.min(-1).values,
    "aminmax": lambda x: torch.stack(torch.aminmax(x, dim=-1), -1),
    "average": nn.AvgPool1d(4, 3),
    "average_padded": nn.AvgPool1d(4, 3, padding=1),
    "average_uncounted": nn.AvgPool1d(4, 3, padding=1, count_include_pad=False, ceil_mode=True),
    "average_adaptive": nn.AdaptiveAvgPool1d(5),
    "average_global": nn.AdaptiveAvgPool1d(1),
    "average_mean": lambda x: x.mean(-1),
    "average_2d": lambda x: F.avg_pool2d(x.reshape(x.shape[0], 5, 3, 6), 2),
    "sum": lambda x: x.sum(dim=-1),
    "length_2": lambda x: F.lp_pool1d(x, 2.0, 3),
    "length_2_norm": lambda x: torch.norm(x, dim=-1),
    "length_2_written_out": lambda x: x.square().sum(-1).add(1e-3).sqrt(),
    "length_1_norm": lambda x: torch.linalg.vector_norm(x, 1, dim=-1),
    "logsumexp": lambda x: torch.logsumexp(x, -1),
    "logsumexp_written_out": lambda x: x.exp().sum(-1).log(),
    "variance": lambda x: x.var(-1),
    "deviation": lambda x: torch.cat([x.mean(-1), x.std(-1)], -1),
    "product": lambda x: (1 + x.tanh() / 4).prod(-1),
    "noisy_or": lambda x: 1 - (1 - torch.sigmoid(x - 3)).prod(-1),
}
_SPELLINGS = {
    "max_dim": "max_global", "max_dim_values": "max_global", "max_amax": "max_global",
    "max_reshaped": "max_module", "max_with_indices": "max_module", "average_mean": "average_global",
}  # fmt: skip
_NOT_IN_ONNX = {
    "max_2d_adaptive": "the exporters write adaptive pools of even windows only",
}
for _name, _pool in _POOLS.items():
    _first = _SPELLINGS.get(_name)
    entry(
        f"pool_{_name}", spelling_of=f"pool_{_first}" if _first else None, not_in_onnx=_NOT_IN_ONNX.get(_name)
    )(lambda p=_pool: _pooled(p))


@entry("pool_softmax")
def softmax_pool() -> nn.Module:
    """Enformer's attention pooling: softmax over each window, of logits by channel."""

    def forward(s: Net, x: Tensor) -> Tensor:
        h = F.gelu(s.first(x))
        windows = h.unflatten(-1, (-1, 2))
        logits = torch.einsum("ncwp,dc->ndwp", windows, s.logits)
        h = (windows * logits.softmax(-1)).sum(-1)
        return s.last(h.flatten(1))

    return Net(
        forward, first=nn.Conv1d(4, 6, 5), logits=nn.Parameter(2 * torch.eye(6) + 0.1 * torch.randn(6, 6)),
        last=nn.Linear(60, 2),
    )  # fmt: skip


@entry("pool_gated_attention")
def attention_pool() -> nn.Module:
    """One weight for each position (multiple-instance learning)."""

    def forward(s: Net, x: Tensor) -> Tensor:
        h = torch.relu(s.first(x)).transpose(1, 2)
        weights = torch.softmax(s.score(torch.tanh(s.key(h)) * torch.sigmoid(s.gate(h))), 1)
        return s.last((weights * h).sum(1))

    return Net(
        forward, first=nn.Conv1d(4, 6, 5), key=nn.Linear(6, 5), gate=nn.Linear(6, 5), score=nn.Linear(5, 1),
        last=nn.Linear(6, 2),
    )  # fmt: skip


@entry("pool_k_max")
def k_max() -> nn.Module:
    """The mean of the three largest."""

    def forward(s: Net, x: Tensor) -> Tensor:
        return s.last(s.first(x).topk(3, dim=-1).values.mean(-1))

    return Net(forward, first=nn.Conv1d(4, 6, 5), last=nn.Linear(6, 2))


@entry("pool_k_max_by_sorting", spelling_of="pool_k_max")
def k_max_by_sorting() -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        return s.last(s.first(x).sort(dim=-1, descending=True)[0][..., :3].mean(-1))

    return Net(forward, first=nn.Conv1d(4, 6, 5), last=nn.Linear(6, 2))


@entry("pool_median", not_in_onnx="the exporters write no median")
def median() -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        return s.last(s.first(x).median(-1).values)

    return Net(forward, first=nn.Conv1d(4, 6, 5), last=nn.Linear(6, 2))


@entry("pool_running_maximum", not_in_onnx="the exporters write no cummax")
def running_maximum() -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        return s.last(s.first(x).cummax(-1).values.flatten(1))

    return Net(forward, first=nn.Conv1d(4, 6, 5), last=nn.Linear(120, 2))
