"""DeepLIFT (Shrikumar, Greenside, Kundaje, ICML 2017) for any PyTorch model: tensors in, tensors out.

`DeepLift` records a model and computes contribution scores, which an `Attribution` holds:

    from deeplift_core import DeepLift

    explainer = DeepLift(model, example=x[:32])                 # any torch.nn.Module
    result = explainer.attribute(x, references, target=0)       # x [N, 4, L], references [N, R, 4, L]
    result.contributions                                        # [N, 4, L]

`RULES` are the names of rules for ``rule=``. A target may be a `TargetFunction`, a function that is recorded
once, or `OfOutput`, an element of another output. `NodeInfo` is an entry of ``explainer.nodes``, the recorded
operations. All errors derive from `DeepLiftError`. docs/python.md is a tour, and docs/rules.md explains the
rules.
"""

from typing import TYPE_CHECKING, Any

from deeplift_core.assignment.names import RULES
from deeplift_core.errors import (
    CaptureError,
    CompileError,
    DeepLiftError,
    ForwardError,
    OptionError,
    TargetError,
    UnsupportedOpsError,
)
from deeplift_core.rule_names import ACTIVATION_RULES

if TYPE_CHECKING:
    from deeplift_core.attribution import DeepLift
    from deeplift_core.engine.targets import OfOutput, TargetFunction
    from deeplift_core.results import Attribution, NodeInfo, Outputs

__all__ = [
    "ACTIVATION_RULES",
    "RULES",
    "Attribution",
    "CaptureError",
    "CompileError",
    "DeepLift",
    "DeepLiftError",
    "ForwardError",
    "NodeInfo",
    "OfOutput",
    "OptionError",
    "Outputs",
    "TargetError",
    "TargetFunction",
    "UnsupportedOpsError",
]


def __getattr__(name: str) -> Any:
    """Import what needs torch, which takes seconds, when it is first asked for."""
    if name in ("Attribution", "NodeInfo", "Outputs"):
        from deeplift_core import results

        return getattr(results, name)
    if name in ("OfOutput", "TargetFunction"):
        from deeplift_core.engine import targets

        return getattr(targets, name)
    if name == "DeepLift":
        from deeplift_core.attribution import DeepLift

        return DeepLift
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return all names, those that are imported when they are asked for included, for `help` and Tab."""
    return sorted({*globals(), *__all__})
