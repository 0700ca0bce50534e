"""Scores of one batch of exactly K rows against its references."""

import torch
from torch import Tensor

from deeplift_core.engine.executable import Executable
from deeplift_core.engine.float32 import full_precision
from deeplift_core.engine.pairs import PairScores, TargetScores, score_pairs
from deeplift_core.engine.shared_references import SharedReferences


class BatchScorer:
    """Scores batches: (1 + R) forward passes and, for each target, R backward passes of K rows.

    The forward values of the input serve all references, and all forward values serve all targets.

    Parameters
    ----------
    executable : Executable
    shared : SharedReferences
        The cache of the explainer.
    """

    def __init__(self, executable: Executable, shared: SharedReferences) -> None:
        self.executable = executable
        self._shared = shared

    def score(self, rows: list[Tensor], references: list[Tensor], *, shared: bool) -> list[TargetScores]:
        """Score one batch for each target.

        Parameters
        ----------
        rows : list of Tensor [K, ...]
        references : list of Tensor [K, R, ...]
        shared : bool
            True if all rows have the same references, whose forward values are then cached.
        """
        executable = self.executable
        pairs: list[list[PairScores]] = [[] for _ in executable.plan.targets]
        with full_precision(rows[0].device):
            x = executable.forward(rows)
            self._shared.next_batch()
            for number in range(references[0].shape[1]):
                reference = [tensor[:, number].contiguous() for tensor in references]
                if shared:
                    values = self._shared.values(executable, reference)
                else:
                    values = executable.forward(reference)
                for found, pair in zip(pairs, score_pairs(executable, x, values), strict=True):
                    found.append(pair)
        none = torch.zeros(len(rows[0]), len(pairs[0]), dtype=torch.bool, device=rows[0].device)
        ends = zip(executable.plan.targets, executable.plan.predictions, pairs, strict=True)
        return [TargetScores(x[target], x[prediction], found, none) for target, prediction, found in ends]
