"""Published architectures of genomics, each after its paper or its package.

The architectures are small and have random weights, except where a package holds trained ones.

A module of this package holds a family; an architecture is one function under `published`.
"""

from published import (
    classifiers,
    keras_models,
    language_models,
    long_range,
    profiles,
    promoters,
    recurrent,
    splicing,
    strands,
)
from published.architecture import ARCHITECTURES, Architecture, Head

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "Head",
    "classifiers",
    "keras_models",
    "language_models",
    "long_range",
    "profiles",
    "promoters",
    "recurrent",
    "splicing",
    "strands",
]
