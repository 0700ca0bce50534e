"""ATen operations whose own kernels compiled code calls, because the compiler's code for them is worse."""

from collections.abc import Callable
from typing import Any

import torch
from torch._ops import OpOverload

from deeplift_core.graph import op_name


def as_is(kernel: OpOverload) -> Callable[..., Any]:
    """Give an ATen operation another name, for which the compiler has no code of its own.

    The compiler then calls the operation's kernel.

    Parameters
    ----------
    kernel : OpOverload
        An operation that returns a new value, or one that writes into its first argument.

    Returns
    -------
    callable
        An entry for make_fx's table of decompositions. On any device but a CPU the entry leaves the operation
        to the compiler.
    """
    in_place = kernel._schema.is_mutable
    signature = "(" + str(kernel._schema).partition("(")[2]
    if in_place:  # an operation of a library may not return its own argument
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
