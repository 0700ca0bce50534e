"""Rules that the user gives to single layers, by patterns of module names."""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from deeplift_core.assignment.names import check_layer_rule
from deeplift_core.assignment.presets import Site
from deeplift_core.errors import OptionError


@dataclass(frozen=True)
class LayerRules:
    """fnmatch patterns of module names, each with the name of a rule.

    A pattern that ends in ``.**`` stands for a module and for all modules inside.

    Raises
    ------
    OptionError
        If no operation has a rule of that name.
    """

    patterns: dict[str, str]

    def __post_init__(self) -> None:
        for rule in self.patterns.values():
            check_layer_rule(rule)

    def choose(self, site: Site) -> str | None:
        """Return the rule of the last pattern that fits and whose rule the operation has."""
        for pattern, rule in reversed(self.patterns.items()):
            if rule in site.variants and _fits(pattern, site):
                return rule
        return None

    def check(self, sites: Iterable[Site]) -> None:
        """Refuse a pattern that fits no operation which has its rule.

        Parameters
        ----------
        sites : iterable of Site
            The choices of every operation that has more than one rule.

        Raises
        ------
        OptionError
            Naming the pattern and the modules that have such operations.
        """
        sites = list(sites)
        for pattern, rule in self.patterns.items():
            able = [site for site in sites if rule in site.variants]
            if not any(_fits(pattern, site) for site in able):
                modules = sorted({repr(module) for site in able for module in site.modules})
                raise OptionError(
                    f"no operation with a rule {rule!r} is in a module that matches {pattern!r}; such "
                    f"operations are in: {', '.join(modules) or 'none'}"
                )


def _fits(pattern: str, site: Site) -> bool:
    """Return whether an operation is in a module that a pattern names; ``name.**`` names all inside, too."""
    whole = pattern.removesuffix(".**")
    patterns = (pattern,) if whole == pattern else (whole, f"{whole}.*")
    return any(fnmatchcase(module, one) for module in site.modules for one in patterns)
