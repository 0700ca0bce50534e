"""Every structural operation is what its rule takes it for: a linear map with weights >= 0.

Each registered overload has sample calls here. The Jacobian of a call comes from finite differences, one
basis vector at a time, so that neither autograd nor the rule's own adjoint is compared with itself.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from deeplift_core import DeepLift, UnsupportedOpsError
from deeplift_core.graph import Node, Ref
from deeplift_core.graph.builder import GraphBuilder
from deeplift_core.rules.multipliers import Multipliers, Parts
from deeplift_core.rules.registry import make_rule, operations_of
from deeplift_core.rules.rule import NoRuleError
from deeplift_core.rules.structural import Structural
from deeplift_core.rules.values import PairValues

aten = torch.ops.aten
D = torch.float64


class V:
    """In a sample call, a tensor of this shape that depends on the input."""

    def __init__(self, *shape: int, mask: bool = False) -> None:
        self.shape, self.mask = shape, mask


I = torch.tensor  # noqa: E741 - an index
CONSTANT = torch.linspace(-1, 1, 24, dtype=D).reshape(2, 3, 4)
TWICE = I([[[0, 1, 1, 0]] * 3] * 2)  # rows of places of which each occurs twice
ONCE = I([[[2, 0]] * 3] * 2)
MASK = CONSTANT > 0.1

# Sample calls of every overload: arguments, and named ones in a dict at the end.
SAMPLES: dict[str, list[tuple[Any, ...]]] = {
    "view.default": [(V(2, 3, 4), [6, 4])],
    "_unsafe_view.default": [(V(2, 3, 4), [2, 12])],
    "reshape.default": [(V(2, 3, 4), [-1])],
    "permute.default": [(V(2, 3, 4), [1, -1, 0])],
    "transpose.int": [(V(2, 3, 4), -1, 0)],
    "t.default": [(V(2, 3),), (V(3),)],
    "unsqueeze.default": [(V(2, 3), -1)],
    "squeeze.default": [(V(2, 1, 3, 1),)],
    "squeeze.dim": [(V(2, 1, 3), 1), (V(2, 1, 3), 0)],
    "squeeze.dims": [(V(2, 1, 3, 1), [1, 3])],
    "flip.default": [(V(2, 3, 4), [-1, 0])],
    "roll.default": [(V(2, 3), [1], [-1]), (V(2, 3), [2])],
    "unfold.default": [(V(2, 5), 1, 3, 1), (V(2, 5), -1, 2, 2)],
    "pixel_shuffle.default": [(V(2, 4, 2, 1), 2)],
    "pixel_unshuffle.default": [(V(2, 1, 2, 4), 2)],
    "channel_shuffle.default": [(V(2, 4, 3), 2)],
    "slice.Tensor": [
        (V(2, 5),), (V(2, 5), 1, 1), (V(2, 5), -1, -3, -1), (V(2, 5), 1, 0, 9, 2), (V(2, 5), 1, None, 2),
    ],
    "select.int": [(V(2, 5), -1, -2)],
    "narrow.default": [(V(2, 5), 1, 1, 3)],
    "index.Tensor": [(V(2, 3, 4), [None, I([0, 2, 2])]), (V(2, 3, 4), [MASK])],
    "_unsafe_index.Tensor": [(V(2, 3, 4), [None, None, I([3, 3, 0])])],
    "index_select.default": [(V(2, 3), 1, I([2, 0, 2]))],
    "gather.default": [(V(2, 3, 4), 2, TWICE)],
    "take.default": [(V(2, 3), I([5, 0, 5]))],
    "diagonal.default": [(V(3, 4),), (V(2, 3, 4), -1, 1, 2)],
    "tril.default": [(V(2, 3, 4),), (V(3, 4), 1)],
    "triu.default": [(V(2, 3, 4), -1)],
    "expand.default": [(V(2, 1, 3), [2, 4, 3]), (V(1, 3), [2, 4, -1])],
    "repeat.default": [(V(2, 3), [2, 1, 2])],
    "cat.default": [
        ([V(2, 3), CONSTANT[:, 0], V(2, 1)], -1), ([V(2, 3), V(1, 3)],), ([V(2, 3), I([]).to(D)],),
        ([V(2, 3, mask=True), MASK[:, :, 0]], 1),
    ],
    "stack.default": [([V(2, 3), CONSTANT[:, :, 0]], 1), ([V(3), V(3)],)],
    "diag_embed.default": [(V(2, 3),), (V(2, 3), 1, 0, 2)],
    "im2col.default": [(V(2, 2, 3, 4), [2, 2], [1, 1], [1, 0], [1, 2])],
    "constant_pad_nd.default": [(V(2, 3), [1, 2]), (V(2, 3), [-1, 1], 5.0), (V(2, 3), [0, 1, 1, -1])],
    "reflection_pad1d.default": [(V(1, 2, 4), [2, 1])],
    "reflection_pad2d.default": [(V(1, 1, 3, 3), [2, 1, 0, 1])],
    "replication_pad1d.default": [(V(1, 2, 4), [2, 1])],
    "replication_pad2d.default": [(V(1, 1, 3, 3), [2, 1, 0, 1])],
    "slice_scatter.default": [(V(2, 5), V(2, 2), 1, 0, 4, 2), (CONSTANT, V(2, 1, 4), 1, 2)],
    "select_scatter.default": [(V(2, 5), V(2), 1, -1), (V(2, 3, 4), CONSTANT[:, 0], 1, 0)],
    "diagonal_scatter.default": [(V(3, 4), V(3)), (V(3, 4), CONSTANT[0, 0, :2], -1)],
    "scatter.value": [(V(2, 3, 4), 2, TWICE, 3.0), (V(2, 3, 4, mask=True), 2, ONCE, True)],
    "scatter.src": [
        (V(2, 3, 4), 2, ONCE, V(2, 3, 2)), (CONSTANT, 2, ONCE, V(2, 3, 2)), (V(2, 3, 4), 2, TWICE, CONSTANT),
    ],
    "scatter_add.default": [(V(2, 3, 4), 2, TWICE, V(2, 3, 4)), (CONSTANT, 1, ONCE, V(2, 3, 2))],
    "scatter_reduce.two": [
        (V(2, 3, 4), 2, TWICE, V(2, 3, 4), how, {"include_self": own})
        for how in ("sum", "mean")
        for own in (True, False)
    ],
    "index_add.default": [(V(2, 3), 1, I([2, 0, 2]), V(2, 3)), (CONSTANT, 2, I([1, 1]), V(2, 3, 2))],
    "index_copy.default": [(V(2, 3), 1, I([2, 0]), V(2, 2)), (V(2, 3), 0, I([0, 0]), CONSTANT[:, 0, :3])],
    "index_put.default": [
        (V(2, 3), [None, I([2, 0])], V(2, 2)),
        (V(2, 3), [None, I([2, 2])], V(2, 2), True),
        (V(2, 3), [I([0, 0]), I([1, 1])], CONSTANT[0, 0, :2]),
        (CONSTANT, [MASK], V(1)),
        (V(2, 3, 4, mask=True), [None, I([1])], MASK[:, :1]),
    ],
    "sum.default": [
        (V(2, 3),), (V(2, 3), {"dtype": torch.float32}), (V(2, 3, mask=True), {"dtype": torch.int64}),
    ],
    "sum.dim_IntList": [
        (V(2, 3, 4), [-1, 0]), (V(2, 3, 4), [1], True), (V(2, 3), []), (V(2, 3), None, True),
        (V(2, 3), [1], False, {"dtype": torch.float32}), (V(2, 3, mask=True), [1]),
    ],
    "mean.default": [(V(2, 3),), (V(2, 3, mask=True), {"dtype": D})],
    "mean.dim": [(V(2, 3, 4), [0, 2]), (V(2, 3), [-1], True, {"dtype": torch.float32}), (V(2, 3), None)],
    "cumsum.default": [(V(2, 3), -1), (V(2, 3), 0, {"dtype": torch.float32}), (V(2, 3, mask=True), 1)],
    "avg_pool1d.default": [(V(1, 2, 7), [3], [2], [1], True, False)],
    "avg_pool2d.default": [
        (V(1, 1, 4, 5), [2, 3], [1, 2], [1, 1], True, count, divisor) for count in (True, False)
        for divisor in (None, 5)
    ],
    "avg_pool3d.default": [
        (V(1, 1, 3, 4, 2), [2, 2, 1]), (V(1, 1, 2, 2, 2), [2, 2, 2], [], 0, False, True, 3),
    ],
    "_adaptive_avg_pool2d.default": [(V(1, 1, 5, 4), [2, 3])],
    "_adaptive_avg_pool3d.default": [(V(1, 1, 3, 2, 4), [2, 1, 3])],
    "col2im.default": [(V(1, 4, 6), [3, 4], [2, 2], [1, 1], [0, 0], [1, 1])],
    "upsample_nearest1d.default": [(V(1, 2, 4), [7]), (V(1, 2, 4), [6], 1.5)],
    "upsample_nearest1d.vec": [(V(1, 2, 4), None, [1.5])],
    "upsample_nearest2d.default": [(V(1, 1, 3, 2), [2, 5])],
    "upsample_nearest2d.vec": [(V(1, 1, 3, 2), None, [2.0, 1.5])],
    "_upsample_nearest_exact1d.default": [(V(1, 2, 4), [7])],
    "_upsample_nearest_exact1d.vec": [(V(1, 2, 4), [7], None)],
    "_upsample_nearest_exact2d.default": [(V(1, 1, 3, 2), [2, 5])],
    "_upsample_nearest_exact2d.vec": [(V(1, 1, 3, 2), [2, 5], None)],
    "upsample_linear1d.default": [(V(1, 2, 4), [7], corners) for corners in (True, False)],
    "upsample_linear1d.vec": [(V(1, 2, 4), [3], corners, None) for corners in (True, False)],
    "upsample_bilinear2d.default": [(V(1, 1, 3, 4), [5, 2], corners) for corners in (True, False)],
    "upsample_bilinear2d.vec": [(V(1, 1, 3, 4), None, corners, [1.7, 0.6]) for corners in (True, False)],
    "_upsample_bilinear2d_aa.default": [(V(1, 1, 5, 4), [3, 6], corners) for corners in (True, False)],
}  # fmt: skip
CALLS = [(name, place) for name, calls in SAMPLES.items() for place in range(len(calls))]


def overload(name: str) -> Any:
    packet, _, own = name.partition(".")
    return getattr(getattr(aten, packet), own)


class Sample:
    """A graph of one call and an input for each of its varying arguments, and the function of these."""

    def __init__(self, name: str, call: tuple[Any, ...]) -> None:
        self.op = overload(name)
        args, self.named = (call[:-1], call[-1]) if isinstance(call[-1], dict) else (call, {})
        self._builder = GraphBuilder(torch.device("cpu"))
        self.shapes: list[tuple[int, ...]] = []
        self.masks = any(one.mask for one in _varying(args))
        self.args = self._bound(list(args))
        dtype = torch.bool if self.masks else D
        example = self.op(
            *self._filled([torch.zeros(s, dtype=dtype) for s in self.shapes], plain=True), **self.named
        )
        ref = self._builder.add(self.op, self.args, self.named, example)
        self.graph = self._builder.graph()
        self.node: Node = self.graph.nodes[ref.index]

    def _bound(self, value: Any) -> Any:
        if isinstance(value, V):
            self.shapes.append(value.shape)
            example = torch.zeros(value.shape, dtype=torch.bool if value.mask else D)
            return self._builder.add_input(example)
        return [self._bound(item) for item in value] if isinstance(value, list) else value

    def _filled(self, values: list[Tensor], *, plain: bool = False) -> list[Any]:
        def fill(value: Any) -> Any:
            if isinstance(value, list):
                return [fill(item) for item in value]
            if isinstance(value, Ref):
                return values[value.index]
            boolean = isinstance(value, Tensor) and value.dtype == torch.bool and value is not MASK
            return value.to(D) if boolean and self.masks and not plain else value

        return [fill(value) for value in self.args]

    def __call__(self, values: list[Tensor]) -> Tensor:
        """The operation in float64, whatever precision it is asked for."""
        named = {**self.named, **({"dtype": D} if "dtype" in self.named else {})}
        result: Tensor = self.op(*self._filled(values), **named).to(D)
        return result

    def values(self, seed: int) -> list[Tensor]:
        draw = torch.Generator().manual_seed(seed)
        drawn = [torch.randn(shape, generator=draw, dtype=D) for shape in self.shapes]
        return [(value > 0).to(D) for value in drawn] if self.masks else drawn

    def jacobian(self, values: list[Tensor]) -> list[Tensor]:
        """For each varying argument [elements of the output, elements of the argument]."""
        found = []
        for place, value in enumerate(values):
            columns = []
            for element in range(value.numel()):
                ends = []
                for step in (-1.0, 1.0):
                    moved = [one.clone() for one in values]
                    moved[place].view(-1)[element] += step
                    ends.append(self(moved).flatten())
                columns.append((ends[1] - ends[0]) / 2)
            found.append(torch.stack(columns, -1))
        return found


def _varying(value: Any) -> list[V]:
    if isinstance(value, V):
        return [value]
    return [one for item in value for one in _varying(item)] if isinstance(value, (list, tuple)) else []


def test_every_structural_overload_has_sample_calls() -> None:
    registered = {name.removeprefix("aten::") for name in operations_of(Structural)}
    assert set(SAMPLES) == registered


@pytest.mark.parametrize(("name", "place"), CALLS)
def test_a_linear_map_with_weights_that_are_not_negative(name: str, place: int) -> None:
    sample = Sample(name, SAMPLES[name][place])
    x, r = sample.values(1), sample.values(2)
    jacobian = sample.jacobian(r)
    for weights, elsewhere in zip(jacobian, sample.jacobian([3 * value + 7 for value in x]), strict=True):
        assert weights.min() >= 0
        torch.testing.assert_close(weights, elsewhere, atol=1e-12, rtol=0)
    change = sum(w @ (a - b).flatten() for w, a, b in zip(jacobian, x, r, strict=True))
    torch.testing.assert_close(sample(x).flatten() - sample(r).flatten(), change, atol=1e-12, rtol=0)


class _Given:
    """Stands for the rules of the inputs: P and Q that are not those of Delta's sign."""

    passes_parts = False

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def parts(self, pair: PairValues) -> Parts:
        return self._parts


