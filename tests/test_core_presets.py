"""Presets as composites: what predicates see, which rule they choose, and that assignment is one sweep."""

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deeplift_core import DeepLift, OptionError
from deeplift_core.assignment import presets
from deeplift_core.assignment.presets import Composite, Site, everywhere, preset_names, register
from deeplift_core.rule_names import ACTIVATION_RULES, MAXIMUM_RULES

D = torch.float64
Predicate = Callable[[Site], bool]


@pytest.fixture(autouse=True)
def _own_presets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget, after each test, the presets that it registers."""
    monkeypatch.setattr(presets, "_PRESETS", dict(presets._PRESETS))


class Block(nn.Module):
    """A ReLU and a max pool that one module runs."""

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool1d(torch.relu(x), 2)


class Gate(nn.Module):
    """x times a sigmoid of other values."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 3)
        self.sigmoid = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        return x * self.sigmoid(self.inner(x))


class Net(nn.Module):
    """An activation for each answer of `Site.mixing_before`, a gate, and a block with a maximum."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Tanh()
        self.conv = nn.Conv1d(4, 2, 3)
        self.norm = nn.BatchNorm1d(2)
        self.block = Block()
        self.dense = nn.Linear(8, 3)
        self.relu = nn.ReLU()
        self.gate = Gate()
        self.norm_of_all = nn.LayerNorm(3)
        self.last = nn.ReLU()
        self.mixed = nn.ReLU()
        self.out = nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Tensor:
        from_conv = self.block(self.norm(self.conv(self.first(x))))
        h = self.gate(self.relu(self.dense(from_conv.flatten(1))))
        h = self.last(self.norm_of_all(h))
        return self.out(h + self.mixed(self.dense(from_conv.flatten(1)) + from_conv.sum(2).mean(1, True)))


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    return Net().double().eval()


def example() -> Tensor:
    letters = torch.randint(4, (2, 10), generator=torch.Generator().manual_seed(1))
    return F.one_hot(letters, 4).mT.to(D)


CHOSEN = (*ACTIVATION_RULES, *MAXIMUM_RULES)


def rules_in(explainer: DeepLift, module: str) -> list[str]:
    """The rules of the operations in a module that have a choice."""
    return [node.rule for node in explainer.nodes if node.module == module and node.rule in CHOSEN]


def sites(model: nn.Module) -> list[Site]:
    """Every site that the predicate of a preset is asked about."""
    seen: list[Site] = []

    def look(site: Site) -> bool:
        seen.append(site)
        return False

    register(Composite("looks", "Chooses nothing", ((look, "rescale"), (look, "switch"))))
    DeepLift(model, example(), rule="looks")
    return seen


# ---- what predicates see


def test_predicates_see_the_modules_the_mixing_layers_and_the_gates(net: nn.Module) -> None:
    found = {}
    for site in sites(net):
        (module,) = site.modules
        found[module, site.is_activation] = set(site.mixing_before), site.is_gate
    assert found["first", True] == (set(), False)
    assert found["block", True] == ({"convolution"}, False)
    assert found["block", False] == ({"convolution"}, False)
    assert found["relu", True] == ({"dense"}, False)
    assert found["gate.sigmoid", True] == ({"dense"}, True)
    assert found["mixed", True] == ({"dense", "convolution"}, False)
    assert "other" in found["last", True][0]


def test_predicates_are_asked_about_rules_that_the_operation_has(net: nn.Module) -> None:
    for site in sites(net):
        expected = ("rescale", "revealcancel", "revealcancel-positive-first")
        assert site.variants == (expected if site.is_activation else ("switch", "aumann-shapley"))


def test_what_nobody_asks_is_not_searched() -> None:
    """The search for gates and mixing layers runs when a predicate asks, and a single time."""
    asked: list[str] = []

    def find_mixing() -> frozenset[str]:
        asked.append("mixing")
        return frozenset()

    def find_gate() -> bool:
        asked.append("gate")
        return False

    site = Site(("rescale", "revealcancel"), frozenset({"m"}), find_mixing, find_gate)
    assert presets.preset("revealcancel").choose(site) == "revealcancel"
    assert asked == []
    assert presets.preset("genomics-default").choose(site) == "rescale"
    assert presets.preset("genomics-default").choose(site) == "rescale"
    assert asked == ["mixing"]  # no dense layer: whether there is a gate does not matter


# ---- which rule is chosen


def behind(kind: str) -> Predicate:
    return lambda site: kind in site.mixing_before


def in_module(name: str) -> Predicate:
    return lambda site: name in site.modules


def gates(site: Site) -> bool:
    return site.is_gate


def test_a_preset_of_ones_own_is_chosen_by_its_name(net: nn.Module) -> None:
    own = Composite(
        "own",
        "RevealCancel after convolutions",
        (
            (gates, "revealcancel-positive-first"),
            (behind("dense"), "rescale"),
            (behind("convolution"), "revealcancel"),
        ),
    )
    assert register(own) is own
    assert preset_names()[-1] == "own"
    explainer = DeepLift(net, example(), rule="own")
    # A maximum has no rule of the preset's, and keeps its default.
    assert rules_in(explainer, "block") == ["revealcancel", "switch"]
    assert rules_in(explainer, "gate.sigmoid") == ["revealcancel-positive-first"]
    for module in ("first", "relu", "mixed", "last"):
        assert rules_in(explainer, module) == ["rescale"]


def test_scores_under_a_preset_are_those_of_layer_rules(net: nn.Module) -> None:
    """A preset that names modules chooses what the same layer rules choose."""
    rules = ((in_module("block"), "revealcancel"), (in_module("relu"), "revealcancel-positive-first"))
    register(Composite("named", "Two layers", rules))
    x, references = example(), example().flip(2)[:, None]
    found = DeepLift(net, x, rule="named").attribute(x, references)
    patterns = {"block": "revealcancel", "relu": "revealcancel-positive-first"}
    expected = DeepLift(net, x, rule="rescale", layer_rules=patterns).attribute(x, references)
    torch.testing.assert_close(found.multipliers, expected.multipliers, rtol=0, atol=0)
    rescale = DeepLift(net, x, rule="rescale").attribute(x, references)
    assert not torch.allclose(found.multipliers, rescale.multipliers)


def test_the_first_predicate_that_holds_counts(net: nn.Module) -> None:
    special, general = (in_module("relu"), "revealcancel"), (everywhere, "rescale")
    register(Composite("special-first", "The special rule comes first", (special, general)))
    register(Composite("general-first", "The special rule is never reached", (general, special)))
    explainer = DeepLift(net, example(), rule="special-first")
    assert rules_in(explainer, "relu") == ["revealcancel"]
    assert rules_in(explainer.with_rule("general-first"), "relu") == ["rescale"]


def test_a_rule_that_the_operation_lacks_is_passed_over_unasked() -> None:
    def refuse(site: Site) -> bool:
        raise AssertionError("the operation does not have this rule")

    site = Site(("switch", "aumann-shapley"), frozenset(), frozenset, bool)
    rules = ((refuse, "revealcancel"), (everywhere, "rescale"), (everywhere, "aumann-shapley"))
    assert Composite("c", "", rules).choose(site) == "aumann-shapley"
    assert Composite("c", "", rules[:2]).choose(site) == "switch"  # nothing fits: the operation's default


def test_layer_rules_come_before_presets(net: nn.Module) -> None:
    explainer = DeepLift(net, example(), rule="revealcancel", layer_rules={"relu": "rescale"})
    assert rules_in(explainer, "relu") == ["rescale"]
    assert rules_in(explainer, "last") == ["revealcancel"]


@pytest.mark.parametrize("rule", ["no-such-rule", "switch", "Rescale", ""])
def test_a_preset_that_is_not_known_is_refused(net: nn.Module, rule: str) -> None:
    with pytest.raises(OptionError, match=r"unknown rule .* genomics-default, rescale, revealcancel"):
        DeepLift(net, example(), rule=rule)


def test_two_presets_cannot_have_one_name() -> None:
    with pytest.raises(ValueError, match="'rescale'"):
        register(Composite("rescale", "Another one", ()))


# ---- maxima


class Larger(nn.Module):
    """The larger one of each pair of values, as a pool or as the maximum of two tensors."""

    def __init__(self, pool: bool) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool1d(x, 2).flatten(1) if self.pool else torch.maximum(x[:, :, 0], x[:, :, 1])


@pytest.mark.parametrize("pool", [True, False])
def test_a_preset_may_give_maxima_the_rule_aumann_shapley(pool: bool) -> None:
    """Along the line from (0, 1/2) to (1, 0) the second value is the larger one for the first third."""
    register(Composite("smooth-maxima", "Aumann-Shapley for maxima", ((everywhere, "aumann-shapley"),)))
    model = nn.Sequential(Larger(pool), nn.ReLU())
    x = torch.tensor([[[1.0, 0.0]]], dtype=D)
    reference = torch.tensor([[[[0.0, 0.5]]]], dtype=D)
    explainer = DeepLift(model, x, rule="smooth-maxima")
    assert rules_in(explainer, "0") == ["aumann-shapley"]
    assert rules_in(explainer, "1") == ["rescale"]
    found = explainer.attribute(x, reference)
    torch.testing.assert_close(found.contributions, torch.tensor([[[2 / 3, -1 / 6]]], dtype=D))
    switched = explainer.with_rule("rescale").attribute(x, reference)
    torch.testing.assert_close(switched.contributions, torch.tensor([[[0.5, 0.0]]], dtype=D))


@pytest.mark.parametrize("order", [1, -1])
def test_layer_rules_for_a_maximum_and_an_activation_in_one_module(order: int) -> None:
    """The last pattern counts whose rule the operation has: each pattern finds its own operation."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv1d(4, 5, 3), Block(), nn.Flatten(), nn.Linear(20, 1)).double()
    x, references = torch.randn(3, 4, 10, dtype=D), torch.randn(3, 2, 4, 10, dtype=D)
    patterns = dict([("1", "revealcancel"), ("[1]", "aumann-shapley")][::order])
    explainer = DeepLift(model, x, rule="rescale", layer_rules=patterns)
    assert rules_in(explainer, "1") == ["revealcancel", "aumann-shapley"]
    result = explainer.attribute(x, references)
    assert result.completeness_error.abs().max() < 1e-12
    for pattern, rule in patterns.items():
        other = explainer.with_rule("rescale", {pattern: rule})
        assert rule in rules_in(other, "1")
        assert not torch.allclose(result.multipliers, other.attribute(x, references).multipliers)


