"""The results of scoring."""

from dataclasses import dataclass, fields
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
        The operation's name in torch ("aten.relu.default"); "input" for an input of the model.
    module : str
        Qualified name of the module that ran the operation; "" for the model itself.
    rule : str
        "part of another" if a later operation's rule covers the operation, "not used" if the explained output
        does not depend on the operation, "none" if there is no rule.
    source : str
        ``file:line`` of the model's code, if the code is Python.
    problem : str
        The reason why there is no rule; "" if there is one.
    """

    name: str
    op: str
    module: str
    rule: str
    source: str
    problem: str = ""


@dataclass(frozen=True)
class Outputs:
    """The result of :meth:`DeepLift.outputs` for N sequences and one target.

    Attributes
    ----------
    output : Tensor [N]
        The explained scalar, which is a logit if a final sigmoid or softmax was left out.
    prediction : Tensor [N]
        The same element of the model's own output.
    """

    output: Tensor
    prediction: Tensor


# The fields of an attribution with one entry for each input or layer.
BY_LAYER = ("contributions", "hypothetical", "multipliers", "standard_error", "position_standard_error")


@dataclass(frozen=True)
class Attribution:
    """The result of :meth:`DeepLift.attribute` for N sequences with R references each.

    With several inputs the first three and the standard errors are tuples with one entry for each input.

    Attributes
    ----------
    contributions : Tensor [N, ...]
        Mean over references of multiplier x difference-from-reference, in units of the output.
    hypothetical : Tensor [N, ...] or None
        Contribution that each base would have had: mean over references of m_b - sum_k ref_k m_k; 0 where
        neither sequence nor reference has a base. The value is None if the input has no channel axis.
    multipliers : Tensor [N, ...]
        Mean of the multipliers over references.
    output, reference_output : Tensor [N], [N, R]
        The explained scalar, which is a logit if a final sigmoid or softmax was left out.
    prediction : Tensor [N]
        The same element of the model's own output.
    completeness_error : Tensor [N, R]
        Sum of the pair's contributions - (output - reference_output), which is 0 by summation-to-delta.
    summed : Tensor [N, R]
        Sum of the absolute values of the pair's contributions, to which rounding errors are proportional.
    rescored : bool Tensor [N, R]
        Pairs whose scores are those of float64, because float32 rounded them beyond the promised tolerance
        (see :mod:`deeplift_core.accuracy.completeness`).
    reference_correction : Tensor [N] or None
        The sum of what a control variate added to the contributions, so that these sum to output - mean
        reference output + this correction; None without a control variate.
    standard_error : Tensor [N, ...] or None
        The standard error of the contributions: their sample standard deviation over references, divided by
        the root of R; with a control variate see :mod:`deeplift_core.engine.control_variate`. This is the
        noise that the choice of references leaves. The value is None for a single reference.
    position_standard_error : Tensor, [N, ...] without the channel axis, or None
        The standard error of the contributions summed over the channel axis, which for one-hot sequences is
        that of the observed base's contribution. The value is None for a single reference or without a
        channel axis.
    """

    contributions: Any
    hypothetical: Any
    multipliers: Any
    output: Tensor
    reference_output: Tensor
    prediction: Tensor
    completeness_error: Tensor
    summed: Tensor
    rescored: Tensor
    reference_correction: Tensor | None
    standard_error: Any
    position_standard_error: Any

    def __repr__(self) -> str:
        """Return the shape of every result, one in a line."""
        rows = [(item.name, _shapes(getattr(self, item.name))) for item in fields(self)]
        width = max(len(name) for name, _ in rows)
        return "\n".join(["<Attribution", *(f"  {name:<{width}}  {shapes}" for name, shapes in rows)]) + ">"


def _shapes(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(_shapes, value))
    return "None" if value is None else f"{list(value.shape)} {value.dtype}"
