"""Numerical care: large logits, saturation, norms without variance, differences next to nothing.

Properties over random inputs, in the precisions that people score with; what is known exactly is computed in
float64 or from the paper's formulas.
"""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from promised import PROMISED
from torch import Tensor, nn
from zoo.entry import Net

from deeplift_core import DeepLift

D = torch.float64
SEEDS = st.integers(0, 2**32 - 1)
PRECISIONS = [torch.bfloat16, torch.float32, D]
BY_PRECISION = pytest.mark.parametrize("dtype", PRECISIONS, ids=str)
TOLERANCES = {**PROMISED, torch.bfloat16: 0.1}
UNITS = {D: 32, torch.float32: 32, torch.bfloat16: 4}
some = settings(max_examples=min(25, settings().max_examples), deadline=None)


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, dtype=D, generator=torch.Generator().manual_seed(seed))


def scored(model: nn.Module, x: Tensor, references: Tensor, dtype: torch.dtype, **options: Any) -> Any:
    """Scores of the first output; what is asked of all: finite, and exact in sum.

    That is, to the promised tolerance or, where large numbers cancel (a common shift of all logits), to some
    units of rounding of those.
    """
    x, references = x.to(dtype), references.to(dtype)
    explainer = DeepLift(model, dtype=dtype, **options)
    result = explainer.attribute(x, references, target=0, per_reference=True)
    assert result.contributions.isfinite().all()
    assert result.multipliers.isfinite().all()
    largest = torch.maximum(result.output[:, None].abs(), result.reference_output.abs()).to(D)
    size = torch.maximum((result.output[:, None] - result.reference_output).abs().to(D), 0.01 * largest)
    cancelling = result.contributions.to(D).abs().flatten(2).sum(2) + largest
    cancelling += torch.maximum(x.abs().max(), references.abs().max()).to(D)
    allowed = TOLERANCES[dtype] * size + UNITS[dtype] * torch.finfo(dtype).eps * cancelling
    error = result.completeness_error.to(D).abs()
    assert (error <= allowed).all(), (error, allowed)
    return result


# ---- large logits and saturation

LOGITS: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": lambda z: z.softmax(1),
    "log_softmax": lambda z: z.log_softmax(1),
    "logsumexp": lambda z: z.logsumexp(1, keepdim=True),
    "written out": lambda z: (
        (z - z.amax(1, keepdim=True)).exp() / (z - z.amax(1, keepdim=True)).exp().sum(1, True)
    ),
    "two classes": lambda z: torch.sigmoid(z[:, :1] - z[:, 1:2]),
    "temperature": lambda z: (z * 20).softmax(1),
}


@BY_PRECISION
@pytest.mark.parametrize("name", LOGITS)
@some
@given(
    seed=SEEDS, scale=st.sampled_from([1e-3, 1.0, 30.0, 1e3, 1e5]), shift=st.sampled_from([0.0, -500.0, 1e4])
)
def test_logits_of_any_size(name: str, dtype: torch.dtype, seed: int, scale: float, shift: float) -> None:
    model = Net(lambda s, z: LOGITS[name](z))
    z = scale * normal(seed, 3, 5)
    scored(model, z + shift, scale * normal(seed + 1, 3, 2, 5), dtype, logits=False)


@BY_PRECISION
@some
@given(seed=SEEDS, scale=st.sampled_from([1.0, 30.0, 300.0]))
def test_attention_that_looks_at_one_position_only(dtype: torch.dtype, seed: int, scale: float) -> None:
    """Scores of hundreds: the softmax is 0 and 1 to all digits, at other places for input and reference."""
    model = Net(
        lambda s, x: nn.functional.scaled_dot_product_attention(scale * x, x, x).flatten(1),
    )
    scored(model, normal(seed, 2, 6, 4), normal(seed + 1, 2, 2, 6, 4), dtype)


SATURATING = [
    torch.sigmoid,
    torch.tanh,
    torch.erf,
    nn.functional.softplus,
    nn.functional.logsigmoid,
    nn.functional.gelu,
]


@BY_PRECISION
@pytest.mark.parametrize("f", SATURATING)
@pytest.mark.parametrize("rule", ["rescale", "revealcancel"])
@some
@given(seed=SEEDS, scale=st.sampled_from([1.0, 20.0, 1e3, 1e6]))
def test_saturated_activations(
    f: Callable[[Tensor], Tensor], rule: str, dtype: torch.dtype, seed: int, scale: float
) -> None:
    model = Net(lambda s, x: s.second(f(s.first(x))), first=nn.Linear(4, 6), second=nn.Linear(6, 1))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for layer in (model.first, model.second):
            layer.reset_parameters()
    scored(model, scale * normal(seed, 3, 4), scale * normal(seed + 1, 3, 2, 4), dtype, rule=rule)


# ---- norms

