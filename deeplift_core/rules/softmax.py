"""Softmax, log-softmax and logsumexp as one operation each, by logarithmic means.

The paper does not treat softmax inside a network. For p = softmax(z), with L_k = (p_k - p0_k) / (log p_k -
log p0_k) (limit sqrt(p_k p0_k)), the multiplier of p_i with respect to z_k is L_i (delta_ik - L_k / sum L).
This rule is exact in sum and finite at any scale of the logits, and a common shift of all logits receives
nothing. The chain of exp, sum and reciprocal has none of these properties. Likewise log-softmax gets
delta_ik - L_k / sum L, and logsumexp L_k / sum L.
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from deeplift_core.graph import Graph, Node
from deeplift_core.rules.multipliers import Multipliers
from deeplift_core.rules.registry import rule_for
from deeplift_core.rules.rule import Rule, Sent, single, sum_to_shape
from deeplift_core.rules.values import PairValues


def logarithmic_mean(total: Tensor, ratio: Tensor) -> Tensor:
    """Return (p - q) / (log p - log q) without cancellation errors; p where p and q are equal.

    The function computes (p + q) / 2 times tanh(h) / h, with h half the difference of the logarithms.

    Parameters
    ----------
    total, ratio : Tensor
        p + q and log p - log q, of the same shape. The second is overwritten.
    """
    ratio.nan_to_num_(0, torch.inf, -torch.inf)  # Both logarithms are -inf where a mask says so.
    # The quotient of so small a number is 1, which is the limit.
    half = ratio.abs_().div_(2).clamp_(min=torch.finfo(ratio.dtype).tiny)
    return half.tanh().div_(half).mul_(total).div_(2)


def _log_softmax(value: Tensor, axes: list[int]) -> Tensor:
    return value.log_softmax(axes[0]) if len(axes) == 1 else value - value.logsumexp(axes, keepdim=True)


def shares(z: Tensor, z0: Tensor, axes: list[int]) -> Tensor:
    """Return L_k / sum L, in float32 at least, because half precision cannot distinguish large logits."""
    log_p, log_q = (_log_softmax(single(value), axes) for value in (z, z0))
    mean = logarithmic_mean(log_p.exp() + log_q.exp(), log_p - log_q)
    return mean / mean.sum(axes, keepdim=True)


class _OverAxis(Rule):
    """A function of all elements along one axis or several."""

    def __init__(self, graph: Graph, node: Node) -> None:
        super().__init__(graph, node)
        axes = node.args[1]
        self._axes = [axes] if isinstance(axes, int) else list(axes)
        self._source = self.sources[0]


@rule_for(torch.ops.aten._softmax.default)
class Softmax(_OverAxis):
    """Probabilities over one axis."""

    label: ClassVar[str] = "softmax"

    def backward(self, pair: PairValues, m: Multipliers) -> Sent:
        """Return L_k (m_k - sum_i m_i L_i / sum L).

        The mean of m, weighted by L, is subtracted twice. Where one L outweighs the others, the first
        difference has cancellation errors, and the second removes what these errors leave of the mean.
        """
        mean, total = pair.memoised(self.node.index, self._mean)
        centred = single(self._by_sign(pair, m))
        for _ in range(2):
            centred = centred - (mean * centred).sum(self._axes, keepdim=True).div_(total)
        return [(self._source, Multipliers.same(mean * centred))]

    def _mean(self, pair: PairValues) -> tuple[Tensor, Tensor]:
        """Return L and its sum."""
        (p, log_p), (q, log_q) = (self._probabilities(values) for values in (pair.x, pair.reference))
        mean = logarithmic_mean(p + q, log_p.sub_(log_q))
        return mean, mean.sum(self._axes, keepdim=True)

    def _probabilities(self, values: Mapping[int, Tensor]) -> tuple[Tensor, Tensor]:
        """Return probabilities and their logarithms.

        The probabilities are values of the node, which are usually kept. The kernel of softmax stores its
        result in rows, in whatever order of memory the logits are. Where the two orders differ,
        probabilities are computed again in the order of the logits, because loops over two orders take
        several times as long.
        """
        z, p = single(values[self._source]), single(values[self.node.index])
        below = z - z.amax(self._axes, keepdim=True)
        if p.stride() != z.stride():
            log_p = below.sub_(below.exp().sum(self._axes, keepdim=True).log_())
            return log_p.exp(), log_p
        return p, below.add_(p.amax(self._axes, keepdim=True).log_())


class _OfShares(_OverAxis):
    """A function whose multipliers follow from the shares L_k / sum L alone."""

    def _shares(self, pair: PairValues) -> Tensor:
        return shares(pair.x[self._source], pair.reference[self._source], self._axes)


@rule_for(torch.ops.aten._log_softmax.default)
class LogSoftmax(_OfShares):
    """Logarithms of the probabilities over one axis."""

    label: ClassVar[str] = "log-softmax"

    def backward(self, pair: PairValues, m: Multipliers) -> Sent:
        """Return m_k - (L_k / sum L) sum_i m_i.

        The largest L_k may be nearly all of sum L, so that the difference would cancel. Its multiplier is
        computed from the other classes: m_k (1 - L_k / sum L) - (L_k / sum L) sum over i != k of m_i, with
        1 - L_k / sum L as the sum of the other shares.
        """
        share = self._shares(pair)
        total = self._by_sign(pair, m)
        largest = torch.zeros_like(share, dtype=torch.bool)
        largest.scatter_(self._axes[0], share.argmax(self._axes[0], keepdim=True), True)
        common = total.sum(self._axes, keepdim=True)
        others = share.masked_fill(largest, 0).sum(self._axes, keepdim=True)
        rest = total.masked_fill(largest, 0).sum(self._axes, keepdim=True)
        sent = torch.where(largest, total * others - share * rest, total - share * common)
        return [(self._source, Multipliers.same(sent))]


@rule_for(torch.ops.aten.logsumexp.default)
class LogSumExp(_OfShares):
    """Logarithm of the sum of exponentials."""

    label: ClassVar[str] = "logsumexp"

    def backward(self, pair: PairValues, m: Multipliers) -> Sent:
        """Return (L_k / sum L) m."""
        share = self._shares(pair)
        kept = share.sum(self._axes, keepdim=True).shape
        total = self._by_sign(pair, m).reshape(kept)
        return [(self._source, Multipliers.same(share * total))]


class LogAddExp(Rule):
    """logsumexp of two quantities, which may be broadcast against each other."""

    label: ClassVar[str] = "logsumexp"

    def backward(self, pair: PairValues, m: Multipliers) -> Sent:
        """Yield (L_k / sum L) m for each of the two quantities."""
        fresh = self._by_sign(pair, m)
        share = shares(self._stacked(pair.x), self._stacked(pair.reference), [-1])
        for place, source in enumerate(self.sources):
            sent = sum_to_shape(share[..., place] * fresh, self.graph.nodes[source].shape)
            yield source, Multipliers.same(sent)
