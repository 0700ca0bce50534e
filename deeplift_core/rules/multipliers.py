"""Multipliers and parts of one quantity (paper, section 3.4).

DeepLIFT splits each difference-from-reference into a positive and a negative part, Delta = P + Q, and each
part has a multiplier of its own.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Multipliers(NamedTuple):
    """Multipliers m+ and m- of one quantity; the same tensor object twice where the two are equal."""

    positive: Tensor
    negative: Tensor

    @property
    def split(self) -> bool:
        """True if m+ and m- may differ."""
        return self.positive is not self.negative

    @classmethod
    def same(cls, value: Tensor) -> "Multipliers":
        """Return one multiplier for both parts."""
        return cls(value, value)

    def each(self, change: Callable[[Tensor], Tensor]) -> "Multipliers":
        """Apply ``change`` to both multipliers, or a single time where the two are the same."""
        positive = change(self.positive)
        return Multipliers(positive, change(self.negative) if self.split else positive)

    def __add__(self, other: object) -> "Multipliers":
        """Add the multipliers that reach one quantity by two paths (paper, equation 3)."""
        if not isinstance(other, Multipliers):
            return NotImplemented
        positive = self.positive + other.positive
        if not (self.split or other.split):
            return Multipliers.same(positive)
        return Multipliers(positive, self.negative + other.negative)

    def by_sign(self, delta: Tensor) -> Tensor:
        """Return m+ where ``delta`` > 0, m- where ``delta`` < 0, and the mean of the two where it is 0."""
        if not self.split:
            return self.positive
        return torch.lerp(self.negative, self.positive, delta.sign().add_(1).mul_(0.5))


class Parts(NamedTuple):
    """Positive part P >= 0 and negative part Q <= 0 of one difference-from-reference."""

    positive: Tensor
    negative: Tensor

    @classmethod
    def of(cls, delta: Tensor) -> "Parts":
        """Split by the sign of the whole difference."""
        return cls(delta.clamp(min=0), delta.clamp(max=0))

    def scaled(self, factor: Tensor | float) -> "Parts":
        """Return the parts of ``factor * Delta``: a negative factor swaps P with Q."""
        positive, negative = self.positive * factor, self.negative * factor
        if isinstance(factor, Tensor):
            keep = factor >= 0
            return Parts(torch.where(keep, positive, negative), torch.where(keep, negative, positive))
        return Parts(positive, negative) if factor >= 0 else Parts(negative, positive)


def scaled_multipliers(m: Multipliers, factor: Tensor | float) -> Multipliers:
    """Return the multipliers of x, given those of ``factor * x``: a negative factor swaps m+ with m-."""
    if not m.split:
        return Multipliers.same(m.positive * factor)
    if isinstance(factor, Tensor):
        keep = factor >= 0
        return Multipliers(
            factor * torch.where(keep, m.positive, m.negative),
            factor * torch.where(keep, m.negative, m.positive),
        )
    positive, negative = m.positive * factor, m.negative * factor
    return Multipliers(positive, negative) if factor >= 0 else Multipliers(negative, positive)
