"""Convolutions along a sequence as they are computed, against torch's own and its gradient."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from deeplift_core import sequence_convolution


def ours(x: Tensor, weight: Tensor, bias: Tensor, padding: int, dilation: int) -> tuple[Tensor, Tensor]:
    """The convolution, and the adjoint of its own square."""
    options = ([1], [padding], [dilation], False, [0], 1)
    prepared = sequence_convolution.prepared(weight)
    y = sequence_convolution.convolution(x, prepared, bias, *options)
    return y, sequence_convolution.adjoint(y**2, x.shape, prepared, options)


def torchs(x: Tensor, weight: Tensor, bias: Tensor, padding: int, dilation: int) -> tuple[Tensor, Tensor]:
    point = x.clone().requires_grad_()
    y = F.conv1d(point, weight, bias, padding=padding, dilation=dilation)
    return y.detach(), torch.autograd.grad((y * y.detach() ** 2).sum(), point)[0]


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_rows_as_long_as_the_dilation_change_nothing(data: st.DataObject) -> None:
    """Whatever is left over: lengths that the dilation does not divide, rows that are mostly padding."""
    kernel, dilation = data.draw(st.integers(2, 5)), data.draw(st.integers(1, 9))
    padding = dilation * data.draw(st.integers(0, 3))
    shortest = max(1, dilation * (kernel - 1) + 1 - 2 * padding)
    length = data.draw(st.integers(shortest, shortest + 30))
    torch.manual_seed(data.draw(st.integers(0, 99)))
    x, weight, bias = torch.randn(2, 3, length), torch.randn(4, 3, kernel), torch.randn(4)
    values = tuple(tensor.double() for tensor in (x, weight, bias))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sequence_convolution, "_MANY_CHANNELS", 1)
        patch.setattr(sequence_convolution, "_FAR", 1)
        found = ours(*values, padding, dilation)
    for mine, theirs in zip(found, torchs(*values, padding, dilation), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("dilation", [32, 64])
def test_many_channels_are_computed_in_rows_where_taps_lie_far_apart(
    dilation: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    rows = sequence_convolution._rows
    monkeypatch.setattr(
        sequence_convolution, "_rows", lambda image, length: calls.append(length) or rows(image, length)
    )
    torch.manual_seed(0)
    values = torch.randn(2, 512, 150), torch.randn(512, 512, 3) / 40, torch.randn(512)
    for mine, theirs in zip(
        ours(*values, dilation, dilation), torchs(*values, dilation, dilation), strict=True
    ):
        torch.testing.assert_close(mine, theirs, atol=1e-3, rtol=1e-4)
    assert calls == ([64, 64] if dilation == 64 else [])
