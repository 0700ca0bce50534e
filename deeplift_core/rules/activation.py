"""Activations: Rescale and RevealCancel (paper, sections 3.5.2 and 3.5.3).

An activation is a maximal elementwise piece of the graph with a single varying source: one ``gelu`` call
and x * Phi(x) written out give the same scores. The activation's formula is evaluated by running the
recorded operations again on other values of the source.
"""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from deeplift_core.graph import Graph, Node
from deeplift_core.rule_names import ACTIVATION_RULES
from deeplift_core.rules.differences import quotient, resolution
from deeplift_core.rules.formula import Formula
from deeplift_core.rules.multipliers import Multipliers, Parts, scaled_multipliers
from deeplift_core.rules.rule import Rule, Sent, sum_to_shape
from deeplift_core.rules.values import PairValues

# The rules that every activation has; the first is the default.
VARIANTS = ACTIVATION_RULES


class Activation(Rule):
    """One activation under one of the rules.

    Parameters
    ----------
    graph, node
        The graph, and the node that holds the activation's output.
    source : int
        The node that holds its input.
    body : sequence of int
        The operations between the two, the output's last.
    rule : {"rescale", "revealcancel", "revealcancel-positive-first"}
        RevealCancel evaluates the activation outside the interval between reference and input. Where the
        activation is not defined on all reals with at most linear growth, Rescale takes its place.
    """

    label: ClassVar[str] = "activation"
    passes_parts: ClassVar[bool] = True
    mixing = None

    def __init__(self, graph: Graph, node: Node, source: int, body: Sequence[int], rule: str) -> None:
        super().__init__(graph, node)
        self.source = source
        self.sources = (source,)
        self.body = tuple(body)
        self.formula = Formula(graph, source, node.index, body)
        self.rule = rule
        if rule != "rescale" and not self.formula.grows_at_most_linearly:
            self.rule = "rescale"

    @property
    def name(self) -> str:
        """The name of the rule."""
        return self.rule

    def backward(self, pair: PairValues, m: Multipliers) -> Sent:
        """Multiply with the response to each part; a negative response swaps m+ with m-."""
        if self.rule == "rescale":
            sent = scaled_multipliers(m, pair.memoised(self.node.index, self._rescale))
        else:
            to_rise, to_fall = pair.memoised(self.node.index, self._revealcancel)
            if m.split:
                sent = Multipliers(
                    to_rise * torch.where(to_rise >= 0, m.positive, m.negative),
                    to_fall * torch.where(to_fall >= 0, m.negative, m.positive),
                )
            else:
                sent = Multipliers(to_rise * m.positive, to_fall * m.positive)
        shape = self.graph.nodes[self.source].shape
        return [(self.source, sent.each(lambda value: sum_to_shape(value, shape)))]

    def parts(self, pair: PairValues) -> Parts:
        """Return the responses y+ and y- to the input's P and Q, each counted by its own sign."""
        given = pair.parts(self.source)
        if self.rule == "rescale":
            return given.scaled(pair.memoised(self.node.index, self._rescale))
        to_rise, to_fall = pair.memoised(self.node.index, self._revealcancel)
        rise, fall = to_rise * given.positive, to_fall * given.negative
        return Parts(rise.clamp(min=0) + fall.clamp(min=0), rise.clamp(max=0) + fall.clamp(max=0))

    def _values(self, pair: PairValues) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        here, there = self.source, self.node.index
        return pair.x[here], pair.reference[here], pair.x[there], pair.reference[there]

    def _rescale(self, pair: PairValues) -> Tensor:
        """Return Delta y / Delta x, or the mean derivative in between where Delta x is too small."""
        x, r, y, y0 = self._values(pair)
        f, delta = self.formula, x - r
        # Where y is far from y0, so that this error is too small, the quotient is as good as y itself.
        return quotient(y - y0, delta, f.mean_slope(r, delta), f.noise(y0))

    def _revealcancel(self, pair: PairValues) -> tuple[Tensor, Tensor]:
        """Return y+/P and y-/Q; a part that is too small gets the limit, from the right."""
        x, r, y, y0 = self._values(pair)
        f = self.formula
        rise, fall = pair.parts(self.source)
        with_rise, with_fall = r + rise, r + fall
        f_rise = f(with_rise)
        smallest = resolution(x, r, with_rise, with_fall)
        slope = partial(f.mean_slope, from_right=True)
        if self.rule == "revealcancel":
            f_fall = f(with_fall)
            gained, lost = (f_rise - y0 + y - f_fall) / 2, (f_fall - y0 + y - f_rise) / 2
            limit_rise = (slope(r, rise) + slope(with_fall, rise)) / 2
            limit_fall = (slope(r, fall) + slope(with_rise, fall)) / 2
        else:
            gained, lost = f_rise - y0, y - f_rise
            limit_rise, limit_fall = slope(r, rise), slope(with_rise, fall)
        noise = f.noise(y, y0, f_rise)
        to_rise = torch.where(rise > smallest, quotient(gained, rise, limit_rise, noise), limit_rise)
        to_fall = torch.where(-fall > smallest, quotient(lost, fall, limit_fall, noise), limit_fall)
        if f.overflows:  # Rescale stays between reference and input, where f can be evaluated
            finite, rescaled = to_rise.isfinite() & to_fall.isfinite(), self._rescale(pair)
            return torch.where(finite, to_rise, rescaled), torch.where(finite, to_fall, rescaled)
        return to_rise, to_fall