@pytest.mark.parametrize(("name", "place"), CALLS)
@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 1 << 20))
def test_multipliers_and_parts_are_those_of_the_weights(name: str, place: int, seed: int) -> None:
    """P and Q through the weights; m+ and m- through the transposed weights; hence summation-to-delta."""
    sample = Sample(name, SAMPLES[name][place])
    rule = make_rule(sample.graph, sample.node)
    assert isinstance(rule, Structural)
    x, r = sample.values(seed), sample.values(seed + 1)
    jacobian = sample.jacobian(r)
    draw = torch.Generator().manual_seed(seed)
    both = [torch.rand(value.shape, generator=draw, dtype=D) for value in x]
    given_parts = [
        Parts((a - b).clamp(min=0) + c, (a - b).clamp(max=0) - c) for a, b, c in zip(x, r, both, strict=True)
    ]
    rules = {index: _Given(parts) for index, parts in enumerate(given_parts)}
    here = sample.node.index
    values = {**dict(enumerate(x)), here: sample(x)}
    references = {**dict(enumerate(r)), here: sample(r)}
    pair = PairValues(values, references, lambda index: rules.get(index, rule), D)  # type: ignore[arg-type, return-value]
    exact = (
        {"atol": 1e-5, "rtol": 0.0}
        if torch.float32 in sample.named.values()
        else {"atol": 1e-12, "rtol": 0.0}
    )

    parts = rule.parts(pair)
    for side in (0, 1):
        expected = sum(w @ p[side].flatten() for w, p in zip(jacobian, given_parts, strict=True))
        torch.testing.assert_close(parts[side].flatten().to(D), expected, **exact)

    m = Multipliers(*(torch.randn(sample.node.shape, generator=draw, dtype=D) for _ in range(2)))
    for given_m in (m, Multipliers.same(m.positive)):
        sent = list(rule.backward(pair, given_m))
        assert len(sent) == len(x)
        total = torch.zeros((), dtype=D)
        for index, found in sent:
            for side in (0, 1):
                expected = (jacobian[index].T @ given_m[side].flatten()).reshape(x[index].shape)
                torch.testing.assert_close(found[side].to(D), expected, **exact)
                total += (found[side] * given_parts[index][side]).sum()
        explained = sum((given_m[side] * parts[side]).sum() for side in (0, 1))
        torch.testing.assert_close(
            total, explained.to(D), atol=1e-4 if exact["atol"] > 1e-9 else 1e-9, rtol=0
        )


