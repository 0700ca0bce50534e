"""The rules, one module for each kind; importing this package registers them all."""

from deeplift_core.rules import (
    activation,
    aumann_shapley,
    complex_numbers,
    elementwise,
    interaction,
    larger_of_two,
    linear,
    maxima,
    ordering,
    products,
    softmax,
    structural,
)
from deeplift_core.rules.multipliers import Multipliers, Parts
from deeplift_core.rules.registry import rule_for
from deeplift_core.rules.rule import Rule
from deeplift_core.rules.values import PairValues

__all__ = [
    "Multipliers",
    "PairValues",
    "Parts",
    "Rule",
    "activation",
    "aumann_shapley",
    "complex_numbers",
    "elementwise",
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
