"""Pictures of contributions: logos and tracks on matplotlib's axes, and `deeplift plot`.

The package needs matplotlib, the extra ``plot``.
"""

from deeplift_cli.figures.logo import draw_logo

__all__ = ["draw_logo"]
