"""Examination of pickles of tensors: they may hold no code, and no tensor larger than its bytes."""

import io
import pickle
from collections.abc import Callable
from typing import Any

from deeplift_cli.errors import UserError
from deeplift_cli.models.examination.archive import Archive, require_memory
from deeplift_cli.models.foreign import reason

# Bytes of an element by the class of its storage. Other classes have elements of one byte, or count bytes.
_ELEMENT_BYTES = {
    "DoubleStorage": 8,
    "FloatStorage": 4,
    "HalfStorage": 2,
    "BFloat16Storage": 2,
    "LongStorage": 8,
    "IntStorage": 4,
    "ShortStorage": 2,
    "ComplexDoubleStorage": 16,
    "ComplexFloatStorage": 8,
    "QInt32Storage": 4,
}
# Functions whose first arguments are storage, offset, size and strides.
_REBUILDS = {"_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_qtensor"}
_ZIP = b"PK\x03\x04"


class _Stub:
    """A class that does nothing, in place of every class and function in a pickle."""

    def __new__(cls, *_args: Any, **_options: Any) -> "_Stub":
        return object.__new__(cls)

    def __init__(self, *_args: Any, **_options: Any) -> None:
        pass

    def __call__(self, *_args: Any, **_options: Any) -> "_Stub":
        """Stand for what a method returns, which a pickle took from an object."""
        return _Stub()

    def __setstate__(self, _state: Any) -> None:
        pass

    def __setitem__(self, _key: Any, _value: Any) -> None:
        pass

    def append(self, _item: Any) -> None:
        """Ignore an item of a list."""

    def extend(self, _items: Any) -> None:
        """Ignore items of a list."""

    def add(self, _item: Any) -> None:
        """Ignore an item of a set."""


class _Storage(_Stub):
    count: int
    element_bytes: int


class _Inert(pickle.Unpickler):
    """Unpickles to stubs, and checks each storage and tensor."""

    def __init__(self, data: bytes, size_of: Callable[[str], int | None]) -> None:
        super().__init__(io.BytesIO(data))
        self._size_of = size_of
        self.found: set[str] = set()
        self.tensor_bytes = 0

    def find_class(self, module: str, name: str) -> Any:
        self.found.add(f"{module}.{name}")
        if module == "torch._utils" and name in _REBUILDS:
            return self._tensor
        return type(name, (_Stub,), {})

    def persistent_load(self, pid: Any) -> _Storage:
        kind, storage_type, key, _location, count = pid[:5]
        size = self._size_of(key)
        element_bytes = _ELEMENT_BYTES.get(getattr(storage_type, "__name__", ""), 1)
        if kind != "storage" or size is None or not 0 <= count * element_bytes <= size:
            raise ValueError(f"storage {key!r} of {count} elements is not in the file")
        storage = _Storage()
        storage.count, storage.element_bytes = count, element_bytes
        return storage

    def _tensor(self, storage: _Storage, offset: int, size: Any, stride: Any, *_more: Any) -> _Stub:
        sizes, strides = tuple(size), tuple(stride)
        count = 1
        for length in sizes:
            count *= length
        last = offset + sum((n - 1) * step for n, step in zip(sizes, strides, strict=True))
        least = min((offset, *sizes, *strides))
        if least < 0 or (count and last >= storage.count):
            raise ValueError(f"a tensor of shape {sizes} reaches beyond its storage")
        self.tensor_bytes += count * storage.element_bytes
        return _Stub()


def check_tensors(archive: Archive, pickled: str, folder: str) -> set[str]:
    """Check the tensors of a pickle against the members of the archive that hold their values.

    The pickle calls no function here. torch itself does not check the sizes in a pickle, and would read
    beyond the end of a member.

    Parameters
    ----------
    archive : Archive
    pickled : str
        The member that is the pickle.
    folder : str
        The folder of the members that hold values, with a slash at its end.

    Returns
    -------
    set of str
        The qualified names of everything that the pickle refers to.

    Raises
    ------
    UserError
        If the pickle is damaged, or a tensor reaches beyond its values.
    """
    inert = _Inert(archive.read(pickled), lambda key: archive.size(f"{folder}{key}"))
    try:
        inert.load()
    except MemoryError:
        raise
    except Exception as error:  # a damaged pickle can raise any exception
        raise UserError(
            f"model file {archive.label} is damaged or truncated: {pickled}: {reason(error)}"
        ) from error
    require_memory(archive.label, inert.tensor_bytes)
    return inert.found


def saved_again(label: str, data: bytes) -> bytes:
    """Load the tensors of a pickle, and return a new pickle of these tensors from `torch.save`.

    Parameters
    ----------
    label : str
        The name of the pickle in messages.
    data : bytes
        A pickle from `torch.save`.

    Raises
    ------
    UserError
        If the pickle is damaged, or holds anything but tensors, numbers, text and containers.
    """
    import torch

    if data.startswith(_ZIP):
        with Archive(io.BytesIO(data), label) as archive:
            check_tensors(archive, "data.pkl", "data/")
    buffer = io.BytesIO()
    try:
        torch.save(torch.load(io.BytesIO(data), map_location="cpu", weights_only=True), buffer)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{label} is a pickle with Python objects in it, and loading it can run any code that it contains"
        ) from error
    except MemoryError:
        raise
    except Exception as error:  # torch can raise any exception at a damaged file
        raise UserError(f"{label} is damaged or truncated: {reason(error)}") from error
    return buffer.getvalue()
