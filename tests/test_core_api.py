"""The Python interface: shapes, targets, layers, channel axes, gradients, and what errors say."""

import ast
import copy
import pydoc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import deeplift_core
from deeplift_core import RULES, Attribution, DeepLift, OfOutput, OptionError, TargetError, TargetFunction
from deeplift_core.engine import shared_references

D = torch.float64
N, R, L = 5, 3, 8


def net(outputs: int = 3) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv1d(4, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(18, 6), nn.Tanh(), nn.Linear(6, outputs)
    ).double()


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.sequence = nn.Conv1d(4, 3, 3)
        self.signal = nn.Linear(7, 4)
        self.out = nn.Linear(22, 2)

    def forward(self, sequence: torch.Tensor, signal: torch.Tensor) -> torch.Tensor:
        h = torch.cat([self.sequence(sequence).relu().flatten(1), torch.tanh(self.signal(signal))], 1)
        return self.out(h)


def data(n: int = N, r: int = R) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    return (
        torch.randn(n, 4, L, generator=generator, dtype=D),
        torch.randn(n, r, 4, L, generator=generator, dtype=D),
    )


def one_hot(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return F.one_hot(torch.randint(4, shape, generator=generator), 4).movedim(-1, -2).to(D)


# ---- shapes


def test_shapes_of_all_results() -> None:
    x, references = data()
    result = DeepLift(net(), x[:2]).attribute(x, references, target=1)
    assert isinstance(result, Attribution)
    for value in (result.contributions, result.multipliers, result.hypothetical):
        assert value.shape == (N, 4, L)
    assert result.output.shape == result.prediction.shape == (N,)
    assert result.reference_output.shape == result.completeness_error.shape == (N, R)
    with torch.no_grad():
        torch.testing.assert_close(result.output, net()(x)[:, 1], rtol=0, atol=1e-12)
        expected = net()(references.flatten(0, 1))[:, 1].view(N, R)
    torch.testing.assert_close(result.reference_output, expected, rtol=0, atol=1e-12)


def test_per_reference_holds_every_pair() -> None:
    x, references = data()
    explainer = DeepLift(net(), x[:2])
    pairs = explainer.attribute(x, references, per_reference=True)
    mean = explainer.attribute(x, references)
    for name in ("contributions", "hypothetical", "multipliers"):
        each = getattr(pairs, name)
        assert each.shape == (N, R, 4, L)
        torch.testing.assert_close(each.mean(1), getattr(mean, name), rtol=0, atol=1e-12)
    for k in range(R):
        alone = explainer.attribute(x, references[:, k : k + 1])
        torch.testing.assert_close(alone.contributions, pairs.contributions[:, k], rtol=0, atol=0)
    total = pairs.contributions.flatten(2).sum(2)
    error = total - (pairs.output[:, None] - pairs.reference_output)
    torch.testing.assert_close(pairs.completeness_error, error, rtol=0, atol=1e-12)
    torch.testing.assert_close(
        pairs.contributions, pairs.multipliers * (x[:, None] - references), rtol=0, atol=1e-12
    )


def test_shared_references_are_the_same_for_all() -> None:
    x, references = data()
    shared = references[0]
    explainer = DeepLift(net(), x[:2])
    found = explainer.attribute(x, shared, per_reference=True)
    expected = explainer.attribute(x, shared.expand(N, -1, -1, -1), per_reference=True)
    torch.testing.assert_close(found.contributions, expected.contributions, rtol=0, atol=0)
    assert found.reference_output.shape == (N, R)


@pytest.mark.parametrize("rule", ["rescale", "gradient"])
def test_references_are_the_callers_to_change(rule: str) -> None:
    """What is kept of shared ones is a copy, with one row, too, where expanding them copies nothing."""
    x, references = data(1)
    zeros = torch.zeros(1, 4, L, dtype=D)
    expected = DeepLift(net(), x, rule=rule).attribute(x, zeros.clone()).contributions
    explainer, given = DeepLift(net(), x, rule=rule), zeros.clone()
    explainer.attribute(x, given)
    given.copy_(references[0, :1])
    torch.testing.assert_close(explainer.attribute(x, zeros).contributions, expected, rtol=0, atol=0)


def test_results_do_not_hold_the_rows_that_filled_the_last_batch_up() -> None:
    x, references = data(5)
    result = DeepLift(net(), x[:4]).attribute(x, references)
    for value in (result.contributions, result.hypothetical, result.output, result.completeness_error):
        assert len(value) == 5
        assert value.untyped_storage().nbytes() == value.nbytes


def test_no_target_is_no_result() -> None:
    x, references = data()
    assert DeepLift(net(), x).attribute_targets(x, references, []) == []


def test_threads_may_share_an_explainer(monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for a few of the values that they keep."""
    x, references = data()
    explainer = DeepLift(net(), x[:2])
    chosen = [references[start:].flatten(0, 1) for start in range(4)]
    expected = [explainer.attribute(x, some).contributions for some in chosen]
    cached = explainer._explainer.shared._cached
    monkeypatch.setattr(shared_references, "_BYTES", 6 * cached[0].nbytes)

    def attribute(number: int) -> torch.Tensor:
        return explainer.attribute(x, chosen[number % 4]).contributions

    with ThreadPoolExecutor(4) as pool:
        for number, found in enumerate(pool.map(attribute, range(40))):
            torch.testing.assert_close(found, expected[number % 4], rtol=1e-12, atol=1e-14)


def test_an_explainer_may_be_copied() -> None:
    x, references = data()
    explainer = DeepLift(net(), x)
    expected = explainer.attribute(x, references[0]).contributions
    found = copy.deepcopy(explainer).attribute(x, references[0]).contributions
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_several_inputs_are_tuples_in_the_same_order() -> None:
    x, references = data()
    signal, signal_references = torch.randn(N, 7, dtype=D), torch.randn(N, R, 7, dtype=D)
    explainer = DeepLift(TwoInputs().double(), (x[:2], signal[:2]))
    result = explainer.attribute((x, signal), (references, signal_references), 1)
    assert [item.shape for item in result.contributions] == [(N, 4, L), (N, 7)]
    assert [item.shape for item in result.multipliers] == [(N, 4, L), (N, 7)]
    assert result.hypothetical[0].shape == (N, 4, L)
    assert result.hypothetical[1] is None
    assert result.completeness_error.abs().max() < 1e-9
    pairs = explainer.attribute((x, signal), (references, signal_references), 1, per_reference=True)
    assert [item.shape for item in pairs.contributions] == [(N, R, 4, L), (N, R, 7)]
    shared = explainer.attribute((x, signal), (references[0], signal_references[0]))
    assert shared.completeness_error.abs().max() < 1e-9


def test_an_input_that_cannot_matter_gets_exactly_nothing() -> None:
    class First(nn.Module):
        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return torch.relu(a).flatten(1)[:, :3] + 0 * b.shape[0]

    x, references = data()
    result = DeepLift(First()).attribute((x, x), (references, references), 2)
    assert result.contributions[1].count_nonzero() == 0
    assert result.multipliers[1].count_nonzero() == 0
    assert result.contributions[0].flatten(1)[:, [0, 1, *range(3, 32)]].count_nonzero() == 0


# ---- targets


def test_kinds_of_target_agree() -> None:
    x, references = data()
    explainer = DeepLift(net(), x[:2])
    expected = explainer.attribute(x, references, 2)
    for target in (
        (2,), np.int64(2), torch.tensor(2), lambda y: y[:, 2], lambda y: y.select(1, 2), ("5", 2), ("", 2),
        ("", (2,)),
    ):  # fmt: skip
        found = explainer.attribute(x, references, target)
        torch.testing.assert_close(found.contributions, expected.contributions, rtol=0, atol=1e-12)
        torch.testing.assert_close(found.output, expected.output, rtol=0, atol=1e-12)


def test_functions_that_make_the_same_calls_and_return_different_ones_are_told_apart() -> None:
    x, references = data()
    explainer = DeepLift(net(), x[:2], rule="rescale")

    def one_of(place: int) -> Any:
        return lambda y: (y[:, 0].tanh(), y[:, 1].tanh())[place]

    for place in (0, 1):
        found = explainer.attribute(x, references, one_of(place))
        with torch.no_grad():
            torch.testing.assert_close(found.output, net()(x)[:, place].tanh(), rtol=0, atol=1e-12)


def test_a_target_function_may_be_anything_with_rules() -> None:
    x, references = data()
    explainer = DeepLift(net(), x[:2], rule="rescale")
    for function in (lambda y: y.sum(1), lambda y: torch.tanh(y).mean(1), lambda y: y[:, 0] * y[:, 1] / 2):
        result = explainer.attribute(x, references, function)
        with torch.no_grad():
            torch.testing.assert_close(result.output, function(net()(x)), rtol=0, atol=1e-12)
        assert result.completeness_error.abs().max() < 1e-9


def test_a_target_function_sees_logits_and_the_prediction_is_the_models_own() -> None:
    x, references = data()
    model = nn.Sequential(net(), nn.Sigmoid())
    result = DeepLift(model).attribute(x, references, lambda y: y[:, 1] - y[:, 0])
    with torch.no_grad():
        logits, p = net()(x), model(x)
    torch.testing.assert_close(result.output, logits[:, 1] - logits[:, 0], rtol=0, atol=1e-12)
    torch.testing.assert_close(result.prediction, p[:, 1] - p[:, 0], rtol=0, atol=1e-12)


@dataclass(frozen=True)
class MeanOf(TargetFunction):
    """The mean of some columns of an output [K, T]; it counts its calls."""

    columns: tuple[int, ...]
    calls: ClassVar[list[int]] = []

    def __call__(self, output: torch.Tensor) -> torch.Tensor:
        self.calls.append(len(output))
        return output[:, list(self.columns)].mean(1)


def test_a_target_function_that_means_its_value_is_recorded_once() -> None:
    x, references = data()
    explainer = DeepLift(net(), x[:2])
    plain = explainer.attribute(x, references, lambda y: y[:, [0, 2]].mean(1))
    found = explainer.attribute(x, references, MeanOf((0, 2)))
    MeanOf.calls.clear()
    again = explainer.attribute(x, references, MeanOf((0, 2)))
    assert not MeanOf.calls
    for name in ("contributions", "hypothetical", "multipliers", "output", "reference_output"):
        assert torch.equal(getattr(found, name), getattr(plain, name)), name
        assert torch.equal(getattr(again, name), getattr(plain, name)), name
    other = explainer.attribute(x, references, MeanOf((1,)))
    assert MeanOf.calls
    assert torch.equal(other.output, explainer.attribute(x, references, 1).output)


def test_a_target_function_without_a_hash_is_refused() -> None:
    x, _ = data()
    with pytest.raises(TargetError, match=r"a target of class MeanOf has no hash.*frozen dataclass"):
        DeepLift(net(), x[:2]).check_target(MeanOf([0, 2]))  # type: ignore[arg-type]


class TwoHeads(nn.Module):
    """Outputs [K, 3] and, after a softmax, [K, 2]."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = net(), net(2)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.first(x), torch.softmax(self.second(x) * 2, 1)


def test_a_target_of_another_output_is_that_of_an_explainer_of_this_output() -> None:
    x, references = data()
    both = DeepLift(TwoHeads(), x[:2])
    targets = [OfOutput(1, 0), OfOutput(0, MeanOf((0, 1))), 2, OfOutput(1, lambda y: y[:, 1])]
    found = both.attribute_targets(x, references, targets)
    first, second = DeepLift(TwoHeads(), x[:2]), DeepLift(TwoHeads(), x[:2], output=1)
    expected = [
        second.attribute(x, references, 0), first.attribute(x, references, MeanOf((0, 1))),
        first.attribute(x, references, 2), second.attribute(x, references, 1),
    ]  # fmt: skip
    for one, other in zip(found, expected, strict=True):
        for name in ("contributions", "output", "prediction", "reference_output"):
            torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=0, atol=1e-12)
    with pytest.raises(TargetError, match="the model has no output 2"):
        both.check_target(OfOutput(2, 0))


def test_targets_of_other_outputs_are_scored_in_float32_within_the_promise() -> None:
    x, references = (tensor.float() for tensor in data())
    found = DeepLift(TwoHeads().float(), x[:2]).attribute_targets(x, references, [0, OfOutput(1, 0)])
    expected = DeepLift(TwoHeads().double(), x[:2].double(), output=1).attribute(
        x.double(), references.double()
    )
    torch.testing.assert_close(found[1].contributions.double(), expected.contributions, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("rule", ["rescale", "gradient"])
def test_outputs_are_those_that_attribute_explains(rule: str) -> None:
    model = nn.Sequential(*net(), nn.Softmax(1))
    x, references = torch.rand(N, 4, L, dtype=D), torch.rand(R, 4, L, dtype=D)
    explainer = DeepLift(model, x[:2], rule=rule)
    targets = [2, lambda z: z[:, 0] * z[:, 1]]
    found = explainer.outputs(x, targets)
    for outputs, result in zip(found, explainer.attribute_targets(x, references, targets), strict=True):
        torch.testing.assert_close(outputs.output, result.output)
        torch.testing.assert_close(outputs.prediction, result.prediction)
        assert outputs.output.shape == (N,)
    torch.testing.assert_close(found[0].prediction, model(x)[:, 2])
    logits = net()(x)
    torch.testing.assert_close(found[0].output, logits[:, 2] - logits.mean(1))
    assert explainer.outputs(x, []) == []


def test_outputs_of_several_inputs() -> None:
    x = torch.rand(N, 4, 8, dtype=D), torch.rand(N, 7, dtype=D)
    model = TwoInputs().double()
    (found,) = DeepLift(model, tuple(tensor[:2] for tensor in x)).outputs(x, [1])
    torch.testing.assert_close(found.output, model(*x)[:, 1])
    with pytest.raises(OptionError, match="has shape"):
        DeepLift(model, x).outputs((x[0], x[1][:, :3]))


def test_the_axis_of_a_centred_softmax_is_known() -> None:
    x, _ = data()

    class Moved(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net(6)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            p = torch.softmax(self.net(x).reshape(-1, 3, 2), 1)
            return p.transpose(1, 2), p[:, 1], self.net(x).sigmoid()

    explainer = DeepLift(Moved(), x[:2])
    assert [explainer.centred_axis(OfOutput(place, 0)) for place in range(3)] == [2, None, None]
    assert explainer.centred_axis() == 2
    assert explainer.centred_axis(("net", 0)) is None
    assert DeepLift(Moved(), x[:2], centre=False).centred_axis() is None
    assert DeepLift(Moved(), x[:2], logits=False).centred_axis() is None


def test_any_neuron_of_any_layer_may_be_explained() -> None:
    x, references = data()
    whole = DeepLift(net(), x[:2])
    for layer, place in (("0", (2, 3)), ("1", (0, 5)), ("2", 7), ("3", 4), ("4", (1,))):
        found = whole.attribute(x, references, (layer, place))
        cut = DeepLift(net()[: int(layer) + 1], x[:2]).attribute(x, references, place)
        torch.testing.assert_close(found.contributions, cut.contributions, rtol=0, atol=1e-12)
        torch.testing.assert_close(found.output, cut.output, rtol=0, atol=1e-12)


def test_outputs_of_other_shapes() -> None:
    x, references = data()
    profile = nn.Sequential(nn.Conv1d(4, 2, 3)).double()
    explainer = DeepLift(profile, x[:2])
    assert explainer.output_shape == (2, 6)
    assert explainer.attribute(x, references, (1, 3)).completeness_error.abs().max() < 1e-12
    flat = nn.Sequential(net(1), nn.Flatten(0)).double()
    assert DeepLift(flat, x[:2]).output_shape == ()
    assert DeepLift(flat, x[:2]).attribute(x, references).output.shape == (N,)
    # axes of length 1 behind need no index
    assert DeepLift(nn.Sequential(net(), nn.Unflatten(1, (3, 1, 1))), x[:2]).attribute(x, references, 2)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (3, r"target 3 is out of range: the output has shape \(3,\), valid is 0 to 2"),
        (-1, r"target -1 is out of range.*valid is 0 to 2"),
        ((0, 0), r"\(0, 0\) does not name one element of an output of shape \(3,\): give \(0 to 2\)"),
        ((), r"\(\) does not name one element"),
        ([0], r"target \[0\] is neither an index"),
        (0.5, r"target 0\.5 is neither an index"),
        ("0", r"target '0' is neither an index"),
        (None, r"target None is neither an index"),
        ((0, "a"), r"is neither an index"),
        (("3",), r"\('3',\) must be \(module name, index\)"),
        (("3", 0, 1), r"must be \(module name, index\)"),
        (("3", 6), r"target 6 is out of range: the output has shape \(6,\), valid is 0 to 5"),
        (("nowhere", 0), r"no module 'nowhere' with an output.*there are: 0, 1, 2, 3, 4, 5"),
        (lambda y: y, r"returned shape \(2, 3\) for 2 rows, not one value a row"),
        (lambda y: y.sum(), r"returned shape \(\) for 2 rows"),
        (lambda y: torch.ones(2), r"must return a tensor that depends on the output"),
        (lambda y: 1.0, r"must return a tensor that depends on the output"),
        (lambda y: y[:, 0] * float(y.sum()), r"reads a value computed from the input"),
        (
            lambda y: y[:, 3],
            r"the target function failed on an output of shape \(2, 3\): IndexError: index 3",
        ),
        (lambda y: y.no_such_thing, r"failed on an output of shape \(2, 3\): AttributeError"),
        (lambda y: y[:, 0] * copy.copy(y)[:, 1], r"a value that depends on the input left torch's sight"),
        (lambda y: y[:, 0] - y[:, 0].mean(), r"rows of one batch mix in aten\.sub"),
        (lambda y: y[:, 0] * torch.arange(len(y)), r"rows of one batch mix"),
    ],
)
def test_what_errors_about_targets_say(target: Any, message: str) -> None:
    x, references = data()
    explainer = DeepLift(net(), x[:2])
    with pytest.raises(TargetError, match=message):
        explainer.check_target(target)
    with pytest.raises(TargetError, match=message):
        explainer.attribute(x, references, target)


@pytest.mark.parametrize("function", [lambda y: y > 0, lambda y: (y * 10).long()])
def test_an_output_without_floating_numbers_is_no_target(function: Any) -> None:
    class Jumps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net()

        def forward(self, x: torch.Tensor) -> Any:
            return function(self.net(x))

    x, references = data()
    with pytest.raises(TargetError, match=r"the output is torch\.(bool|int64), not floating numbers"):
        DeepLift(Jumps(), x[:2]).attribute(x, references)


def test_an_output_without_rows_is_no_target() -> None:
    class Total(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.sum()

    with pytest.raises(TargetError, match=r"shape \(\), not one row for each of the 2 inputs"):
        DeepLift(Total(), data()[0][:2]).check_target(0)


# ---- options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"rule": "deeplift"},
            r"unknown rule 'deeplift'; choose from genomics-default, rescale, revealcancel",
        ),
        ({"rule": "integrated-gradients:0"}, "unknown rule"),
        (
            {"channel_axis": 0},
            "channel_axis=0 is no axis of an input with 3 axes; axis 0 is that of the rows",
        ),
        ({"channel_axis": 3}, "channel_axis=3 is no axis of an input with 3 axes"),
        ({"channel_axis": -3}, "channel_axis=-3 is no axis of an input with 3 axes"),
        ({"dtype": torch.int32}, r"cannot be computed in torch\.int32; choose from torch\.bfloat16"),
        ({"dtype": torch.complex64}, r"cannot be computed in torch\.complex64"),
        ({"rule": "integrated-gradients:x"}, "unknown rule"),
        (
            {"layer_rules": {"1": "gradient"}},
            "unknown rule 'gradient' for a layer; choose from rescale",
        ),
        (
            {"layer_rules": {"conv*": "rescale"}},
            r"no operation with a rule 'rescale' is in a module that matches 'conv\*'.*'1', '4'",
        ),
        (
            {"layer_rules": {"0": "rescale"}},
            "no operation with a rule 'rescale' is in a module that matches '0'",
        ),
        ({"rule": "gradient", "layer_rules": {"1": "rescale"}}, "layer rules do not go with rule 'gradient'"),
    ],
)
def test_what_errors_about_options_say(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        DeepLift(net(), data()[0], **options)


def test_what_errors_about_shapes_say() -> None:
    x, references = data()
    explainer = DeepLift(net(), x[:2])
    for bad_x, bad_references, message in (
        (x[:, :, 1:], references[..., 1:], r"x has shape \(5, 4, 7\); recorded was \[N, 4, 8\]"),
        (x[0], references[0], r"x has shape \(4, 8\)"),
        (x, references[..., 1:], r"references have shape \(5, 3, 4, 7\).*must be \[N, R, \.\.\.\]"),
        (x, references[:2], r"references have shape \(2, 3, 4, 8\)"),
        (x, references[:, :0], r"references have shape \(5, 0, 4, 8\)"),
        (x, references[0, 0], r"references have shape \(4, 8\)"),
        (x.numpy().astype(str), references, "is not an array of numbers that torch knows"),
        (x, references.tolist(), r"inputs and references are tensors.*; got list"),
        (x[:0], references[:0], r"x has shape \(0, 4, 8\)"),
        ((x, x), (references, references), "the model has 1 input; got 2 for x and 2 for references"),
        (x, (references, references), "got 1 for x and 2 for references"),
    ):
        with pytest.raises(OptionError, match=message):
            explainer.attribute(bad_x, bad_references)


def test_all_inputs_have_as_many_references() -> None:
    model = TwoInputs().to(D)
    x, signal = data()[0], torch.ones(N, 7, dtype=D)
    references, of_signal = data()[1], torch.zeros(N, R + 1, 7, dtype=D)
    explainer = DeepLift(model, (x[:2], signal[:2]))
    with pytest.raises(OptionError, match="3 references of the first input and 4 of another"):
        explainer.attribute((x, signal), (references, of_signal))
    with pytest.raises(OptionError, match="3 references of the first input and 4 of another"):
        explainer.attribute((x, signal), (references[0], of_signal[0]))


def test_no_rows_are_no_example() -> None:
    x, references = data()
    for no_row in (x[:0], torch.tensor(1.0, dtype=D)):
        with pytest.raises(OptionError, match=r"recorded on one row at least; got shape \("):
            DeepLift(net(), no_row)
    explainer = DeepLift(net())
    with pytest.raises(OptionError, match=r"at least; got shape \(0, 4, 8\)"):
        explainer.attribute(x[:0], references[:0])
    assert len(explainer.attribute(x, references).output) == N  # and goes on with what has rows


def test_a_target_without_a_gradient_says_so() -> None:
    x, references = data()
    table = nn.Embedding(4, 2, dtype=D)

    class Looked(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return table(x.argmax(1)).sum(1)

    with pytest.raises(TargetError, match="no gradient with respect to the input"):
        DeepLift(Looked(), x[:2], rule="gradient").attribute(x, references)


@pytest.mark.parametrize("passes", ["auto", ()])
def test_a_layer_inside_a_branch_gets_what_goes_through_it(passes: Any) -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.first = nn.Linear(4 * L, 6, dtype=D)
            self.branch = nn.Linear(6, 6, dtype=D)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = self.first(x.flatten(1))
            return (h + F.relu(self.branch(h))).sum(1)

    x, references = data()
    model = Residual()
    result = DeepLift(model, x[:2], rule="rescale", passes=passes).attribute(
        x, references, layer="branch", per_reference=True
    )
    at_input = F.relu(model.branch(model.first(x.flatten(1))))
    at_reference = F.relu(model.branch(model.first(references.flatten(2))))
    torch.testing.assert_close(result.contributions, at_input[:, None] - at_reference)


def test_a_layer_that_is_passed_by_spends_no_budget_of_float64() -> None:
    """Its contributions do not sum to the difference of the outputs, which is no rounding."""

    class PassedBy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.layer = nn.Linear(4 * L, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.relu(self.layer(x.flatten(1))) + x.sum((1, 2))[:, None]

    x, references = (tensor.float() for tensor in data(50, 1))
    explainer = DeepLift(PassedBy(), x[:5])
    result = explainer.attribute(x, references, layer="layer")
    assert not result.rescored.any()
    assert explainer.rescoring_stopped == ""


def test_layer_errors() -> None:
    x, references = data()
    explainer = DeepLift(net(), x[:2])
    with pytest.raises(TargetError, match="no module 'conv'"):
        explainer.attribute(x, references, layer="conv")
    with pytest.raises(TargetError, match="does not depend on the output of module '5'"):
        explainer.attribute(x, references, ("3", 0), layer="5")
    with pytest.raises(OptionError, match="layer= does not go with rule 'gradient'"):
        DeepLift(net(), x[:2], rule="gradient").attribute(x, references, layer="1")


def test_layer_rules_last_match_counts_and_reach_functional_calls() -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = net()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.relu(self.inner(x) @ torch.eye(3, dtype=x.dtype))

    def rules(**options: Any) -> list[str]:
        nodes = DeepLift(Functional(), data()[0], **options).nodes
        return [node.rule for node in nodes if node.rule.startswith("re") and node.rule in RULES]

    assert rules() == ["rescale", "revealcancel", "revealcancel"]
    assert rules(rule="rescale", layer_rules={"inner.*": "revealcancel"}) == ["revealcancel"] * 2 + [
        "rescale"
    ]
    both = {"*": "revealcancel-positive-first", "inner.4": "rescale"}
    assert rules(layer_rules=both) == [
        "revealcancel-positive-first",
        "rescale",
        "revealcancel-positive-first",
    ]
    assert rules(layer_rules=dict(reversed(both.items()))) == ["revealcancel-positive-first"] * 3
    assert rules(rule="rescale", layer_rules={"": "revealcancel"}) == ["rescale", "rescale", "revealcancel"]


# ---- nodes


def test_nodes_show_what_was_recorded() -> None:
    x, _ = data()
    nodes = DeepLift(nn.Sequential(net(), nn.Softmax(1)), x).nodes
    assert len({node.name for node in nodes}) == len(nodes)
    assert nodes[0].op == nodes[0].rule == "input"
    by_module = {node.module: node for node in nodes}
    assert by_module["0.0"].op == "aten.convolution.default"
    assert [by_module[f"0.{k}"].rule for k in (0, 1, 3, 4, 5)] == [
        "linear", "rescale", "linear", "revealcancel", "linear",
    ]  # fmt: skip
    assert by_module["1"].rule == "not used"
    assert by_module["0.0"].source == ""  # all of the model's code is torch's
    own = DeepLift(TwoInputs(), (x, torch.randn(N, 7))).nodes
    lines = {node.source for node in own if node.op.startswith("aten.relu")}
    assert len(lines) == 1
    assert lines.pop().startswith(__file__)
    kept = DeepLift(nn.Sequential(net(), nn.Softmax(1)), x, logits=False).nodes
    assert {node.module: node.rule for node in kept}["1"] == "softmax"
    gradient = DeepLift(net(), x, rule="gradient").nodes
    assert {node.rule for node in gradient} == {"gradient"}


def test_bytes_per_row_counts_the_values_kept() -> None:
    x, references = data()
    explainer = DeepLift(net(), x)
    assert explainer.bytes_per_row >= 2 * 8 * (4 * L + 18)
    assert explainer.attribute(x, references)
    wide = DeepLift(net(), x[:1])
    assert wide.bytes_per_row == explainer.bytes_per_row


# ---- channel axis and hypothetical contributions


def slow_hypothetical(x: torch.Tensor, references: torch.Tensor, multipliers: torch.Tensor) -> torch.Tensor:
    """m_b - sum over k of ref_k m_k, averaged over references, for [N, 4, L] with loops."""
    out = torch.zeros_like(x)
    for n in range(len(x)):
        for position in range(x.shape[2]):
            for base in range(4):
                for r in range(references.shape[1]):
                    m, ref = multipliers[n, r, :, position], references[n, r, :, position]
                    if x[n, :, position].any() or ref.any():
                        out[n, base, position] += m[base] - sum(float(ref[k] * m[k]) for k in range(4))
    return out / references.shape[1]


def test_hypothetical_contributions_are_the_formula() -> None:
    x, references = one_hot(N, L), one_hot(N, R, L)
    x[1, :, 3] = 0
    references[1, :, :, 3] = 0
    references[2, 0] = 0.25
    references[3, 1, :, 4] = 0
    explainer = DeepLift(net(), x[:2])
    result = explainer.attribute(x, references)
    pairs = explainer.attribute(x, references, per_reference=True)
    expected = slow_hypothetical(x, references, pairs.multipliers)
    torch.testing.assert_close(result.hypothetical, expected, rtol=0, atol=1e-12)
    # an N says nothing, the observed base says what its position contributed
    assert result.hypothetical[1, :, 3].count_nonzero() == 0
    assert result.contributions[1, :, 3].count_nonzero() == 0
    observed = (result.hypothetical * x).sum(1)
    torch.testing.assert_close(observed, result.contributions.sum(1), rtol=0, atol=1e-12)


def test_hypothetical_of_another_base_is_its_own_contribution_for_a_linear_model() -> None:
    """Where multipliers do not depend on the input, the name is literally true."""
    model = nn.Sequential(nn.Conv1d(4, 2, 3), nn.Flatten(), nn.Linear(12, 1)).double()
    x, references = one_hot(N, L), one_hot(N, R, L)
    hypothetical = DeepLift(model, x).attribute(x, references).hypothetical
    for base in range(4):
        other = torch.zeros_like(x)
        other[:, base] = 1
        contributions = DeepLift(model, x).attribute(other, references).contributions.sum(1)
        torch.testing.assert_close(hypothetical[:, base], contributions, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        ((4, 9), 1), ((9, 4), 2), ((4, 4), 1), ((4, 1, 9), 1), ((9, 1, 4), 3), ((1, 4, 9), 2), ((4,), 1),
        ((5, 9), None), ((1, 9), None),
    ],
)  # fmt: skip
def test_the_channel_axis_is_found(shape: tuple[int, ...], axis: int | None) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(shape)), 1)).double()
    x, references = torch.randn(2, *shape, dtype=D), torch.randn(2, 2, *shape, dtype=D)
    result = DeepLift(model).attribute(x, references)
    if axis is None:
        assert result.hypothetical is None
        return
    m = model[1].weight.detach().view(1, *shape)
    expected = m - (references.mean(1) * m).sum(axis, keepdim=True)
    torch.testing.assert_close(result.hypothetical, expected, rtol=0, atol=1e-12)
    given = DeepLift(model, channel_axis=axis - x.dim()).attribute(x, references)
    torch.testing.assert_close(given.hypothetical, result.hypothetical, rtol=0, atol=0)


