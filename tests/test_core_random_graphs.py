"""Properties that hold for any model: random small graphs, in random spellings of the same function."""

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plans import assert_same_forward_pass, plan_of
from torch import nn

from deeplift_core import DeepLift

D = torch.float64
LENGTH = 12
RULES = ["genomics-default", "rescale", "revealcancel", "revealcancel-positive-first"]
# The same examples every time, on any machine; fewer of them in the quick set.
SAME = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=min(30, settings().max_examples),
    suppress_health_check=list(HealthCheck),
)


pytestmark = pytest.mark.usefixtures("one_thread")


Tensor = torch.Tensor
Step = Callable[[Tensor], Tensor]

# ---- one function, several spellings


class _Module(nn.Module):
    def __init__(self, function: Step) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def _in_place(function: Step) -> Step:
    return lambda x: function(x.clone())


ACTIVATIONS: dict[str, list[Step]] = {
    "relu": [
        nn.ReLU(), F.relu, lambda x: x.clamp(min=0), _in_place(torch.relu_), _in_place(nn.ReLU(inplace=True)),
        lambda x: x * (x > 0), lambda x: torch.where(x > 0, x, 0.0), lambda x: (x + x.abs()) / 2,
        lambda x: x.masked_fill(x < 0, 0), lambda x: torch.maximum(x, torch.zeros_like(x)),
        lambda x: torch.max(x, torch.zeros((), dtype=x.dtype)),
    ],
    "leaky": [
        nn.LeakyReLU(0.1), lambda x: F.leaky_relu(x, 0.1), lambda x: torch.where(x > 0, x, 0.1 * x),
        _in_place(lambda x: F.leaky_relu_(x, 0.1)), lambda x: torch.relu(x) - 0.1 * torch.relu(-x),
        lambda x: torch.maximum(x, 0.1 * x),
        lambda x: F.prelu(x, torch.full((1,), 0.1, dtype=x.dtype)),
    ],
    "elu": [
        nn.ELU(), F.elu, _in_place(F.elu_), lambda x: torch.where(x > 0, x, torch.exp(x) - 1),
        lambda x: torch.relu(x) + torch.expm1(x.clamp(max=0)), nn.CELU(),
    ],
    "sigmoid": [nn.Sigmoid(), torch.sigmoid, _in_place(torch.sigmoid_), lambda x: x.exp() / (1 + x.exp())],
    "tanh": [
        nn.Tanh(), torch.tanh, _in_place(torch.tanh_), lambda x: 2 * torch.sigmoid(2 * x) - 1,
        lambda x: (x.exp() - (-x).exp()) / (x.exp() + (-x).exp()),
    ],
    "softplus": [
        nn.Softplus(threshold=500), lambda x: F.softplus(x, threshold=500),
        lambda x: torch.log(1 + torch.exp(x)), lambda x: torch.log1p(x.exp()),
        lambda x: torch.where(x > 40, x, torch.log1p(x.exp())),
        lambda x: torch.logaddexp(x, torch.zeros_like(x)), lambda x: -F.logsigmoid(-x),
    ],
    "gelu": [
        nn.GELU(), F.gelu, lambda x: 0.5 * x * (1 + torch.erf(x / math.sqrt(2))),
        lambda x: x * torch.special.ndtr(x),
    ],
    "gelu_tanh": [
        nn.GELU("tanh"), lambda x: F.gelu(x, approximate="tanh"),
        lambda x: 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    ],
    "silu": [
        nn.SiLU(), F.silu, lambda x: x * torch.sigmoid(x), lambda x: x / (1 + torch.exp(-x)),
        _in_place(lambda x: F.silu(x, inplace=True)), lambda x: x.mul(x.sigmoid()),
    ],
    "mish": [nn.Mish(), lambda x: x * torch.tanh(F.softplus(x)), lambda x: x * F.softplus(x).tanh()],
    "hardswish": [nn.Hardswish(), lambda x: x * F.relu6(x + 3) / 6, lambda x: x * (x + 3).clamp(0, 6) / 6],
    "log_of_softplus": [
        lambda x: torch.log(F.softplus(x, threshold=500) + 1), lambda x: torch.log1p(torch.log1p(x.exp())),
    ],
    "softsign": [nn.Softsign(), lambda x: x / (1 + x.abs())],
    "square": [torch.square, lambda x: x * x, lambda x: x**2, lambda x: x.pow(2.0)],
    "exp": [torch.exp, lambda x: x.exp(), lambda x: torch.expm1(x) + 1, _in_place(torch.exp_)],
    "shifted": [lambda x: torch.relu(x + 0.5 - 0.25 * x), lambda x: torch.relu(0.75 * x + 0.5)],
}  # fmt: skip
# These are not finite themselves far out: the model that they are in is not, either.
OVERFLOWING = {
    ("softplus", 2), ("softplus", 3), ("sigmoid", 3), ("tanh", 4), ("log_of_softplus", 1),
}  # fmt: skip


