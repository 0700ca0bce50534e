"""Find state that a model keeps from one call to the next: counters, running sums, collected values.

A model that counts its calls may give the right output while it is recorded and another output later. The
comparison of the recording with the model cannot find such a model. Such a model is found by its state: by
attributes, buffers and parameters that change with every call although the input stays the same.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from itertools import chain, islice
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from deeplift_core.capture.agreement import relative_error
from deeplift_core.errors import CaptureError

# Attributes of every module that torch itself changes.
_OF_TORCH = {*nn.Module().__dict__, "_c", "_concrete_type", "_initializing", "forward"}
_LIBRARIES = ("torch", "numpy", "builtins", "collections")
# How deep objects within objects are examined, and how many items of one container.
_DEEPEST, _MOST_ITEMS = 4, 1000
# Tensors up to this size are compared by value. For larger ones, torch's count of changes is compared.
_SMALL = 1000
_ROUNDING = 1e-6

Key = tuple[str, str]  # a module's name, and the place of a value in the module


class _Kept(NamedTuple):
    """A tensor as it was. As long as this is held, no other tensor has its identity."""

    tensor: Tensor
    version: int | None
    copy: Tensor | None


def state_of(model: nn.Module) -> dict[Key, Any]:
    """Return the present state of the modules of a model.

    Parameters
    ----------
    model : torch.nn.Module

    Returns
    -------
    dict
        Numbers, text and tensors by the module's name and the place in the module.
    """
    state: dict[Key, Any] = {}
    for name, module in model.named_modules():
        for place, value in _held_by(module):
            state[name, place] = _as_kept(value, _SMALL)
    return state


def check_keeps_nothing(model: nn.Module, before: Mapping[Key, Any], run: Callable[[], Any]) -> None:
    """Refuse a model whose state changes with every call.

    If nothing has changed since an earlier state, the model does not run. If something has (a cache that the
    first call fills, the values of the last call), the model runs twice on the same rows.

    Parameters
    ----------
    model : torch.nn.Module
        The model in eval mode, on the rows' device.
    before : mapping
        The result of :func:`state_of` before some calls.
    run : callable
        Runs the model, always on the same rows.

    Raises
    ------
    CaptureError
        If the same rows change the state. The message names module and attribute.
    """
    now = state_of(model)
    if now.keys() == before.keys() and all(_same(now[key], before[key]) for key in now):
        return
    run()
    first = _values(model)
    run()
    second = _values(model)
    for key in chain(second, first.keys() - second.keys()):
        if key not in first or key not in second or not _same(first[key], second[key]):
            raise CaptureError(_message(*key))


def _values(model: nn.Module) -> dict[Key, Any]:
    """Return the state of the modules, with copies of all tensors except parameters."""
    return {
        (name, place): _as_kept(value, 0 if isinstance(value, nn.Parameter) else None)
        for name, module in model.named_modules()
        for place, value in _held_by(module)
    }


def _held_by(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """Iterate over places in a module and the numbers, text and tensors there."""
    for kind, tensors in (("parameter", module._parameters), ("buffer", module._buffers)):
        for name, tensor in tensors.items():
            if tensor is not None:
                yield f"{kind} {name!r}", tensor
    seen: set[int] = set()
    for name, value in _attributes(module):
        yield from _leaves(f"attribute {name!r}", value, _DEEPEST, seen)


def _attributes(module: nn.Module) -> Iterator[tuple[str, Any]]:
    if isinstance(module, torch.jit.ScriptModule):
        compiled = module._c
        kind = torch._C.ConcreteModuleType.from_jit_type(compiled._type())
        for name in kind.get_attributes():  # type: ignore[attr-defined]
            if name not in _OF_TORCH and name not in module._buffers:
                yield name, compiled.getattr(name)
        return
    for name, value in list(vars(module).items()):
        if name not in _OF_TORCH:
            yield name, value


def _leaves(place: str, value: Any, depth: int, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """Iterate over the values in containers, and in objects of the user's own classes."""
    if isinstance(value, Tensor | bool | int | float | complex | str):
        yield place, value
        return
    if depth == 0 or id(value) in seen or isinstance(value, nn.Module | type):
        return
    seen.add(id(value))
    inner: Iterator[tuple[Any, Any]] = iter(())
    if isinstance(value, Mapping):
        inner = ((f"[{key!r}]", item) for key, item in value.items())
        yield f"{place} (its length)", len(value)
    elif isinstance(value, list | tuple | deque | set | frozenset):
        inner = ((f"[{number}]", item) for number, item in enumerate(value))
        yield f"{place} (its length)", len(value)
    elif not type(value).__module__.startswith(_LIBRARIES) and hasattr(value, "__dict__"):
        inner = ((f".{name}", item) for name, item in vars(value).items())
    for name, item in islice(inner, _MOST_ITEMS):
        yield from _leaves(f"{place}{name}", item, depth - 1, seen)


def _as_kept(value: Any, largest_copy: int | None) -> Any:
    if not isinstance(value, Tensor):
        return value
    version = None if value.is_inference() else value._version
    copied = largest_copy is None or value.numel() <= largest_copy
    return _Kept(value, version, value.detach().clone() if copied else None)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, _Kept) and isinstance(other, _Kept):
        if one.copy is not None and other.copy is not None:
            return one.copy.dtype == other.copy.dtype and relative_error(one.copy, other.copy) <= _ROUNDING
        return one.tensor is other.tensor and one.version == other.version
    return type(one) is type(other) and bool(one == other or one != one)


def _message(module: str, place: str) -> str:
    whose = f"module {module!r}" if module else "the model"
    return (
        f"{whose} keeps something from one call to the next: its {place} changes with every call, although "
        "the rows stay the same. Later sequences could get other outputs than those that the recording "
        "gives: compute each call from its input alone, and count or collect only where self.training"
    )
