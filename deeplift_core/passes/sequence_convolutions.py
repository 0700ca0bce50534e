"""Convolutions along a sequence with channels last; their adjoints are prepared one time for all batches.

See :mod:`deeplift_core.passes.convolutions.sequence` for the forms that a convolution takes.

benchmarks/passes.py measured the pass on a CPU under the rule ``rescale``: eager, the pass takes 19 % off the
time of a BPNet of 64 filters, 15 % with 512 filters, 7 % off Basset, 4 % off DeepSEA, 10 % off a SpliceAI,
17 % off a small Enformer and 13 % off a small MMSplice; compiled, 39 % off the first, 9 % off Basset and 23 %
off Enformer.
"""

import torch
from torch import Tensor

from deeplift_core.assignment.plan import Call, Plan
from deeplift_core.graph import Node
from deeplift_core.passes.convolutions import sequence
from deeplift_core.rules.linear import Convolution
from deeplift_core.rules.rule import recast

ORDER = 10


class SequenceConvolution(Convolution):
    """A convolution along one axis, with prepared weights and adjoints.

    Attributes
    ----------
    adjoints : list
        Weights [O, I, k], each with the adjoint that was prepared for these: W, and weights that follow
        from W.
    """

    adjoints: list[tuple[Tensor, object]]

    def apply(self, weight: Tensor, value: Tensor) -> Tensor:
        """Convolve with channels last."""
        return sequence.convolution(value, sequence.prepared(weight), None, *self.settings)

    def transpose(self, weight: Tensor, m: Tensor) -> Tensor:
        """Apply the prepared adjoint."""
        for known, adjoint in self.adjoints:
            if known is weight:
                return adjoint(m)  # type: ignore[no-any-return, operator]
        adjoint = sequence.adjoint_of(sequence.prepared(weight), self.shape, self.settings)
        self.adjoints = [*self.adjoints, (weight, adjoint)]
        return adjoint(m)


def apply(plan: Plan) -> Plan:
    """Bring every convolution along a sequence into this form."""
    calls = {
        node.index: _call(node)
        for node in plan.graph.nodes
        if node.op is torch.ops.aten.convolution.default and _along_a_sequence(node)
    }
    rules = {
        index: recast(rule, SequenceConvolution, adjoints=[])
        for index, rule in plan.rules.items()
        if type(rule) is Convolution and index in calls
    }
    return plan.with_rules(rules, calls)


def _along_a_sequence(node: Node) -> bool:
    return isinstance(node.args[1], Tensor) and node.args[1].dim() == 3


def _call(node: Node) -> Call:
    x, weight, bias, *settings = node.args
    return Call(sequence.convolution, (x, sequence.prepared(weight), bias, *settings), {})
