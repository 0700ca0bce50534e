"""Every rule against the slow re-implementation in `slow_rules`, and the preset's choice of rules."""

from collections.abc import Callable

import numpy as np
import pytest
import slow_rules
import torch
import torch.nn.functional as F
from slow_rules import ACTIVATIONS, Layer, TorchNet
from torch import nn

from deeplift_core import DeepLift

RULES = ["rescale", "revealcancel", "revealcancel-positive-first"]
Draw = np.random.Generator


def dense(draw: Draw, name: str, source: str, n_in: int, n_out: int, bias: bool = True) -> Layer:
    args = {"weight": draw.normal(size=(n_out, n_in))}
    return Layer(name, "dense", [source], args | ({"bias": draw.normal(size=n_out)} if bias else {}))


def conv(draw: Draw, name: str, source: str, shape: tuple[int, ...], **settings: int) -> Layer:
    args = {"weight": draw.normal(size=shape), "bias": draw.normal(size=shape[0])}
    return Layer(name, "conv", [source], args | settings)


def batch_norm(draw: Draw, name: str, source: str, channels: int) -> Layer:
    """Half of the scales are negative, so that P and Q swap."""
    gamma = draw.uniform(0.5, 1.5, channels) * np.where(np.arange(channels) % 2, -1, 1)
    args = {"gamma": gamma, "beta": draw.normal(size=channels), "mean": draw.normal(size=channels)}
    return Layer(name, "batch_norm", [source], args | {"var": draw.uniform(0.5, 2, channels)})


def act(name: str, source: str, f: str = "relu") -> Layer:
    return Layer(name, "act", [source], {"f": f})


def one_hot(draw: Draw, rows: int, length: int) -> np.ndarray:
    return np.eye(4)[draw.integers(4, size=(rows, length))].transpose(0, 2, 1).copy()


def assert_agrees(
    layers: list[Layer], x: np.ndarray, r: np.ndarray, rules: dict[str, str] | str, index: int = 0
) -> None:
    """Each (input, reference) pair of the core against the slow net, to 1e-9."""
    names = [layer.name for layer in layers if layer.kind == "act"]
    given = dict.fromkeys(names, rules) if isinstance(rules, str) else rules
    preset = rules if isinstance(rules, str) else "rescale"
    overrides = None if isinstance(rules, str) else rules
    explainer = DeepLift(
        TorchNet(layers), rule=preset, layer_rules=overrides, logits=False, dtype=torch.float64
    )
    explainer_x, explainer_r = torch.from_numpy(x), torch.from_numpy(r)
    result = explainer.attribute(explainer_x, explainer_r, target=index, per_reference=True)
    assert result.completeness_error.abs().max() < 1e-9
    for n in range(len(x)):
        for k in range(r.shape[1]):
            m, contributions = slow_rules.scores(layers, x[n], r[n, k], index, given)
            where = f"input {n}, reference {k}"
            np.testing.assert_allclose(result.contributions[n, k], contributions, atol=1e-9, err_msg=where)
            np.testing.assert_allclose(result.multipliers[n, k], m, atol=1e-9, err_msg=where)


