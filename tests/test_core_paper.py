"""The worked examples of the paper (Shrikumar, Greenside, Kundaje, ICML 2017), with numbers done by hand."""

import pytest
import torch
from torch import nn

from deeplift_core import DeepLift

D = torch.float64


def dense(weight: list[list[float]], bias: list[float]) -> nn.Linear:
    layer = nn.Linear(len(weight[0]), len(weight), dtype=D)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight))
        layer.bias.copy_(torch.tensor(bias))
    return layer


def rows(*values: tuple[float, ...]) -> torch.Tensor:
    return torch.tensor(values, dtype=D)


def contributions(
    model: nn.Module, x: torch.Tensor, rule: str, reference: torch.Tensor | None = None
) -> torch.Tensor:
    given = torch.zeros(1, x.shape[1], dtype=D) if reference is None else reference
    return DeepLift(model, rule=rule).attribute(x, given).contributions


class Minimum(nn.Module):
    """o = min(i1, i2) for inputs >= 0, as i1 - max(0, i1 - i2)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :1] - torch.relu(x[:, :1] - x[:, 1:])


# ---- figure 1: a signal that has saturated


@pytest.mark.parametrize("rule", ["rescale", "revealcancel", "genomics-default"])
def test_saturation(rule: str) -> None:
    """y = 1 - max(0, 1 - i1 - i2): past i1 + i2 = 1 gradients are 0, contributions are not."""
    model = nn.Sequential(dense([[-1, -1]], [1]), nn.ReLU(), dense([[-1]], [1]))
    found = contributions(model, rows((1, 1), (3, 1), (0.2, 0.3), (1, 0)), rule)
    torch.testing.assert_close(found, rows((0.5, 0.5), (0.75, 0.25), (0.2, 0.3), (1, 0)), rtol=0, atol=1e-12)
    gradient = contributions(model, rows((1, 1), (3, 1)), "gradient")
    assert gradient.abs().max() == 0


# ---- figure 2: a threshold made by a bias


@pytest.mark.parametrize("rule", ["rescale", "revealcancel"])
def test_thresholding_is_continuous(rule: str) -> None:
    """y = max(0, x - 10): gradient times input jumps from 0 to 10 at x = 10, the contribution does not."""
    model = nn.Sequential(dense([[1]], [-10]), nn.ReLU(), nn.Flatten())
    x = rows((9.0,), (10.0,), (10.0 + 1e-6,), (11.0,), (20.0,))
    found = contributions(model, x, rule)
    torch.testing.assert_close(found, rows((0,), (0,), (1e-6,), (1,), (10,)), rtol=0, atol=1e-12)
    gradient = contributions(model, x, "gradient")
    torch.testing.assert_close(gradient, rows((0,), (0,), (10 + 1e-6,), (11,), (20,)), rtol=0, atol=1e-9)


# ---- section 3.5.3 and figure 3: min(i1, i2), and input parts that cancel


def test_revealcancel_shares_a_minimum_equally() -> None:
    x = rows((3, 5), (5, 3), (2, 2), (0, 4), (1, 0))
    expected = 0.5 * x.min(1, keepdim=True).values.expand(-1, 2)
    torch.testing.assert_close(contributions(Minimum(), x, "revealcancel"), expected, rtol=0, atol=1e-12)
    for rule in ("rescale", "revealcancel-positive-first"):
        found = contributions(Minimum(), x, rule)
        torch.testing.assert_close(found.sum(1), x.min(1).values, rtol=0, atol=1e-12)


def test_rescale_gives_a_minimum_to_the_smaller_input() -> None:
    """What the paper calls misleading, and RevealCancel's reason to exist."""
    x = rows((3, 5), (5, 3))
    torch.testing.assert_close(
        contributions(Minimum(), x, "rescale"), rows((3, 0), (0, 3)), rtol=0, atol=1e-12
    )


def test_positive_parts_first_are_not_symmetric() -> None:
    """With P before Q, i1 alone opens the inner unit: 3 - 3 for i1, and i2 closes 3 of it again."""
    found = contributions(Minimum(), rows((3, 5), (5, 3)), "revealcancel-positive-first")
    torch.testing.assert_close(found, rows((0, 3), (0, 3)), rtol=0, atol=1e-12)


def test_parts_that_cancel_are_seen() -> None:
    """h = max(0, i1 - i2) with i1 = i2: Delta h is 0, but each input would change it alone."""
    model = nn.Sequential(dense([[1, -1]], [0]), nn.ReLU(), dense([[1]], [0]))
    x = rows((4, 4))
    torch.testing.assert_close(contributions(model, x, "revealcancel"), rows((2, -2)), rtol=0, atol=1e-12)
    assert contributions(model, x, "rescale").abs().max() == 0