REFUSED: list[tuple[str, tuple[Any, ...], str]] = [
    ("scatter.src", (V(2, 3, 4), 2, TWICE, V(2, 3, 4)), "two values to one place"),
    ("index_copy.default", (V(2, 3), 1, I([1, 1]), V(2, 2)), "two values to one place"),
    ("index_put.default", (V(2, 3), [None, I([1, 1])], V(2, 2)), "two values to one place"),
    ("index_add.default", (V(2, 3), 1, I([1, 1]), V(2, 2), {"alpha": -1}), "alpha=-1"),
    ("scatter_reduce.two", (V(2, 3, 4), 2, TWICE, V(2, 3, 4), "prod"), "reduce='prod'"),
    ("avg_pool2d.default", (V(1, 1, 2, 2), [2, 2], [], 0, False, True, -3), "divisor_override=-3"),
]


@pytest.mark.parametrize(("name", "call", "reason"), REFUSED, ids=[name for name, *_ in REFUSED])
def test_a_call_with_other_arguments_is_refused(name: str, call: tuple[Any, ...], reason: str) -> None:
    sample = Sample(name, call)
    with pytest.raises(NoRuleError, match=reason):
        make_rule(sample.graph, sample.node)


class Model(nn.Module):
    """Dense layer, ``function``, ReLU and a dense layer, so that RevealCancel asks for P and Q."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.function, self.last = nn.Linear(12, 8), function, nn.LazyLinear(1)

    def forward(self, x: Tensor) -> Any:
        return self.last(torch.relu(self.function(self.first(x.flatten(1)))))


def explained(function: Callable[[Tensor], Tensor], rule: str = "revealcancel") -> tuple[DeepLift, Any]:
    draw = torch.Generator().manual_seed(3)
    x, r = (torch.eye(4)[torch.randint(4, (3, 3), generator=draw)].mT.double() for _ in range(2))
    model = Model(function).double()
    model(x)  # The last layer takes its size from the first call.
    explainer = DeepLift(model, x, rule=rule)
    return explainer, explainer.attribute(x, r[:, None])


INDEX, OTHERS = I([0, 3, 3, 5]), I([1, 2, 4, 6])


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("aten.scatter.reduce", lambda h: h.scatter(1, INDEX.expand(3, 4), h[:, :4], reduce="multiply")),
        ("aten.scatter.value_reduce", lambda h: h.scatter(1, INDEX.expand(3, 4), 2.0, reduce="multiply")),
        ("aten.scatter_reduce.two", lambda h: h.scatter_reduce(1, INDEX.expand(3, 4), h[:, :4], "amax")),
        ("aten.view.dtype", lambda h: h.view(torch.int64).double()),
        ("aten.gather.default", lambda h: h.gather(1, h.argsort(1))),
        ("aten._upsample_bicubic2d_aa.default", lambda h: nn.functional.interpolate(
            h.reshape(-1, 1, 2, 4), size=(4, 2), mode="bicubic", antialias=True).flatten(1)),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:The reduce argument of torch.scatter")
def test_what_has_no_such_map_is_refused_by_name(name: str, function: Callable[[Tensor], Tensor]) -> None:
    """When the plan is made, not in the middle of scoring."""
    with pytest.raises(UnsupportedOpsError, match=name.replace(".", r"\.")):
        explained(function)


@pytest.mark.parametrize("rule", ["rescale", "revealcancel"])
@pytest.mark.parametrize("alpha", [-1, -0.5, 2, 0])
@pytest.mark.parametrize("in_place", [False, True])
def test_index_add_with_a_factor(alpha: float, in_place: bool, rule: str) -> None:
    """It scores like the product with a matrix of 0, 1 and alpha that it is, of P and Q by themselves."""

    def indexed(h: Tensor) -> Tensor:
        if in_place:
            return h.clone().index_add_(1, INDEX, h[:, OTHERS], alpha=alpha)
        return h.index_add(1, INDEX, h[:, OTHERS], alpha=alpha)

    def written_out(h: Tensor) -> Tensor:
        columns = list(h.unbind(1))
        for target, source in zip(INDEX.tolist(), OTHERS.tolist(), strict=True):
            columns[target] = columns[target] + alpha * h[:, source]
        return torch.stack(columns, 1)

    (_, found), (_, expected) = explained(indexed, rule), explained(written_out, rule)
    assert found.completeness_error.abs().max() < 1e-12
    torch.testing.assert_close(found.contributions, expected.contributions, atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    "function",
    [
        lambda h, i: h.scatter(1, i, h.exp()),
        lambda h, i: h.scatter_add(1, i, h.exp()),
        lambda h, i: h.scatter_reduce(1, i, h.exp(), "mean"),
    ],
    ids=["scatter", "scatter_add", "scatter_reduce"],
)
def test_scatter_from_a_longer_source(function: Callable[[Tensor, Tensor], Tensor]) -> None:
    """The source may have more values than there are indices; autograd fails on such a call."""
    index = INDEX[[0, 1, 3]].expand(3, 3)
    _, result = explained(lambda h: function(h, index))
    assert result.completeness_error.abs().max() < 1e-12


@pytest.mark.parametrize("rule", ["rescale", "revealcancel"])
@pytest.mark.parametrize("mode", ["linear", "bilinear", "trilinear"])
@pytest.mark.parametrize("corners", [True, False])
def test_interpolation_between_neighbours(mode: str, corners: bool, rule: str) -> None:
    """It scores like the matrix of its weights, which are not negative.

    Torch hands the recorder differences of neighbours times a weight, which would count each neighbour in
    both parts.
    """
    shape = {"linear": (1, 8), "bilinear": (1, 2, 4), "trilinear": (1, 2, 2, 2)}[mode]
    size = {"linear": 11, "bilinear": (5, 7), "trilinear": (3, 5, 3)}[mode]

    def enlarged(h: Tensor) -> Tensor:
        image = h.reshape(-1, *shape)
        return nn.functional.interpolate(image, size=size, mode=mode, align_corners=corners).flatten(1)

    weights = enlarged(torch.eye(8, dtype=D))

    def written_out(h: Tensor) -> Tensor:
        """A sum of columns times their weights, which acts on P and Q."""
        return sum(h[:, source, None] * weights[source] for source in range(8))  # type: ignore[return-value]

    (_, found), (_, expected) = explained(enlarged, rule), explained(written_out, rule)
    torch.testing.assert_close(found.contributions, expected.contributions, atol=1e-12, rtol=0)


@pytest.mark.parametrize("corners", [True, False])
def test_bicubic_interpolation(corners: bool) -> None:
    """Its weights may be negative: no structural operation, but products with constants and sums of these."""

    def enlarged(h: Tensor) -> Tensor:
        image = h.reshape(-1, 1, 2, 4)
        options = {"mode": "bicubic", "align_corners": corners}
        return nn.functional.interpolate(image, size=(5, 7), **options).flatten(1)

    explainer, result = explained(enlarged)
    assert result.completeness_error.abs().max() < 1e-12
    assert not any("upsample" in node.op for node in explainer.nodes)
