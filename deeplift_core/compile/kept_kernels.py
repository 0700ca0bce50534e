"""ATen operations that compiled code calls as they are, because the compiler's own code for them is worse."""

from collections.abc import Callable
from typing import Any

import torch
from torch._ops import OpOverload

from deeplift_core.graph import op_name


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