# ---- section 3.6: the layer to explain


def test_the_logit_is_explained_not_the_saturated_sigmoid() -> None:
    """o = sigmoid(i1 + i2 + 5): both halves of a saturated output are seen through its logit."""
    model = nn.Sequential(dense([[1, 1]], [5]), nn.Sigmoid())
    x = rows((3, 3), (0, 7))
    torch.testing.assert_close(contributions(model, x, "rescale"), x, rtol=0, atol=1e-12)
    result = DeepLift(model, rule="rescale").attribute(x, torch.zeros(1, 2))
    torch.testing.assert_close(result.output, x.sum(1) + 5, rtol=0, atol=1e-12)
    torch.testing.assert_close(result.prediction, torch.sigmoid(x.sum(1) + 5), rtol=0, atol=1e-12)
    kept = DeepLift(model, rule="rescale", logits=False).attribute(x, torch.zeros(1, 2))
    torch.testing.assert_close(kept.output, kept.prediction, rtol=0, atol=1e-12)


def test_equation_5_centres_softmax_logits() -> None:
    """C'_k = C_k - mean over classes; a unit that raises all classes alike gets nothing."""
    weight = [[1.0, 7.0], [-2.0, 7.0], [4.0, 7.0]]
    model = nn.Sequential(dense(weight, [0, 0, 0]), nn.Softmax(1))
    x = rows((1, 1), (-2, 3))
    for k in range(3):
        expected = torch.stack([x[:, 0] * (weight[k][0] - 1), torch.zeros(2, dtype=D)], 1)
        result = DeepLift(model).attribute(x, torch.zeros(1, 2), k)
        torch.testing.assert_close(result.contributions, expected, rtol=0, atol=1e-12)
        torch.testing.assert_close(result.output, expected.sum(1), rtol=0, atol=1e-12)
        torch.testing.assert_close(result.prediction, model(x)[:, k].detach(), rtol=0, atol=1e-12)
        plain = DeepLift(model, centre=False).attribute(x, torch.zeros(1, 2), k)
        expected = x * torch.tensor(weight[k], dtype=D)
        torch.testing.assert_close(plain.contributions, expected, rtol=0, atol=1e-12)


def test_two_classes_centred_are_half_the_log_odds() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2), nn.Softmax(-1)).double()
    x, reference = torch.randn(5, 3, dtype=D), torch.randn(2, 3, dtype=D)
    result = DeepLift(model).attribute(x, reference, 1)
    p = model(x).detach()
    torch.testing.assert_close(result.output, (p[:, 1].log() - p[:, 0].log()) / 2, rtol=0, atol=1e-9)
    assert result.completeness_error.abs().max() < 1e-9


@pytest.mark.parametrize("axis", [1, 2])
def test_centring_keeps_to_the_axis_of_the_softmax(axis: int) -> None:
    """Output [K, 3, 2]: the mean is over the classes of softmax's own axis, other indices fixed."""
    torch.manual_seed(1)
    body = nn.Sequential(nn.Linear(4, 6), nn.Unflatten(1, (3, 2))).double()
    x, reference = torch.randn(2, 4, dtype=D), torch.zeros(1, 4, dtype=D)
    found = DeepLift(nn.Sequential(body, nn.Softmax(axis))).attribute(x, reference, (2, 1)).contributions
    plain = DeepLift(body)
    alike = [(k, 1) for k in range(3)] if axis == 1 else [(2, k) for k in range(2)]
    each = [plain.attribute(x, reference, place).contributions for place in alike]
    mean = sum(each) / len(each)
    torch.testing.assert_close(found, each[alike.index((2, 1))] - mean, rtol=0, atol=1e-12)


def test_a_softmax_behind_a_reduction_is_not_left_out() -> None:
    """It is stripped through operations that move values only."""
    torch.manual_seed(2)
    body = nn.Sequential(nn.Linear(4, 6), nn.Unflatten(1, (3, 2)), nn.Softmax(1)).double()

    class Mean(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean(2)

    x, reference = torch.randn(2, 4, dtype=D), torch.zeros(1, 4, dtype=D)
    reduced = DeepLift(nn.Sequential(body, Mean())).attribute(x, reference, 1)
    torch.testing.assert_close(reduced.output, reduced.prediction, rtol=0, atol=0)
    moved = DeepLift(nn.Sequential(body, nn.Flatten(1))).attribute(x, reference, 3)
    assert not torch.allclose(moved.output, moved.prediction)
    assert reduced.completeness_error.abs().max() < 1e-9
    assert moved.completeness_error.abs().max() < 1e-9
