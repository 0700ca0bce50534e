"""The inputs of a model: where multipliers arrive, and where P and Q begin."""

from typing import ClassVar

from deeplift_core.rules.multipliers import Multipliers
from deeplift_core.rules.rule import Rule, Sent
from deeplift_core.rules.values import PairValues


class Input(Rule):
    """An input: P is Delta where Delta > 0, Q is Delta where Delta < 0 (paper, section 3.4)."""

    label: ClassVar[str] = "input"
    mixing = None

    def backward(self, pair: PairValues, m: Multipliers) -> Sent:
        """Send nothing, since nothing lies before an input."""
        return ()
