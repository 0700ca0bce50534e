"""DeepLIFT (Shrikumar, Greenside, Kundaje, ICML 2017) for any PyTorch model: tensors in, tensors out."""

from deeplift_core.attribution import RULES, Attribution, DeepLift, NodeInfo
from deeplift_core.errors import (
    CaptureError,
    DeepLiftError,
    OptionError,
    TargetError,
    UnsupportedOpsError,
)
from deeplift_core.rules.activation import ACTIVATION_RULES

__all__ = [
    "ACTIVATION_RULES",
    "RULES",
    "Attribution",
    "CaptureError",
    "DeepLift",
    "DeepLiftError",
    "NodeInfo",
    "OptionError",
    "TargetError",
    "UnsupportedOpsError",
]
