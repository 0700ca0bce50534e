"""Summation-to-delta is kept in float32 too, where contributions cancel to far less than their size."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from deeplift_core import DeepLift
from deeplift_core.accuracy.completeness import TOLERANCE, relative_error
from deeplift_core.accuracy.rescoring import ATTEMPTS, AccuracyWarning, Rescoring
from deeplift_core.engine.forward import ForwardPass
from deeplift_core.engine.pairs import PairScores, TargetScores
from deeplift_core.results import Attribution
from deeplift_core.rules import Multipliers, Rule, rule_for
from deeplift_core.rules.rule import Sent
from deeplift_core.rules.values import PairValues

# One unit of rounding.
ULP = {"rtol": 1.2e-7, "atol": 1e-9}


def cancelling_model() -> nn.Module:
    """Large weights of both signs: hundreds of contributions of some units sum to nearly nothing."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv1d(4, 8, 5, padding=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8 * 60, 16),
        nn.ReLU(),
        nn.Linear(16, 2),
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(8)
        model[5].bias.zero_()
    return model


def one_hot(*shape: int) -> Tensor:
    return nn.functional.one_hot(torch.randint(4, (*shape, 60)), 4).mT.float()


@pytest.fixture
def case() -> tuple[nn.Module, Tensor, Tensor]:
    model = cancelling_model()
    x, references = one_hot(24), one_hot(24, 4)
    with torch.no_grad():  # the explained output of every row is nearly 0, as that of its reference may be
        model[5].bias -= model(x).mean(0)
    return model, x, references


