"""Names of operations, and the one operation that this package adds to ATen's."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

_LIBRARY = torch.library.Library("deeplift", "FRAGMENT")  # type: ignore[no-untyped-call]
_LIBRARY.define("result(Tensor?[] values, int place) -> Tensor?")  # type: ignore[no-untyped-call]


def _result(values: Sequence[Any], place: int) -> Any:
    return values[place]


# The implementation is composite, so that autograd and tracing see the chosen tensor and no call.
_LIBRARY.impl("result", _result, "CompositeImplicitAutograd")  # type: ignore[no-untyped-call]

# One of the results of an operation that has several.
RESULT = torch.ops.deeplift.result.default

_SHORT_NAMES = {"deeplift::result": "getitem"}


def op_name(op: Callable[..., Any]) -> str:
    """Name of an operation without its overload.

    The namespace is part of the name, so that an operation of the user's own is never taken for ATen's.

    Parameters
    ----------
    op : OpOverload
        The operation.

    Returns
    -------
    str
        ``convolution`` for ATen's, ``mylib::var`` for an operation of another library, ``getitem`` for
        :data:`RESULT`.
    """
    schema = getattr(op, "_schema", None)
    if schema is None:
        return getattr(op, "__name__", str(op))
    name = str(schema.name)
    return _SHORT_NAMES.get(name, name.removeprefix("aten::"))
