"""The end of the forward pass in float64: the last small operations, whose rounding no rule can explain.

The output of a sequence and that of its reference often differ by a hundredth of their size. A mean over
positions and a dense layer of some outputs round that difference by more than everything before them rounds
the contributions, and summation-to-delta would miss by as much. These operations compute few numbers.

This pass serves accuracy: benchmarks/passes.py finds the same CPU time with the pass and without, except for
DeepSEA under ``rescale``, of which without the pass pairs are scored again in float64. The
median error of summation-to-delta falls from 8e-6 to 4e-7 for a BPNet of 64 filters, which ends in a mean
over positions. Models that end in dense layers alone (Basset, MMSplice) have the same error without the
pass. tests/test_passes_exact_ends.py asserts a gain of ten times on a small model of the first kind.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils.weak import WeakTensorKeyDictionary

from deeplift_core.assignment.plan import Call, Plan
from deeplift_core.graph import Node, change_constants, converted, refs_in
from deeplift_core.passes.thresholds import END_NUMBERS, END_WEIGHTS

ORDER = 80
READS_KEPT = True

aten = torch.ops.aten

# Reductions that read float32 and can add up in float64, without a copy of what they read.
TOTALS = (aten.sum.dim_IntList, aten.mean.dim)

# Constants in float64, shared by the plans of all targets, for as long as the constants themselves live.
_DOUBLES: Any = WeakTensorKeyDictionary()


def apply(plan: Plan) -> Plan:
    """Compute small operations in float64 if only targets and predictions depend on their results."""
    graph = plan.graph
    if graph.device.type == "mps":  # which has no float64
        return plan
    read_in_float32 = {*plan.kept, *graph.inputs}
    exact: dict[int, Call] = {}
    for index in reversed(graph.ancestors(*plan.wanted)):
        node = graph.nodes[index]
        if node.op is None:
            continue
        call = plan.call_of(index)
        if index not in read_in_float32 and _is_small(node, call):
            exact[index] = _in_float64(call)
        else:
            read_in_float32.update(refs_in((call.args, tuple(call.kwargs.values()))))
    return plan.with_calls(exact)


def _is_small(node: Node, call: Call) -> bool:
    weights = sum(arg.numel() for arg in call.args if isinstance(arg, Tensor))
    small = node.shape[1:].numel() <= END_NUMBERS and weights <= END_WEIGHTS
    # An operation of a user's own library may have a kernel for float32 only.
    foreign = isinstance(call.function, OpOverload) and call.function.namespace not in ("aten", "deeplift")
    return node.dtype == torch.float32 and small and not foreign


def _in_float64(call: Call) -> Call:
    if call.function in TOTALS:
        return Call(call.function, call.args, {**call.kwargs, "dtype": torch.float64})
    args = change_constants(call.args, _double)
    kwargs = {key: change_constants(value, _double) for key, value in call.kwargs.items()}
    return Call(_of_doubles(call.function), args, kwargs)


def _double(value: Any) -> Any:
    """Return a constant in float64; a dtype becomes float64, too."""
    if not isinstance(value, Tensor):
        return converted(value, torch.float64)
    if value not in _DOUBLES:
        _DOUBLES[value] = converted(value, torch.float64)
    return _DOUBLES[value]


def _of_doubles(op: Callable[..., Any]) -> Callable[..., Any]:
    def computed(*args: Any, **kwargs: Any) -> Any:
        return op(*converted(args, torch.float64), **kwargs)

    return computed
