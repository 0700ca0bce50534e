"""Linear layers with as few matrix products as possible.

With a = (m+ + m-)/2 and d = (m+ - m-)/2 the three cases of the linear rule (see
:mod:`deeplift_core.rules.linear`) are all W^T a + sign(Delta) |W|^T d: two transposed products in place of
five, and none of them with W+ or W-. P and Q of a dense layer come from two products in place of four: with
few rows, most of the time goes into reading the weights from memory.

Only RevealCancel makes m+ and m- differ and asks for P and Q: under the rule ``rescale`` the pass changes
nothing. benchmarks/passes.py measured the pass on a CPU under ``genomics-default``, eager: the pass takes 7 %
off the time of Basset, 20 % off DeepSEA and 14 % off a small MMSplice.
"""

from functools import cached_property

import torch
from torch import Tensor

from deeplift_core.assignment.plan import Plan
from deeplift_core.rules.linear import LinearRule, MatrixProduct
from deeplift_core.rules.multipliers import Multipliers, Parts
from deeplift_core.rules.rule import Sent
from deeplift_core.rules.values import PairValues

ORDER = 30


class FewProducts(LinearRule):
    """A linear rule computed from fewer products.

    Parameters
    ----------
    rule : LinearRule
        The rule that applies and transposes the weights.
    """

    def __init__(self, rule: LinearRule) -> None:
        super().__init__(rule.graph, rule.node)
        self._rule = rule
        self.source, self.sources = rule.source, rule.sources
        self.weight, self.dense = rule.weight, rule.dense
        # The axis along which the rows of the varying factor lie, where P and Q can be one factor.
        self._row_axis = (-2 if rule.on_left else -1) if isinstance(rule, MatrixProduct) else None

    def apply(self, weight: Tensor, value: Tensor) -> Tensor:
        """Run the rule's own operation."""
        return self._rule.apply(weight, value)

    def transpose(self, weight: Tensor, m: Tensor) -> Tensor:
        """Run the rule's own adjoint."""
        return self._rule.transpose(weight, m)

    @cached_property
    def _absolute(self) -> Tensor:
        return self.weight.abs()

    def backward(self, pair: PairValues, m: Multipliers) -> Sent:
        """See the module's docstring."""
        if not m.split:
            return super().backward(pair, m)
        mean, half = (m.positive + m.negative) / 2, (m.positive - m.negative) / 2
        sign = torch.sign(pair.delta(self.source))
        total = self.transpose(self.weight, mean) + sign * self.transpose(self._absolute, half)
        return [(self.source, Multipliers.same(total))]

    def parts(self, pair: PairValues) -> Parts:
        """See the module's docstring."""
        axis = self._row_axis
        if axis is None:
            return super().parts(pair)
        both = torch.cat(Parts.of(pair.delta(self.source)), axis)
        above, below = (self.apply(weight, both).chunk(2, axis) for weight in self.signed_weights)
        return Parts(above[0] + below[1], below[0] + above[1])


def apply(plan: Plan) -> Plan:
    """Compute every linear rule of the plan from few products."""
    linear = {i: FewProducts(rule) for i, rule in plan.rules.items() if isinstance(rule, LinearRule)}
    return plan.with_rules(linear)
