"""Inputs that are constants of each row: scores are those of a model with the row's values inside."""

import pytest
import torch
from cancelling import nearly_equal_pairs
from torch import Tensor, nn

from deeplift_core import DeepLift, OfOutput, OptionError, TargetError

LENGTH, ROWS, REFERENCES = 30, 5, 3


class Conditioned(nn.Module):
    """Tracks beside the sequence, features that scale and shift dense units, and an embedded kind."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv1d(4, 6, 5, padding=2)
        self.both = nn.Conv1d(8, 6, 3, padding=1)
        self.dense = nn.Linear(6 * LENGTH // 5, 8)
        self.scale, self.shift = nn.Linear(3, 8), nn.Linear(3, 8)
        self.kinds = nn.Embedding(4, 8)
        self.last = nn.Linear(8, 2)
        with torch.no_grad():  # so that units change sign between sequence and reference
            self.dense.weight *= 8

    def forward(self, x: Tensor, tracks: Tensor, features: Tensor, kind: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.relu(self.both(torch.cat([torch.relu(self.conv(x)), tracks], 1)))
        h = h * torch.sigmoid(tracks.sum(1, keepdim=True))
        h = self.dense(torch.max_pool1d(h, 5).flatten(1))
        h = torch.relu(h * self.scale(features) + self.shift(features) + self.kinds(kind.long()))
        return self.last(h), self.scale(features)


class Holding(nn.Module):
    """A model with values inside, written by hand."""

    def __init__(self, model: nn.Module, values: tuple[Tensor, ...]) -> None:
        super().__init__()
        self.model = model
        self.values = values

    def forward(self, x: Tensor) -> object:
        return self.model(x, *(value.to(x.dtype).expand(len(x), *value.shape[1:]) for value in self.values))


def one_hot(*shape: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return nn.functional.one_hot(torch.randint(4, shape, generator=generator), 4).mT.float()


X = one_hot(ROWS, LENGTH, seed=1)
REFS = one_hot(ROWS, REFERENCES, LENGTH, seed=2)
VALUES = (
    torch.rand(ROWS, 2, LENGTH, generator=torch.Generator().manual_seed(3)) * 4,
    torch.randn(ROWS, 3, generator=torch.Generator().manual_seed(4)),
    torch.tensor([0.0, 3.0, 1.0, 1.0, 2.0]),
)
NAMES = ("contributions", "hypothetical", "multipliers", "output", "reference_output", "standard_error")


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return Conditioned().eval()


def explainer(model: nn.Module, rule: str = "genomics-default", rows: int = 2, **options: object) -> DeepLift:
    example = tuple(value[:rows] for value in (X, *VALUES))
    return DeepLift(model, example, rule=rule, constant_inputs=(1, 2, 3), **options)  # type: ignore[arg-type]


def by_hand(model: nn.Module, row: int, rule: str, rows: int = 2) -> DeepLift:
    return DeepLift(Holding(model, tuple(value[row : row + 1] for value in VALUES)), X[:rows], rule=rule)


@pytest.mark.parametrize("rule", ["genomics-default", "revealcancel", "rescale", "integrated-gradients:3"])
def test_scores_are_those_of_a_model_with_the_values_inside(model: nn.Module, rule: str) -> None:
    """For every row of two whole batches and one that is padded."""
    found = explainer(model, rule).attribute((X, *VALUES), REFS, 1)
    for row in range(ROWS):
        expected = by_hand(model, row, rule).attribute(X[row : row + 1], REFS[row : row + 1], 1)
        for name in NAMES:
            torch.testing.assert_close(
                getattr(found, name)[row], getattr(expected, name)[0], rtol=1e-5, atol=1e-7
            )


def test_shared_references_each_reference_and_layers(model: nn.Module) -> None:
    """The forward values of references that all rows share depend on the row's constants all the same."""
    found = explainer(model)
    shared, each = REFS[0], found.attribute((X, *VALUES), REFS, 1, per_reference=True)
    of_shared = found.attribute((X, *VALUES), shared, 1)
    inner = found.attribute((X, *VALUES), REFS, 0, layer="conv")
    for row in range(ROWS):
        one, own = slice(row, row + 1), by_hand(model, row, "genomics-default")
        expected = own.attribute(X[one], shared, 1)
        torch.testing.assert_close(of_shared.contributions[row], expected.contributions[0])
        expected = own.attribute(X[one], REFS[one], 1, per_reference=True)
        torch.testing.assert_close(each.contributions[row], expected.contributions[0])
        expected = own.attribute(X[one], REFS[one], 0, layer="model.conv")
        torch.testing.assert_close(inner.contributions[row], expected.contributions[0])


