"""The reference of zeros, which has no base at any position."""

import numpy as np
import numpy.typing as npt

from deeplift_references.base import Reference, SharedReference
from deeplift_references.registry import Settings, register


class Zeros(SharedReference):
    """One reference that is all zero."""

    n_references = 1

    def common(self, length: int) -> npt.NDArray[np.float32]:
        """Return zeros: float32 [1, 4, length]."""
        return np.zeros((1, 4, length), dtype=np.float32)


@register("zeros", help="no base anywhere")
def make_zeros(argument: str | None, settings: Settings) -> Reference:  # noqa: ARG001 - nothing to set
    """Make the reference of zeros."""
    return Zeros()
