"""Which kernels compute: those that keep what float32 promises, and the faster ones."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

from deeplift_core.graph import op_name

aten = torch.ops.aten

# Reductions that read float32 and can add up in float64, without a copy of what they read.
TOTALS = (aten.sum.dim_IntList, aten.mean.dim)


def input_gradient(
    m: Tensor, weight: Tensor, shape: tuple[int, ...], strides: tuple[int, ...], settings: tuple[Any, ...]
) -> Tensor:
    """The adjoint of a convolution, by torch's kernel for the gradient with respect to its input.

    Parameters
    ----------
    m : Tensor
        Multipliers of the convolution's result.
    weight : Tensor
    shape, strides : tuple of int
        Of the convolution's input. Its numbers are not read: with another order in memory than the result's
        they would be copied first, and in compiled code without strides they would be filled.
    settings : tuple
        What ``aten.convolution`` takes after the bias.
    """
    shape_only = m.new_empty_strided(shape, strides)
    grads: tuple[Tensor, ...] = aten.convolution_backward.default(
        m, shape_only, weight, None, *settings, [True, False, False]
    )
    return grads[0]


def as_is(kernel: OpOverload) -> Callable[..., Any]:
    """An ATen operation under another name, which the compiler has no code of its own for and so calls.

    For make_fx's table of decompositions: on any device but a CPU it leaves the operation to the compiler.
    One that writes into its first argument returns that.
    """
    in_place = kernel._schema.is_mutable
    signature = "(" + str(kernel._schema).partition("(")[2]
    if in_place:  # no operation of ours may return what it was given
        signature = signature.rpartition("->")[0] + "-> ()"

    def computed(*args: Any, **kwargs: Any) -> Any:
        found = kernel(*args, **kwargs)
        return None if in_place else found

    name = f"deeplift::{op_name(kernel)}"
    written = tuple(argument.name for argument in kernel._schema.arguments if argument.is_write)
    renamed = torch.library.custom_op(name, computed, mutates_args=written, schema=signature)
    renamed.register_fake(computed)

    def call(*args: Any, **kwargs: Any) -> Any:
        if args[0].device.type != "cpu":
            return NotImplemented
        found = renamed(*args, **kwargs)
        return args[0] if in_place else found

    return call


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Within, cuDNN neither rounds the factors of float32 convolutions to 10 bits (TF32) nor varies its sums.

    It does so by default, and summation-to-delta would hold to 1e-3 only. Who wants the speed asks for
    bfloat16. Settings of the process are as before afterwards; other devices have none to change.
    """
    if device.type != "cuda":
        yield
        return
    enabled = torch.backends.cudnn.enabled
    with torch.backends.cudnn.flags(enabled=enabled, deterministic=True, allow_tf32=False):
        yield