def test_rules_and_sizes_are_those_of_the_model_with_the_values_inside(model: nn.Module) -> None:
    found, expected = explainer(model), by_hand(model, 0, "genomics-default")
    assert [(n.op, n.rule) for n in found.nodes] == [(n.op, n.rule) for n in expected.nodes]
    assert "product" not in {node.rule for node in found.nodes}
    assert found.bytes_per_row == expected.bytes_per_row
    again = found.with_rule("rescale").attribute((X, *VALUES), REFS, 1)
    direct = explainer(model, "rescale").attribute((X, *VALUES), REFS, 1)
    assert torch.equal(again.contributions, direct.contributions)


def test_inputs_that_only_have_equal_references_are_explained_by_other_rules() -> None:
    """The reason for constants: a product of two inputs begins P and Q afresh, a scaling does not."""

    class OfOneKind(Conditioned):
        def forward(self, x: Tensor, tracks: Tensor, features: Tensor) -> Tensor:  # type: ignore[override]
            return super().forward(x, tracks, features, torch.ones(len(x)))[0]

    inputs, net = (X, *VALUES[:2]), OfOneKind().eval()
    constant = DeepLift(net, inputs, rule="revealcancel", constant_inputs=(1, 2))
    expected = constant.attribute(inputs, REFS, 1)
    pairs = tuple(value[:, None].expand(-1, REFERENCES, *value.shape[1:]) for value in VALUES[:2])
    found = DeepLift(net, inputs, rule="revealcancel").attribute(inputs, (REFS, *pairs), 1)
    assert all(float(part.abs().max()) == 0 for part in found.contributions[1:])
    difference = (found.contributions[0] - expected.contributions).abs().max()
    assert difference > 0.01 * expected.contributions.abs().max()


def test_two_explained_inputs_stay_two() -> None:
    class Sum(nn.Module):
        def forward(self, a: Tensor, scale: Tensor, b: Tensor) -> Tensor:
            return (torch.relu(a * scale) + torch.relu(b - scale)).sum(1)

    a, scale, b = (torch.randn(3, 4, generator=torch.Generator().manual_seed(n)) for n in range(3))
    zeros = torch.zeros(3, 1, 4)
    found = DeepLift(Sum(), (a, scale, b), constant_inputs=[1]).attribute((a, scale, b), (zeros, zeros))
    assert len(found.contributions) == 2
    total = sum(part.sum(1) for part in found.contributions)
    torch.testing.assert_close(total, found.output - found.reference_output[:, 0])


@pytest.mark.parametrize("count", [4, 10])
def test_pairs_that_are_scored_again_have_the_constants_of_their_own_rows(count: int) -> None:
    """Powers of two scale without rounding, so that the pairs cancel as those of the model itself."""
    inner, x, r = nearly_equal_pairs(count)

    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: Tensor, scale: Tensor) -> Tensor:
            return self.inner(x * scale)

    scale = 2.0 ** torch.arange(-1, count - 1)[:, None].fmod(4)
    rule = "rescale"
    found = DeepLift(Scaled(), (x / scale, scale), rule=rule, constant_inputs=[1]).attribute(
        (x / scale, scale), (r / scale)[:, None]
    )
    expected = DeepLift(inner, x, rule=rule).attribute(x, r[:, None])
    assert found.rescored.any()
    assert torch.equal(found.rescored, expected.rescored)
    torch.testing.assert_close(found.contributions, expected.contributions, rtol=1e-4, atol=1e-9)


def test_what_cannot_be_meant_is_refused(model: nn.Module) -> None:
    with pytest.raises(OptionError, match=r"constant_inputs=.* are not some of the 4 inputs"):
        DeepLift(model, (X, *VALUES), constant_inputs=(4,))
    with pytest.raises(OptionError, match="not some of the 4 inputs"):
        DeepLift(model, (X, *VALUES), constant_inputs=(0, 1, 2, 3))
    with pytest.raises(OptionError, match="not compiled"):
        DeepLift(model, (X, *VALUES), constant_inputs=(1,), compile=True)
    found = explainer(model)
    with pytest.raises(OptionError, match="not compiled"):
        found.compiled()
    with pytest.raises(OptionError, match=r"input 2 has shape \(5, 2\); for 5 rows it must be \(5, 3\)"):
        found.attribute((X, VALUES[0], VALUES[1][:, :2], VALUES[2]), REFS)
    with pytest.raises(OptionError, match="has 4 inputs; got 2"):
        found.attribute((X, VALUES[0]), REFS)
    with pytest.raises(TargetError, match="depends on no input but those that are constants"):
        found.attribute((X, *VALUES), REFS, OfOutput(1, 0))
    with pytest.raises(TargetError, match="no module 'scale' with an output that depends on the input"):
        found.attribute((X, *VALUES), REFS, layer="scale")
    with pytest.raises(TargetError, match="the explained output depends on no input but"):
        explainer(model, output=1)