def _conv(
    draw: random.Random, x: Tensor, out: int, kernel: int, **settings: Any
) -> tuple[nn.Module, list[Step]]:
    layer = nn.Conv1d(x.shape[1], out, kernel, dtype=x.dtype, **settings)
    w, b, s = layer.weight, layer.bias, settings
    pad, stride, dilation = s.get("padding", 0), s.get("stride", 1), s.get("dilation", 1)
    groups = s.get("groups", 1)
    flat = nn.Conv2d(
        x.shape[1], out, (1, kernel), (1, stride), (0, pad), (1, dilation), groups, dtype=x.dtype
    )
    flat.weight, flat.bias = nn.Parameter(w[:, :, None]), nn.Parameter(b)
    return layer, [
        layer,
        lambda v: F.conv1d(v, w, b, stride, pad, dilation, groups),
        lambda v: F.conv1d(F.pad(v, (pad, pad)), w, None, stride, 0, dilation, groups) + b[:, None],
        lambda v: flat(v.unsqueeze(2)).squeeze(2),
    ]


def _dense(x: Tensor, out: int) -> list[Step]:
    layer = nn.Linear(x.shape[1], out, dtype=x.dtype)
    w, b = layer.weight, layer.bias
    return [
        layer,
        lambda v: v @ w.T + b,
        lambda v: torch.addmm(b, v, w.t()),
        lambda v: torch.einsum("ni,oi->no", v, w) + b,
        lambda v: torch.matmul(w, v.unsqueeze(2)).squeeze(2) + b,
        lambda v: torch.stack([v @ row for row in w], 1).add_(b),
        lambda v: F.conv1d(v.unsqueeze(2), w.unsqueeze(2), b).squeeze(2),
    ]


def _batch_norm(x: Tensor) -> list[Step]:
    layer = nn.BatchNorm1d(x.shape[1], dtype=x.dtype).eval()
    with torch.no_grad():
        layer.weight.uniform_(-1.5, 1.5)
        layer.bias.normal_()
        layer.running_mean.normal_()
        layer.running_var.uniform_(0.5, 2)
    view = (1, -1, *[1] * (x.dim() - 2))
    mean, var, w, b = (
        t.detach().view(view) for t in (layer.running_mean, layer.running_var, layer.weight, layer.bias)
    )
    return [
        layer,
        lambda v: F.batch_norm(v, layer.running_mean, layer.running_var, layer.weight, layer.bias),
        lambda v: (v - mean) / torch.sqrt(var + 1e-5) * w + b,
        lambda v: torch.addcmul(b - mean * w * torch.rsqrt(var + 1e-5), v, w * torch.rsqrt(var + 1e-5)),
        lambda v: v.clone().sub_(mean).mul_(w / torch.sqrt(var + 1e-5)).add_(b),
    ]


