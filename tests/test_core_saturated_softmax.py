"""Log-softmax where one class has nearly all the probability: no digit of the small contributions is lost.

Multipliers are delta_ik - L_k / sum L, with L_k the logarithmic mean of the probabilities at input and
reference. For the leading class the difference from 1 is as small as exp(-gap), which float32, and float64
for large gaps, cannot hold as 1 minus a share. What is right is computed here with 60 decimal digits.
"""

from collections.abc import Sequence
from decimal import Decimal, localcontext

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from deeplift_core import DeepLift

CLASSES = 4


def exact(z: Sequence[float], z0: Sequence[float], target: int) -> list[float]:
    """Contributions of the logits to the logarithm of one probability."""
    with localcontext() as context:
        context.prec = 60
        numbers = [[Decimal(value) for value in side] for side in (z, z0)]
        weights = [[value.exp() for value in side] for side in numbers]
        p, q = ([value / sum(side) for value in side] for side in weights)
        means = [(a * b).sqrt() if a == b else (a - b) / (a.ln() - b.ln()) for a, b in zip(p, q, strict=True)]
        total = sum(means)
        return [
            float(((k == target) - means[k] / total) * (numbers[0][k] - numbers[1][k]))
            for k in range(CLASSES)
        ]


class Head(nn.Module):
    """The leading class's log-probability, and beside it features whose sum is large.

    Without the features the explained difference would be as small as the contributions, so that float32
    would miss the tolerance and float64 take over.
    """

    def __init__(self, target: int) -> None:
        super().__init__()
        self.target = target

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :CLASSES].log_softmax(1)[:, self.target] + x[:, CLASSES:].sum(1)


def logits(gap: float, seed: int) -> tuple[Tensor, Tensor]:
    """Input and reference [CLASSES + 1]: class 0 leads by ``gap``; numbers that float32 holds exactly."""
    generator = torch.Generator().manual_seed(seed)
    x, r = torch.randint(-16, 17, (2, CLASSES + 1), generator=generator).double() / 8
    x[0], r[0] = x[1:CLASSES].max() + gap, r[1:CLASSES].max() + gap - 2
    return x, r


@pytest.mark.parametrize("gap", [10, 20, 25, 30])
@pytest.mark.parametrize("target", [0, 1])
@pytest.mark.parametrize(("dtype", "relative"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_small_contributions_keep_their_digits(
    dtype: torch.dtype, relative: float, target: int, gap: int
) -> None:
    for seed in range(5):
        x, r = logits(gap, seed)
        explainer = DeepLift(Head(target), dtype=dtype, rule="rescale", logits=False)
        result = explainer.attribute(x[None], r[None, None], target=())
        expected = exact(x[:CLASSES].tolist(), r[:CLASSES].tolist(), target)
        found = result.contributions[0, :CLASSES].double().numpy()
        np.testing.assert_allclose(found, expected, rtol=relative, atol=0)


@pytest.mark.parametrize("gap", [20, 30])
def test_a_certain_prediction_is_explained_alone(gap: int) -> None:
    """Without features beside, the output itself is as small as exp(-gap)."""
    for seed in range(5):
        x, r = logits(gap, seed)
        explainer = DeepLift(nn.LogSoftmax(1), dtype=torch.float64, logits=False)
        result = explainer.attribute(x[None, :CLASSES], r[None, None, :CLASSES], target=0)
        expected = exact(x[:CLASSES].tolist(), r[:CLASSES].tolist(), 0)
        np.testing.assert_allclose(result.contributions[0].numpy(), expected, rtol=1e-12, atol=0)


def test_logsumexp_over_two_axes_scores_as_over_both_in_one() -> None:
    class Total(nn.Module):
        def __init__(self, *, flat: bool) -> None:
            super().__init__()
            self.flat = flat

        def forward(self, z: Tensor) -> Tensor:
            return z.flatten(1).logsumexp(1) if self.flat else z.logsumexp((1, 2))

    x, r = torch.randn(2, 3, CLASSES, 5, generator=torch.Generator().manual_seed(0))
    one, other = (
        DeepLift(Total(flat=flat), x, dtype=torch.float64).attribute(x, r[:, None], target=())
        for flat in (True, False)
    )
    assert one.completeness_error.abs().max() < 1e-12
    torch.testing.assert_close(other.contributions, one.contributions, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("gap", [10, 15, 20])
def test_what_all_classes_have_in_common_costs_no_digit_of_a_softmax(gap: int) -> None:
    """The mean of multipliers near 3 is subtracted from each; what is left may be as small as exp(-gap)."""

    class Weighted(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            weight = torch.tensor([3.0, 3.5, 2.5, 4.0], dtype=x.dtype)
            return (x[:, :CLASSES].softmax(1) * weight).sum(1) + x[:, CLASSES:].sum(1)

    for seed in range(5):
        x, r = logits(gap, seed)
        in_float32, expected = (
            DeepLift(Weighted(), dtype=dtype, rule="rescale").attribute(x[None], r[None, None], target=())
            for dtype in (torch.float32, torch.float64)
        )
        assert not in_float32.rescored.any()
        found = in_float32.contributions[0, :CLASSES].double()
        largest = expected.contributions[0, :CLASSES].abs().max()
        assert (found - expected.contributions[0, :CLASSES]).abs().max() < 1e-4 * largest
