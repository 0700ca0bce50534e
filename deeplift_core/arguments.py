"""Checks of what users give to `DeepLift`, before anything is computed with it."""

import operator
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from deeplift_core.accuracy.completeness import TOLERANCE
from deeplift_core.errors import OptionError


def check_model(model: Any) -> None:
    """Refuse what is not a module, and say what to give instead.

    Raises
    ------
    OptionError
    """
    if isinstance(model, nn.Module):
        return
    if isinstance(model, type) and issubclass(model, nn.Module):
        name = model.__name__
        raise OptionError(f"model is the class {name} itself: give an object of the class, {name}(...)")
    wanted = f"model must be a torch.nn.Module, not an object of type {type(model).__name__}"
    if hasattr(model, "__fspath__") or isinstance(model, str):
        raise OptionError(f"{wanted}: deeplift_cli.models.load({str(model)!r}) gives the module of a file")
    if isinstance(model, Mapping):
        raise OptionError(f"{wanted}: load weights into the network that they belong to by load_state_dict")
    if isinstance(getattr(model, "module", None), nn.Module):
        raise OptionError(f"{wanted}: its attribute 'module' is one")
    if callable(model):
        raise OptionError(f"{wanted}: a function can be called in the forward method of a module")
    raise OptionError(wanted)


def checked_dtype(dtype: Any) -> torch.dtype | None:
    """Return a precision after a check that scores can be computed in it; None stands for the model's own.

    Raises
    ------
    OptionError
    """
    if dtype is None or (isinstance(dtype, torch.dtype) and dtype in TOLERANCE):
        return dtype
    usable = ", ".join(str(known) for known in TOLERANCE)
    raise OptionError(f"scores cannot be computed in {dtype!r}; choose from {usable}")


def checked_device(device: Any) -> torch.device:
    """Return a device after a check that torch can use it.

    Raises
    ------
    OptionError
    """
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, TypeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
        raise OptionError(f"device={device!r} cannot be used: {reason}") from error
    return chosen


def check_flag(name: str, value: Any) -> None:
    """Refuse what is neither true nor false: any text, "off" too, would count as true.

    Raises
    ------
    OptionError
    """
    if isinstance(value, str) or value not in (False, True):  # False and True are equal to 0 and 1
        raise OptionError(f"{name} must be True or False, not {value!r}")


def check_integer(name: str, value: Any, wanted: str) -> None:
    """Refuse what is no integer of Python, NumPy or torch.

    Raises
    ------
    OptionError
    """
    try:
        operator.index(value)
    except TypeError as error:
        raise OptionError(f"{name} must be {wanted}, not {value!r}") from error


def as_tensor(value: Any) -> Tensor:
    """Return a tensor, or a NumPy array as one.

    Raises
    ------
    OptionError
        If the value is neither, or not of real numbers, or sparse.
    """
    tensor = value if isinstance(value, Tensor) else _from_array(value)
    if tensor.is_complex():
        raise OptionError(f"inputs and references are real numbers, not {tensor.dtype}")
    if tensor.layout != torch.strided:
        raise OptionError("inputs and references are dense tensors: give the sparse tensor's .to_dense()")
    return tensor


def _from_array(value: Any) -> Tensor:
    if not hasattr(value, "__array_interface__"):
        raise OptionError(
            "inputs and references are tensors or NumPy arrays, or tuples of these; got "
            f"{type(value).__name__}{_instead(value)}"
        )
    try:
        return torch.as_tensor(value)
    except ValueError:  # torch takes no negative strides, such as those of a reversed view
        return torch.as_tensor(value.copy())
    except TypeError as error:
        raise OptionError(f"an array of {value.dtype} is not an array of numbers that torch knows") from error


def _instead(value: Any) -> str:
    """Return what to give instead of a value, as the end of a message; "" if this is not known."""
    if hasattr(value, "to_numpy"):
        return ": give its .to_numpy()"
    if isinstance(value, str) or (isinstance(value, list) and value and isinstance(value[0], str)):
        return ": letters have to be one-hot encoded, for instance as [N, 4, L]"
    if isinstance(value, list):
        return ": torch.stack makes one tensor of several, and torch.tensor one of numbers"
    if callable(value):
        return ": call it, and give what it returns"
    return ""