def _pool(draw: random.Random) -> list[Step]:
    kernel, stride = draw.choice([(2, 2), (3, 1), (3, 2)])
    pad = draw.choice([0, 1]) if kernel == 3 else 0
    if draw.random() < 0.5:
        return [
            nn.MaxPool1d(kernel, stride, pad),
            lambda v: F.max_pool1d(v, kernel, stride, pad),
            lambda v: F.max_pool2d(v.unsqueeze(2), (1, kernel), (1, stride), (0, pad)).squeeze(2),
            lambda v: F.max_pool1d(F.pad(v, (pad, pad), value=-1e9), kernel, stride),
            lambda v: F.pad(v, (pad, pad), value=-1e9).unfold(2, kernel, stride).amax(3),
        ]
    return [
        nn.AvgPool1d(kernel, stride, pad),
        lambda v: F.avg_pool1d(v, kernel, stride, pad),
        lambda v: F.pad(v, (pad, pad)).unfold(2, kernel, stride).mean(3),
        lambda v: F.avg_pool2d(v.unsqueeze(2), (1, kernel), (1, stride), (0, pad)).squeeze(2),
    ]


def _reversed_copy(x: Tensor) -> Tensor:
    out = torch.empty_like(x)
    for place in range(x.shape[2]):
        out[:, :, place] = x[:, :, x.shape[2] - 1 - place]
    return out


STRUCTURAL: list[list[Step]] = [
    [lambda v: v.flip(2), lambda v: v[:, :, torch.arange(v.shape[2] - 1, -1, -1)], _reversed_copy],
    [lambda v: F.pad(v, (1, 2)), lambda v: torch.cat([v[..., :1] * 0, v, v[..., :2] * 0], 2)],
    [
        lambda v: v[:, :, 1:-1],
        lambda v: v.narrow(2, 1, v.shape[2] - 2),
        lambda v: v.split([1, v.shape[2] - 2, 1], 2)[1],
    ],
    [
        lambda v: v.transpose(1, 2).contiguous().transpose(1, 2),
        lambda v: v.reshape(v.shape[0], -1).view(v.shape),
    ],
    [lambda v: torch.cat([v, 2 * v], 1), lambda v: torch.stack([v, v + v], 1).flatten(1, 2)],
    [lambda v: torch.roll(v, 2, 2), lambda v: torch.cat([v[..., -2:], v[..., :-2]], 2)],
    [lambda v: F.interpolate(v, scale_factor=2.0), lambda v: v.repeat_interleave(2, 2)],
    [lambda v: v - v.mean(2, keepdim=True), lambda v: v - v.sum(2).div(v.shape[2]).unsqueeze(2)],
]


# ---- random graphs


class Graph(nn.Module):
    """Stages one after the other; `spelling` chooses how each of them is written."""

    def __init__(self, stages: Sequence[list[Step]], spelling: Sequence[int]) -> None:
        super().__init__()
        chosen = [stage[pick % len(stage)] for stage, pick in zip(stages, spelling, strict=True)]
        self.stages = nn.ModuleList(s if isinstance(s, nn.Module) else _Module(s) for s in chosen)

    def forward(self, x: Tensor) -> Tensor:
        for stage in self.stages:
            x = stage(x)
        return x


def _branches(kind: str, body: list[list[Step]], spelling: list[int]) -> list[Step]:
    """A residual, a concatenation, a difference or a gate around further stages."""
    graph = Graph(body, spelling)
    if kind == "residual":
        return [
            lambda v: v + graph(v),
            lambda v: graph(v).add_(v),
            lambda v: torch.stack([v, graph(v)]).sum(0),
        ]
    if kind == "difference":
        return [lambda v: v - graph(v), lambda v: torch.sub(v, graph(v)), lambda v: graph(v).neg().add(v)]
    if kind == "gate":
        return [lambda v: v * torch.sigmoid(graph(v)), lambda v: torch.sigmoid(graph(v)).mul_(v)]
    return [lambda v: torch.cat([v, graph(v)], 1), lambda v: torch.cat((graph(v), v), 1).roll(v.shape[1], 1)]


