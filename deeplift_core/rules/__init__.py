"""The rules, one module for each kind; importing this package imports all of them, which registers them."""

from importlib import import_module
from pkgutil import iter_modules

from deeplift_core.rules.multipliers import Multipliers, Parts
from deeplift_core.rules.registry import rule_for
from deeplift_core.rules.rule import Rule
from deeplift_core.rules.values import PairValues

__all__ = ["Multipliers", "PairValues", "Parts", "Rule", "rule_for"]

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
