"""Run a model in one precision throughout, whatever precision its code casts values to."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode


@contextmanager
def one_precision(model: nn.Module, dtype: torch.dtype) -> Iterator[None]:
    """Within the context, every floating dtype that the model's forward asks for is ``dtype``.

    For models that cast values to half precision (``x.half()``) and whose weights have been converted to
    another: the casts of such a model fit its own weights only. The model's rounding to half precision is
    left out, so that the model is computed in the precision asked for.

    Parameters
    ----------
    model : torch.nn.Module
        The model, whose weights are in ``dtype``.
    dtype : torch.dtype
        A floating precision.
    """
    # The mode is entered inside the model's forward, and is therefore above a recorder. A recorder thus sees
    # the calls in one precision.
    mode = _OnePrecision(dtype)
    depth = 0

    def enter(module: nn.Module, _: Any) -> None:
        nonlocal depth
        if module is model:
            mode.__enter__()  # type: ignore[no-untyped-call]
            depth += 1

    def leave(module: nn.Module, _: Any, __: Any) -> None:
        nonlocal depth
        if module is model and depth:
            mode.__exit__(None, None, None)  # type: ignore[no-untyped-call]
            depth -= 1

    entered = register_module_forward_pre_hook(enter)
    left = register_module_forward_hook(leave, always_call=True)
    try:
        yield
    finally:
        entered.remove()
        left.remove()
        # Torch runs no hook after an exception that is no `Exception`, such as SystemExit or a signal's. A
        # mode that stays on the stack would slow down every later call of torch in the process.
        for _ in range(depth):
            mode.__exit__(None, None, None)  # type: ignore[no-untyped-call]


class _OnePrecision(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Replaces floating dtypes among the arguments of calls."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._dtype = dtype

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return False. Torch's own answer, True, would import all of dynamo, which takes over a second."""
        return False

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = {name: self._changed(value) for name, value in (kwargs or {}).items()}
        return func(*map(self._changed, args), **given)

    def _changed(self, value: Any) -> Any:
        floating = isinstance(value, torch.dtype) and value.is_floating_point
        return self._dtype if floating else value
