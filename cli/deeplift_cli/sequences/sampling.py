"""A random subset of the records of an input."""

from dataclasses import dataclass

import numpy as np

# This number keeps the draws independent of all others that are made with the same seed.
_STREAM = (1,)


@dataclass(frozen=True)
class Sample:
    """A subset of the records of an input, which the seed and the number of records determine.

    Attributes
    ----------
    size : int
        The number of records to draw, without replacement.
    seed : int
        A number of 64 bits.
    """

    size: int
    seed: int

    def drawn_of(self, n_records: int) -> list[int] | None:
        """Draw records.

        Each record has a random number, and the records with the smallest ones are drawn. A larger sample
        with the same seed therefore holds the smaller one. NumPy keeps the raw numbers of a bit generator
        the same in all its versions.

        Parameters
        ----------
        n_records : int
            The number of records to draw from.

        Returns
        -------
        list of int, or None
            The places of the drawn records, from 0, in ascending order; None if all records are drawn.
        """
        if self.size >= n_records:
            return None
        seed = np.random.SeedSequence(self.seed % 2**64, spawn_key=_STREAM)
        numbers = np.random.PCG64(seed).random_raw(n_records)
        places: list[int] = np.sort(np.argsort(numbers, kind="stable")[: self.size]).tolist()
        return places
