"""The rules, one module for each kind; importing this package registers them all."""

from deeplift_core.rules import (
    activation,
    complex_numbers,
    elementwise,
    interaction,
    linear,
    ordering,
    pooling,
    products,
    softmax,
    structural,
)
from deeplift_core.rules.base import Multipliers, Parts, Rule, Walk
from deeplift_core.rules.registry import rule_for

__all__ = [
    "Multipliers",
    "Parts",
    "Rule",
    "Walk",
    "activation",
    "complex_numbers",
    "elementwise",
    "interaction",
    "linear",
    "ordering",
    "pooling",
    "products",
    "rule_for",
    "softmax",
    "structural",
]

pooling.Maximum.mixing = None
pooling.LargerOfTwo.mixing = None
