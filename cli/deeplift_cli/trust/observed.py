"""Agreement of what the model predicts with an observed signal, which a wrong model or input would miss."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from deeplift_cli.errors import OptionsError
from deeplift_cli.models import find_layout
from deeplift_cli.models.explainer import model_errors
from deeplift_cli.models.fold_mean import LoadedModel
from deeplift_cli.models.heads import heads_of, output_of_head
from deeplift_cli.models.input_layout import find_batch_size
from deeplift_cli.models.output_shapes import output_specs
from deeplift_cli.models.probing import called, tensors_in
from deeplift_cli.options.targets import COUNTS, PROFILE
from deeplift_cli.trust.measure import Line, Measure, correlations, in_words, quartiles
from deeplift_cli.trust.sample import Floats, Sample

_NORMAL = "as in the model's own evaluation"
_ROWS = 16  # sequences that the model runs on at a time, where the model leaves this open


def measure(sample: Sample) -> Measure:
    """Correlate predictions with the signal: totals over all sequences, profiles within each.

    The total of a window is log(1 + sum of its values), a base without a value counting 0. The prediction is
    the counts head of a BPNet-like model (mean over its tracks), and for other models the explained scalar.
    The profile is summed over tracks. A profile that is shorter than the window belongs to the window's
    middle, and so do the counts, so that the total is that of the middle, too. A profile of bins of several
    bases is not compared.
    """
    assert sample.observed is not None
    signal = np.nan_to_num(sample.observed)
    counts, profiles = _predictions(sample)
    if profiles is not None:
        first = (sample.length - profiles.shape[1]) // 2
        signal = signal[:, first : first + profiles.shape[1]]
    totals = np.log1p(np.maximum(signal.sum(axis=1), 0))
    every = np.ones((1, len(totals)), dtype=np.bool_)
    (pearson,), (spearman,) = correlations(counts[None], totals[None], every)
    numbers: dict[str, Any] = {"total": {"pearson": _number(pearson), "spearman": _number(spearman)}}
    lines = [
        Line("predicted and observed totals, Pearson", _text(pearson), _NORMAL),
        Line("predicted and observed totals, Spearman", _text(spearman), _NORMAL),
    ]
    if profiles is not None:
        found, _ = correlations(profiles, signal, np.ones(signal.shape, dtype=np.bool_))
        numbers["profile"] = quartiles(found)
        text = in_words(numbers["profile"])
        lines.append(Line("predicted and observed profiles, Pearson", text, _NORMAL))
    return Measure("observed", lines, numbers)


def _predictions(sample: Sample) -> tuple[Floats, Floats | None]:
    """Return a prediction of the totals [N], and of the profiles [N, B] if the model has any."""
    runs = [_run(sample, model) for model in sample.models]
    counts = [found for found, _ in runs if found is not None]
    profiles = [found for _, found in runs if found is not None]
    total = np.mean(counts, axis=0) if len(counts) == len(runs) else sample.output
    return total, np.mean(profiles, axis=0) if len(profiles) == len(runs) else None


def _run(sample: Sample, model: LoadedModel) -> tuple[Floats | None, Floats | None]:
    """Return the counts [N] and the profile [N, B] of one model, each None if it has none."""
    options, file, length = sample.options, model.file, sample.length
    if file.further is not None and file.further.by_record:
        return None, None
    with model_errors(options):
        layout, _ = find_layout(file, length=length, **options.layout_options)
        file = layout.adapted(file)
        rows = find_batch_size(file, layout, length) or _ROWS
        given = torch.from_numpy(np.ascontiguousarray(sample.sequences)).float()
        x = layout.to_model(given, layout.unknown(given))
        batches = [
            x[torch.arange(start, start + rows).clamp(max=len(x) - 1)] for start in range(0, len(x), rows)
        ]
        outputs = output_specs(file, (batches[0],))
        heads = heads_of(outputs)
        try:
            place = output_of_head(PROFILE, outputs, None)
        except OptionsError:
            return None, None
        names = [spec.name for spec in outputs]
        found = [[tensor.double().numpy() for tensor in tensors_in(called(file.module, b))] for b in batches]
    values = [np.concatenate(parts)[: len(x)] for parts in zip(*found, strict=True)]
    counts = None
    if COUNTS in heads:
        counts = values[names.index(heads[COUNTS])].reshape(len(x), -1).mean(axis=1)
    return counts, _shares(values[place], length)


def _shares(profile: npt.NDArray[Any], length: int) -> Floats | None:
    """Return a profile [N, B] summed over tracks, as shares where it holds logits."""
    tracks = profile[:, None] if profile.ndim == 2 else profile
    if tracks.shape[1] > tracks.shape[2]:  # the longer axis is that of positions
        tracks = tracks.swapaxes(1, 2)
    if not length // 8 <= tracks.shape[2] <= length:
        return None
    if (tracks < 0).any():
        tracks = np.exp(tracks - tracks.max(axis=(1, 2), keepdims=True))
    found: Floats = tracks.sum(axis=1)
    return found


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _text(value: float) -> str:
    return "not defined" if np.isnan(value) else f"{value:.2f}"
