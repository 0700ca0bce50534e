# ruff: noqa
"""TEMPORARY shim while rule modules are converted."""

from deeplift_core.rules.differences import *
from deeplift_core.rules.differences import (
    UNITS,
    Noise,
    difference,
    magnitude,
    quotient,
    resolution,
    where_positive,
)
from deeplift_core.rules.multipliers import Multipliers, Parts, scaled_multipliers
from deeplift_core.rules.rule import (
    NoRuleError,
    Rule,
    Sent,
    only_varying,
    permuted_back,
    single,
    sum_to_shape,
)
from deeplift_core.rules.values import PairValues as Walk, as_number

Walk.once = Walk.memoised
Rule._fresh = Rule._by_sign
Rule.call = None
Rule.passed = ()
Rule.saved = property(lambda self: {self.node.index, *self.sources})
