"""Names of the rules; this module does not import torch, so that the command line lists rules quickly."""

import re

from deeplift_core.assignment.presets import preset, preset_names
from deeplift_core.errors import OptionError
from deeplift_core.rule_names import ACTIVATION_RULES, MAXIMUM_RULES

# Rules that a layer rule may choose; packages with rules of their own may add some.
LAYER_RULES = (*ACTIVATION_RULES, *MAXIMUM_RULES)
PRESETS = preset_names()
RULES: tuple[str, ...] = (*PRESETS, "gradient", "integrated-gradients")
DEFAULT_STEPS = 50
# Integrals are exact to many digits with far fewer steps. Each step takes a forward and a backward pass for
# each pair.
MOST_STEPS = 10_000


def parse_rule(rule: str) -> tuple[str, int]:
    """Split a rule into its name and the number of gradients that the rule takes.

    Parameters
    ----------
    rule : str
        A preset, "gradient", "integrated-gradients", or "integrated-gradients:N" for N steps.

    Returns
    -------
    name : str
    steps : int
        The value is 0 for DeepLIFT's own rules, which take no gradients.

    Raises
    ------
    OptionError
        If the rule is not known, or the number of steps is beyond `MOST_STEPS`.
    """
    if not isinstance(rule, str):
        raise OptionError(f"rule must be the name of a rule, such as 'rescale', not {rule!r}")
    match = re.fullmatch(r"integrated-gradients(?::([1-9][0-9]*))?", rule)
    if match:
        digits = match[1] or str(DEFAULT_STEPS)
        if len(digits) > len(str(MOST_STEPS)) or int(digits) > MOST_STEPS:
            raise OptionError(f"integrated-gradients takes 1 to {MOST_STEPS:,} steps, not {digits[:20]}")
        return "integrated-gradients", int(digits)
    if rule == "gradient":
        return rule, 1
    if rule not in preset_names():
        _load_other_packages()
    if rule not in preset_names():
        known = (*preset_names(), "gradient", "integrated-gradients")
        raise OptionError(f"unknown rule {rule!r}; choose from {', '.join(known)}")
    return preset(rule).name, 0


def check_layer_rule(rule: str) -> str:
    """Return ``rule`` after a check that some operation has a rule of this name.

    Raises
    ------
    OptionError
        If neither this package nor one that adds rules has such a rule.
    """
    if rule in LAYER_RULES:
        return rule
    _load_other_packages()
    from deeplift_core.rules.registry import all_variants

    known = tuple(dict.fromkeys((*LAYER_RULES, *all_variants())))
    if rule not in known:
        raise OptionError(f"unknown rule {rule!r} for a layer; choose from {', '.join(known)}")
    return rule


def _load_other_packages() -> None:
    """Load the rules and presets of other packages; torch, on whose operations they register, with them."""
    from deeplift_core.rules.registry import load_rules_of_other_packages

    load_rules_of_other_packages()
