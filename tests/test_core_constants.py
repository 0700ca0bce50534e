"""Constants among the values that an operation moves have no difference-from-reference, hence no part P or Q.

Each model averages constants together with features before an activation with RevealCancel. The scores
must be those of the model that averages zeros in their place and adds the constants' own average as a
bias.
"""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deeplift_core import DeepLift

LENGTH, CHANNELS = 10, 3


def padded(h: Tensor, value: float) -> Tensor:
    return F.pad(h, (2, 3), value=value)


def joined(h: Tensor, value: float) -> Tensor:
    side = torch.full((h.shape[0], CHANNELS, 3), value, dtype=h.dtype)
    return torch.cat([side, h, side], 2)


def stacked(h: Tensor, value: float) -> Tensor:
    return torch.stack([h, torch.full_like(h, value)], 3).flatten(2)


def written_into(h: Tensor, value: float) -> Tensor:
    whole = torch.full((h.shape[0], CHANNELS, h.shape[2] + 4), value, dtype=h.dtype)
    whole[:, :, 2:-2] = h
    return whole


def replaced(h: Tensor, value: float) -> Tensor:
    h = h.clone()
    h[:, :, 3] = value
    return h


MIXES: dict[str, Callable[[Tensor, float], Tensor]] = {
    "pad": padded, "cat": joined, "stack": stacked, "slice_scatter": written_into, "select_scatter": replaced,
}  # fmt: skip


class Model(nn.Module):
    def __init__(self, mix: Callable[[Tensor, float], Tensor], value: float, as_bias: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv1d(4, CHANNELS, 3)
        self.mix, self.value, self.as_bias = mix, value, as_bias
        features = torch.zeros(1, CHANNELS, LENGTH - 2)
        self.last = nn.Linear(self.average(features, 0.0).numel(), 1)

    def average(self, h: Tensor, value: float) -> Tensor:
        return F.avg_pool1d(self.mix(h, value), 4, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv(x)
        if self.as_bias:
            nothing = torch.zeros(1, *h.shape[1:], dtype=h.dtype)
            bias = self.average(nothing, self.value) - self.average(nothing, 0.0)
            averages = self.average(h, 0.0) + bias
        else:
            averages = self.average(h, self.value)
        return self.last(torch.relu(averages).flatten(1))


@pytest.mark.parametrize("rule", ["rescale", "revealcancel", "revealcancel-positive-first"])
@pytest.mark.parametrize("value", [0.0, 0.8, -0.6])
@pytest.mark.parametrize("name", MIXES)
def test_constants_count_as_a_bias(name: str, value: float, rule: str) -> None:
    generator = torch.Generator().manual_seed(1)
    x, r = torch.randn(2, 5, 4, LENGTH, dtype=torch.float64, generator=generator)
    found, expected = (
        DeepLift(Model(MIXES[name], value, as_bias).double(), rule=rule).attribute(x, r[:, None])
        for as_bias in (False, True)
    )
    torch.testing.assert_close(found.output, expected.output, rtol=0, atol=1e-12)
    torch.testing.assert_close(found.multipliers, expected.multipliers, rtol=0, atol=1e-12)
    assert found.completeness_error.abs().max() < 1e-12
