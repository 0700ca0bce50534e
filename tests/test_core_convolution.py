"""Convolutions along a sequence as they are computed, against torch's own and its gradient."""

from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from deeplift_core import DeepLift
from deeplift_core.passes.convolutions import sequence
from deeplift_core.passes.convolutions.blocks import BlockAdjoint
from deeplift_core.passes.convolutions.sequence import by_taps
from deeplift_core.passes.convolutions.tap_products import tap_products


def ours(x: Tensor, weight: Tensor, bias: Tensor, padding: int, dilation: int) -> tuple[Tensor, Tensor]:
    """The convolution, and the adjoint of its own square."""
    options = ([1], [padding], [dilation], False, [0], 1)
    prepared = sequence.prepared(weight)
    y = sequence.convolution(x, prepared, bias, *options)
    return y, sequence.adjoint_of(prepared, x.shape, options)(y**2)


def torchs(x: Tensor, weight: Tensor, bias: Tensor, padding: int, dilation: int) -> tuple[Tensor, Tensor]:
    point = x.clone().requires_grad_()
    y = F.conv1d(point, weight, bias, padding=padding, dilation=dilation)
    return y.detach(), torch.autograd.grad((y * y.detach() ** 2).sum(), point)[0]


@st.composite
def layers(draw: st.DrawFn, *, whole: bool) -> tuple[list[Tensor], int, int]:
    """x, weight and bias in float64; padding, of ``whole`` dilations or any; dilation."""
    kernel, dilation = draw(st.integers(2 if whole else 1, 5)), draw(st.integers(1, 9))
    padding = dilation * draw(st.integers(0, 3)) if whole else draw(st.integers(0, 30))
    shortest = max(1, dilation * (kernel - 1) + 1 - 2 * padding)
    length = draw(st.integers(shortest, shortest + 30))
    torch.manual_seed(draw(st.integers(0, 99)))
    shapes = [(2, 3, length), (4, 3, kernel), (4,)]
    return [torch.randn(shape, dtype=torch.float64) for shape in shapes], padding, dilation


def check_against_torchs(layer: tuple[list[Tensor], int, int], **patched: object) -> None:
    """Both results in float64, with these names of the module patched."""
    values, padding, dilation = layer
    with pytest.MonkeyPatch.context() as patch:
        for name, value in patched.items():
            patch.setattr(sequence, name, value)
        found = ours(*values, padding, dilation)
    for mine, theirs in zip(found, torchs(*values, padding, dilation), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-10, rtol=1e-10)


@settings(deadline=None, max_examples=200)
@given(layers(whole=True))
def test_rows_as_long_as_the_dilation_change_nothing(layer: tuple[list[Tensor], int, int]) -> None:
    """Whatever is left over: lengths that the dilation does not divide, rows that are mostly padding."""
    check_against_torchs(layer, ROWS_CHANNELS=1, ROWS_DISTANCE=1)


