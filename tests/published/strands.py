"""Networks that treat both strands alike: reverse-complement parameter sharing, and the mean of strands."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from zoo.entry import Net

from published.architecture import Head, published

_FIRST = (Head("first task", 0, 0),)


@published(
    "rc_sharing", (4, 120), paper="Shrikumar, Greenside and Kundaje 2017, bioRxiv 103663",
    source="kundajelab's Keras (RevCompConv1D, RevCompConv1DBatchNorm, DenseAfterRevcompConv1D)",
    heads=_FIRST,
)  # fmt: skip
def rc_sharing() -> nn.Module:
    """Every filter has a reverse-complemented twin with the same weights."""
    return nn.Sequential(
        _SharedConv(4, 6, 11), _SharedNorm(6), nn.ReLU(), _SharedConv(12, 6, 7), _SharedNorm(6), nn.ReLU(),
        nn.MaxPool1d(8), _SharedDense(12, 13, 10), nn.ReLU(), nn.Linear(10, 3), nn.Sigmoid(),
    )  # fmt: skip


class _SharedConv(nn.Module):
    """A convolution and its twin: channel i of the one is channel -1 - i of the other, read backwards."""

    def __init__(self, before: int, after: int, width: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(before, after, width)

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.convolution.weight, self.convolution.bias
        return F.conv1d(x, torch.cat([weight, weight.flip(0, 1, 2)]), torch.cat([bias, bias.flip(0)]))


class _SharedNorm(nn.Module):
    """One norm for a channel and its twin, along an axis of length two."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        one, twin = x.chunk(2, 1)
        one, twin = self.norm(torch.stack([one, twin.flip(1)], 3)).unbind(3)
        return torch.cat([one, twin.flip(1)], 1)


class _SharedDense(nn.Module):
    """A dense layer with the same weights for both directions: it sees their sum."""

    def __init__(self, channels: int, length: int, units: int) -> None:
        super().__init__()
        self.dense = nn.Linear(channels * length, units)

    def forward(self, x: Tensor) -> Tensor:
        return self.dense((x + x.flip(1, 2)).flatten(1))


@published(
    "both_strands", (4, 120), paper="Chen et al. 2019 (Selene), Nature Methods 16:315",
    source="selene, models/non_strand_specific_module.py", heads=_FIRST,
)  # fmt: skip
def both_strands() -> nn.Module:
    """The mean of a network's predictions for a sequence and for its reverse complement."""
    network = nn.Sequential(
        nn.Conv1d(4, 8, 8), nn.ReLU(), nn.MaxPool1d(4), nn.BatchNorm1d(8), nn.Conv1d(8, 12, 8), nn.ReLU(),
        nn.MaxPool1d(4), nn.Flatten(), nn.Linear(12 * 5, 10), nn.ReLU(), nn.Linear(10, 3), nn.Sigmoid(),
    )  # fmt: skip
    return Net(lambda s, x: (s.network(x) + s.network(x.flip(1).flip(2))) / 2, network=network)
