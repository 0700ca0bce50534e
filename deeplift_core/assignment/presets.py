"""Presets: ordered lists of predicates that choose a rule for each operation with several rules.

A preset is a composite: an ordered list of (predicate, rule). For every operation that has a choice of
rules, the first rule is taken whose predicate holds and which the operation has. If there is none, the
operation gets its default rule. To add a preset, call :func:`register`: in this module, which serves the
command line, too, or in a module of your own that is imported before a `DeepLift` is made. docs/rules.md
shows an example.

This module does not import torch, so that a command line lists the presets without delay.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from deeplift_core.errors import OptionError


@dataclass(frozen=True)
class Site:
    """The properties of an operation with a choice of rules, for predicates.

    Attributes
    ----------
    variants : tuple of str
        Names of the rules that the operation has, its default first.
    modules : frozenset of str
        Qualified names of the modules that ran the operation.
    """

    variants: tuple[str, ...]
    modules: frozenset[str]
    find_mixing: Callable[[], frozenset[str]]
    find_gate: Callable[[], bool]

    @property
    def is_activation(self) -> bool:
        """True if the operation is an activation, which has Rescale and RevealCancel."""
        return "revealcancel" in self.variants

    @cached_property
    def mixing_before(self) -> frozenset[str]:
        """Kinds of the nearest mixing layers before the operation: "dense", "convolution", "other".

        The search looks back through batch norm, dropout, pooling, activations and structural operations.
        """
        return self.find_mixing()

    @cached_property
    def is_gate(self) -> bool:
        """True if the result is multiplied with a quantity that does not depend on the result."""
        return self.find_gate()


Predicate = Callable[[Site], bool]


@dataclass(frozen=True)
class Composite:
    """One preset.

    Attributes
    ----------
    name : str
    description : str
        One sentence for help texts.
    rules : tuple of (predicate, str)
        Each predicate with the name of the rule that it chooses.
    """

    name: str
    description: str
    rules: tuple[tuple[Predicate, str], ...]

    def choose(self, site: Site) -> str:
        """Return the name of the rule for one operation."""
        for holds, rule in self.rules:
            if rule in site.variants and holds(site):
                return rule
        return site.variants[0]


_PRESETS: dict[str, Composite] = {}


def register(preset: Composite) -> Composite:
    """Make a preset known by its name.

    Raises
    ------
    ValueError
        If another preset has the name.
    """
    if preset.name in _PRESETS:
        raise ValueError(f"there is a preset named {preset.name!r} already")
    _PRESETS[preset.name] = preset
    return preset


def preset(name: str) -> Composite:
    """Return the preset of this name.

    Raises
    ------
    OptionError
        If there is no such preset.
    """
    if name not in _PRESETS:
        raise OptionError(f"unknown rule {name!r}; choose from {', '.join(_PRESETS)}")
    return _PRESETS[name]


def preset_names() -> tuple[str, ...]:
    """Return the names of all presets, in the order of their registration."""
    return tuple(_PRESETS)


def everywhere(site: Site) -> bool:
    """Hold for every operation that has the rule."""
    return bool(site.variants)


def after_dense_layers(site: Site) -> bool:
    """Hold if all nearest mixing layers are dense layers on features, and the result is no gate."""
    return site.mixing_before == {"dense"} and not site.is_gate


register(
    Composite(
        "genomics-default",
        "Rescale after convolutions, RevealCancel after dense layers",
        ((after_dense_layers, "revealcancel"), (everywhere, "rescale")),
    )
)
register(Composite("rescale", "Rescale for every activation", ((everywhere, "rescale"),)))
register(Composite("revealcancel", "RevealCancel for every activation", ((everywhere, "revealcancel"),)))
register(
    Composite(
        "revealcancel-positive-first",
        "RevealCancel with the positive part before the negative one",
        ((everywhere, "revealcancel-positive-first"),),
    )
)