def _stage(draw: random.Random, x: Tensor, *, nested: bool) -> list[Step]:
    """One stage that fits a value of x's shape, in all its spellings."""
    if x.dim() == 2:
        kind = draw.choice(["dense", "dense", "activation", "activation", "norm", "branch"])
        if kind == "dense":
            return _dense(x, draw.choice([3, 4, 6]))
    else:
        kind = draw.choice(
            ["conv", "conv", "activation", "activation", "norm", "pool", "structural", "branch"]
        )
        settings = draw.choice(
            [{"padding": 1}, {"padding": 2, "dilation": 2}, {"padding": 1, "stride": 2}, {}]
        )
        if kind == "conv":
            groups = 2 if x.shape[1] % 2 == 0 and draw.random() < 0.3 else 1
            return _conv(draw, x, draw.choice([2, 4]), 3, groups=groups, **settings)[1]
        if kind == "pool":
            return _pool(draw)
        if kind == "structural":
            return draw.choice(STRUCTURAL)
    if kind == "norm":
        return _batch_norm(x)
    if kind == "branch" and not nested:
        return _branch_stage(draw, x)
    return ACTIVATIONS[draw.choice(sorted(ACTIVATIONS))]


def _branch_stage(draw: random.Random, x: Tensor) -> list[Step]:
    first = _dense(x, x.shape[1]) if x.dim() == 2 else _conv(draw, x, x.shape[1], 3, padding=1)[1]
    body = [first]
    if draw.random() < 0.7:
        body.append(ACTIVATIONS[draw.choice(["relu", "tanh", "gelu", "softplus", "elu"])])
    kind = draw.choice(["residual", "concat", "difference", "gate"])
    return _branches(kind, body, [draw.randrange(20) for _ in body])


def make_stages(seed: int, dtype: torch.dtype = D) -> list[list[Step]]:
    """Stages from [K, 4, 12] to [K, 3], each with all its spellings."""
    draw = random.Random(seed)
    torch.manual_seed(seed)
    x = torch.randn(16, 4, LENGTH, dtype=dtype)
    stages: list[list[Step]] = []

    def put(stage: list[Step]) -> None:
        nonlocal x
        with torch.no_grad():
            value = stage[0](x)
        tame = bool(value.isfinite().all()) and value.abs().max() < 50
        if tame and (value.dim() == 2 or value.shape[2] > 3):
            stages.append(stage)
            x = value

    for _ in range(draw.randint(1, 5)):
        put(_stage(draw, x, nested=False))
    put(
        draw.choice(
            [
                [nn.Flatten(), lambda v: v.flatten(1), lambda v: v.reshape(v.shape[0], -1)],
                [
                    lambda v: v.mean(2),
                    lambda v: F.adaptive_avg_pool1d(v, 1).squeeze(2),
                    lambda v: v.sum(2) / v.shape[2],
                ],
                [
                    lambda v: v.amax(2),
                    lambda v: v.max(2).values,
                    lambda v: F.adaptive_max_pool1d(v, 1).squeeze(-1),
                ],
            ]
        )
    )
    if x.dim() == 3:
        x = x.flatten(1)
        stages.append([nn.Flatten()])
    for _ in range(draw.randint(0, 4)):
        put(_stage(draw, x, nested=False))
    stages.append(_dense(x, 3))
    return stages


def pairs(seed: int, n: int = 3, r: int = 2, dtype: torch.dtype = D) -> tuple[Tensor, Tensor]:
    """Continuous values, or bases against shuffled bases, where most differences are 0."""
    generator = torch.Generator().manual_seed(seed)
    if seed % 2:
        x = torch.randn(n, 4, LENGTH, generator=generator, dtype=D)
        return x.to(dtype), torch.randn(n, r, 4, LENGTH, generator=generator, dtype=D).to(dtype)
    letters = torch.randint(4, (n, 1 + r, LENGTH), generator=generator)
    one_hot = F.one_hot(letters, 4).transpose(2, 3).to(dtype)
    return one_hot[:, 0], one_hot[:, 1:]


def relative_error(result: Any) -> float:
    """Summation-to-delta error over max(|Delta|, |f(x)| / 100, |f(r)| / 100)."""
    delta = (result.output[:, None] - result.reference_output).abs()
    floor = 0.01 * torch.maximum(result.output[:, None].abs(), result.reference_output.abs())
    # below 1e-6 what is left of outputs of order 1 is rounding
    return float((result.completeness_error.abs() / torch.maximum(delta, floor).clamp(min=1e-6)).max())


def default(stages: Sequence[list[Step]]) -> Graph:
    return Graph(stages, [0] * len(stages))