# ---- one sweep

# Every preset on a model deeper than Python may recurse: recording, assigning and scoring.
DEEP = """
import sys
import torch
from torch import nn
from deeplift_core import DeepLift
from deeplift_core.assignment.presets import preset_names

torch.set_num_threads(1)
torch.manual_seed(0)
kind = sys.argv[1]

class Chain(nn.Module):
    def forward(self, x):
        for number in range(3000):
            x = torch.relu(x + 0.001) if number % 2 else 0.99 * x
            if kind == "chain-of-many" and number % 30 == 0:
                x = x.flip(1)
        return x

class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(300))
    def forward(self, x):
        for layer in self.layers:
            x = x + 0.1 * torch.tanh(layer(x))
        return x

deep = Residual() if kind == "residual" else Chain()
model = nn.Sequential(nn.Linear(4, 4), deep, nn.Linear(4, 1)).double()
x, references = torch.randn(2, 4).double(), torch.randn(2, 1, 4).double()
explainer = DeepLift(model, x, rule="rescale")
explainer.attribute(x, references)  # imports what is imported late
sys.setrecursionlimit(150)
for rule in preset_names():
    result = explainer.with_rule(rule).attribute(x, references)
    assert result.completeness_error.abs().max() < 1e-9, result.completeness_error
    assert result.contributions.abs().min() > 0
print("done")
"""


@pytest.mark.parametrize("kind", ["chain", "chain-of-many", "residual"])
def test_depth_takes_no_recursion(kind: str) -> None:
    command = [sys.executable, "-c", DEEP, kind]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr[-2000:]
