"""Track which node holds the value of each live tensor, while a model writes in place.

Several tensors may share one storage. For each storage that was written to, the tracker keeps one node that
holds the values of the whole storage. When the model next reads another view of the storage, the tracker adds
a node that takes the view's values from that node.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from deeplift_core.errors import CaptureError
from deeplift_core.graph import Ref

aten = torch.ops.aten
Holder = Ref | Tensor  # a node, or a constant
Emit = Callable[[Callable[..., Any], Any, Any, Any], Ref]


@dataclass(frozen=True, slots=True)
class _Layout:
    """A value, and where each of its elements lies in the storage."""

    holder: Holder
    size: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int

    @classmethod
    def of(cls, tensor: Tensor, holder: Holder) -> "_Layout":
        stride = tuple(int(step) for step in tensor.stride())
        return cls(holder, tuple(tensor.shape), stride, int(tensor.storage_offset()))


@dataclass(slots=True)
class _Written:
    """A storage that was written to. As long as this object holds the storage, no other gets its address."""

    storage: Any
    layout: _Layout
    version: int = 0


class TensorTracker:
    """The nodes of tensors; the module's docstring describes how views of one storage are handled.

    Parameters
    ----------
    emit : callable
        ``emit(op, args, kwargs, example)`` appends a call to the graph.
    """

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._entries: Any = WeakTensorKeyDictionary()  # tensor -> (holder, version of its storage)
        self._written: dict[int, _Written] = {}
        self._origins: dict[int, _Layout] = {}  # storage -> the value of the whole storage before any write

    def bind(self, tensor: Tensor, ref: Holder) -> None:
        """Note that ``tensor`` has the value of this node from now on."""
        key = _address(tensor)
        written = self._written.get(key)
        self._entries[tensor] = (ref, written.version if written else 0)
        known = self._origins.get(key)
        whole = known is None or (tensor.numel() >= _count(known) and _dense(tensor))
        if written is None and whole:
            self._origins[key] = _Layout.of(tensor, ref)

    def allocated(self, output: Any, arguments: Any) -> None:
        """Remove the former entry of an address where a call's result has memory of its own."""
        before = {_address(item) for item in tree_leaves(arguments) if isinstance(item, Tensor)}
        for item in tree_leaves(output):
            if isinstance(item, Tensor) and _address(item) not in before:
                self._origins.pop(_address(item), None)

    def lookup(self, tensor: Tensor) -> Ref | None:
        """Return the node of ``tensor``; None where the value is constant."""
        written = self._written.get(_address(tensor))
        holder, version = self._entries.get(tensor, (None, -1))
        if written is not None and version != written.version:
            holder = self._read(tensor, written.layout)
            self._entries[tensor] = (holder, written.version)
        return holder if isinstance(holder, Ref) else None

    def was_written(self, target: Any) -> bool:
        """Return whether the model wrote to a tensor's storage; then writes of constants count, too."""
        return isinstance(target, Tensor) and _address(target) in self._written

    def before_write(self, tensor: Tensor) -> None:
        """Note the values of a storage before the first write to the storage."""
        key = _address(tensor)
        if key in self._written:
            return
        layout = self._origins.get(key) if self._entries.get(tensor) is not None else None
        if layout is None:
            length = tensor.untyped_storage().nbytes() // tensor.element_size()
            flat = torch.as_strided(tensor.detach(), (length,), (1,), 0).clone()
            layout = _Layout.of(flat, flat)
        self._written[key] = _Written(tensor.untyped_storage(), layout)

    def after_write(self, tensor: Tensor, holder: Holder) -> None:
        """Note that ``tensor`` has the value of ``holder``; other views of the storage follow when read."""
        written = self._written[_address(tensor)]
        if tensor.numel() == _count(written.layout) and _dense(tensor):
            written.layout = _Layout.of(tensor, holder)
        else:
            written.layout = self._scatter(tensor, holder, written.layout)
        written.version += 1
        self._entries[tensor] = (holder, written.version)

    def bound_view(self, tensor: Tensor, source: Tensor) -> Tensor:
        """Bind ``tensor``, which views memory of ``source`` with strides of its own, and return it."""
        ref = self.lookup(source)
        assert ref is not None
        self.bind(tensor, self._read(tensor, _Layout.of(source, ref)))
        return tensor

    def _read(self, tensor: Tensor, layout: _Layout) -> Holder:
        if layout == _Layout.of(tensor, layout.holder):
            return layout.holder
        places = _places(tensor, layout)
        if tensor.shape == layout.size and torch.equal(places.flatten().cpu(), torch.arange(places.numel())):
            return layout.holder
        if isinstance(layout.holder, Tensor):
            return layout.holder.reshape(-1)[places]
        return self._emit(aten.index.Tensor, (self._flat(layout, tensor), [places]), {}, tensor)

    def _scatter(self, tensor: Tensor, holder: Holder, layout: _Layout) -> _Layout:
        flat = layout.holder.reshape(-1) if isinstance(layout.holder, Tensor) else self._flat(layout, tensor)
        places = _places(tensor, layout).reshape(-1)
        shape = _shape_only(tensor, (tensor.numel(),))
        piece = (
            holder.reshape(-1)
            if isinstance(holder, Tensor)
            else self._emit(aten.reshape.default, (holder, [-1]), {}, shape)
        )
        whole = _shape_only(tensor, (_count(layout),))
        if isinstance(flat, Tensor) and isinstance(piece, Tensor):
            changed: Holder = flat.index_put([places], piece).reshape(layout.size)
        else:
            put = self._emit(aten.index_put.default, (flat, [places], piece), {}, whole)
            example = _shape_only(tensor, layout.size)
            changed = self._emit(aten.reshape.default, (put, list(layout.size)), {}, example)
        return _Layout(changed, layout.size, layout.stride, layout.offset)

    def _flat(self, layout: _Layout, like: Tensor) -> Ref:
        assert isinstance(layout.holder, Ref)
        example = _shape_only(like, (_count(layout),))
        return self._emit(aten.reshape.default, (layout.holder, [-1]), {}, example)


def _address(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _dense(tensor: Tensor) -> bool:
    """Return whether the elements fill one stretch of memory without gaps and overlaps."""
    expected = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size != 1:
            if stride != expected:
                return False
            expected *= size
    return True


def _count(layout: _Layout) -> int:
    return torch.Size(layout.size).numel()


def _shape_only(like: Tensor, shape: tuple[int, ...]) -> Tensor:
    return torch.empty(shape, dtype=like.dtype, device="meta")


def _places(tensor: Tensor, layout: _Layout) -> Tensor:
    """Return the place of each element of ``tensor`` in the flattened value of ``layout``."""
    length = tensor.untyped_storage().nbytes() // tensor.element_size()
    owner = torch.full((length,), -1, dtype=torch.int64)
    owner.as_strided(layout.size, layout.stride, layout.offset).copy_(
        torch.arange(_count(layout)).reshape(layout.size)
    )
    places = owner.as_strided(tuple(tensor.shape), tensor.stride(), tensor.storage_offset()).clone()
    if bool((places < 0).any()):
        raise CaptureError("a view reads a part of memory that the model wrote to in another way")
    return places.to(tensor.device)