SEEDS = st.integers(0, 10**6)


# ---- properties


@SAME
@given(SEEDS, st.sampled_from(RULES))
def test_summation_to_delta(seed: int, rule: str) -> None:
    stages = make_stages(seed)
    x, references = pairs(seed)
    for target in (0, 2):
        result = DeepLift(default(stages), rule=rule, dtype=D).attribute(
            x, references, target, per_reference=True
        )
        assert result.contributions.isfinite().all()
        assert result.multipliers.isfinite().all()
        assert relative_error(result) < 1e-9


@SAME
@given(SEEDS, st.sampled_from(RULES))
def test_summation_to_delta_in_single_precision(seed: int, rule: str) -> None:
    x, references = pairs(seed, dtype=torch.float32)
    model = default(make_stages(seed, torch.float32))
    result = DeepLift(model, rule=rule, dtype=torch.float32).attribute(x, references, per_reference=True)
    assert result.contributions.isfinite().all()
    # contributions that cancel have more rounding than what is left of them
    rounding = 8 * torch.finfo(torch.float32).eps * result.contributions.abs().flatten(2).sum(2)
    assert (result.completeness_error.abs() <= rounding).all() or relative_error(result) < 1e-4


def spelt_alike(stage: list[Step], rule: str) -> list[int]:
    """Spellings of a stage that must score alike under a rule."""
    places = range(len(stage))
    if stage is ACTIVATIONS["softplus"] and rule == "revealcancel-positive-first":
        return [place for place in places if place != 6]  # begins with a change of sign: Q would come first
    if isinstance(stage[0], nn.Linear) and rule == "genomics-default":
        return [place for place in places if place != 6]  # a convolution to the preset
    return list(places)


@SAME
@given(SEEDS, st.sampled_from(RULES))
def test_spellings_of_one_function_score_alike(seed: int, rule: str) -> None:
    stages = make_stages(seed)
    x, references = pairs(seed, 2, 1)
    draw = random.Random(seed + 1)
    expected = DeepLift(default(stages), rule=rule, dtype=D).attribute(x, references)
    scale = expected.contributions.abs().max().clamp(min=1e-3)
    for _ in range(2):
        spelling = [draw.choice(spelt_alike(stage, rule)) for stage in stages]
        found = DeepLift(Graph(stages, spelling), rule=rule, dtype=D).attribute(x, references)
        torch.testing.assert_close(found.output, expected.output, rtol=1e-10, atol=1e-10)
        assert (found.contributions - expected.contributions).abs().max() < 1e-9 * scale


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_spelling_of_every_activation(name: str, rule: str) -> None:
    """Between two dense layers; moderate values, and large ones where a spelling overflows."""
    for scale in (1.0, 300.0) if name not in ("exp", "square") else (1.0,):
        torch.manual_seed(0)
        first, last = nn.Linear(6, 5, dtype=D), nn.Linear(5, 1, dtype=D)
        with torch.no_grad():
            first.weight.mul_(scale)
        x, references = torch.randn(4, 6, dtype=D), torch.randn(4, 2, 6, dtype=D)
        references[0, 0] = x[0]
        references[1, 0, :5] = x[1, :5]
        expected = None
        for place in spelt_alike(ACTIVATIONS[name], rule):
            if scale > 1 and (name, place) in OVERFLOWING:
                continue
            model = nn.Sequential(first, _Module(ACTIVATIONS[name][place]), last)
            found = DeepLift(model, rule=rule).attribute(x, references, per_reference=True)
            assert found.multipliers.isfinite().all()
            assert found.contributions[0, 0].count_nonzero() == 0
            assert relative_error(found) < 1e-9
            expected = found if expected is None else expected
            torch.testing.assert_close(found.multipliers, expected.multipliers, rtol=1e-9, atol=1e-9)


