"""The passes of this package, in the order in which they run.

A module here with a function ``apply`` and a number ``ORDER`` is a pass. With ``READS_KEPT = True`` the pass
runs when it is known which forward values are kept.
"""

from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

from deeplift_core.assignment.plan import Plan
from deeplift_core.errors import OptionError

Pass = Callable[[Plan], Plan]


def _modules() -> list[ModuleType]:
    """Return every module of this package that has a pass, in the order in which the passes run."""
    package = import_module(__package__)
    names = [name for _, name, is_package in iter_modules(package.__path__) if not is_package]
    modules = [import_module(f"{__package__}.{name}") for name in names if name != "registry"]
    return sorted((module for module in modules if hasattr(module, "apply")), key=lambda one: one.ORDER)


def _name(module: ModuleType) -> str:
    return module.__name__.rpartition(".")[2]


def all_passes() -> tuple[str, ...]:
    """Return the names of all passes, in order."""
    return tuple(map(_name, _modules()))


def reads_kept(name: str) -> bool:
    """Return whether a pass needs to know which forward values are kept."""
    return any(_reads_kept(module) for module in _modules() if _name(module) == name)


def _reads_kept(module: ModuleType) -> bool:
    return bool(getattr(module, "READS_KEPT", False))


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
    if not isinstance(passes, Iterable):
        raise OptionError(f"passes must be 'auto' or a sequence of names, which may be empty, not {passes!r}")
    names = [passes] if isinstance(passes, str) else list(passes)
    for name in names:
        if name not in all_passes():
            raise OptionError(f"unknown pass {name!r}; choose from auto, {', '.join(all_passes())}")
    return tuple(name for name in all_passes() if name in names)


def applied(plan: Plan, names: Sequence[str], *, read_kept: bool = False) -> Plan:
    """Return the plan after some passes.

    Parameters
    ----------
    plan : Plan
    names : sequence of str
        The passes that the user asks for.
    read_kept : bool
        The value is False for passes that replace rules, and True for those that need to know which values
        are kept between forward and backward pass, and that replace calls only.
    """
    for module in _modules():
        if _name(module) in names and _reads_kept(module) == read_kept:
            apply: Pass = module.apply
            plan = apply(plan)
    return plan