@pytest.mark.parametrize("dilation", [32, 64])
def test_many_channels_are_computed_in_rows_where_taps_lie_far_apart(
    dilation: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    rows = sequence._rows
    monkeypatch.setattr(sequence, "_rows", lambda image, length: calls.append(length) or rows(image, length))
    torch.manual_seed(0)
    values = torch.randn(2, 512, 150), torch.randn(512, 512, 3) / 40, torch.randn(512)
    for mine, theirs in zip(
        ours(*values, dilation, dilation), torchs(*values, dilation, dilation), strict=True
    ):
        torch.testing.assert_close(mine, theirs, atol=1e-3, rtol=1e-4)
    assert calls == ([64, 64] if dilation == 64 else [])


@settings(deadline=None, max_examples=200)
@given(layers(whole=False))
def test_products_for_each_tap_change_nothing(layer: tuple[list[Tensor], int, int]) -> None:
    """Taps that reach past either end, and taps that read nothing but padding."""
    # Every other way begins with an image, and fails for want of it.
    check_against_torchs(layer, TAPS_CHANNELS=1, _as_image=None, prepared=lambda weight: weight.unsqueeze(2))


@settings(deadline=None, max_examples=20)
@given(layers(whole=False))
def test_products_for_each_tap_have_a_gradient(layer: tuple[list[Tensor], int, int]) -> None:
    (x, weight, bias), padding, dilation = layer
    matrices = by_taps(weight.unsqueeze(2))

    def convolved(x: Tensor) -> Tensor:
        return tap_products(x, matrices, bias, padding, dilation)

    assert torch.autograd.gradcheck(convolved, x.requires_grad_())


@pytest.mark.parametrize("operation", ["with bias", "without bias", "adjoint"])
def test_what_the_compiler_is_told_of_products_is_so(operation: str) -> None:
    """Shapes, strides, and that nothing is written to: what torch's own checks of operations look at."""
    torch.manual_seed(0)
    weight = torch.randn(5, 3, 4, dtype=torch.float64)
    x, m = torch.randn(2, 3, 30, dtype=torch.float64), torch.randn(2, 4, 20, dtype=torch.float64)
    bias = weight[0, 0] if operation == "with bias" else None
    if operation == "adjoint":
        torch.library.opcheck(torch.ops.deeplift.tap_products_adjoint.default, (m, weight, 30, 3, 4))
    else:
        torch.library.opcheck(torch.ops.deeplift.tap_products.default, (x, weight, bias, 3, 4))


@settings(deadline=None, max_examples=200)
@given(layers(whole=False), st.sampled_from([1, 4, 64]), st.integers(1, 4))
def test_blocks_of_positions_are_the_adjoint(
    layer: tuple[list[Tensor], int, int], channels: int, bases: int
) -> None:
    """Of three positions, or four, whatever is left over at the end."""
    (x, weight, _), padding, _ = layer
    taps, length = weight.shape[2] + 1, x.shape[2] + weight.shape[2]
    padding %= taps
    weight = torch.randn(channels, bases, taps, dtype=torch.float64)
    point = torch.zeros(2, bases, length, dtype=torch.float64, requires_grad=True)
    y = F.conv1d(point, weight, padding=padding)
    m = torch.randn_like(y)
    found = BlockAdjoint(weight.unsqueeze(2), length, padding)(m.unsqueeze(2))
    torch.testing.assert_close(found, torch.autograd.grad(y, point, m)[0], atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize(
    ("layer", "in_blocks"),
    [
        (nn.Conv1d(4, 6, 3, padding=1), True),
        (nn.Conv1d(4, 256, 3, padding=1), True),
        (nn.Conv1d(5, 6, 3, padding=1), False),
        (nn.Conv1d(4, 6, 1), False),
        (nn.Conv1d(4, 6, 3, padding=3), False),
        (nn.Conv1d(4, 6, 3, dilation=2), False),
        (nn.Conv1d(4, 6, 3, stride=2), False),
        (nn.Conv1d(4, 6, 3, groups=2), False),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_which_adjoints_are_computed_in_blocks(
    layer: nn.Conv1d, in_blocks: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    class Counted(BlockAdjoint):
        def __init__(self, weight: Tensor, length: int, padding: int) -> None:
            made.append(length)
            super().__init__(weight, length, padding)

    monkeypatch.setattr(sequence, "BlockAdjoint", Counted)
    torch.manual_seed(0)
    layer = deepcopy(layer).to(dtype)
    weight = sequence.prepared(layer.weight.detach())
    options = list(layer.stride), [layer.padding[0]], list(layer.dilation), False, [0], layer.groups
    x = torch.randn(2, layer.in_channels, 17, dtype=dtype, requires_grad=True)
    y = layer(x)
    m = torch.randn_like(y)
    found = sequence.adjoint_of(weight, x.shape, options)(m)
    expected = torch.autograd.grad(y, x, m)[0]
    off = 0.02 if dtype == torch.bfloat16 else 1e-5
    torch.testing.assert_close(found, expected, atol=off * float(expected.detach().abs().max()), rtol=0)
    assert made == ([17] if in_blocks and dtype != torch.float64 else [])


LONG = 320, 8  # channels and taps: 2,560 terms


def long_convolutions(seed: int) -> nn.Module:
    """Two convolutions of very many terms, and one of few."""
    torch.manual_seed(seed)
    channels, taps = LONG
    return nn.Sequential(
        nn.Conv1d(4, channels, 3, padding=1), nn.ReLU(),
        nn.Conv1d(channels, channels, taps), nn.ReLU(),
        nn.Conv1d(channels, channels, taps, padding=3, dilation=2, bias=False), nn.ReLU(),
        nn.Flatten(), nn.LazyLinear(1),
    )  # fmt: skip


def long_pairs() -> tuple[Tensor, Tensor]:
    bases = torch.eye(4)[torch.randint(4, (3, 3, 40))].mT
    return bases[0], bases[1:].transpose(0, 1)


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.compiles)])
@pytest.mark.parametrize("rule", ["genomics-default", "gradient"])
def test_scores_through_long_convolutions_are_those_of_float64(rule: str, compiled: bool) -> None:
    model, (x, references) = long_convolutions(1), long_pairs()
    model(x)
    exact = DeepLift(model, x, rule=rule, dtype=torch.float64).attribute(x, references)
    found = DeepLift(model, x, rule=rule, compile=compiled).attribute(x, references)
    scale = float(exact.contributions.abs().max())
    torch.testing.assert_close(
        found.contributions.double(), exact.contributions, atol=2e-6 * scale, rtol=0, check_dtype=False
    )