def pairs(draw: Draw, shape: tuple[int, ...], n: int = 3, r: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Continuous inputs and references; some entries are equal, so that their Delta is 0."""
    x, ref = draw.normal(size=(n, *shape)), draw.normal(size=(n, r, *shape))
    same = draw.random(ref.shape) < 0.25
    return x, np.where(same, x[:, None], ref)


# ---- Linear


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        ((3, 4, 3), {}),
        ((3, 4, 3), {"stride": 2, "padding": 1}),
        ((3, 4, 4), {"dilation": 2, "padding": 3}),
        ((4, 2, 3), {"groups": 2, "stride": 3, "padding": 2}),
        ((4, 1, 3), {"groups": 4, "dilation": 3}),
    ],
)
def test_convolution_with_split_multipliers(
    shape: tuple[int, ...], settings: dict[str, int], rule: str
) -> None:
    """RevealCancel after the convolution makes m+ differ from m-; the input has zero differences."""
    draw = np.random.default_rng(1)
    layers = [conv(draw, "c", "input", shape, **settings), act("a", "c")]
    length = slow_rules.forward(layers, one_hot(draw, 1, 11)[0])["a"].size
    layers += [Layer("f", "flatten", ["a"]), dense(draw, "d", "f", length, 2)]
    x, r = one_hot(draw, 2, 11), one_hot(draw, 4, 11).reshape(2, 2, 4, 11)
    assert_agrees(layers, x, r, rule, index=1)


@pytest.mark.parametrize("rule", RULES)
def test_convolution_in_two_dimensions(rule: str) -> None:
    draw = np.random.default_rng(2)
    layers = [
        conv(draw, "c", "input", (4, 1, 3, 2), stride=2, padding=1, groups=2),
        act("a", "c", "softplus"),
        Layer("f", "flatten", ["a"]),
        dense(draw, "d", "f", 4 * 3 * 3, 1),
    ]
    assert_agrees(layers, *pairs(draw, (2, 5, 5), 2, 2), rule)


# ---- activations


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("f", ACTIVATIONS)
def test_activation_between_dense_layers(f: str, rule: str) -> None:
    draw = np.random.default_rng(3)
    layers = [dense(draw, "d1", "input", 5, 6), act("a", "d1", f), dense(draw, "d2", "a", 6, 2)]
    assert_agrees(layers, *pairs(draw, (5,), 3, 2), rule, index=1)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("f", ["relu", "tanh", "gelu", "negative_relu"])
def test_activations_in_a_row_of_layers(f: str, rule: str) -> None:
    draw = np.random.default_rng(4)
    layers = [
        dense(draw, "d1", "input", 5, 6),
        act("a1", "d1", f),
        dense(draw, "d2", "a1", 6, 4),
        act("a2", "d2", "leaky"),
        dense(draw, "d3", "a2", 4, 3),
        act("a3", "d3", f),
        dense(draw, "d4", "a3", 3, 1),
    ]
    assert_agrees(layers, *pairs(draw, (5,), 3, 2), rule)


@pytest.mark.parametrize("f", ["sigmoid", "tanh", "relu", "elu", "silu"])
def test_rescale_falls_back_to_the_derivative_at_the_reference(f: str) -> None:
    """Hidden units whose input changes cancel exactly, with integer weights."""
    w = np.array([[1.0, 1.0, 0.0], [1.0, -1.0, 2.0], [0.0, 2.0, 1.0]])
    layers = [
        Layer("d1", "dense", ["input"], {"weight": w, "bias": np.array([0.5, -0.25, 0.0])}),
        act("a", "d1", f),
        Layer("d2", "dense", ["a"], {"weight": np.array([[1.0, -2.0, 0.5]])}),
    ]
    x = np.array([[1.0, -1.0, 2.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [-1.0, 1.0, 1.0]])
    assert_agrees(layers, x, np.zeros((4, 1, 3)), "rescale")


@pytest.mark.parametrize("rule", RULES)
def test_a_zero_part_gets_its_limit(rule: str) -> None:
    """Weights and inputs of one sign, so that whole parts are exactly 0 and the limit reaches the inputs."""
    draw = np.random.default_rng(5)
    first = np.abs(draw.normal(size=(5, 4)))
    layers = [
        Layer("d1", "dense", ["input"], {"weight": first, "bias": draw.normal(size=5)}),
        act("a1", "d1"),
        dense(draw, "d2", "a1", 5, 4),
        act("a2", "d2"),
        dense(draw, "d3", "a2", 4, 1),
    ]
    x = np.abs(draw.normal(size=(4, 4))) * np.array([1, 1, 0, 1])
    assert_agrees(layers, x, np.zeros((4, 1, 4)), rule)


# ---- P and Q on their way to a RevealCancel activation


@pytest.mark.parametrize("rule", RULES)
def test_parts_through_batch_norm_with_negative_scales(rule: str) -> None:
    draw = np.random.default_rng(6)
    layers = [
        dense(draw, "d1", "input", 4, 5),
        batch_norm(draw, "b1", "d1", 5),
        act("a1", "b1", "softplus"),
        batch_norm(draw, "b2", "a1", 5),
        dense(draw, "d2", "b2", 5, 4),
        batch_norm(draw, "b3", "d2", 4),
        act("a2", "b3", "relu"),
        dense(draw, "d3", "a2", 4, 1),
    ]
    assert_agrees(layers, *pairs(draw, (4,), 4, 2), rule)


def residual_net(draw: Draw) -> list[Layer]:
    """Add, subtract, concat and pooling of parts of both signs, each before a further activation."""
    return [
        conv(draw, "c1", "input", (4, 4, 3), padding=1),
        act("a1", "c1"),
        conv(draw, "c2", "a1", (4, 4, 3), padding=1),
        batch_norm(draw, "b2", "c2", 4),
        Layer("sum", "add", ["b2", "c1"]),
        act("a2", "sum"),
        conv(draw, "c3", "input", (4, 4, 1)),
        Layer("difference", "subtract", ["a2", "c3"]),
        act("a3", "difference", "softplus"),
        Layer("both", "concat", ["a3", "difference"]),
        Layer("pool", "average_pool", ["both"], {"kernel": 3, "stride": 2, "padding": 1}),
        act("a4", "pool", "tanh"),
        Layer("crop", "crop", ["a4"], {"start": 1, "stop": 4}),
        Layer("flat", "flatten", ["crop"]),
        dense(draw, "d1", "flat", 24, 3),
        act("a5", "d1"),
        dense(draw, "d2", "a5", 3, 2),
    ]


@pytest.mark.parametrize("rule", RULES)
def test_parts_through_residual_concat_and_pooling(rule: str) -> None:
    draw = np.random.default_rng(7)
    assert_agrees(residual_net(draw), *pairs(draw, (4, 9), 2, 2), rule, index=1)


def test_rules_mixed_by_layer() -> None:
    draw = np.random.default_rng(9)
    layers = residual_net(draw)
    names = [layer.name for layer in layers if layer.kind == "act"]
    for shift in range(3):
        rules = {name: RULES[(place + shift) % 3] for place, name in enumerate(names)}
        assert_agrees(layers, *pairs(draw, (4, 9), 2, 1), rules)


@pytest.mark.parametrize("kind", ["average_pool", "adaptive_average_pool"])
def test_average_pooling_before_revealcancel(kind: str) -> None:
    draw = np.random.default_rng(10)
    args = {"kernel": 2} if kind == "average_pool" else {"size": 4}
    layers = [
        conv(draw, "c1", "input", (3, 4, 3)),
        Layer("pool", kind, ["c1"], args),
        act("a1", "pool"),
        act("a2", "a1", "tanh"),
        Layer("mean", "global_mean", ["a2"]),
        dense(draw, "d1", "mean", 3, 1),
    ]
    # Two activations in a row are one to the core, so the slow net gets one rule that does not mind.
    assert_agrees(layers, *pairs(draw, (4, 10), 2, 2), "rescale")
    single = [*layers[:3], Layer("mean", "global_mean", ["a1"]), layers[-1]]
    for rule in RULES[1:]:
        assert_agrees(single, *pairs(draw, (4, 10), 2, 2), rule)


# ---- maxima


def maximum_net(draw: Draw, pool: Layer, length: int, rule_f: str = "relu") -> list[Layer]:
    layers = [conv(draw, "c1", "input", (3, 4, 3)), act("a1", "c1", rule_f), pool]
    flat = slow_rules.forward(layers, np.zeros((4, length)))[pool.name]
    return [
        *layers,
        *([Layer("flat", "flatten", [pool.name])] if flat.ndim > 1 else []),
        dense(draw, "d1", "flat" if flat.ndim > 1 else pool.name, flat.size, 3),
        act("a2", "d1"),
        dense(draw, "d2", "a2", 3, 1),
    ]


POOLS = [
    Layer("pool", "max_pool", ["a1"], {"kernel": 2}),
    Layer("pool", "max_pool", ["a1"], {"kernel": 3, "stride": 1, "padding": 1}),
    Layer("pool", "max_pool", ["a1"], {"kernel": 4, "stride": 3, "padding": 2}),
    Layer("pool", "adaptive_max_pool", ["a1"], {"size": 4}),
    Layer("pool", "adaptive_max_pool", ["a1"], {"size": 1}),
    Layer("pool", "global_max", ["a1"]),
]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("pool", POOLS, ids=lambda layer: f"{layer.kind}-{layer.args}")
def test_max_pooling(pool: Layer, rule: str) -> None:
    """ReLU before it makes ties at 0; an input equal to its reference but for one base keeps the argmax."""
    draw = np.random.default_rng(11)
    layers = maximum_net(draw, pool, 12)
    x, r = one_hot(draw, 2, 12), one_hot(draw, 4, 12).reshape(2, 2, 4, 12)
    r[0, 0] = x[0]
    r[0, 0, :, 5] = r[0, 0, :, 5][[1, 2, 3, 0]]
    assert_agrees(layers, x, r, rule)


def test_max_pooling_with_ties_and_the_switch() -> None:
    """Small integers: ties in the input, in the reference and in both, maxima that rise, fall and stay."""
    draw = np.random.default_rng(12)
    identity = Layer("c1", "conv", ["input"], {"weight": np.eye(2)[:, :, None]})
    for pool in POOLS:
        kind = Layer("pool", pool.kind, ["c1"], pool.args)
        layers = [identity, kind]
        flat = slow_rules.forward(layers, np.zeros((2, 8)))["pool"]
        layers += [Layer("flat", "flatten", ["pool"]), dense(draw, "d", "flat", flat.size, 1)]
        x = draw.integers(0, 3, (20, 2, 8)).astype(float)
        r = draw.integers(0, 3, (20, 2, 2, 8)).astype(float)
        assert_agrees(layers, x, r, "rescale")


def test_max_pooling_of_what_relu_cuts_off_with_ties() -> None:
    """Whole windows below 0 at the input, at the reference and at both, and all ties above."""
    draw = np.random.default_rng(13)
    layers = [Layer("c1", "conv", ["input"], {"weight": np.eye(2)[:, :, None]}), act("a1", "c1")]
    for pool in POOLS:
        flat = slow_rules.forward([*layers, pool], np.zeros((2, 8)))["pool"]
        net = [*layers, pool, Layer("flat", "flatten", ["pool"]), dense(draw, "d", "flat", flat.size, 1)]
        x = draw.integers(-3, 3, (20, 2, 8)).astype(float)
        r = draw.integers(-3, 3, (20, 2, 2, 8)).astype(float)
        assert_agrees(net, x, r, "rescale")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e9])
@pytest.mark.parametrize("kernel", [2, 3])
def test_a_window_that_fell_below_zero_where_the_reference_has_its_maximum(
    kernel: int, scale: float, dtype: torch.dtype
) -> None:
    model = nn.Sequential(nn.ReLU(), nn.MaxPool1d(kernel), nn.Flatten())
    x, r = (scale * torch.tensor([[values[:kernel]]]) for values in ([-3.0, -5, -7], [4.0, 2, 1]))
    found = DeepLift(model, rule="rescale", dtype=dtype).attribute(x, r).multipliers[0, 0]
    torch.testing.assert_close(found, torch.tensor([4 / 7, 0, 0])[:kernel], rtol=1e-2, atol=0)


def test_relu_before_a_pool_is_shown_chosen_and_scored_as_a_layer_of_its_own() -> None:
    torch.manual_seed(0)
    pooled = nn.Conv1d(4, 3, 3), nn.ReLU(), nn.MaxPool1d(2)
    model = nn.Sequential(*pooled, nn.Conv1d(3, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(6, 1)).double()
    x, references = torch.randn(2, 4, 11).double(), torch.randn(2, 3, 4, 11).double()
    explainer = DeepLift(model, x, rule="rescale")
    assert [node.rule for node in explainer.nodes if node.module == "1"] == ["rescale"]
    scored = [explainer.attribute(x, references, layer=layer).completeness_error for layer in "0123"]
    assert torch.stack(scored).abs().max() < 1e-12
    at_relu = explainer.attribute(x, references, target=("1", (0, 3)))
    assert at_relu.completeness_error.abs().max() < 1e-12
    assert at_relu.contributions[..., 6:].count_nonzero() == 0 < at_relu.contributions.count_nonzero()
    revealing = DeepLift(model, x, rule="rescale", layer_rules={"1": "revealcancel"})
    assert [node.rule for node in revealing.nodes if node.module == "1"] == ["revealcancel"]
    contributions = [found.attribute(x, references).contributions for found in (explainer, revealing)]
    assert not torch.allclose(*contributions)


def test_a_tie_but_for_rounding_is_a_tie() -> None:
    """Equal windows of a sequence may differ by an ulp, depending on where in a vector they are computed."""
    ulp = 2 * np.finfo(np.float64).eps
    x = torch.tensor([[[1.0, 3.0, 2.0]]], dtype=torch.float64)
    r = torch.tensor(
        [[[[5.0 + ulp, 5.0, 1.0]], [[5.0, 5.0, 1.0]], [[5.0, 5.0 + ulp, 1.0]]]], dtype=torch.float64
    )
    for pool in (nn.MaxPool1d(3), nn.AdaptiveMaxPool1d(1), nn.MaxPool1d(2)):
        model = nn.Sequential(pool, nn.Flatten())
        found = DeepLift(model).attribute(x, r, per_reference=True).contributions[0, :, 0]
        torch.testing.assert_close(
            found, torch.tensor([[0.0, -2, 0]] * 3, dtype=torch.float64), rtol=0, atol=1e-9
        )


# ---- products and softmax


@pytest.mark.parametrize("rule", RULES)
def test_products_of_two_quantities(rule: str) -> None:
    draw = np.random.default_rng(13)
    layers = [
        dense(draw, "d1", "input", 5, 4),
        act("a1", "d1"),
        dense(draw, "d2", "input", 5, 4),
        act("gate", "d2", "sigmoid"),
        Layer("gated", "product", ["a1", "gate"]),
        act("a2", "gated", "tanh"),
        dense(draw, "d3", "a2", 4, 3),
        Layer("again", "product", ["d3", "d3b"]),
        act("a3", "again"),
        dense(draw, "d4", "a3", 3, 1),
    ]
    layers.insert(7, dense(draw, "d3b", "gated", 4, 3))
    assert_agrees(layers, *pairs(draw, (5,), 3, 2), rule)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("kind", ["softmax", "log_softmax", "logsumexp"])
def test_softmax_and_its_kin(kind: str, rule: str) -> None:
    draw = np.random.default_rng(14)
    layers = [
        dense(draw, "d1", "input", 5, 4),
        act("a1", "d1"),
        dense(draw, "d2", "a1", 4, 4),
        Layer("p", kind, ["d2"]),
        dense(draw, "d3", "p", 1 if kind == "logsumexp" else 4, 3),
        act("a2", "d3"),
        dense(draw, "d4", "a2", 3, 2),
    ]
    assert_agrees(layers, *pairs(draw, (5,), 3, 2), rule)
    assert_agrees(layers[:4], *pairs(draw, (5,), 3, 1), rule)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_softmax_is_finite_and_exact_at_large_logits(dtype: torch.dtype) -> None:
    """Logits to 200; what all of them share gets nothing."""
    model = nn.Sequential(nn.Identity(), nn.Softmax(1)).to(dtype)
    x = torch.tensor([[200.0, -200, 30, 0], [1, 1, 1, 200]], dtype=dtype)
    r = torch.tensor([[[0.0, 0, 0, 0], [-200, 200, 0, 5]], [[-3, -3, -3, 196], [9, 8, 7, 6]]], dtype=dtype)
    for target in range(4):
        result = DeepLift(model, logits=False).attribute(x, r, target, per_reference=True)
        assert result.contributions.isfinite().all()
        assert result.completeness_error.abs().max() < (1e-9 if dtype == torch.float64 else 1e-5)
        shifted = DeepLift(model, logits=False).attribute(x, x[:, None] - 7, target)
        assert shifted.completeness_error.abs().max() < 1e-6
    logits = nn.Sequential(nn.Identity(), nn.LogSoftmax(1)).to(dtype)
    shift = DeepLift(logits).attribute(x[1:], r[1:, :1], 0)
    assert shift.contributions.sum().abs() < 1e-4


@pytest.mark.parametrize(
    ("kind", "scale"),
    [(nn.Softmax, 1e3), (nn.Softmax, 1e8), (nn.Softmax, 1e20), (nn.LogSoftmax, 1e3), (nn.LogSoftmax, 1e7)],
)
def test_softmax_sums_where_one_class_outweighs_the_others(kind: type[nn.Module], scale: float) -> None:
    """Logits that move by very different amounts, so that L_k / sum L is 1 to all digits."""
    x = torch.tensor([[1.5e-5 * scale, 0, 1, 0], [3, scale, 0, 1]], dtype=torch.float64)
    r = torch.tensor(
        [[[2.0, 0, 1, scale], [0, 0, 0, 0]], [[4, 5, 6, 7], [scale, 0, 1, 0]]], dtype=torch.float64
    )
    explainer = DeepLift(kind(1), logits=False)
    for target in range(4):
        result = explainer.attribute(x, r, target, per_reference=True)
        delta = (result.output[:, None] - result.reference_output).abs().clamp(min=1)
        assert (result.completeness_error.abs() / delta).max() < 1e-9


def test_a_masked_softmax_is_the_softmax_of_the_rest() -> None:
    """Logits of -inf by a constant mask, as in attention, get exactly nothing."""
    torch.manual_seed(0)
    x, r = torch.randn(3, 6, dtype=torch.float64), torch.randn(3, 2, 6, dtype=torch.float64)
    mask = torch.tensor([False, True, False, False, True, False])
    for kind, index in ((nn.Softmax(1), 2), (nn.LogSoftmax(1), 2)):
        masked = Net(lambda s, v, kind=kind: kind(v.masked_fill(mask, -torch.inf)))
        found = DeepLift(masked, logits=False).attribute(x, r, index).contributions
        rest = DeepLift(kind, logits=False).attribute(x[:, ~mask], r[:, :, ~mask], 1).contributions
        torch.testing.assert_close(found[:, ~mask], rest, rtol=0, atol=1e-12)
        assert found[:, mask].count_nonzero() == 0


# ---- which rule each activation gets under genomics-default


class Net(nn.Module):
    """Modules by keyword, and what to do with them."""

    def __init__(self, run: Callable[["Net", torch.Tensor], torch.Tensor], **parts: nn.Module) -> None:
        super().__init__()
        self.run = run
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.run(self, x)


def _branches_meet(s: Net, x: torch.Tensor) -> torch.Tensor:
    pooled = torch.relu(s.c(x)).mean(2)
    return s.out(s.act(torch.cat([s.d1(x.flatten(1)), s.d2(x.flatten(1))], 1))) + s.act2(
        torch.cat([s.d3(x.flatten(1)), pooled], 1)
    ).sum(1, keepdim=True)


L = 8
PRESET_CASES: dict[str, tuple[nn.Module, dict[str, str]]] = {
    "conv, bn, relu, pool, dense, relu": (
        nn.Sequential(
            nn.Conv1d(4, 3, 3, padding=1), nn.BatchNorm1d(3), nn.ReLU(), nn.MaxPool1d(2), nn.Flatten(),
            nn.Linear(12, 5), nn.BatchNorm1d(5), nn.Dropout(), nn.ReLU(), nn.Linear(5, 1),
        ),
        {"2": "rescale", "8": "revealcancel"},
    ),
    "activation after pooling of a convolution": (
        nn.Sequential(nn.Conv1d(4, 3, 3), nn.MaxPool1d(2), nn.ReLU(), nn.Flatten(), nn.Linear(9, 1)),
        {"2": "rescale"},
    ),
    "all dense": (
        nn.Sequential(nn.Flatten(), nn.Linear(32, 5), nn.Tanh(), nn.Linear(5, 4), nn.ELU(), nn.Linear(4, 1)),
        {"2": "revealcancel", "4": "revealcancel"},
    ),
    "position-wise dense layers": (
        Net(
            lambda s, x: s.d2(s.act(s.d1(x.transpose(1, 2)))).flatten(1).sum(1, keepdim=True),
            d1=nn.Linear(4, 6), act=nn.GELU(), d2=nn.Linear(6, 2),
        ),
        {"act": "rescale"},
    ),
    "an activation on the input itself": (
        nn.Sequential(nn.Tanh(), nn.Flatten(), nn.Linear(32, 1)),
        {"0": "rescale"},
    ),
    "dense after global pooling": (
        nn.Sequential(
            nn.Conv1d(4, 3, 3), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(3, 4), nn.ReLU(),
            nn.Linear(4, 1),
        ),
        {"1": "rescale", "5": "revealcancel"},
    ),
    "dense meets dense, dense meets convolution": (
        Net(
            _branches_meet, c=nn.Conv1d(4, 3, 3), d1=nn.Linear(32, 2), d2=nn.Linear(32, 3),
            d3=nn.Linear(32, 2), act=nn.ReLU(), act2=nn.Tanh(), out=nn.Linear(5, 1),
        ),
        {"act": "revealcancel", "act2": "rescale"},
    ),
    "residual of convolutions": (
        Net(
            lambda s, x: s.out(s.act2(s.c2(s.act(s.c1(x))) + s.c1(x)).flatten(1)),
            c1=nn.Conv1d(4, 4, 3, padding=1), c2=nn.Conv1d(4, 4, 3, padding=1), act=nn.ReLU(), act2=nn.ReLU(),
            out=nn.Linear(32, 1),
        ),
        {"act": "rescale", "act2": "rescale"},
    ),
    "behind a gate": (
        Net(
            lambda s, x: s.out(s.act(s.d1(x.flatten(1)) * torch.sigmoid(s.d2(x.flatten(1))))),
            d1=nn.Linear(32, 4), d2=nn.Linear(32, 4), act=nn.Tanh(), out=nn.Linear(4, 1),
        ),
        {"act": "rescale"},
    ),
    "exponential after a dense layer": (
        nn.Sequential(nn.Flatten(), nn.Linear(32, 3), Net(lambda s, x: torch.exp(x)), nn.Linear(3, 1)),
        {"2": "rescale"},
    ),
    "matrix product with a vector": (
        Net(
            lambda s, x: s.act(x.flatten(1) @ torch.linspace(-1, 1, 32, dtype=x.dtype)).unsqueeze(1),
            act=nn.Softplus(),
        ),
        {"act": "revealcancel"},
    ),
    "dense layers through a transposed convolution": (
        Net(
            lambda s, x: s.out(s.act(s.c(s.d(x.flatten(1)).view(-1, 2, 4))).flatten(1)),
            d=nn.Linear(32, 8), c=nn.ConvTranspose1d(2, 3, 3), act=nn.ReLU(), out=nn.Linear(18, 1),
        ),
        {"act": "rescale"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PRESET_CASES)
@pytest.mark.parametrize("rows", [1, 3])
def test_genomics_default_chooses(name: str, rows: int) -> None:
    model, expected = PRESET_CASES[name]
    explainer = DeepLift(model.double(), torch.randn(rows, 4, L, dtype=torch.float64), logits=False)
    found = {node.module: node.rule for node in explainer.nodes if node.module in expected}
    assert found == expected


def test_genomics_default_scores_agree_with_the_slow_net() -> None:
    draw = np.random.default_rng(15)
    layers = maximum_net(draw, POOLS[0], 12)
    x, r = one_hot(draw, 2, 12), one_hot(draw, 4, 12).reshape(2, 2, 4, 12)
    result = DeepLift(TorchNet(layers), rule="genomics-default").attribute(
        torch.from_numpy(x), torch.from_numpy(r), per_reference=True
    )
    for n in range(2):
        for k in range(2):
            _, contributions = slow_rules.scores(
                layers, x[n], r[n, k], 0, {"a1": "rescale", "a2": "revealcancel"}
            )
            np.testing.assert_allclose(result.contributions[n, k], contributions, atol=1e-9)


# ---- against another tool, where it is known to be right


def test_rescale_agrees_with_tangermeme() -> None:
    tangermeme = pytest.importorskip("tangermeme.deep_lift_shap")
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv1d(4, 8, 5), nn.ReLU(), nn.Conv1d(8, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 24, 10),
        nn.ReLU(), nn.Linear(10, 1),
    )  # fmt: skip
    x = F.one_hot(torch.randint(4, (4, 30)), 4).transpose(1, 2).float()
    references = F.one_hot(torch.randint(4, (4, 3, 30)), 4).transpose(2, 3).float()
    theirs = tangermeme.deep_lift_shap(model, x, references=references, device="cpu", hypothetical=True)
    ours = DeepLift(model, rule="rescale").attribute(x, references).hypothetical
    correlation = np.corrcoef(theirs.flatten().numpy(), ours.flatten().numpy())[0, 1]
    assert correlation > 0.99999
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
