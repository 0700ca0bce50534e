"""The share of positions at which references really differ from the sequence."""

import numpy as np

from deeplift_cli.trust.measure import Line, Measure, in_words, quartiles
from deeplift_cli.trust.sample import Sample


def measure(sample: Sample) -> Measure:
    """Count positions with a base where the references have another one.

    A reference that has the same base at a position gives the position nothing. A reference of frequencies
    counts by the frequency of the other bases.
    """
    known = sample.known
    same = (sample.references * sample.sequences[:, None]).sum(axis=2)
    changed = 1.0 - same.astype(np.float64)
    n_known = np.maximum(1, known.sum(axis=1))
    share = quartiles(np.where(known, changed.mean(axis=1), 0).sum(axis=1) / n_known)
    never = quartiles(((changed.max(axis=1) <= 0) & known).sum(axis=1) / n_known)
    return Measure(
        "changed_positions",
        [
            Line("positions that a reference changes", in_words(share), "0.65 to 0.75"),
            Line("positions that no reference changes", in_words(never), "below 0.05"),
        ],
        {"share": share, "never": never},
    )
