"""Averages over references with a control variate: less noise from the same references.

Let x be a sequence, r_1 ... r_R independent draws of its reference, E their expectation, and m_i the
multipliers of the pair (x, r_i), which depend on r_i in any way. The contribution of the pair is
c_i = m_i (x - r_i), element by element, and the mean of the c_i estimates C = E[m (x - r)]. Much of the noise
of this mean is due to the bases that the references happen to have, and E is known. The corrected
contribution of the pair is

    v_i = c_i + m_(-i) (r_i - E),    m_(-i) = (sum over j of m_j, less m_i) / (R - 1),

and the mean v of the v_i estimates C, too. All moments below are over the draw of the references.

*No bias.* m_(-i) depends on the other references alone, so that E[m_(-i) (r_i - E)], which is the product of
E[m_(-i)] and E[r_i - E], is 0 for every model, rule and R >= 2. The same holds for an E that is itself
estimated without bias from draws that are independent of the references. (With the mean of all multipliers in
the place of m_(-i), the expectation would be Cov(m, r) / R instead of 0.)

*The same in other words.* Let m and r be the means, and s = sum (m_i - m) (r_i - r) / (R - 1) the sample
covariance. The sum of all m_j r_i with j other than i is R^2 m r - sum m_i r_i, and it follows that

    v = m (x - E) - s,    v - (mean of the c_i) = m (r - E) - s / R.

*Standard error.* Write d_i = m_i - E[m], g_i = r_i - E, k = E[d g] = Cov(m, r). Then v_i = w_i + d_(-i) g_i,
where w_i = c_i + E[m] g_i depends on r_i alone, and d_(-i) is the mean of the other d_j. For i other than j

    Cov(v_i, v_j) = E[d_(-i) g_i d_(-j) g_j] = E[(d_j g_j) (d_i g_i)] / (R - 1)^2 = k^2 / (R - 1)^2,

since every other term has a factor g_i or g_j that is independent of the rest, and the expectation of g is 0.
The v_i are exchangeable, so that their sample variance S^2 has the expectation Var(v_i) - Cov(v_i, v_j), and

    Var(v) = Var(v_i) / R + (R - 1) / R Cov(v_i, v_j) = E[S^2] / R + k^2 / (R - 1)^2.

The squared standard error is S^2 / R + s^2 / (R - 1)^2. Its first term is without bias; the second is of the
order 1 / R^2, and too large by Var(s) / (R - 1)^2. It does not include an error of E. Sums over channels take
the same steps, with the sums of v_i and of k over the channels.

*Hypothetical contributions.* That of base b in a pair is m_ib - sum over channels of m_i r_i. Its second term
is the sum of the contributions' own, so that each base gets the correction m_(-i) (r_i - E) summed over the
channels.

*Sums.* The pairs keep their summation-to-delta. The sum of the corrected contributions is
f(x) - mean of f(r_i) + the sum of the corrections, an estimate of f(x) - E[f(r)] without bias.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


class ControlVariate:
    """The corrections of one batch's contributions to one input, for one target.

    Parameters
    ----------
    multipliers : sequence of R Tensor [K, ...]
        R is at least 2.
    references : Tensor [K, R, ...]
    expected : Tensor [K, ...]
        The expectation of a reference.

    Attributes
    ----------
    terms : list of R Tensor [K, ...]
        m_(-i) (r_i - E) of each pair, in float32 or float64.
    """

    def __init__(self, multipliers: Sequence[Tensor], references: Tensor, expected: Tensor) -> None:
        kind = torch.promote_types(expected.dtype, torch.float32)
        self._count = len(multipliers)
        each = [multiplier.to(kind) for multiplier in multipliers]
        total = sum(each[1:], start=each[0])
        moved = [reference.to(kind) - expected.to(kind) for reference in references.unbind(1)]
        self.terms = [
            (total - own) / (self._count - 1) * change for own, change in zip(each, moved, strict=True)
        ]
        # The covariance s is R times the difference between m (r - E) and the mean of the terms.
        change, term = (sum(values[1:], start=values[0]) for values in (moved, self.terms))
        self._covariance = total * change / self._count - term

    def corrected(self, column: Sequence[Tensor], axis: int | None = None) -> list[Tensor]:
        """Return the corrected contributions of each pair, or its hypothetical ones.

        Parameters
        ----------
        column : sequence of R Tensor [K, ...]
        axis : int, optional
            The channel axis, for hypothetical contributions: each channel gets the sum over the axis.
        """
        terms = self.terms if axis is None else [term.sum(axis, keepdim=True) for term in self.terms]
        return [value + term for value, term in zip(column, terms, strict=True)]

    def standard_error(self, spread: Tensor, axis: int | None = None) -> Tensor:
        """Return the standard error of the mean of the corrected contributions.

        Parameters
        ----------
        spread : Tensor
            The sample standard deviation of the corrected contributions over the root of R.
        axis : int, optional
            The channel axis, if the spread is that of sums over this axis.
        """
        covariance = self._covariance if axis is None else self._covariance.sum(axis)
        return torch.hypot(spread, covariance.to(spread.dtype) / (self._count - 1))

    def total(self) -> Tensor:
        """Return by how much the sum over the mean contributions is corrected: float64 [K]."""
        mean = sum(self.terms[1:], start=self.terms[0]) / self._count
        return mean.flatten(1).sum(1, dtype=torch.float64)
