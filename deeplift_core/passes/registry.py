"""The list of passes, in the order in which they run."""

from collections.abc import Callable, Sequence
from importlib import import_module

from deeplift_core.assignment.plan import Plan
from deeplift_core.errors import OptionError

Pass = Callable[[Plan], Plan]

# The names of modules of this package, each with a function ``apply``. These passes replace rules.
RULE_PASSES = (
    "sequence_convolutions",
    "large_dense",
    "few_products",
    "structural_adjoints",
    "closed_forms",
    "max_pools",
    "relu_before_pool",
)
# These passes need to know which values are kept between forward and backward pass, and replace calls only.
CALL_PASSES = ("exact_ends",)


def all_passes() -> tuple[str, ...]:
    """Return the names of all passes, in order."""
    return (*RULE_PASSES, *CALL_PASSES)


def chosen(passes: str | Sequence[str]) -> tuple[str, ...]:
    """Return the names of the passes that the user asks for.

    Parameters
    ----------
    passes : "auto" or sequence of str
        "auto" stands for all; an empty sequence for none.

    Raises
    ------
    OptionError
        If there is no pass of one of the names.
    """
    if passes == "auto":
        return all_passes()
    names = [passes] if isinstance(passes, str) else list(passes)
    for name in names:
        if name not in all_passes():
            raise OptionError(f"unknown pass {name!r}; choose from auto, {', '.join(all_passes())}")
    return tuple(name for name in all_passes() if name in names)


def applied(plan: Plan, names: Sequence[str], among: Sequence[str]) -> Plan:
    """Return the plan after those of the passes ``among`` that are in ``names``."""
    for name in among:
        if name in names:
            apply: Pass = import_module(f"deeplift_core.passes.{name}").apply
            plan = apply(plan)
    return plan
