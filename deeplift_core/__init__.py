"""DeepLIFT (Shrikumar, Greenside, Kundaje, ICML 2017) for any PyTorch model: tensors in, tensors out."""

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
    from deeplift_core.results import Attribution, NodeInfo

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
    "OptionError",
    "TargetError",
    "UnsupportedOpsError",
]


def __getattr__(name: str) -> Any:
    """Import what needs torch, which takes seconds, when it is first asked for."""
    if name in ("Attribution", "DeepLift", "NodeInfo"):
        from deeplift_core import attribution, results

        return getattr(attribution if name == "DeepLift" else results, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
