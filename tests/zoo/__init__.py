"""A zoo of small models: every shape of sequence model that must score exactly.

Each entry is one function that builds a model, under `entry` with its name, in the module of its kind.
"""

from zoo import (
    activations,
    attention,
    convolutions,
    gates,
    norms,
    pooling,
    recurrent,
    selections,
    shapes,
    strands,
)
from zoo.entry import ENTRIES, LENGTH, Entry

__all__ = [
    "ENTRIES",
    "LENGTH",
    "Entry",
    "activations",
    "attention",
    "convolutions",
    "gates",
    "norms",
    "pooling",
    "recurrent",
    "selections",
    "shapes",
    "strands",
]