def test_a_channel_axis_given_overrides() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 1)).double()
    x, references = torch.randn(2, 4, 4, dtype=D), torch.randn(2, 2, 4, 4, dtype=D)
    first, second = (DeepLift(model, channel_axis=a).attribute(x, references).hypothetical for a in (1, 2))
    turned = nn.Sequential(nn.Flatten(), nn.Linear(16, 1)).double()
    with torch.no_grad():
        turned[1].weight.copy_(model[1].weight.view(4, 4).t().reshape(1, 16))
        turned[1].bias.copy_(model[1].bias)
    other = DeepLift(turned).attribute(x.transpose(1, 2), references.transpose(2, 3)).hypothetical
    torch.testing.assert_close(other.transpose(1, 2), second, rtol=0, atol=1e-12)
    assert not torch.allclose(first, second)


# ---- gradient and integrated gradients


def smooth() -> nn.Module:
    torch.manual_seed(4)
    return nn.Sequential(
        nn.Conv1d(4, 3, 3), nn.SiLU(), nn.Flatten(), nn.Linear(18, 4), nn.GELU(), nn.Linear(4, 2)
    ).double()


def test_gradient_is_gradient_times_difference() -> None:
    x, references = data()
    result = DeepLift(smooth(), x[:2], rule="gradient").attribute(x, references, 1, per_reference=True)
    points = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(smooth()(points)[:, 1].sum(), points)
    expected = gradient[:, None].expand(-1, R, -1, -1)
    torch.testing.assert_close(result.multipliers, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(result.contributions, expected * (x[:, None] - references), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("rule", "steps"), [("integrated-gradients", 50), ("integrated-gradients:7", 7)])
def test_integrated_gradients_by_the_midpoint_rule(rule: str, steps: int) -> None:
    x, references = data(2, 2)
    result = DeepLift(smooth(), x, rule=rule).attribute(x, references, per_reference=True)
    for k in range(2):
        total = torch.zeros_like(x)
        for step in range(steps):
            fraction = (step + 0.5) / steps
            point = (references[:, k] + fraction * (x - references[:, k])).requires_grad_()
            total += torch.autograd.grad(smooth()(point)[:, 0].sum(), point)[0] / steps
        torch.testing.assert_close(result.multipliers[:, k], total, rtol=0, atol=1e-12)


def test_integrated_gradients_converge_to_the_difference() -> None:
    """The midpoint rule's error falls with the square of the number of steps."""
    x, references = data(1, 1)
    errors = [
        float(
            DeepLift(smooth(), x, rule=f"integrated-gradients:{n}")
            .attribute(x, references)
            .completeness_error.abs()
        )
        for n in (4, 40, 160)
    ]
    assert errors[0] > 20 * errors[1] > 160 * errors[2]
    assert errors[2] < 1e-4


def test_gradients_run_on_operations_without_a_rule() -> None:
    class Sorted(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.sort(2).values[:, :, 0]

    x, references = data(2, 1)
    result = DeepLift(Sorted(), x, rule="gradient").attribute(x, references, 1)
    assert result.multipliers[:, 1].sum(1).tolist() == [1, 1]
    assert not result.multipliers.requires_grad


# ---- dtype, gradient modes, and what imports what


@pytest.mark.parametrize("rule", RULES)
def test_scores_do_not_depend_on_the_callers_gradient_mode(rule: str) -> None:
    x, references = data()
    expected = DeepLift(smooth(), x, rule=rule).attribute(x, references).contributions
    for mode in (torch.inference_mode(), torch.no_grad(), torch.enable_grad()):
        with mode:
            model, own_x = smooth(), x.clone().requires_grad_(not torch.is_inference_mode_enabled())
            found = DeepLift(model, own_x, rule=rule).attribute(own_x, references.clone()).contributions
        assert torch.equal(found, expected)
        assert not found.requires_grad


def test_float64_on_a_float32_model() -> None:
    """Computed in 64 bits throughout: nearer to the truth than 32 bits can be."""
    x, references = data()
    model = net().float()
    exact = DeepLift(net().float().double(), x).attribute(x, references)
    found = DeepLift(model, x, dtype=D).attribute(x, references)
    assert found.contributions.dtype == D
    torch.testing.assert_close(found.contributions, exact.contributions, rtol=0, atol=0)
    assert next(model.parameters()).dtype == torch.float32
    assert found.completeness_error.abs().max() < 1e-12


def imports(folder: Path) -> set[str]:
    """Top-level packages that the modules of a folder import, anywhere in their code."""
    found: set[str] = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0 or node.module, path
                found.add("." if node.level else (node.module or "").split(".")[0])
    return found


def test_imports_point_one_way() -> None:
    import sys

    root = Path(deeplift_core.__file__).parents[1]
    outside = {
        name for name in imports(Path(deeplift_core.__file__).parent) if name not in sys.stdlib_module_names
    }
    assert outside == {"torch", "deeplift_core"}
    references = imports(root / "references" / "deeplift_references") - set(sys.stdlib_module_names)
    assert references <= {"numpy", "numba", "deeplift_references", "."}
    assert "deeplift_core" in imports(root / "cli" / "deeplift_cli")


def test_every_public_name_is_there() -> None:
    for name in deeplift_core.__all__:
        assert getattr(deeplift_core, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        deeplift_core.nothing  # noqa: B018


# ---- what may be given in place of names and tensors, and what is shown


def test_arrays_are_taken_like_tensors() -> None:
    x, references = data()
    explainer = DeepLift(net(), x[:2].numpy())
    expected = explainer.attribute(x, references)
    reversed_view = np.ascontiguousarray(x.numpy()[..., ::-1])[..., ::-1]  # with negative strides
    for given in ((x.numpy(), references.numpy()), (reversed_view, references)):
        assert torch.equal(explainer.attribute(*given).contributions, expected.contributions)
    two = TwoInputs()
    sequence, signal = torch.randn(2, 4, 8), torch.randn(2, 7)
    both = DeepLift(two, (sequence.numpy(), signal.numpy()))
    behind = (sequence.numpy()[:, None] * 0, signal.numpy()[:, None] * 0)
    found = both.attribute((sequence.numpy(), signal.numpy()), behind, 1)
    assert [tuple(part.shape) for part in found.contributions] == [(2, 4, 8), (2, 7)]


def conv_tanh() -> nn.Sequential:
    return nn.Sequential(nn.Conv1d(5, 5, 3), nn.Tanh())


class Blocks(nn.Module):
    """Two blocks whose names begin alike."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.block = nn.Sequential(
            nn.Conv1d(4, 5, 3), nn.ReLU(), nn.Sequential(nn.Conv1d(5, 5, 3), nn.Tanh())
        )
        self.block1 = nn.Sequential(nn.Flatten(), nn.Linear(20, 6), nn.Tanh(), nn.Linear(6, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.block1(self.block(x))


def test_modules_stand_for_their_names() -> None:
    x, references = data()
    model = Blocks().double()
    rules = {name: DeepLift(model, x[:2], layer_rules={key: "revealcancel"}).nodes for name, key in (
        ("module", model.block), ("pattern", "block.**"), ("inner", model.block[2]), ("all", model),
    )}  # fmt: skip

    def changed(name: str) -> set[str]:
        return {node.module for node in rules[name] if node.rule == "revealcancel"}

    assert changed("module") == changed("pattern") == {"block.1", "block.2.1", "block1.2"}
    assert changed("inner") == {"block.2.1", "block1.2"}
    assert changed("all") == {"block.1", "block.2.1", "block1.2"}  # dense layers have it by default
    to_rescale = DeepLift(model, x[:2], layer_rules={model.block1: "rescale"}).nodes
    assert not [node for node in to_rescale if node.rule == "revealcancel"]

    explainer = DeepLift(model, x[:2])
    by_module = explainer.attribute(x, references, layer=model.block[2])
    by_name = explainer.attribute(x, references, layer="block.2")
    assert torch.equal(by_module.contributions, by_name.contributions)
    stranger = nn.ReLU()
    for use in (
        lambda: explainer.attribute(x, references, layer=stranger),
        lambda: explainer.with_rule("rescale", {stranger: "rescale"}),
    ):
        with pytest.raises(OptionError, match="this ReLU is no module of the model Blocks"):
            use()


def test_what_is_shown_is_one_screen_of_shapes() -> None:
    x, references = data()
    fresh = DeepLift(net())
    assert repr(fresh) == "<DeepLift of Sequential under genomics-default; nothing is recorded yet>"
    explainer = DeepLift(nn.Sequential(net(), nn.Sigmoid()), x[:2], layer_rules={"0.4": "rescale"})
    lines = repr(explainer).splitlines()
    assert lines[0] == "<DeepLift of Sequential under genomics-default, 0.4=rescale"
    assert lines[1].split() == ["recorded", "on", "[2,", "4,", "8],", "torch.float64,", "cpu"]
    assert lines[2].endswith("the logit of the output, [3] for each row")
    assert "linear 3" in lines[3]
    assert "rescale 2" in lines[3]
    shown = repr(explainer.attribute(x, references)).splitlines()
    assert shown[0] == "<Attribution"
    assert shown[1].split(maxsplit=1) == ["contributions", "[5, 4, 8] torch.float64"]
    assert len(shown) <= 15
    assert all(len(line) < 80 for line in shown + lines)


def test_help_shows_what_is_imported_late() -> None:
    """`help` finds the classes that need torch, which are imported when they are asked for."""
    shown = pydoc.plain(pydoc.render_doc(deeplift_core))
    for name in ("class DeepLift(", "class Attribution(", "class TargetFunction(", "class OfOutput("):
        assert name in shown
