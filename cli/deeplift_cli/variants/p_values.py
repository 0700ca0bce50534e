"""How rare the size of an effect is among the effects of background variants."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class BackgroundEffects:
    """The effects of n background variants.

    Parameters
    ----------
    effects : iterable of array
        The effects, in parts; those that are no numbers do not count.
    """

    def __init__(self, effects: Iterable[Array]) -> None:
        found = np.abs(np.concatenate([np.zeros(0), *effects]))
        self._sizes = np.sort(found[np.isfinite(found)])

    @property
    def n_variants(self) -> int:
        """n."""
        return len(self._sizes)

    def p_values(self, effects: Array) -> npt.NDArray[np.float64]:
        """Return (r + 1) / (n + 1) for each effect, where r background effects are at least as large.

        Effects count without their sign. This is the empirical p-value of Davison and Hinkley (Bootstrap
        Methods and their Application, 1997, section 4.2), which is never 0: it is at least 1 / (n + 1).
        """
        smaller = np.searchsorted(self._sizes, np.abs(effects), side="left")
        found: npt.NDArray[np.float64] = (self.n_variants - smaller + 1) / (self.n_variants + 1)
        return found
