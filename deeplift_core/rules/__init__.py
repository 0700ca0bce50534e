"""The rules, one module for each kind; importing this package registers them all."""

from deeplift_core.rules import (
    activation,
    aumann_shapley,
    complex_numbers,
    elementwise,
    fast_max_pools,
    interaction,
    larger_of_two,
    linear,
    maxima,
    ordering,
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
    "aumann_shapley",
    "complex_numbers",
    "elementwise",
    "fast_max_pools",
    "interaction",
    "larger_of_two",
    "linear",
    "maxima",
    "ordering",
    "products",
    "rule_for",
    "softmax",
    "structural",
]