@pytest.mark.parametrize("rule", ["rescale", "genomics-default"])
def test_pairs_beyond_the_tolerance_come_from_float64(
    case: tuple[nn.Module, Tensor, Tensor], rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x, references = case
    monkeypatch.setitem(TOLERANCE, torch.float32, 1.0)

    def scored(dtype: torch.dtype) -> Attribution:
        explainer = DeepLift(model, x[:8], rule=rule, dtype=dtype)
        return explainer.attribute(x, references, 1, per_reference=True)

    plain = scored(torch.float32)
    before = relative_error(plain.completeness_error, plain.output, plain.reference_output)
    tight = float(before.median())
    monkeypatch.setitem(TOLERANCE, torch.float32, tight)
    seen = []

    rescored = Rescoring.__call__

    def noting(self: Rescoring, scores: TargetScores, *rest: Any) -> TargetScores:
        seen.append((scores.output, scores.completeness_error, scores.reference_output))
        return rescored(self, scores, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Rescoring, "__call__", noting)
        kept = scored(torch.float32)
    exact = scored(torch.float64)
    assert kept.contributions.dtype == torch.float32
    missed = before > tight
    changed = (kept.contributions != plain.contributions).any(-1).any(-1)
    again = _scored_again(*map(torch.cat, zip(*seen, strict=True)), exact.output, tight)
    assert torch.equal(changed, again)
    assert torch.equal(kept.rescored, again)
    assert not plain.rescored.any()
    assert changed[missed].all()
    assert changed.sum() < 1.3 * missed.sum()
    for name in ("contributions", "hypothetical", "multipliers", "reference_output"):
        found, given = getattr(kept, name), getattr(plain, name)
        # In batches of another size, which round otherwise in the sixteenth digit.
        torch.testing.assert_close(found[changed], getattr(exact, name)[changed].float(), **ULP)
        assert torch.equal(found[~changed], given[~changed]), name
    for name in ("output", "prediction"):
        given = missed.any(1)
        torch.testing.assert_close(getattr(kept, name)[given], getattr(exact, name)[given].float(), **ULP)
    error = relative_error(kept.completeness_error, kept.output, kept.reference_output)
    assert float(error[changed].max()) < 1e-12
    assert float(error.max()) <= tight


def _scored_again(
    output: Tensor, error: Tensor, reference_output: Tensor, exact: Tensor, tight: float
) -> Tensor:
    """Pairs that are beyond, or become so as the outputs of others' rows are replaced by exact ones."""
    again = torch.zeros_like(error, dtype=torch.bool)
    while True:
        replaced = again.any(1)
        at_input = torch.where(replaced, exact, output.double())
        moved = error + torch.where(replaced, output - exact, 0.0)[:, None]
        further = again | (relative_error(moved, at_input, reference_output) > tight)
        if torch.equal(further, again):
            return again
        again = further


def test_only_pairs_beyond_the_tolerance_are_scored_again(
    case: tuple[nn.Module, Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One pair in a batch costs one batch against one reference, not against all."""
    model, x, references = case
    calls = []
    forward = ForwardPass.__call__
    monkeypatch.setattr(
        ForwardPass, "__call__", lambda self, given: calls.append(given[0]) or forward(self, given)
    )
    monkeypatch.setitem(TOLERANCE, torch.float32, 1.0)
    DeepLift(model, x[:8]).attribute(x[:8], references[:8], 1)
    assert len(calls) == 1 + 4
    calls.clear()
    monkeypatch.setattr("deeplift_core.accuracy.rescoring._beyond", _first_and_last)
    DeepLift(model, x[:8]).attribute(x[:8], references[:8], 1)
    assert [given.dtype for given in calls] == [torch.float32] * 5 + [torch.float64] * 2
    assert torch.equal(calls[-2][:2], x[[0, 7]].double())
    assert torch.equal(calls[-1][:2], torch.stack([references[0, 0], references[7, 3]]).double())


def _first_and_last(scores: TargetScores) -> Tensor:
    beyond = torch.zeros_like(scores.rescored)
    beyond[0, 0] = beyond[-1, -1] = True
    return beyond


def test_inner_layers_and_further_targets_have_a_twin_too(
    case: tuple[nn.Module, Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x, references = case
    monkeypatch.setitem(TOLERANCE, torch.float32, 1e-11)
    explainer = DeepLift(model, x[:8])
    exact = DeepLift(model, x[:8], dtype=torch.float64)
    weights = torch.tensor([1.0, -2.0])
    # Functions have constants of the model's own precision, which is not that of the twin.
    for target, in_float64 in (
        (0, 0),
        (("3", 5), ("3", 5)),
        (lambda output: output @ weights, lambda output: output @ weights.double()),
    ):
        for layer in (None, "0", "1"):
            ours = explainer.attribute(x, references, target, layer=layer, per_reference=True)
            theirs = exact.attribute(x, references, in_float64, layer=layer, per_reference=True)
            torch.testing.assert_close(ours.contributions, theirs.contributions.float(), **ULP)


class OfEight(nn.Module):
    """Takes batches of eight only, like a model exported with a fixed batch."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x.reshape(8, 4, 60))


class Recurrent(nn.Module):
    """Whose first state has one row for each sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.LSTM(4, 3, batch_first=True), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        state = x.new_full((1, x.shape[0], 3), 0.5)
        return self.head(self.cell(x.mT, (state, -state))[0][:, -1])


def test_what_is_scored_again_takes_few_rows_where_the_model_does(
    case: tuple[nn.Module, Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, x, references = case
    monkeypatch.setitem(TOLERANCE, torch.float32, 1e-11)
    rows_seen = set()
    forward = ForwardPass.__call__

    def noting(run: ForwardPass, given: list[Tensor]) -> dict[int, Any]:
        rows_seen.add((given[0].dtype, len(given[0])))
        return forward(run, given)

    for model, rows in ((plain, 4), (OfEight(plain), 8), (Recurrent(), 4)):
        exact = DeepLift(model, x[:8], dtype=torch.float64).attribute(x, references, 1, per_reference=True)
        rows_seen.clear()
        with monkeypatch.context() as patch:
            patch.setattr(ForwardPass, "__call__", noting)
            ours = DeepLift(model, x[:8]).attribute(x, references, 1, per_reference=True)
        assert rows_seen == {(torch.float32, 8), (torch.float64, rows)}
        torch.testing.assert_close(ours.contributions, exact.contributions.float(), **ULP)


def test_what_is_scored_again_has_the_parameters_that_were_recorded(
    case: tuple[nn.Module, Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x, references = case
    explainer, exact = DeepLift(model, x[:8]), DeepLift(model, x[:8], dtype=torch.float64)
    with torch.no_grad():
        model[0].weight.mul_(2)  # and trained on, before the first pair is beyond the tolerance
    monkeypatch.setitem(TOLERANCE, torch.float32, 1e-11)
    _assert_same(explainer, exact, x, references)
    model.append(nn.Tanh())  # other calls: nothing of it counts
    _assert_same(explainer.with_rule("rescale"), exact.with_rule("rescale"), x, references)
    model.pop(-1)
    model[-1] = nn.Linear(model[-1].in_features, 3)  # nor of a head with other outputs
    _assert_same(explainer.with_rule("revealcancel"), exact.with_rule("revealcancel"), x, references)


def _assert_same(explainer: DeepLift, exact: DeepLift, x: Tensor, references: Tensor) -> None:
    ours, theirs = (e.attribute(x, references, 1, per_reference=True) for e in (explainer, exact))
    torch.testing.assert_close(ours.contributions, theirs.contributions.float(), **ULP)


def test_relative_error_by_hand() -> None:
    error = torch.tensor([[0.0, -0.5, 1e-3]])
    reference = torch.tensor([[3.0, 2.0, 3.0]])
    found = relative_error(error, torch.tensor([3.0]), reference)
    torch.testing.assert_close(found, torch.tensor([[0.0, 0.5, 1e-3 / 0.03]], dtype=torch.float64))
    nothing = relative_error(torch.tensor([[0.0, 0.1]]), torch.zeros(1), torch.zeros(1, 2))
    # Outputs of about 0: at least the error itself was summed, and rounded by some eps.
    assert nothing.tolist() == [[0.0, pytest.approx(1 / (8 * torch.finfo(torch.float32).eps))]]
    summed = torch.tensor([[2.0, 5e4]])
    found = relative_error(torch.tensor([[0.0, 0.1]]), torch.zeros(1), torch.zeros(1, 2), summed)
    assert found.tolist() == [[0.0, pytest.approx(0.1 / (8 * torch.finfo(torch.float32).eps * 5e4))]]
    assert relative_error(torch.tensor([[0.0]]), torch.tensor([float("nan")]), torch.ones(1, 1)).isnan().all()


class _Wrong(nn.Module):
    """A model with a rule of its own whose contributions miss the sum, whatever the precision."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.dense = nn.Linear(4 * 60, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.deeplift_tests.halved(self.dense(x.flatten(1)))


@torch.library.custom_op("deeplift_tests::halved", mutates_args=())
def _halved(x: Tensor) -> Tensor:
    return x / 2


@rule_for("deeplift_tests::halved")
class _HalvedWrongly(Rule):
    label = "wrong"

    def backward(self, values: PairValues, m: Multipliers) -> Sent:
        return [(self.sources[0], Multipliers.same(m.positive * 0.51))]


@pytest.mark.filterwarnings("error")
def test_rescoring_that_does_not_help_says_so_and_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    x, references = one_hot(24), one_hot(24, 20)
    explainer = DeepLift(_Wrong(), x[:8])
    in_float64 = []
    forward = ForwardPass.__call__

    def noting(run: ForwardPass, given: list[Tensor]) -> dict[int, Any]:
        if given[0].dtype == torch.float64:
            in_float64.append(len(given[0]))
        return forward(run, given)

    monkeypatch.setattr(ForwardPass, "__call__", noting)
    with pytest.warns(AccuracyWarning, match=f"any of {ATTEMPTS} pairs") as told:
        result = explainer.attribute(x, references, 1)
    assert len(told) == 1
    assert f"{ATTEMPTS} pairs" in explainer.rescoring_stopped
    assert not result.rescored.any()
    error = relative_error(result.completeness_error, result.output, result.reference_output)
    assert error.min() > 1e-3  # the errors stay where the user sees them
    assert sum(in_float64) <= 3 * ATTEMPTS
    in_float64.clear()
    explainer.attribute(x, references, 1)
    assert not in_float64


class _OddForSome(nn.Module):
    """Finite for most rows: NaN or infinity where the first base is A or C."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        nan = torch.log(0.5 - x[:, 0, 0]) * 0
        infinite = 1 / (1 - x[:, 1, 0])
        return self.inner(x) + (nan + infinite)[:, None]


@pytest.mark.filterwarnings("error")
def test_pairs_that_are_not_finite_are_left_alone_and_use_up_no_budget() -> None:
    """Float64 gives NaN and infinity for them, too; the finite pairs still have the whole budget."""
    calls = []

    def exactly(rows: tuple[Tensor, ...], references: tuple[Tensor, ...]) -> TargetScores:
        calls.append(rows[0])
        return scores(rows[0], torch.zeros(len(rows[0]), 1))

    def scores(output: Tensor, error: Tensor) -> TargetScores:
        rows = len(output)
        column = [torch.zeros(rows, 1)]
        pairs = [
            PairScores(column, [None], column, torch.zeros(rows), error[:, number], torch.ones(rows))
            for number in range(error.shape[1])
        ]
        return TargetScores(output, output, pairs, torch.zeros(rows, error.shape[1], dtype=torch.bool))

    rescoring = Rescoring()
    output = torch.ones(2 * ATTEMPTS)
    output[0] = float("nan")
    output[1:] = float("inf")
    error = torch.full((len(output), 2), float("inf"))  # of finite outputs, too: contributions overflow
    for given in (output, torch.ones(len(output))):
        found = rescoring(scores(given, error), [given], [torch.zeros(len(output), 2)], exactly)
        assert not found.rescored.any()
    assert (calls, rescoring.stopped) == ([], "")
    error[3, 1] = 0.5
    mixed = torch.where(torch.arange(len(output)) == 3, 1.0, output)
    found = rescoring(scores(mixed, error), [mixed], [torch.zeros(len(output), 2)], exactly)
    assert found.rescored.nonzero().tolist() == [[3, 1]]
    assert [len(rows) for rows in calls] == [1]


@pytest.mark.filterwarnings("error")
def test_rows_without_finite_scores_leave_the_others_theirs(
    case: tuple[nn.Module, Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x, references = case
    x, references = x.clone(), references.clone()
    x[..., :, 0] = torch.tensor([0.0, 0.0, 1.0, 0.0])
    references[..., :, 0] = torch.tensor([0.0, 0.0, 0.0, 1.0])
    explainer = DeepLift(_OddForSome(model), x[:8])
    expected = explainer.attribute(x, references)
    x[0, :, 0] = torch.tensor([1.0, 0.0, 0.0, 0.0])
    x[1, :, 0] = torch.tensor([0.0, 1.0, 0.0, 0.0])
    monkeypatch.setitem(TOLERANCE, torch.float32, 1e-11)
    found = explainer.attribute(x, references)
    assert not found.output[:2].isfinite().any()
    assert not found.rescored[:2].any()
    assert found.rescored[2:].any()
    torch.testing.assert_close(found.contributions[2:], expected.contributions[2:], rtol=1e-4, atol=1e-6)


@torch.library.custom_op("deeplift_tests::single_only", mutates_args=())
def _single_only(x: Tensor) -> Tensor:
    if x.dtype != torch.float32:
        raise RuntimeError("there is a kernel for float32 only")
    return x * 2


@rule_for("deeplift_tests::single_only")
class _Doubled(Rule):
    label = "doubled"

    def backward(self, values: PairValues, m: Multipliers) -> Sent:
        return [(self.sources[0], Multipliers.same(m.positive * 2))]


def test_float32_scores_stay_where_the_model_has_no_float64(
    case: tuple[nn.Module, Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x, references = case

    class Single(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def forward(self, x: Tensor) -> Tensor:
            return torch.ops.deeplift_tests.single_only(self.inner(x))

    monkeypatch.setitem(TOLERANCE, torch.float32, 1.0)
    plain = DeepLift(Single(), x[:8]).attribute(x, references)
    monkeypatch.setitem(TOLERANCE, torch.float32, 1e-11)
    explainer = DeepLift(Single(), x[:8])
    with pytest.warns(AccuracyWarning, match="kernel for float32 only"):
        found = explainer.attribute(x, references)
    assert torch.equal(found.contributions, plain.contributions)
    assert not found.rescored.any()