def test_a_spelling_that_overflows_on_the_way_to_a_bounded_function() -> None:
    """f is bounded, but far out its pieces are infinite: the rule is the same in any precision."""
    torch.manual_seed(0)
    x, references = torch.randn(4, 6), torch.randn(1, 6)
    for dtype in (torch.float32, D):
        for bounded in (
            lambda h: F.softsign(torch.relu(0.4 * torch.exp(h / 2))),
            lambda h: F.softsign(torch.relu(torch.expm1(h / 2) / 2 + 0.5 - 0.1 * (torch.expm1(h / 2) + 1))),
            lambda h: torch.sigmoid(torch.exp(h)),
            lambda h: torch.exp(torch.exp(h)) / (1 + torch.exp(torch.exp(h))),
        ):
            model = nn.Sequential(nn.Linear(6, 5), _Module(bounded), nn.Linear(5, 1)).to(dtype)
            explainer = DeepLift(model, x, rule="revealcancel", dtype=dtype)
            assert [node.rule for node in explainer.nodes].count("revealcancel") == 1
            assert explainer.attribute(3 * x, references).multipliers.isfinite().all()


@pytest.mark.parametrize(
    "f", [torch.exp, torch.log, torch.rsqrt, torch.square, torch.sqrt, torch.reciprocal, torch.sinh]
)
def test_functions_not_defined_or_not_bounded_get_rescale(f: Step) -> None:
    """RevealCancel would look at them outside the interval between reference and input."""
    for function in (
        f,
        lambda h: f(h) + torch.relu(h),
        lambda h: f(h + 300),
        lambda h: f(h.abs()),
        lambda h: -f(h) / 3,
    ):
        if f is torch.sqrt and function(torch.tensor(-400.0)).isfinite():
            continue  # the root of an absolute value is tame
        model = nn.Sequential(nn.Linear(6, 5), nn.Softplus(), _Module(lambda h: h.flip(1)), _Module(function))
        explainer = DeepLift(model, torch.randn(2, 6), rule="revealcancel")
        assert "revealcancel" not in {node.rule for node in explainer.nodes if node.module == "3"}
        assert "rescale" in {node.rule for node in explainer.nodes if node.module == "3"}


@SAME
@given(SEEDS, st.sampled_from(RULES))
def test_passes_change_scores_by_rounding_only(seed: int, rule: str) -> None:
    """Scores of inputs and of a layer inside, and what forward passes compute, with all passes and none."""
    stages = make_stages(seed)
    x, references = pairs(seed)
    draw = random.Random(seed)
    model = Graph(stages, [draw.randrange(20) for _ in stages])
    plain = DeepLift(model, x, rule=rule, dtype=D, passes=())
    every = plain._with(passes="auto")
    assert_same_forward_pass(plan_of(plain), plan_of(every), [x], 1e-10)
    layer = draw.choice([name for name, _ in model.named_modules() if name.count(".") == 1])
    for at in (None, layer):
        expected, found = (each.attribute(x, references, 1, layer=at) for each in (plain, every))
        for name in ("contributions", "multipliers", "output"):
            known = getattr(expected, name)
            off = (getattr(found, name) - known).abs().max()
            assert off <= 1e-9 * known.abs().max().clamp(min=1e-3), (name, at)


@SAME
@given(SEEDS, st.sampled_from(RULES))
def test_neither_batches_nor_the_order_of_references_matter(seed: int, rule: str) -> None:
    x, references = pairs(seed, 5, 3)
    model = default(make_stages(seed))
    whole = DeepLift(model, x, rule=rule, dtype=D).attribute(x, references)
    scale = whole.contributions.abs().max().clamp(min=1e-3)
    split = DeepLift(model, x[:2], rule=rule, dtype=D)
    for found in (
        split.attribute(x, references).contributions,
        split.attribute(x, references.flip(1)).contributions,
        split.attribute(x.flip(0), references.flip(0)).contributions.flip(0),
    ):
        assert (found - whole.contributions).abs().max() < 1e-9 * scale


@SAME
@given(SEEDS, st.sampled_from(RULES))
def test_scores_are_linear_in_the_target(seed: int, rule: str) -> None:
    x, references = pairs(seed)
    explainer = DeepLift(default(make_stages(seed)), x, rule=rule, dtype=D)
    first, second = (explainer.attribute(x, references, k) for k in (0, 1))
    both = explainer.attribute(x, references, lambda y: 2.5 * y[:, 0] - 0.5 * y[:, 1])
    expected = 2.5 * first.multipliers - 0.5 * second.multipliers
    scale = expected.abs().max().clamp(min=1e-3)
    assert (both.multipliers - expected).abs().max() < 1e-9 * scale


