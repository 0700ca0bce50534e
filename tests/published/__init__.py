"""Published architectures of genomics, small and with random weights, each after its paper or its package.

A module of this package holds a family; an architecture is one function under `published`.
"""

from published import classifiers, keras_models, long_range, profiles, recurrent, splicing, strands
from published.architecture import ARCHITECTURES, Architecture, Head

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "Head",
    "classifiers",
    "keras_models",
    "long_range",
    "profiles",
    "recurrent",
    "splicing",
    "strands",
]
