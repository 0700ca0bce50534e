"""Check of a score file with its model: some rows are scored again by the options in the file."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

import deeplift_references
from deeplift_cli import reference_kinds  # noqa: F401 - registers its kinds
from deeplift_cli.errors import UserError
from deeplift_cli.models.fold_mean import LoadedModel, explain_models, read_models
from deeplift_cli.models.model_file import file_sha256
from deeplift_cli.options.further_inputs import file_in
from deeplift_cli.options.settings import ScoreOptions
from deeplift_cli.outputs.datasets import FOLD_SD, MUTANTS, NUMBERS, REFERENCE_OUTPUT
from deeplift_cli.outputs.score_reader import ScoreReader
from deeplift_cli.outputs.stored_regions import read_regions
from deeplift_cli.process.file_digest import file_digest
from deeplift_cli.process.progress import Progressed, no_progress
from deeplift_cli.process.screen import Screen
from deeplift_cli.run.fingerprint import values_of_input
from deeplift_cli.run.references import OBSERVED_ROWS, make_reference, reference_errors
from deeplift_cli.sequences.encode import reverse_complement
from deeplift_references import Reference

# The largest allowed difference as a fraction of a row's largest value. Other processors, numbers of threads
# and batch sizes round differently, and the stored type rounds, too.
_TOLERANCE = {"float64": 1e-6, "float32": 1e-3, "float16": 2e-3, "bfloat16": 1e-1}
# The datasets of numbers that are compared, where a file has them.
_COMPARED = ("qc/prediction", "qc/output", REFERENCE_OUTPUT, MUTANTS)


@dataclass(frozen=True)
class Recomputed:
    """The result of scoring rows again.

    Attributes
    ----------
    rows : int
        Number of rows that were scored again.
    largest : float
        The largest difference as a fraction of a row's largest value.
    problems : list of str
    """

    rows: int
    largest: float
    problems: list[str]


def recompute(
    reader: ScoreReader,
    models: Sequence[Path],
    n_rows: int,
    allow_pickle: bool,
    screen: Screen,
    progress: Progressed = no_progress,
) -> Recomputed:
    """Score rows again that are spread over the file.

    Parameters
    ----------
    reader : ScoreReader
    models : sequence of Path
        The model, or all folds in any order if the file holds their mean.
    n_rows : int
        Number of rows; all rows if the file has fewer.
    allow_pickle : bool
        True if the model may be a pickled module.
    screen : Screen
        Shows lines that the user should read.
    progress : callable, optional
        Called with the numbers of rows that were scored again, and of all that are going to be.

    Raises
    ------
    UserError
        If the model or a file of references cannot be read, or the rows cannot be scored again from the data
        in the file.
    """
    options = options_of(reader, models, allow_pickle)
    length = reader.layout.length
    loaded = models_of(reader, options, screen)
    if problem := another_model(reader, loaded):
        return Recomputed(0, 0.0, [problem])
    chosen = spread(reader.n_rows, n_rows)
    explained = explain_models(options, loaded, lambda: length, len(chosen), screen)
    if explained.length != length:
        return Recomputed(0, 0.0, [f"{models[0]} takes {explained.length} bp, not {length}"])
    with h5py.File(reader.path) as file:
        reference = make_references_of(options, reader, file)
        found = _Comparison(reader, options)
        for first in range(0, len(chosen), explained.batch_size):
            rows = chosen[first : first + explained.batch_size]
            sequences, turned = scored_sequences(file, rows, options)
            index = np.array([file["regions/index"][row] for row in rows])
            with reference_errors():
                references = reference(sequences, index)
                expected = reference.expected(sequences) if options.control_variate else None
            (scores,) = explained.score(sequences, references, index, expected)
            found.add(file, rows, scores, turned)
            progress(first + len(rows), len(chosen))
    return Recomputed(len(chosen), found.largest, found.problems)


def options_of(reader: ScoreReader, models: Sequence[Path], allow_pickle: bool) -> ScoreOptions:
    """Return the options of the run that made a file, with the model where it is now.

    Raises
    ------
    UserError
        If the number of models is another one, or the file does not hold the options.
    """
    stored = _digests(reader)
    if len(stored) != len(models):
        held = f"the mean of {len(stored)} models" if len(stored) > 1 else "the scores of one model"
        raise UserError(f"{reader.path} holds {held}; give each of its models by --model, and no other")
    try:
        return ScoreOptions.from_attributes(
            reader.attrs, model=models[0], models=tuple(models) if len(models) > 1 else (), shard=None,
            allow_pickle=allow_pickle, batch_size=None, compile="off", device="auto", threads=None,
        )  # fmt: skip
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(f"{reader.path} does not hold the options of its run: {error}") from error


def models_of(reader: ScoreReader, options: ScoreOptions, screen: Screen) -> tuple[LoadedModel, ...]:
    """Read the models of the options.

    Raises
    ------
    UserError
        If a model cannot be read, or a file of further inputs has changed.
    """
    _check_files(options, reader)
    return read_models(options, screen, lambda _: reader.layout.length, None)


def another_model(reader: ScoreReader, loaded: Sequence[LoadedModel]) -> str:
    """Return which model is not one of the file; "" if all are."""
    stored = _digests(reader)
    others = [str(model.path) for model in loaded if model.file.sha256 not in stored]
    if not others:
        return ""
    attribute = "the attribute" if len(stored) == 1 else "in the attribute"
    return f"{others[0]} is another model: its SHA-256 is not {attribute} model_sha256"


def _digests(reader: ScoreReader) -> list[str]:
    return reader.model if isinstance(reader.model, list) else [reader.model]


def _check_files(options: ScoreOptions, reader: ScoreReader) -> None:
    """Refuse files of further inputs that have changed since the scores were computed."""
    for name, value in options.further_inputs:
        path = file_in(value)
        if path is None or not path.is_file():
            continue
        if reader.fingerprint.get(values_of_input(name)) != f"sha256:{file_digest(path)}":
            raise UserError(
                f"{path}, the values of input {name}, has changed since {reader.path} was written"
            )


def spread(n_rows: int, wanted: int) -> list[int]:
    """Return rows drawn with a fixed seed, one from each of `wanted` equal parts of the file."""
    edges = np.linspace(0, n_rows, min(wanted, n_rows) + 1).astype(int).tolist()
    draw = np.random.default_rng(0)
    return [int(draw.integers(low, high)) for low, high in pairwise(edges)]


def scored_sequences(
    file: h5py.File, rows: list[int], options: ScoreOptions
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.bool_]]:
    """Return sequences [N, 4, L] as they were scored, and which are reverse complements of the genome [N]."""
    sequences = np.stack([file["raw/seq"][row] for row in rows])
    minus = [read_regions(file, slice(row, row + 1))[0].strand == "-" for row in rows]
    turned = np.array(minus) & (options.fasta is not None or options.strand_aware)
    sequences[turned] = reverse_complement(sequences[turned])
    return sequences, turned


def make_references_of(options: ScoreOptions, reader: ScoreReader, file: h5py.File) -> Reference:
    """Return the references of the run; those of the whole input are made from the sequences in the file."""
    if options.reference is not None:
        kind, argument = deeplift_references.parse_spec(options.reference)
        if kind.takes_argument and argument:
            stored = reader.fingerprint.get("the file of references")
            if Path(argument).is_file() and stored not in (None, f"sha256:{file_sha256(Path(argument))}"):
                raise UserError(
                    f"{argument}, the file of references, has changed since {reader.path} was written"
                )
    reference = make_reference(options, reader.layout.length)
    if reference.needs_observation:
        if options.sample is not None and reader.n_rows + reader.n_skipped >= options.sample:
            raise UserError(
                f"references of {reader.path} depend on the whole input, of which the file holds a sample; "
                "score the sample again and compare"
            )
        if reader.shard is not None:
            raise UserError(
                f"references of the shard {reader.path} depend on the whole input; merge the shards first"
            )
        for first in range(0, reader.n_rows, OBSERVED_ROWS):
            rows = list(range(first, min(first + OBSERVED_ROWS, reader.n_rows)))
            sequences, _ = scored_sequences(file, rows, options)
            with reference_errors():
                reference.observe(sequences)
    return reference


class _Comparison:
    """Compares stored values with values that were computed again."""

    def __init__(self, reader: ScoreReader, options: ScoreOptions) -> None:
        self.largest = 0.0
        self.problems = list[str]()
        self._tolerance = max(_TOLERANCE.get(kind, 0.0) for kind in (options.precision, reader.layout.dtype))

    def add(self, file: h5py.File, rows: list[int], scores: Any, turned: npt.NDArray[np.bool_]) -> None:
        """Compare the rows of a batch."""
        for place, row in enumerate(rows):
            hypothetical = scores.hypothetical[place]
            if turned[place]:
                hypothetical = reverse_complement(hypothetical)
            others = {name: getattr(scores, NUMBERS[name]) for name in _COMPARED}
            found = {name: values[place] for name, values in others.items() if values is not None}
            if turned[place] and MUTANTS in found:
                found[MUTANTS] = reverse_complement(found[MUTANTS])
            for name, now in ({"shap/seq": hypothetical} | found).items():
                self._compare(name, row, file[name][row], np.asarray(now, np.float64))
            if scores.fold_sd is not None and FOLD_SD in file:
                spread = scores.fold_sd[place][::-1] if turned[place] else scores.fold_sd[place]
                # The spread of contributions is rounded as these are, however small it is.
                largest = float(np.abs(hypothetical).max())
                self._compare(FOLD_SD, row, file[FOLD_SD][row], np.asarray(spread, np.float64), largest)

    def _compare(
        self, name: str, row: int, stored: Any, now: npt.NDArray[np.float64], largest: float = 0.0
    ) -> None:
        """Compare values of a row; differences are relative to the row's largest value, or to `largest`."""
        before = np.asarray(stored, np.float64)
        if before.shape != now.shape:
            self.problems.append(f"{name}, row {row + 1}, computed again, has the shape {now.shape}")
            return
        size = max(float(np.abs(before).max()), float(np.abs(now).max()), largest) or 1.0
        difference = float(np.abs(before - now).max()) / size
        self.largest = max(self.largest, difference)
        if not difference <= self._tolerance:
            self.problems.append(
                f"{name}, row {row + 1}, computed again, differs by {difference:.1e} of its largest value"
            )
