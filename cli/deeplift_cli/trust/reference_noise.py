"""Noise of the choice of references: standard errors, and how many references would make them small."""

import numpy as np

from deeplift_cli.trust.measure import Line, Measure, in_words, quartiles
from deeplift_cli.trust.sample import Sample

_SMALL = 0.05  # of the sequence's largest contribution


def measure(sample: Sample) -> Measure:
    """Compare standard errors over references with the largest contribution of each sequence.

    The standard error of a mean over R references falls with the root of R, so that R (s / 0.05)^2 references
    bring the relative error s, which was found with R, down to 5 %.
    """
    name = "references"
    if sample.standard_error is None:
        nothing = Line("standard error over references", "none: one reference", "")
        return Measure(name, [nothing], {"relative_standard_error": None, "references_needed": None})
    peaks = np.abs(sample.contributions).max(axis=1)
    relative = np.divide(sample.standard_error, peaks, out=np.full(len(peaks), np.nan), where=peaks > 0)
    found = quartiles(relative)
    n_references = sample.reference_output.shape[1]
    needed = quartiles(np.maximum(1, np.ceil(n_references * (relative / _SMALL) ** 2)))
    count = "not defined" if needed["median"] is None else f"{needed['median']:,.0f}"
    upper = needed["upper_quartile"]
    more = "" if upper is None else f" ({upper:,.0f} for a quarter of the sequences)"
    return Measure(
        name,
        [
            Line("standard error, of the largest contribution", in_words(found), "0.03 to 0.12"),
            Line(f"references for 0.05 (the file has {n_references})", count + more, "10 to 110"),
        ],
        {"relative_standard_error": found, "references": n_references, "references_needed": needed},
    )
