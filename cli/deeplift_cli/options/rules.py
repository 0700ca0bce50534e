"""The rules of `deeplift score`: those of the core, and in-silico mutagenesis, which takes no references."""

from deeplift_core import RULES
from deeplift_core.assignment.names import parse_rule
from deeplift_core.errors import OptionError

ISM = "ism"
SCORE_RULES = (*RULES, ISM)
_GRADIENTS = ("gradient", "integrated-gradients")


def takes_gradients(rule: str) -> bool:
    """Return whether a rule is for comparison: no rules by layer, and no promise of summation-to-delta."""
    return rule.partition(":")[0] in _GRADIENTS


def parse_score_rule(text: str) -> str:
    """Return the name of a rule after a check.

    Raises
    ------
    OptionError
        If there is no such rule.
    """
    if text == ISM:
        return text
    try:
        parse_rule(text)
    except OptionError as error:
        known_name = text.partition(":")[0] in RULES  # the message is then about what follows the name
        raise error if known_name else OptionError(f"{error}, {ISM}") from error
    return text
