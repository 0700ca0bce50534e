"""Some sequences of a score file with their contributions, their references, and the model."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from deeplift_cli.errors import UserError
from deeplift_cli.models.explainer import Explained
from deeplift_cli.models.fold_mean import ExplainedFolds, LoadedModel, explain_models
from deeplift_cli.models.mutagenesis import Mutagenesis
from deeplift_cli.options.rules import ISM
from deeplift_cli.options.settings import ScoreOptions
from deeplift_cli.outputs.bigwig_values import bigwig_values
from deeplift_cli.outputs.score_reader import ScoreReader
from deeplift_cli.process.screen import Screen
from deeplift_cli.run.references import reference_errors
from deeplift_cli.verify.recomputed_rows import (
    another_model,
    make_references_of,
    models_of,
    options_of,
    scored_sequences,
    spread,
)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """Sequences spread over a score file, in the orientation in which they were scored.

    Attributes
    ----------
    options : ScoreOptions
        The options of the run.
    models : tuple of LoadedModel
        The model, or the folds.
    screen : Screen
    length : int
        L.
    sequences : int8 array [N, 4, L]
    records : int array [N]
        The numbers of the sequences in the input.
    references : float32 array [N, R, 4, L]
    contributions : array [N, L]
        Those of the observed bases, as stored.
    output, reference_output : array [N], [N, R]
        The explained scalar of each sequence and of its references, as stored.
    standard_error : array [N] or None
        The stored standard errors; None for one reference.
    observed : array [N, L] or None
        The values of an observed signal; NaN where a base has none.
    """

    options: ScoreOptions
    models: tuple[LoadedModel, ...]
    screen: Screen
    length: int
    sequences: npt.NDArray[np.int8]
    records: npt.NDArray[np.int64]
    references: npt.NDArray[np.float32]
    contributions: Floats
    output: Floats
    reference_output: Floats
    standard_error: Floats | None
    observed: Floats | None = None

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """True at positions with a base: [N, L]."""
        found: npt.NDArray[np.bool_] = self.sequences.sum(axis=1) != 0
        return found

    @property
    def difference(self) -> Floats:
        """The explained scalar of each sequence less its mean over the references: [N]."""
        found: Floats = self.output - self.reference_output.mean(axis=1)
        return found

    def explained(self, models: Sequence[LoadedModel] | None = None) -> Explained:
        """Return the recording of these models, by default of the file's own, under the rule of the file."""
        return self._explained(self.options, self.models if models is None else models)

    @cached_property
    def mutagenesis(self) -> Explained:
        """The recording of the models for forward passes only."""
        options = replace(self.options, rule=ISM, reference=None, n_references=0, layer_rules=())
        return self._explained(options, self.models)

    def outputs(self, sequences: npt.NDArray[Any], rows: npt.NDArray[np.int64]) -> Floats:
        """Return the explained scalar of changed sequences [M, 4, L], each of which stems from a row: [M]."""
        explained = self.mutagenesis
        folds = explained.folds if isinstance(explained, ExplainedFolds) else (explained,)
        found = []
        for fold in folds:
            assert isinstance(fold.scorer, Mutagenesis)
            (output,) = fold.scorer.outputs(
                sequences, self.sequences[rows], fold.targets.for_core, self.records[rows]
            )
            found.append(output)
        mean: Floats = np.mean(found, axis=0)
        return mean

    def _explained(self, options: ScoreOptions, models: Sequence[LoadedModel]) -> Explained:
        return explain_models(options, models, lambda: self.length, len(self.sequences), self.screen)


def take_sample(
    reader: ScoreReader,
    models: Sequence[Path],
    n_rows: int,
    allow_pickle: bool,
    screen: Screen,
    observed: Path | None = None,
) -> Sample:
    """Read rows that are spread over the file, and make their references again.

    Parameters
    ----------
    reader : ScoreReader
    models : sequence of Path
        The model, or all folds in any order if the file holds their mean.
    n_rows : int
        Number of rows; all rows if the file has fewer.
    allow_pickle : bool
    screen : Screen
    observed : Path, optional
        A bigWig of the signal that the model predicts.

    Raises
    ------
    UserError
        If the file holds mutagenesis scores or no sequence, if the model is another one, or if the
        references cannot be made from the data in the file.
    """
    if not reader.layout.has_references:
        raise UserError(
            f"{reader.path} holds in-silico mutagenesis, with which check compares; give a file of a rule "
            "with references"
        )
    if not reader.n_rows:
        raise UserError(f"score file {reader.path} has no regions at all")
    options = options_of(reader, models, allow_pickle)
    loaded = models_of(reader, options, screen)
    if problem := another_model(reader, loaded):
        raise UserError(problem)
    rows = spread(reader.n_rows, n_rows)
    with h5py.File(reader.path) as file:
        reference = make_references_of(options, reader, file)
        sequences, turned = scored_sequences(file, rows, options)
        records = np.array([file["regions/index"][row] for row in rows])
        contributions = np.stack([file["projected_shap/seq"][row].sum(0) for row in rows]).astype(np.float64)
        contributions[turned] = contributions[turned, ::-1]
        places = _places(file, rows)
        numbers = {
            name: file[f"qc/{name}"][:][rows] if f"qc/{name}" in file else None
            for name in ("output", "reference_output", "standard_error")
        }
    with reference_errors():
        references = reference(sequences, records)
    output, reference_output = numbers["output"], numbers["reference_output"]
    assert output is not None
    assert reference_output is not None
    signal = None
    if observed is not None:
        signal = np.stack(bigwig_values(observed, places))
        signal[turned] = signal[turned, ::-1]
    return Sample(
        options, loaded, screen, reader.layout.length, sequences, records, references, contributions,
        output, reference_output, numbers["standard_error"], signal,
    )  # fmt: skip


def _places(file: h5py.File, rows: Sequence[int]) -> list[tuple[str, int, int]]:
    """Return chromosome, start and end of the windows of some rows."""
    chroms, starts, ends = (file[f"regions/{key}"] for key in ("chrom", "start", "end"))
    return [(chroms.asstr()[row], int(starts[row]), int(ends[row])) for row in rows]
