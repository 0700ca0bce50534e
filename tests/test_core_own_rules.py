"""Rules from outside the package: by the decorator, as docs/rules.md shows it, and by entry points."""

import operator
import re
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from deeplift_core import DeepLift, OptionError, UnsupportedOpsError
from deeplift_core.graph import Graph, Node, Ref
from deeplift_core.graph.builder import GraphBuilder
from deeplift_core.rules import registry
from deeplift_core.rules.conditions import all_of, argument, one_of, positive, varies_in
from deeplift_core.rules.multipliers import Multipliers
from deeplift_core.rules.rule import NoRuleError, Rule, Sent
from deeplift_core.rules.values import PairValues

DOCUMENTED = Path(__file__).parents[1] / "docs" / "rules.md"


aten = torch.ops.aten
# The rule that docs/rules.md gives as an example is for this operation.
torch.library.define("mylib::soften", "(Tensor x) -> Tensor")


@torch.library.impl("mylib::soften", "CompositeExplicitAutograd")
def _soften(x: Tensor) -> Tensor:
    return x / (1 + x.abs())


# Overloads of one name that compute different functions, the second of them pointwise for torch.
torch.library.define("deeplift_tests::scale", "(Tensor x) -> Tensor")
torch.library.define("deeplift_tests::scale.by", "(Tensor x, int factor) -> Tensor", tags=torch.Tag.pointwise)


@torch.library.impl("deeplift_tests::scale", "CompositeExplicitAutograd")
def _doubled(x: Tensor) -> Tensor:
    return 2 * x


@torch.library.impl("deeplift_tests::scale.by", "CompositeExplicitAutograd")
def _scaled(x: Tensor, factor: int) -> Tensor:
    return x * factor


SCALE = torch.ops.deeplift_tests.scale


