"""The batch size: that of the model or the user, or else one that suits the machine."""

import sys

from deeplift_cli.errors import UserError
from deeplift_cli.models import Layout, ModelFile
from deeplift_cli.models.input_layout import find_batch_size
from deeplift_cli.options.settings import ModelOptions
from deeplift_cli.process.memory import memory_of
from deeplift_core import DeepLift

# With `auto`, the forward values of one batch take about this many bytes, which suits a CPU's caches, plus
# the bytes of the weights, which every batch reads; a GPU is faster with more.
_AUTO_BYTES = 128 << 20
LARGEST_OF_AUTO = 256
# Forward values may take one part in so many of all memory: a backward pass holds further values, and pairs
# that are scored again in float64 take twice as much.
_AUTO_SHARE = 8


def chosen_batch_size(options: ModelOptions, model: ModelFile, layout: Layout, length: int) -> int | None:
    """Return K if the model or the user decides it; None if it is free.

    Raises
    ------
    UserError
        If the model and the user disagree.
    """
    fixed = find_batch_size(model, layout, length)
    if fixed is not None and options.batch_size not in (None, fixed):
        raise UserError(f"{options.model} takes batches of {fixed} only; leave out --batch-size")
    return fixed or options.batch_size


def auto_batch_size(explainer: DeepLift, n_sequences: int = sys.maxsize) -> int:
    """Return K for `auto`: the power of two whose values fit comfortably into the device's memory, or 1.

    Parameters
    ----------
    explainer : DeepLift
        An explainer that was recorded with any batch size.
    n_sequences : int
        The largest number of sequences to score: a larger batch would only be padded.
    """
    budget = memory_of(explainer.device) // _AUTO_SHARE
    if explainer.device.type != "cuda":
        budget = min(budget, _AUTO_BYTES + explainer.weight_bytes)
    rows = max(1, min(LARGEST_OF_AUTO, budget // max(1, explainer.bytes_per_row)))
    most = 1 << max(0, n_sequences - 1).bit_length()
    return min(most, 1 << (rows.bit_length() - 1))
