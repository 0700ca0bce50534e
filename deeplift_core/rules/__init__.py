"""The rules, one module for each kind; importing this package registers them all."""

from deeplift_core.rules import activation, elementwise, linear, pooling, softmax, structural

__all__ = ["activation", "elementwise", "linear", "pooling", "softmax", "structural"]
