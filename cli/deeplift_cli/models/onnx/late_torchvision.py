"""The import of onnx2torch without torchvision, which would add 1.3 s of CPU time to every start.

onnx2torch needs torchvision for two operators of object detection, NonMaxSuppression and RoiAlign. While
onnx2torch is being imported, modules stand in for torchvision. They import torchvision when something of it
is used.
"""

import importlib
import sys
from types import ModuleType
from typing import Any

from deeplift_cli.process.fast_imports import without_garbage_collection

_PACKAGE, _OPS = "torchvision", "torchvision.ops"


def import_onnx2torch() -> None:
    """Import onnx2torch; torchvision stays away until it is needed, if it is not there already."""
    if "onnx2torch" in sys.modules or _PACKAGE in sys.modules:
        return
    package, ops = _Late(_PACKAGE), _Late(_OPS)
    package.ops, ops.roi_align = ops, _roi_align
    sys.modules.update({_PACKAGE: package, _OPS: ops})
    try:
        with without_garbage_collection():
            importlib.import_module("onnx2torch")
    finally:
        _remove_stand_ins()


class _Late(ModuleType):
    """Stands for a module of torchvision: the first attribute that it lacks imports the module itself."""

    ops: ModuleType
    roi_align: Any

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what Python asks every module for while it imports
            raise AttributeError(name)
        return getattr(_torchvision(self.__name__), name)


def _roi_align(*args: Any, **kwargs: Any) -> Any:
    return _torchvision(_OPS).roi_align(*args, **kwargs)


def _torchvision(name: str) -> ModuleType:
    _remove_stand_ins()
    return importlib.import_module(name)


def _remove_stand_ins() -> None:
    for name in (_PACKAGE, _OPS):
        if isinstance(sys.modules.get(name), _Late):
            del sys.modules[name]
