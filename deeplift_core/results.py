"""What scoring returns."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class NodeInfo:
    """One recorded operation, as `DeepLift.nodes` shows it.

    Attributes
    ----------
    name : str
        Unique in the model.
    op : str
        What torch calls it ("aten.relu.default"); "input" for an input of the model.
    module : str
        Qualified name of the module that ran it; "" for the model itself.
    rule : str
        "part of another" where it belongs to a later operation's rule, "not used" where the explained
        output does not depend on it, "none" where there is none.
    source : str
        ``file:line`` of the model's code, where it is Python.
    problem : str
        Why there is no rule; "" where there is one.
    """

    name: str
    op: str
    module: str
    rule: str
    source: str
    problem: str = ""


# What an attribution has for each input or layer.
BY_LAYER = ("contributions", "hypothetical", "multipliers")


@dataclass(frozen=True)
class Attribution:
    """What :meth:`DeepLift.attribute` returns; N sequences, R references each.

    With several inputs the first three are tuples, one entry for each input.

    Attributes
    ----------
    contributions : Tensor [N, ...]
        Mean over references of multiplier x difference-from-reference, in units of the output.
    hypothetical : Tensor [N, ...] or None
        Contribution that each base would have had: mean over references of m_b - sum_k ref_k m_k; 0
        where the sequence has no base. None where the input has no channel axis.
    multipliers : Tensor [N, ...]
        Mean over references.
    output, reference_output : Tensor [N], [N, R]
        The explained scalar: a logit where a final sigmoid or softmax was left out.
    prediction : Tensor [N]
        The same element of the model's own output.
    completeness_error : Tensor [N, R]
        Sum of the pair's contributions - (output - reference_output): summation-to-delta says 0. In
        float32, rows that rounding carries beyond 1e-4 (relative, see
        `deeplift_core.accuracy.completeness`) are computed again in float64.
    """

    contributions: Any
    hypothetical: Any
    multipliers: Any
    output: Tensor
    reference_output: Tensor
    prediction: Tensor
    completeness_error: Tensor
