"""Every model of the zoo scores exactly: as a whole, operation by operation, in every spelling."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import pytest
import torch
from plans import assert_same_forward_pass, changing, plan_of
from promised import PROMISED
from torch import Tensor, nn
from zoo import ENTRIES, Entry

from deeplift_core import DeepLift
from deeplift_core.accuracy.completeness import relative_error
from deeplift_core.assignment.presets import preset_names
from deeplift_core.engine.forward import ForwardPass
from deeplift_core.graph import Graph
from deeplift_core.rules.multipliers import Multipliers
from deeplift_core.rules.rule import Rule
from deeplift_core.rules.values import PairValues

D = torch.float64
RULES = ["rescale", "genomics-default"]
ROWS, K, COUNT = 3, 2, 2  # three rows in batches of two: the last one needs padding

QUICK = frozenset(list(ENTRIES)[::8])  # models of every family for the quick set


def by_name(names: Iterable[str]) -> pytest.MarkDecorator:
    """Run a test for each of these models; pytest puts the tests of one model together."""
    marked = (pytest.param(name, marks=pytest.mark.quick if name in QUICK else ()) for name in names)
    return pytest.mark.parametrize("name", list(marked), scope="module")


ALL = by_name(ENTRIES)
BY_RULE = pytest.mark.parametrize("rule", RULES)


pytestmark = pytest.mark.usefixtures("one_thread")


def unpacked(values: tuple[Tensor, ...]) -> Any:
    return values if len(values) > 1 else values[0]


def explainer(entry: Entry, model: nn.Module, x: tuple[Tensor, ...], **options: Any) -> DeepLift:
    example = unpacked(tuple(value[:K] for value in x))
    options.setdefault("dtype", D)
    return DeepLift(model, example, output="expression" if entry.name == "several_outputs" else 0, **options)


@lru_cache(maxsize=16)
def prepared(name: str, rule: str, dtype: torch.dtype) -> DeepLift:
    """The explainer of a model, made once for all its tests that do no more than score by it."""
    entry = ENTRIES[name]
    return explainer(entry, entry.make(), entry.inputs(K), rule=rule, dtype=dtype)


def scored(
    entry: Entry,
    x: tuple[Tensor, ...],
    references: tuple[Tensor, ...],
    rule: str = "genomics-default",
    dtype: torch.dtype = D,
) -> Any:
    found = prepared(entry.name, rule, dtype)
    return found.attribute(unpacked(x), unpacked(references), target=0, per_reference=True)


def contributions(result: Any) -> list[Tensor]:
    given = result.contributions
    return list(given) if isinstance(given, tuple) else [given]


def first_output(entry: Entry, value: Any) -> Tensor:
    if isinstance(value, dict):
        value = value["expression"]
    if isinstance(value, tuple):
        value = value[0]
    return value.reshape(value.shape[0], -1)[:, 0]


def test_the_zoo_is_large_enough() -> None:
    functions = {entry.spelling_of for entry in ENTRIES.values()}
    assert len(functions) >= 70
    assert all(entry.spelling_of in ENTRIES for entry in ENTRIES.values())


@ALL
@BY_RULE
def test_summation_to_delta(name: str, rule: str) -> None:
    entry = ENTRIES[name]
    x = entry.inputs(ROWS)
    references = entry.references(x, COUNT)
    for dtype in (torch.float32, D):
        result = scored(entry, x, references, rule=rule, dtype=dtype)
        assert all(values.isfinite().all() for values in contributions(result))
        error = relative_error(result.completeness_error, result.output, result.reference_output)
        assert error.max() <= PROMISED[dtype], error
        total = sum(values.flatten(2).sum(2, dtype=D) for values in contributions(result))
        delta = result.output[:, None].to(D) - result.reference_output.to(D)
        torch.testing.assert_close(total - delta, result.completeness_error.to(D), rtol=0, atol=1e-4)
        assert delta.abs().max() > 1e-5  # there was something to explain


@ALL
def test_the_recording_computes_what_the_model_does(name: str) -> None:
    entry = ENTRIES[name]
    x = tuple(value.double() for value in entry.inputs(ROWS))
    result = scored(entry, x, entry.references(x, COUNT))
    with torch.no_grad():
        expected = first_output(entry, entry.make().double()(*(value.clone() for value in x)))
    torch.testing.assert_close(result.prediction, expected, rtol=1e-10, atol=1e-10)


@ALL
@BY_RULE
def test_padding_changes_nothing(name: str, rule: str) -> None:
    """The same rows in a batch that is full."""
    entry = ENTRIES[name]
    x = entry.inputs(ROWS + 1)
    references = entry.references(x, COUNT)
    full = scored(entry, x, references, rule=rule)
    padded = scored(entry, tuple(v[:ROWS] for v in x), tuple(value[:ROWS] for value in references), rule=rule)
    for one, other in zip(contributions(padded), contributions(full), strict=True):
        torch.testing.assert_close(one, other[:ROWS], rtol=0, atol=1e-12)


# ---- operation by operation


@lru_cache(maxsize=4)
def _without_logits(name: str) -> DeepLift:
    entry = ENTRIES[name]
    return explainer(entry, entry.make(), entry.inputs(K), logits=False)


class _Recorded:
    """A recording with the forward values of one batch and one reference."""

    def __init__(self, entry: Entry, rule: str, passes: str | tuple[str, ...]) -> None:
        x = tuple(value.to(D) for value in entry.inputs(K))
        r = tuple(value[:, 0].to(D) for value in entry.references(x, 1))
        planner = _without_logits(entry.name)._with(rule=rule, passes=passes)._explainer.planner
        assert planner is not None
        self.plan, self.target = planner.base, planner.explained
        everything = self.plan.graph.ancestors(self.target)
        run = ForwardPass(self.plan, keep=everything)
        self.values = PairValues(run(x), run(r), self.plan.rules.__getitem__, D)


def _contribution(values: PairValues, index: int, m: Multipliers) -> Tensor:
    parts = values.parts(index)
    return m.positive * parts.positive + m.negative * parts.negative


def _by_itself(rule: Rule, values: PairValues, graph: Graph, generator: torch.Generator, split: bool) -> None:
    node = rule.node
    draw = [torch.randn(node.shape, generator=generator, dtype=D) for _ in range(2)]
    m = Multipliers(*draw) if split else Multipliers.same(draw[0])
    explained = _contribution(values, node.index, m)
    sent = list(rule.backward(values, m))
    given = [_contribution(values, source, multipliers) for source, multipliers in sent]
    assert all(value.shape == graph.nodes[s].shape for value, (s, _) in zip(given, sent, strict=True))
    scale = explained.abs().sum() + sum(value.abs().sum() for value in given)
    error = (explained.sum() - sum(value.sum() for value in given)).abs()
    assert error <= 1e-9 * scale, f"{node.describe()} under {rule.name}: {error / scale:.1e}"


@ALL
@BY_RULE
@pytest.mark.parametrize("passes", ["auto", ()], ids=["passes", "plain"])
def test_every_operation_by_itself(name: str, rule: str, passes: str | tuple[str, ...]) -> None:
    """Its multipliers times its inputs' Deltas give its output's Delta, whatever comes behind it."""
    recorded = _Recorded(ENTRIES[name], rule, passes)
    generator = torch.Generator().manual_seed(0)
    rules = [recorded.plan.rules[index] for index in recorded.plan.reached(recorded.target)]
    explained = [rule for rule in rules if rule.node.op is not None]
    assert explained
    for each in explained:
        for split in (False, True):
            _by_itself(each, recorded.values, recorded.plan.graph, generator, split)


# ---- passes


def _alike(found: Any, expected: Any, what: object) -> None:
    """Compare to 1e-9 of the largest score."""
    for given, known in (
        (found.contributions, expected.contributions),
        (found.multipliers, expected.multipliers),
        (found.hypothetical, expected.hypothetical),
    ):
        for one, other in zip(_tensors(given), _tensors(known), strict=True):
            off = (one - other).abs().max() / other.abs().max().clamp(min=1e-3)
            assert off <= 1e-9, f"{what}: off by {off:.1e} of the largest score"


def _without_passes(entry: Entry) -> tuple[DeepLift, tuple[Tensor, ...], tuple[Any, Any]]:
    """The explainer, the inputs, and what it is given to score."""
    x = tuple(value.to(D) for value in entry.inputs(K))
    references = tuple(value[:, :1].to(D) for value in entry.references(x, 1))
    recorded = explainer(entry, entry.make(), x, rule="rescale", passes=())
    return recorded, x, (unpacked(x), unpacked(references))


@ALL
def test_passes_change_scores_by_rounding_only(name: str) -> None:
    """None and all, under every preset."""
    recorded, x, given = _without_passes(ENTRIES[name])
    for rule in preset_names():
        plain = recorded._with(rule=rule)
        every = plain._with(passes="auto")
        assert_same_forward_pass(plan_of(plain), plan_of(every), x, 1e-10)
        _alike(every.attribute(*given), plain.attribute(*given), rule)


# Every fourth by default, of which some have each pass.
ALONE = frozenset(list(ENTRIES)[::4])


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in ALONE else pytest.mark.zoo) for name in ENTRIES]
)
@BY_RULE
def test_each_pass_by_itself_changes_scores_by_rounding_only(name: str, rule: str) -> None:
    """Where it applies."""
    recorded, _, given = _without_passes(ENTRIES[name])
    plain = recorded._with(rule=rule)
    expected = plain.attribute(*given)
    for passes in changing(plain):
        _alike(plain._with(passes=passes).attribute(*given), expected, passes)


# ---- what cannot matter, and what is the same


class _Framed(nn.Module):
    """The model on the middle of a longer sequence; the flanks are cut off or multiplied with 0."""

    def __init__(self, model: nn.Module, cut: bool) -> None:
        super().__init__()
        self.model, self.cut = model, cut

    def forward(self, x: Tensor, *others: Tensor) -> Any:
        if self.cut:
            return self.model(x[:, 3:-2], *others)
        mask = torch.ones(x.shape[1], *(1 for _ in x.shape[2:]), dtype=x.dtype)
        mask[:3] = mask[-2:] = 0
        return self.model((x * mask)[:, 3:-2], *others)


@ALL
@pytest.mark.parametrize("cut", [True, False])
def test_inputs_that_cannot_matter_get_exactly_nothing(name: str, cut: bool) -> None:
    entry = ENTRIES[name]
    x, *others = entry.inputs(ROWS)
    references, *more = entry.references((x, *others), COUNT)
    ends = torch.randn(ROWS, 3 + 2, *x.shape[2:], generator=torch.Generator().manual_seed(3))
    framed = torch.cat([ends[:, :3], x, ends[:, 3:]], 1)
    turned = ends.flip(0)[:, None].expand(-1, COUNT, *ends.shape[1:])
    framed_references = torch.cat([turned[:, :, :3], references, turned[:, :, 3:]], 2)
    found = explainer(entry, _Framed(entry.make(), cut), (framed, *others))
    result = found.attribute(unpacked((framed, *others)), unpacked((framed_references, *more)), target=0)
    got = contributions(result)[0]
    assert (got[:, :3] == 0).all()
    assert (got[:, -2:] == 0).all()
    alone = prepared(name, "genomics-default", D).attribute(
        unpacked((x, *others)), unpacked((references, *more)), target=0
    )
    torch.testing.assert_close(got[:, 3:-2], contributions(alone)[0], rtol=1e-9, atol=1e-10)


@by_name(name for name, entry in ENTRIES.items() if entry.spelling_of != name)
@BY_RULE
def test_spellings_of_one_function_score_alike(name: str, rule: str) -> None:
    entry, first = ENTRIES[name], ENTRIES[ENTRIES[name].spelling_of]
    if rule == "genomics-default" and name in _SEVERAL_ROWS:
        pytest.skip(_SEVERAL_ROWS[name])
    x = first.inputs(ROWS)
    references = first.references(x, COUNT)
    one, other = (scored(each, x, references, rule=rule) for each in (entry, first))
    torch.testing.assert_close(one.output, other.output, rtol=1e-9, atol=1e-10)
    for left, right in zip(contributions(one), contributions(other), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-9)
    for left, right in zip(_tensors(one.hypothetical), _tensors(other.hypothetical), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-9)


# Where the preset itself tells two spellings apart.
_SEVERAL_ROWS = {"strands_stacked": "dense layers with two rows for each example count as position-wise"}


def _tensors(value: Any) -> list[Tensor]:
    return [item for item in (value if isinstance(value, tuple) else (value,)) if item is not None]


# ---- numerical care


@ALL
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, D])
def test_an_input_equal_to_its_reference_gets_exactly_nothing(name: str, dtype: torch.dtype) -> None:
    entry = ENTRIES[name]
    x = entry.inputs(ROWS)
    references = tuple(value[:, None].clone() for value in x)
    if name in _NOT_IN_BFLOAT16 and dtype == torch.bfloat16:
        pytest.skip(_NOT_IN_BFLOAT16[name])
    for rule in RULES:
        result = scored(entry, x, references, rule=rule, dtype=dtype)
        assert (result.completeness_error == 0).all()
        for values in contributions(result):
            assert (values == 0).all()
        for values in (*_tensors(result.multipliers), *_tensors(result.hypothetical)):
            assert values.isfinite().all()


# What torch itself does not compute in bfloat16.
_NOT_IN_BFLOAT16 = dict.fromkeys(
    ("rotary_complex", "shape_fourier", "shape_fourier_convolution"), "torch has no complex bfloat16 numbers"
)


@ALL
@BY_RULE
def test_near_zero_differences(name: str, rule: str) -> None:
    """Numbers in place of bases, a few units of the last place beside the reference's."""
    entry = ENTRIES[name]
    x = entry.inputs(ROWS)
    generator = torch.Generator().manual_seed(4)
    for size in (1e-7, 1e-4):
        noise = (torch.randn(value.shape, generator=generator) * size for value in x)
        references = tuple((value + change)[:, None] for value, change in zip(x, noise, strict=True))
        for dtype in (torch.float32, D):
            result = scored(entry, x, references, rule=rule, dtype=dtype)
            for values in (*contributions(result), *_tensors(result.hypothetical)):
                assert values.isfinite().all()
            if dtype == D:
                error = relative_error(result.completeness_error, result.output, result.reference_output)
                assert error.max() <= PROMISED[D]


@ALL
def test_sequences_without_a_base(name: str) -> None:
    """All N against all N, and against bases: norms of nothing, maxima of ties."""
    entry = ENTRIES[name]
    x = entry.inputs(ROWS)
    nothing = tuple(torch.zeros_like(value) for value in x)
    recorded_on_nothing = explainer(entry, entry.make(), nothing)
    recorded = prepared(name, "genomics-default", D)
    for found, sequences, others in (
        (recorded_on_nothing, nothing, x),
        (recorded, x, nothing),
        (recorded_on_nothing, nothing, nothing),
    ):
        references = tuple(value[:, None] for value in others)
        result = found.attribute(unpacked(sequences), unpacked(references), target=0, per_reference=True)
        for values in (*contributions(result), *_tensors(result.hypothetical)):
            assert values.isfinite().all()
        error = relative_error(result.completeness_error, result.output, result.reference_output)
        assert error.max() <= PROMISED[D]