class Model(nn.Module):
    """A convolution, ``function`` of what it gives, and a dense layer."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.last = nn.Conv1d(4, 3, 3), nn.Linear(18, 1)
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.last(self.function(self.conv(x)).flatten(1))


class Doubled(Rule):
    """Twice the source, for `SCALE` without a factor."""

    label = "doubled"

    def backward(self, pair: PairValues, m: Multipliers) -> Sent:
        return [(self.sources[0], m.each(lambda value: 2 * value))]


class Tripled(Doubled):
    label = "tripled"

    def backward(self, pair: PairValues, m: Multipliers) -> Sent:
        return [(self.sources[0], m.each(lambda value: 3 * value))]


def one_hot() -> Tensor:
    return torch.eye(4)[torch.randint(4, (3, 8), generator=torch.Generator().manual_seed(1))].mT.double()


def explained(function: Callable[[Tensor], Tensor]) -> tuple[DeepLift, Any]:
    x = one_hot()
    explainer = DeepLift(Model(function).double(), x)
    return explainer, explainer.attribute(x, x.flip(2)[:, None])


def rules_of(explainer: DeepLift) -> set[str]:
    return {node.rule for node in explainer.nodes}


def node_of(op: Any, *args: Any, **kwargs: Any) -> tuple[Graph, Node]:
    """A graph of one input [2, 3] and one call of ``op`` on it."""
    builder = GraphBuilder(torch.device("cpu"))
    value = torch.zeros(2, 3)
    ref = builder.add(op, (builder.add_input(value), *args), kwargs, value)
    graph = builder.graph()
    return graph, graph.nodes[ref.index]


@pytest.fixture
def _rules_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_RULES", {key: dict(known) for key, known in registry._RULES.items()})


@pytest.mark.usefixtures("_rules_as_they_were")
def test_the_documented_example_makes_an_unknown_operation_exact() -> None:
    with pytest.raises(UnsupportedOpsError, match="soften"):
        DeepLift(Model(torch.ops.mylib.soften).double(), one_hot())
    found = re.search(r"```python\n(.*?)```", DOCUMENTED.read_text(), re.DOTALL)
    assert found
    exec(compile(found[1], "docs/rules.md", "exec"), {})
    explainer, result = explained(torch.ops.mylib.soften)
    assert "soften" in rules_of(explainer)
    assert result.contributions.abs().max() > 1e-3
    assert result.completeness_error.abs().max() < 1e-12
    # At its own reference a multiplier is the derivative, which autograd finds without the rule.
    x = one_hot()
    multipliers = explainer.attribute(x, x[:, None]).multipliers
    model, value = Model(lambda h: h / (1 + h.abs())).double(), x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(value).sum(), value)
    torch.testing.assert_close(multipliers, gradient, rtol=1e-10, atol=1e-12)


@pytest.mark.usefixtures("_rules_as_they_were")
@pytest.mark.parametrize(
    "operation", [SCALE.by, SCALE, "deeplift_tests::scale.by", "deeplift_tests::scale"], ids=str
)
def test_a_rule_for_a_pointwise_operation_is_used(operation: Any) -> None:
    """Before, the operation became part of an activation and the rule was never called."""
    registry.rule_for(operation)(Tripled)
    explainer, result = explained(lambda h: torch.relu(SCALE.by(h, 3)))
    assert "tripled" in rules_of(explainer)
    assert result.completeness_error.abs().max() < 1e-12


@pytest.mark.usefixtures("_rules_as_they_were")
@pytest.mark.parametrize(
    ("operation", "function"),
    [
        (aten.div.Tensor, lambda h: h / (1 + h.square())),
        (aten.native_layer_norm, lambda h: torch.nn.functional.layer_norm(h, h.shape[1:])),
        (aten.relu, torch.relu),
    ],
    ids=["div", "layer norm", "relu"],
)
def test_a_rule_of_another_package_comes_before_our_own_treatment(operation: Any, function: Any) -> None:
    """These are recorded as other operations, or become part of an activation, without such a rule."""
    registry.rule_for(operation)(Doubled)
    explainer = DeepLift(Model(function).double(), one_hot())
    assert "doubled" in rules_of(explainer)


@pytest.mark.usefixtures("_rules_as_they_were")
def test_the_rule_of_an_overload_comes_before_that_of_its_packet() -> None:
    registry.rule_for(SCALE)(Tripled)
    registry.rule_for(SCALE.default)(Doubled)
    for overload, expected in [(SCALE.default, Doubled), (SCALE.by, Tripled)]:
        assert type(registry.make_rule(*node_of(overload))) is expected
        assert registry.registered(overload)


def test_operations_of_one_bare_name_have_rules_of_their_own() -> None:
    for other in (aten.scatter.reduce, aten.view.dtype, SCALE.default, None, operator.getitem):
        assert not registry.registered(other)
        assert registry.variants_of(other) == ()
    assert registry.registered(aten.scatter.src)


@pytest.mark.usefixtures("_rules_as_they_were")
def test_an_operation_has_one_rule() -> None:
    with pytest.raises(ValueError, match=r"aten::convolution.default already has a rule.*Convolution"):
        registry.rule_for(aten.convolution.default)(Doubled)
    registry.rule_for(SCALE, variant="first")(Doubled)
    for variant in (None, "first"):
        with pytest.raises(ValueError, match="variant=NAME"):
            registry.rule_for(SCALE, variant=variant)(Tripled)


@pytest.mark.parametrize("name", ["convolution", "", "mylib::", "aten.relu", "torch.ops.aten.relu"])
def test_a_name_without_its_namespace_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"write torch\.ops\.NAMESPACE\.NAME"):
        registry.rule_for(name)


@pytest.mark.usefixtures("_rules_as_they_were")
def test_a_call_that_the_rule_does_not_accept_is_refused_with_the_reason() -> None:
    registry.rule_for(SCALE.by, accepts=one_of("factor", 2))(Doubled)
    _, result = explained(lambda h: SCALE.by(h, 2))
    assert result.completeness_error.abs().max() < 1e-12
    with pytest.raises(UnsupportedOpsError, match=r"scale.by in .*: it has factor=3, and the rule needs 2"):
        explained(lambda h: SCALE.by(h, 3))


@pytest.mark.usefixtures("_rules_as_they_were")
def test_variants_of_an_operation() -> None:
    registry.rule_for(SCALE, variant="twice")(Doubled)
    registry.rule_for(SCALE.by, variant="thrice", accepts=one_of("factor", 3))(Tripled)
    assert registry.variants_of(SCALE.default) == ("twice",)
    assert registry.variants_of(SCALE.by) == ("twice", "thrice")
    graph, node = node_of(SCALE.by, 2)
    assert type(registry.make_rule(graph, node)) is Doubled
    with pytest.raises(NoRuleError, match="factor=2"):
        registry.make_rule(graph, node, "thrice")
    assert type(registry.make_rule(*node_of(SCALE.by, 3), "thrice")) is Tripled
    with pytest.raises(OptionError, match=r"no rule 'never'; choose from twice, thrice"):
        registry.make_rule(graph, node, "never")
    registry.rule_for(SCALE.default)(Tripled)
    assert registry.variants_of(SCALE.default) == ("default", "twice")


def test_conditions_read_arguments_as_the_schema_names_them() -> None:
    index, value = torch.tensor([0]), torch.ones(2, 1)
    _, node = node_of(aten.index_add.default, 1, index, value, alpha=3)
    assert argument(node, "dim") == 1
    assert argument(node, "alpha") == 3
    assert argument(node_of(aten.index_add.default, 1, index, value)[1], "alpha") == 1
    with pytest.raises(ValueError, match="no argument 'beta'"):
        argument(node, "beta")
    assert one_of("alpha", 1, 2)(node) == "it has alpha=3, and the rule needs 1 or 2"
    assert positive("alpha")(node) == ""
    assert "alpha=-3" in positive("alpha")(node_of(aten.index_add.default, 1, index, value, alpha=-3)[1])
    varying = node_of(aten.index_add.default, 1, Ref(0), value)[1]
    assert all_of(one_of("alpha", 1), varies_in("self"))(varying) == (
        "its argument 'index' depends on the model's input"
    )


def test_an_entry_point_that_does_not_load_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = EntryPoint("mine", "no_such_package_of_rules", registry.ENTRY_POINTS)
    monkeypatch.setattr(registry, "entry_points", lambda group: [broken])
    registry.load_rules_of_other_packages.cache_clear()
    with pytest.raises(OptionError, match="no_such_package_of_rules"):
        registry.load_rules_of_other_packages()
    registry.load_rules_of_other_packages.cache_clear()
