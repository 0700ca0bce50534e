"""Optimisations of a plan, each in a module of its own and each a function from a plan to a plan.

A pass changes how something is computed, never what: with ``passes=()`` the operations run as they were
recorded and the rules as the paper writes them, and that is the specification that the tests compare with.
The docstring of each pass says what the pass buys, on which models, and benchmarks/passes.py measures it. To
add a pass, write one module here and add its name to the list below.
"""

from deeplift_core.passes.registry import Pass, all_passes, chosen

__all__ = ["Pass", "all_passes", "chosen"]
