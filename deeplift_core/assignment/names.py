"""Names of the rules, apart so that a command line can offer them without importing torch."""

import re
from typing import Literal

from deeplift_core.errors import OptionError

ActivationRule = Literal["rescale", "revealcancel", "revealcancel-positive-first"]
ACTIVATION_RULES: tuple[ActivationRule, ...] = ("rescale", "revealcancel", "revealcancel-positive-first")
PRESETS: tuple[str, ...] = ("genomics-default", *ACTIVATION_RULES)
RULES: tuple[str, ...] = (*PRESETS, "gradient", "integrated-gradients")
DEFAULT_STEPS = 50


def parse_rule(rule: str) -> tuple[str, int]:
    """Split a rule into its name and the number of gradients that it takes.

    Parameters
    ----------
    rule : str
        One of `RULES`, or "integrated-gradients:N" for N steps.

    Returns
    -------
    name : str
    steps : int
        0 for DeepLIFT's own rules, which take none.

    Raises
    ------
    OptionError
        If the rule is not known.
    """
    match = re.fullmatch(r"integrated-gradients(?::([1-9][0-9]*))?", rule)
    if match:
        return "integrated-gradients", int(match[1] or DEFAULT_STEPS)
    if rule not in RULES:
        raise OptionError(f"unknown rule {rule!r}; choose from {', '.join(RULES)}")
    return rule, int(rule == "gradient")


def check_activation_rule(rule: str) -> ActivationRule:
    """Return ``rule`` where it is one that an activation can have.

    Raises
    ------
    OptionError
        If it is not.
    """
    for known in ACTIVATION_RULES:
        if rule == known:
            return known
    raise OptionError(f"unknown rule {rule!r} for an activation; choose from {', '.join(ACTIVATION_RULES)}")