NORMS: dict[str, Callable[[], nn.Module]] = {
    "layer": lambda: nn.LayerNorm([3, 8]),
    "group": lambda: nn.GroupNorm(3, 3),
    "instance": lambda: nn.InstanceNorm1d(3, affine=True),
    "root mean square": lambda: nn.RMSNorm(8, eps=1e-6),
    "unit length": lambda: Net(lambda s, x: nn.functional.normalize(x, dim=2)),
    "standard score": lambda: Net(lambda s, x: (x - x.mean(2, True)) / (x.std(2, keepdim=True) + 1e-5)),
}


@BY_PRECISION
@pytest.mark.parametrize("name", NORMS)
@some
@given(
    seed=SEEDS,
    constant=st.sampled_from(["input", "reference", "both"]),
    level=st.sampled_from([0.0, 1.0, 100.0]),
)
def test_norms_of_what_does_not_vary(
    name: str, dtype: torch.dtype, seed: int, constant: str, level: float
) -> None:
    """Rows without variance, where 1 / sigma is as large as eps lets it be."""
    x, references = normal(seed, 2, 3, 8), normal(seed + 1, 2, 2, 3, 8)
    if constant != "reference":
        x[:, 1:] = level
    if constant != "input":
        references[:, :, 1:] = level
    scored(Net(lambda s, v: s.norm(v).flatten(1)[:, 11:], norm=NORMS[name]()), x, references, dtype)


# ---- differences next to nothing

SMOOTH: list[Callable[[Tensor], Tensor]] = [
    torch.sigmoid, torch.tanh, torch.exp, torch.cos, torch.erf, nn.functional.softplus, nn.functional.silu,
    nn.functional.elu, nn.functional.gelu, nn.functional.mish, nn.functional.logsigmoid,
    lambda x: x * torch.sigmoid(1.702 * x), lambda x: 0.5 * x * (1 + torch.erf(x / 2**0.5)),
]  # fmt: skip


@pytest.mark.parametrize("rule", ["rescale", "revealcancel"])
@pytest.mark.parametrize("f", SMOOTH)
@some
@given(seed=SEEDS, size=st.integers(-23, -2))
def test_multipliers_of_small_differences(
    f: Callable[[Tensor], Tensor], rule: str, seed: int, size: int
) -> None:
    """In float32 they are those of float64, and not quotients of two roundings, whatever the size.

    Dividing Delta y by Delta x whenever that is not 0 is wrong here by up to 70 % of the largest multiplier,
    and more than that for GELU, whose kernels have no digits of x = -4.
    """
    weight = 0.2 * normal(seed, 30)
    model = Net(lambda s, x: f(x) @ weight.to(x.dtype))
    x = normal(seed + 1, 2, 30).float()
    reference = x * (1 + 2.0**size * normal(seed + 2, 2, 30).float())
    found, exact = (
        DeepLift(model, dtype=dtype, rule=rule).attribute(x, reference[:, None], target=()).multipliers
        for dtype in (torch.float32, D)
    )
    torch.testing.assert_close(found.to(D), exact, rtol=0, atol=2e-5 * float(exact.abs().max()))


@BY_PRECISION
@some
@given(
    seed=SEEDS,
    units=st.sampled_from([0.5, 1, 4, 64, 1024]),
    rule=st.sampled_from(["rescale", "genomics-default"]),
)
def test_sums_of_differences_next_to_nothing(dtype: torch.dtype, seed: int, units: float, rule: str) -> None:
    """Through a model with most kinds of operation; multipliers stay near those of larger differences."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = nn.Sequential(
            nn.Conv1d(4, 6, 3), nn.BatchNorm1d(6), nn.GELU(), nn.Conv1d(6, 6, 3), nn.SiLU(), nn.MaxPool1d(2),
            nn.Flatten(), nn.LayerNorm(24), nn.Linear(24, 8), nn.Softplus(), nn.Linear(8, 2),
        ).eval()  # fmt: skip
    x = normal(seed, 2, 4, 12).to(dtype)
    reference = x[:, None] * (1 + units * torch.finfo(dtype).eps * normal(seed + 1, 2, 2, 4, 12)).to(dtype)
    result = scored(model, x, reference, dtype, rule=rule)
    assert result.multipliers.abs().max() < 50


def test_equal_rows_beside_others_get_exactly_nothing() -> None:
    """One sequence equal to its reference in a batch of others."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = nn.Sequential(nn.Conv1d(4, 6, 3), nn.Sigmoid(), nn.Flatten(), nn.Linear(60, 1)).eval()
    x = normal(1, 3, 4, 12).float()
    references: Sequence[Tensor] = [x.flip(2), x.clone()]
    result = scored(model, x, torch.stack(list(references), 1), torch.float32)
    assert result.contributions[:, 1].count_nonzero() == 0
    assert result.completeness_error[:, 1].count_nonzero() == 0
    assert result.contributions[:, 0].count_nonzero() > 0
