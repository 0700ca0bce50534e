"""Norms: of batches, layers, groups, instances, root mean squares, and lengths."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.entry import Net, entry


def _after_conv(norm: nn.Module) -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(4, 6, 5), norm, nn.ReLU(), nn.Conv1d(6, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 2)
    )


entry("batch_norm")(lambda: _after_conv(nn.BatchNorm1d(6)))
entry("batch_norm_plain")(lambda: _after_conv(nn.BatchNorm1d(6, affine=False)))
entry("group_norm")(lambda: _after_conv(nn.GroupNorm(3, 6)))
entry("group_norm_one_group")(lambda: _after_conv(nn.GroupNorm(1, 6)))
entry("instance_norm")(lambda: _after_conv(nn.InstanceNorm1d(6, affine=True)))
entry("instance_norm_tracked")(lambda: _after_conv(nn.InstanceNorm1d(6, track_running_stats=True)))
entry("layer_norm_all")(lambda: _after_conv(nn.LayerNorm([6, 20])))
entry("local_response_norm")(lambda: _after_conv(nn.LocalResponseNorm(3, alpha=0.5)))


@entry("batch_norm_after_relu")
def batch_norm_after_relu() -> nn.Module:
    """Basset's order turned round: the norm sees what ReLU gives, pools and dense layers see the norm."""
    return nn.Sequential(
        nn.Conv1d(4, 6, 5), nn.ReLU(), nn.BatchNorm1d(6), nn.MaxPool1d(4), nn.Flatten(), nn.Linear(30, 8),
        nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2),
    )  # fmt: skip


@entry("batch_norm_without_statistics", not_in_onnx="rows depend on each other")
def batch_norm_without_statistics() -> nn.Module:
    """No running statistics: of the axis of positions only, as the batch is one row at a time."""

    def forward(s: Net, x: Tensor) -> Tensor:
        h = s.conv(x)
        h = torch.cat([F.batch_norm(row[None], None, None, training=True) for row in h])
        return s.last(torch.relu(h).flatten(1))

    return Net(forward, conv=nn.Conv1d(4, 6, 5), last=nn.Linear(120, 2))


@entry("layer_norm")
def layer_norm() -> nn.Module:
    """Over channels, as in transformers and ConvNeXt, and over features."""

    def forward(s: Net, x: Tensor) -> Tensor:
        h = s.norm(s.conv(x).transpose(1, 2))
        h = F.gelu(s.position(h))
        return s.last(F.layer_norm(s.hidden(h.flatten(1)), (7,)))

    return Net(
        forward, conv=nn.Conv1d(4, 6, 5), norm=nn.LayerNorm(6), position=nn.Linear(6, 5),
        hidden=nn.Linear(100, 7), last=nn.Linear(7, 2),
    )  # fmt: skip


@entry("layer_norm_written_out", spelling_of="layer_norm")
def layer_norm_written_out() -> nn.Module:
    def norm(h: Tensor) -> Tensor:
        centred = h - h.mean(-1, keepdim=True)
        return centred * torch.rsqrt(centred.square().mean(-1, keepdim=True) + 1e-5)

    def forward(s: Net, x: Tensor) -> Tensor:
        h = norm(s.conv(x).transpose(1, 2)) * s.norm.weight + s.norm.bias
        h = F.gelu(s.position(h))
        return s.last(norm(s.hidden(h.flatten(1))))

    return Net(
        forward, conv=nn.Conv1d(4, 6, 5), norm=nn.LayerNorm(6), position=nn.Linear(6, 5),
        hidden=nn.Linear(100, 7), last=nn.Linear(7, 2),
    )  # fmt: skip


@entry("layer_norm_by_var", spelling_of="layer_norm")
def layer_norm_by_var() -> nn.Module:
    def norm(h: Tensor) -> Tensor:
        return (h - h.mean(-1, keepdim=True)) / torch.sqrt(h.var(-1, keepdim=True, unbiased=False) + 1e-5)

    def forward(s: Net, x: Tensor) -> Tensor:
        h = norm(s.conv(x).transpose(1, 2)) * s.norm.weight + s.norm.bias
        h = F.gelu(s.position(h))
        return s.last(norm(s.hidden(h.flatten(1))))

    return Net(
        forward, conv=nn.Conv1d(4, 6, 5), norm=nn.LayerNorm(6), position=nn.Linear(6, 5),
        hidden=nn.Linear(100, 7), last=nn.Linear(7, 2),
    )  # fmt: skip


@entry("rms_norm")
def rms_norm() -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        h = s.norm(s.conv(x).transpose(1, 2))
        return s.last(F.silu(s.position(h)).flatten(1))

    return Net(
        forward, conv=nn.Conv1d(4, 6, 5), norm=nn.RMSNorm(6, eps=1e-6), position=nn.Linear(6, 5),
        last=nn.Linear(100, 2),
    )  # fmt: skip


@entry("rms_norm_written_out", spelling_of="rms_norm")
def rms_norm_written_out() -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        h = s.conv(x).transpose(1, 2)
        h = h * torch.rsqrt(h.pow(2).mean(-1, keepdim=True) + 1e-6) * s.norm.weight
        return s.last(F.silu(s.position(h)).flatten(1))

    return Net(
        forward, conv=nn.Conv1d(4, 6, 5), norm=nn.RMSNorm(6, eps=1e-6), position=nn.Linear(6, 5),
        last=nn.Linear(100, 2),
    )  # fmt: skip


@entry("unit_length")
def unit_length() -> nn.Module:
    """Features of length 1, compared with prototypes (cosine similarity)."""

    def forward(s: Net, x: Tensor) -> Tensor:
        h = F.normalize(torch.relu(s.conv(x)).mean(-1) + 0.1, dim=-1)
        return h @ F.normalize(s.prototypes, dim=-1).T

    return Net(forward, conv=nn.Conv1d(4, 6, 5), prototypes=nn.Parameter(torch.randn(2, 6)))


@entry("prototype_distance")
def prototype_distance() -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        h = torch.relu(s.conv(x)).mean(-1)
        return -(h[:, None] - s.prototypes).square().sum(-1)

    return Net(forward, conv=nn.Conv1d(4, 6, 5), prototypes=nn.Parameter(torch.randn(2, 6)))


@entry("standardised")
def standardised() -> nn.Module:
    """Divided by the standard deviation over positions, Bessel's correction included."""

    def forward(s: Net, x: Tensor) -> Tensor:
        h = s.conv(x)
        h = (h - h.mean(-1, keepdim=True)) / (h.std(-1, keepdim=True) + 1e-3)
        return s.last(torch.relu(h).flatten(1))

    return Net(forward, conv=nn.Conv1d(4, 6, 5), last=nn.Linear(120, 2))


@entry("global_response_norm")
def global_response_norm() -> nn.Module:
    """ConvNeXt V2: each channel's length over positions, relative to the mean of all channels."""

    def forward(s: Net, x: Tensor) -> Tensor:
        h = F.gelu(s.conv(x))
        length = torch.linalg.vector_norm(h, dim=-1, keepdim=True)
        h = h + s.scale * h * (length / (length.mean(1, keepdim=True) + 1e-6))
        return s.last(h.flatten(1))

    return Net(
        forward, conv=nn.Conv1d(4, 6, 5), scale=nn.Parameter(torch.randn(6, 1)), last=nn.Linear(120, 2)
    )
