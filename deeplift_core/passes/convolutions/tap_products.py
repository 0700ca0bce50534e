"""Convolutions along a sequence as sums of matrix products, one for each tap of the kernel.

Every tap multiplies channels at positions that lie one after the other in memory, so that nothing is copied
first. In float64, for which they are used, the products are faster than torch's own kernel.

The two functions are operations of a library, so that compiled code calls their kernels. Otherwise the trace
would hold the products of the taps, and each tap would write its own copy of the result.
(`torch.library.custom_op` would define an operation in fewer lines, but its first call imports the compiler,
which takes more than a second.)
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

_LIBRARY = torch.library.Library("deeplift", "FRAGMENT")  # type: ignore[no-untyped-call]


def tap_products(x: Tensor, weight: Tensor, bias: Tensor | None, padding: int, dilation: int) -> Tensor:
    """Convolve with stride 1.

    Parameters
    ----------
    x : Tensor [N, I, L]
        Channels last is the fastest order of memory.
    weight : Tensor [k, I, O]
    bias : Tensor [O] or None
    padding, dilation : int

    Returns
    -------
    Tensor [N, O, L']
        The result with channels last.
    """
    result: Tensor = torch.ops.deeplift.tap_products(x, weight, bias, padding, dilation)
    return result


def tap_products_adjoint(m: Tensor, weight: Tensor, length: int, padding: int, dilation: int) -> Tensor:
    """Apply the adjoint of :func:`tap_products`.

    Parameters
    ----------
    m : Tensor [N, O, L']
    weight : Tensor [k, I, O]
    length : int
        L, of the convolution's input.
    padding, dilation : int

    Returns
    -------
    Tensor [N, I, L]
        The result with channels last.
    """
    result: Tensor = torch.ops.deeplift.tap_products_adjoint(m, weight, length, padding, dilation)
    return result


def _forward(x: Tensor, weight: Tensor, bias: Tensor | None, padding: int, dilation: int) -> Tensor:
    rows = x.transpose(1, 2)
    result = _empty(x, weight, padding, dilation)
    result[:] = 0 if bias is None else bias
    for tap, there, here in _spans(weight, x.shape[2], result.shape[1], padding, dilation):
        result[:, there].baddbmm_(rows[:, here], weight[tap].expand(len(x), -1, -1))
    return result.transpose(1, 2)


def _adjoint(m: Tensor, weight: Tensor, length: int, padding: int, dilation: int) -> Tensor:
    rows = m.transpose(1, 2)
    result = m.new_zeros(len(m), length, weight.shape[1])
    for tap, there, here in _spans(weight, length, m.shape[2], padding, dilation):
        result[:, here].baddbmm_(rows[:, there], weight[tap].mT.expand(len(m), -1, -1))
    return result.transpose(1, 2)


def _empty(x: Tensor, weight: Tensor, padding: int, dilation: int) -> Tensor:
    taps, _, channels = weight.shape
    return x.new_empty(len(x), x.shape[2] + 2 * padding - dilation * (taps - 1), channels)


def _spans(
    weight: Tensor, before: int, after: int, padding: int, dilation: int
) -> Iterator[tuple[int, slice, slice]]:
    """Each tap with the positions after the convolution that it reaches, and those that it reads for them."""
    for tap in range(len(weight)):
        shift = tap * dilation - padding
        start, stop = max(0, -shift), min(after, before - shift)
        if start < stop:
            yield tap, slice(start, stop), slice(start + shift, stop + shift)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    del output
    x, ctx.weight, _, ctx.padding, ctx.dilation = inputs
    ctx.length = x.shape[2]


def _of_input(ctx: Any, m: Tensor) -> tuple[Tensor | None, ...]:
    """Return the gradient of the input alone, since weights are constants here."""
    return tap_products_adjoint(m, ctx.weight, ctx.length, ctx.padding, ctx.dilation), None, None, None, None


def _define(signature: str, compute: Callable[..., Tensor], shape_only: Callable[..., Tensor]) -> str:
    name = "deeplift::" + signature.partition("(")[0]
    _LIBRARY.define(signature)  # type: ignore[no-untyped-call]
    _LIBRARY.impl(name, compute, "CompositeExplicitAutograd")  # type: ignore[no-untyped-call]
    torch.library.register_fake(name, shape_only, lib=_LIBRARY)
    return name


_define(
    "tap_products_adjoint(Tensor m, Tensor weight, int length, int padding, int dilation) -> Tensor",
    _adjoint,
    lambda m, weight, length, padding, dilation: m.new_empty(len(m), length, weight.shape[1]).mT,
)
torch.library.register_autograd(
    _define(
        "tap_products(Tensor x, Tensor weight, Tensor? bias, int padding, int dilation) -> Tensor",
        _forward,
        lambda x, weight, bias, padding, dilation: _empty(x, weight, padding, dilation).mT,
    ),
    _of_input,
    setup_context=_remember,
    lib=_LIBRARY,
)
