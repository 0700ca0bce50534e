"""Seqlets of overlapping windows, each of which is reported once."""

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from deeplift_cli.motifs.seqlets import Seqlets
from deeplift_cli.sequences.records import Region


def reported_once(seqlets: Seqlets, regions: Sequence[Region]) -> npt.NDArray[np.int64]:
    """Return the places of seqlets without those that another window has, too.

    Of seqlets from different windows that overlap on the chromosome, flanks included, the one is kept that is
    nearest to the centre of its own window: the model has seen most of its surroundings there, and the bigWig
    has the contributions of the same window. Of two at the same distance, the one in the window further right
    is kept, as in `outputs.overlaps.nearest_centre`, and of two windows at the same place the first. A seqlet
    is left out only if a seqlet that is kept overlaps it.

    Parameters
    ----------
    seqlets : Seqlets
    regions : sequence of Region, [N]
        The windows of the rows.

    Returns
    -------
    ndarray of int64
        Ascending.
    """
    begin = np.array([region.start for region in regions], np.int64)
    end = np.array([region.end for region in regions], np.int64)
    starts, ends = begin[seqlets.row] + seqlets.start, begin[seqlets.row] + seqlets.end
    centres = begin + (end - begin) // 2
    distances = np.abs(starts + ends - 2 * centres[seqlets.row])  # twice the distance, a whole number
    order = np.lexsort((seqlets.row, -begin[seqlets.row], distances))
    longest = int((ends - starts).max(initial=0))
    found: list[int] = []
    kept: dict[str, list[tuple[int, int, int]]] = defaultdict(list)  # starts, ends and rows, sorted
    columns = (order.tolist(), starts[order].tolist(), ends[order].tolist(), seqlets.row[order].tolist())
    for place, low, high, row in zip(*columns, strict=True):
        spans = kept[regions[row].chrom]
        first = bisect_left(spans, (low - longest,))
        for start, stop, other in spans[first : bisect_left(spans, (high,))]:
            if stop > low and start < high and other != row:
                break
        else:
            insort(spans, (low, high, row))
            found.append(place)
    return np.array(sorted(found), np.int64)
