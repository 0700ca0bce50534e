"""Agreement of contributions with in-silico mutagenesis."""

import numpy as np

from deeplift_cli.trust.measure import Line, Measure, correlations, in_words, quartiles
from deeplift_cli.trust.sample import Sample


def measure(sample: Sample) -> Measure:
    """Correlate the contributions of the observed bases with those of mutagenesis, over each sequence."""
    no_references = np.zeros((0, 4, sample.length), np.float32)
    (scores,) = sample.mutagenesis.score(sample.sequences, no_references, sample.records)
    mutants = np.where(sample.sequences != 0, scores.hypothetical, 0).sum(axis=1, dtype=np.float64)
    both = correlations(sample.contributions, mutants, sample.known)
    pearson, spearman = (quartiles(values) for values in both)
    return Measure(
        "mutagenesis",
        [
            Line("agreement with mutagenesis, Pearson", in_words(pearson), "0.8 to 1"),
            Line("agreement with mutagenesis, Spearman", in_words(spearman), "0.5 to 0.9"),
        ],
        {"pearson": pearson, "spearman": spearman},
    )
