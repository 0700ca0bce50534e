"""Trace a pass into a graph that torch.compile turns into code that is accurate and fast on a CPU."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx
from torch._ops import OpOverload
from torch.fx.experimental.proxy_tensor import make_fx

from deeplift_core.compile.kept_kernels import as_is
from deeplift_core.passes.exact_ends import TOTALS

aten = torch.ops.aten


# Up to this many numbers may be added up one after the other in float32.
_FEW = 256


def _in_double(total: Callable[..., Tensor]) -> Callable[..., Any]:
    """Return the sum or mean that adds up many float32 numbers in float64."""

    def accurate(x: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
        if x.dtype != torch.float32 or dtype not in (None, torch.float32):
            return NotImplemented
        if dim and math.prod(x.shape[axis] for axis in dim) <= _FEW:
            return NotImplemented
        return total(x, dim, keepdim, dtype=torch.float64).to(torch.float32)

    return accurate


# Compiled loops add numbers up one after the other. Over thousands of positions, such a sum loses the digits
# by which summation-to-delta is checked. Torch's own kernels add up in a tree and do not lose them.
_SUMS = {total: _in_double(total) for total in TOTALS}


def _without_nan(x: Tensor, nan: float, posinf: float | None = None, neginf: float | None = None) -> Any:
    """nan_to_num_ where infinities stay: compiled code would test one number after the other for NaN."""
    if (posinf, neginf) != (torch.inf, -torch.inf):
        return NotImplemented
    return x.copy_(torch.where(x == x, x, nan))


# For these, the compiler's code for a CPU is worse than torch's own kernel. The compiler's error function is
# off by 5e-7 whatever the size of erf(x) is, so that no digit is right near 0. The compiler's loops over
# positions take several times as long.
_KEPT = {
    kernel: as_is(kernel)
    for kernel in (
        aten.erf.default,
        aten.max_pool2d_with_indices.default,
        aten.gather.default,
        aten.scatter_add_.default,
    )
}

_REPLACED: dict[Any, Callable[..., Any]] = {**_SUMS, **_KEPT, aten.nan_to_num_.default: _without_nan}


def traced(step: Callable[..., Any], *args: Any) -> fx.GraphModule:
    """Return the calls that ``step`` makes with these arguments, as a flat graph for torch.compile."""
    found = make_fx(step, decomposition_table=_REPLACED)(*args)
    found.graph.eliminate_dead_code()
    _lay_out(found.graph)
    # In compiled code a value may have another order of memory than in the trace, so that no view of it
    # exists.
    for node in found.graph.find_nodes(op="call_function", target=aten.view.default):
        node.target = aten.reshape.default
    found.recompile()
    return found


def _lay_out(graph: fx.Graph) -> None:
    """Fix the order of memory of every value that has a view: the order that the value had in the trace.

    Otherwise the compiler lays such a value out in rows for the view's sake, and writes loops that transpose
    everything else that they read and write.
    """
    # This import takes seconds, which torch.compile would take next anyway.
    from torch._inductor.inductor_prims import force_stride_order

    for node in list(graph.nodes):
        value = node.meta.get("val")
        if not isinstance(value, Tensor) or value.is_contiguous() or _is_view(node):
            continue
        if 0 in value.stride():  # an expanded value has no memory for each of its elements
            continue
        if any(map(_is_view, node.users)):
            with graph.inserting_after(node):
                same = graph.call_function(force_stride_order, (node, list(value.stride())))
            node.replace_all_uses_with(same)
            same.update_arg(0, node)  # the line before has replaced this argument as well


def _is_view(node: fx.Node) -> bool:
    return isinstance(node.target, OpOverload) and node.target.is_view
