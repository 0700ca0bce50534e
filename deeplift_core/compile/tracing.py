"""What a step does, as a graph that torch.compile turns into code that is both accurate and fast on a CPU."""

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


# Up to this many numbers are added up one after the other without float64.
_FEW = 256


def _in_double(total: Callable[..., Tensor]) -> Callable[..., Any]:
    """A sum or mean of many float32 numbers that adds up in float64."""

    def accurate(x: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
        if x.dtype != torch.float32 or dtype not in (None, torch.float32):
            return NotImplemented
        if dim and math.prod(x.shape[axis] for axis in dim) <= _FEW:
            return NotImplemented
        return total(x, dim, keepdim, dtype=torch.float64).to(torch.float32)

    return accurate


# Compiled loops add numbers up one after the other, which over thousands of positions costs the digits that
# summation-to-delta is checked by; torch's own kernels add them up in a tree.
_SUMS = {total: _in_double(total) for total in TOTALS}


def _without_nan(x: Tensor, nan: float, posinf: float | None = None, neginf: float | None = None) -> Any:
    """nan_to_num_ that leaves infinities: compiled code would look at one number after the other for NaN."""
    if (posinf, neginf) != (torch.inf, -torch.inf):
        return NotImplemented
    return x.copy_(torch.where(x == x, x, nan))


# What the compiler writes for a CPU instead of torch's own kernel: an error function that is off by 5e-7
# whatever erf(x) is, so that near 0 no digit is right; loops over positions that take several times as long.
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
    """All that ``step`` does with these arguments, as a flat list of calls that torch.compile takes."""
    found = make_fx(step, decomposition_table=_REPLACED)(*args)
    found.graph.eliminate_dead_code()
    _lay_out(found.graph)
    # What could be viewed while tracing may lie in another order of memory once it is compiled.
    for node in found.graph.find_nodes(op="call_function", target=aten.view.default):
        node.target = aten.reshape.default
    found.recompile()
    return found


def _lay_out(graph: fx.Graph) -> None:
    """Have what is viewed lie in memory as it did while tracing.

    Left to itself the compiler lays it out in rows for the view's sake, and writes loops that transpose
    everything else that they read and write.
    """
    # Takes seconds to import, which torch.compile would take next.
    from torch._inductor.inductor_prims import force_stride_order

    for node in list(graph.nodes):
        value = node.meta.get("val")
        if not isinstance(value, Tensor) or value.is_contiguous() or _is_view(node):
            continue
        if 0 in value.stride():  # a part of what was expanded lies nowhere of its own
            continue
        if any(map(_is_view, node.users)):
            with graph.inserting_after(node):
                same = graph.call_function(force_stride_order, (node, list(value.stride())))
            node.replace_all_uses_with(same)
            same.update_arg(0, node)  # which was its own result for a moment


def _is_view(node: fx.Node) -> bool:
    return isinstance(node.target, OpOverload) and node.target.is_view