@SAME
@given(SEEDS, st.sampled_from(RULES))
def test_inputs_that_cannot_matter_get_exactly_nothing(seed: int, rule: str) -> None:
    """A window of the input is read; what lies outside gets 0, not rounding."""
    stages = [[lambda v: F.pad(v[:, :3, 2:-3], (2, 3, 0, 1))], *make_stages(seed)]
    x, references = pairs(seed)
    result = DeepLift(default(stages), rule=rule, dtype=D).attribute(x, references)
    for value in (result.contributions, result.multipliers):
        assert value[:, 3].count_nonzero() == 0
        assert value[:, :, :2].count_nonzero() == 0
        assert value[:, :, -3:].count_nonzero() == 0


@SAME
@given(SEEDS, st.sampled_from(RULES), st.sampled_from([torch.float32, D]))
def test_an_input_equal_to_its_reference_gets_exactly_nothing(
    seed: int, rule: str, dtype: torch.dtype
) -> None:
    x, references = pairs(seed, dtype=dtype)
    references[0, 1] = x[0]
    references[2] = x[2]
    model = default(make_stages(seed, dtype))
    explainer = DeepLift(model, x[:2], rule=rule, dtype=dtype)
    result = explainer.attribute(x, references, per_reference=True)
    assert result.multipliers.isfinite().all()
    assert result.contributions[0, 1].count_nonzero() == 0
    assert result.contributions[2].count_nonzero() == 0
    assert result.completeness_error[2].count_nonzero() == 0
    mean = explainer.attribute(x, references)
    assert mean.contributions[2].count_nonzero() == 0
    shared = explainer.attribute(x[2:].expand(2, -1, -1), x[2:])
    assert shared.contributions.count_nonzero() == 0


@SAME
@given(SEEDS, st.sampled_from(RULES))
def test_the_graph_is_the_model(seed: int, rule: str) -> None:
    """Recorded on one batch, it gives the model's own output on others."""
    stages = make_stages(seed)
    draw = random.Random(seed)
    model = Graph(stages, [draw.randrange(20) for _ in stages])
    x, references = pairs(seed, 3, 1)
    result = DeepLift(model, pairs(seed + 1, 2, 1)[0], rule=rule, dtype=D).attribute(x, references, 1)
    with torch.no_grad():
        torch.testing.assert_close(result.prediction, model(x)[:, 1], rtol=1e-10, atol=1e-10)
        expected = model(references[:, 0])[:, 1]
    torch.testing.assert_close(result.reference_output[:, 0], expected, rtol=1e-10, atol=1e-10)


@SAME
@given(SEEDS, st.sampled_from(RULES))
def test_scores_of_every_layer_between_sum_to_delta(seed: int, rule: str) -> None:
    """All paths lead through each stage's output, also where it lies inside of an activation."""
    stages = make_stages(seed)
    x, references = pairs(seed, 2, 2)
    draw = random.Random(seed)
    model = Graph(stages, [draw.randrange(20) for _ in stages])
    explainer = DeepLift(model, x, rule=rule, dtype=D)
    whole = explainer.attribute(x, references, 1)
    calls = explainer._explainer.recording.graph.module_calls  # two stages may be one module
    names = [name for name, _ in model.named_modules() if name.count(".") == 1]
    for name in [f"{stage}:{call}" for stage in names for call in range(len(calls[stage]))]:
        inner = explainer.attribute(x, references, 1, layer=name)
        assert relative_error(inner) < 1e-9
        torch.testing.assert_close(inner.output, whole.output, rtol=0, atol=0)
        neuron = explainer.attribute(x, references, (name, _middle(inner.contributions)))
        assert relative_error(neuron) < 1e-9


def _middle(value: Tensor) -> tuple[int, ...]:
    return tuple(size // 2 for size in value.shape[1:])
