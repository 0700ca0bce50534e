"""Optimisations of a plan, each in a module of its own and each a function from a plan to a plan.

A pass changes how something is computed, never what is computed. With ``passes=()`` the operations run as
they were recorded and the rules as the paper writes them; this is the specification, with which the tests
compare all passes. The docstring of each pass says what the pass buys and on which models. To add a pass,
write a module in this folder and add its name to the list in :mod:`deeplift_core.passes.registry`;
docs/rules.md shows an example.
"""

from deeplift_core.passes.registry import Pass, all_passes, chosen

__all__ = ["Pass", "all_passes", "chosen"]
