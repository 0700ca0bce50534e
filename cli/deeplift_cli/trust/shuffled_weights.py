"""Model randomisation: do contributions depend on what the model has learnt?"""

import copy
from dataclasses import replace

import numpy as np
import torch

from deeplift_cli.errors import UserError
from deeplift_cli.models.fold_mean import LoadedModel
from deeplift_cli.trust.measure import Line, Measure, correlations, in_words, quartiles
from deeplift_cli.trust.sample import Sample

_NAME = "shuffled_weights"
_SEED = 0


def measure(sample: Sample) -> Measure:
    """Score the sample with weights shuffled within each tensor, and correlate absolute contributions."""
    try:
        models = [_shuffled(model) for model in sample.models]
        explained = sample.explained(models)
        (scores,) = explained.score(sample.sequences, sample.references, sample.records)
    except (UserError, RuntimeError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        line = Line("likeness under shuffled weights", f"not possible: {reason}", "")
        return Measure(_NAME, [line], {"pearson": None, "spearman": None, "not_possible": reason})
    found = np.where(sample.sequences != 0, scores.hypothetical, 0).sum(axis=1, dtype=np.float64)
    both = correlations(np.abs(sample.contributions), np.abs(found), sample.known)
    pearson, spearman = (quartiles(values) for values in both)
    return Measure(
        _NAME,
        [
            Line("likeness under shuffled weights, Pearson", in_words(pearson), "below 0.3"),
            Line("likeness under shuffled weights, Spearman", in_words(spearman), "below 0.4"),
        ],
        {"pearson": pearson, "spearman": spearman},
    )


def _shuffled(model: LoadedModel) -> LoadedModel:
    """Return a copy of a model whose weights are shuffled within each tensor; the model stays as it is."""
    module = copy.deepcopy(model.file.module)
    draw = torch.Generator().manual_seed(_SEED)
    with torch.no_grad():
        for tensor in [*module.parameters(), *module.buffers()]:
            if tensor.is_floating_point() and tensor.numel() > 1:
                order = torch.randperm(tensor.numel(), generator=draw).to(tensor.device)
                tensor.copy_(tensor.reshape(-1)[order].reshape(tensor.shape))
    return replace(model, file=replace(model.file, module=module))
