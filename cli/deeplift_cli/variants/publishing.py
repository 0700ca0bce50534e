"""The outputs of a run, made of its finished batches."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from shutil import copyfile

import numpy as np

from deeplift_cli.options.targets import TargetSpec
from deeplift_cli.outputs.guarded_file import not_written
from deeplift_cli.outputs.publish import Publication
from deeplift_cli.outputs.workspace import Workspace
from deeplift_cli.process.signals import check_stopped
from deeplift_cli.process.steps import step
from deeplift_cli.run.summary import Summary
from deeplift_cli.variants import stored
from deeplift_cli.variants.effects_table import EffectsTable
from deeplift_cli.variants.motif_changes import MotifChanges
from deeplift_cli.variants.p_values import BackgroundEffects
from deeplift_cli.variants.pieces import Piece, VariantPieces
from deeplift_cli.variants.plan import VariantPlan
from deeplift_cli.variants.scoring import Array
from deeplift_cli.variants.variant_file import ALT, REF, VariantFile, VariantRows


class Publisher:
    """Makes the files of all targets.

    Parameters
    ----------
    plan : VariantPlan
    workspace : Workspace
    summary : Summary
        The counts of the finished run.
    motifs : MotifChanges or None
        The motifs to look for.
    """

    def __init__(
        self, plan: VariantPlan, workspace: Workspace, summary: Summary, motifs: MotifChanges | None
    ) -> None:
        self._plan = plan
        self._workspace = workspace
        self._summary = summary
        self._motifs = motifs

    def publish(
        self, pieces: VariantPieces, numbers: range, background: Sequence[Sequence[Array]] | None
    ) -> None:
        """Make all outputs, and give them their names together.

        Parameters
        ----------
        pieces : VariantPieces
        numbers : range
            The numbers of the run's batches, all of which are finished.
        background : sequence of sequences of array, or None
            The effects of background variants for each target, in parts.

        Raises
        ------
        UserError
            If a piece is damaged (its batch counts as not scored from then on), or the disc is full.
        """
        paths = self._plan.paths
        with Publication(self._workspace.folder) as publication:
            for target, (spec, path) in enumerate(paths.files.items()):
                effects = () if background is None else background[target]
                with step("writing", path), ExitStack() as stack:
                    file = stack.enter_context(self._file(target, spec, path, publication))
                    for part in effects:
                        file.append_background(part)
                    table = None
                    if spec in paths.tables:
                        table = stack.enter_context(self._table(paths.tables[spec], publication, effects))
                    for number in numbers:
                        with pieces.open(number) as piece:
                            if piece.head.variants:
                                rows = self._rows(piece, target, file)
                                file.append(rows)
                                if table is not None:
                                    table.append(rows)
                        check_stopped()
                with _written(path):
                    copyfile(self._workspace.skipped, publication.temporary(paths.skipped[spec]))
            self._workspace.mark_complete(paths.all)

    def _file(self, target: int, spec: TargetSpec, path: Path, publication: Publication) -> VariantFile:
        plan = self._plan
        worst = [self._summary.completeness[f"{spec.label} {name}"].worst for name in plan.alleles]
        attributes = plan.attributes | {
            "target": spec.stored,
            "output": plan.outputs_of_targets[target],
            "worst_relative_completeness_error": float(np.max(worst)),
            "n_skipped": self._summary.skipped,
        }
        return VariantFile(publication.temporary(path), path, plan.file, attributes, plan.chrom_sizes)

    def _table(self, path: Path, publication: Publication, effects: Sequence[Array]) -> EffectsTable:
        """Return the table; a shard, which has only a part of the background, gets no p-values."""
        is_whole = self._plan.file.background and self._plan.options.shard is None
        background = BackgroundEffects(effects) if is_whole else None
        return EffectsTable(publication.temporary(path), path, self._plan.file, background)

    def _rows(self, piece: Piece, target: int, file: VariantFile) -> VariantRows:
        """Return what the file of one target holds of the variants of a piece."""
        batches = {name: stored.scored_batch(piece, target, name) for name in self._plan.alleles}
        alleles = {name: file.packed(batch) for name, batch in batches.items()}
        rows = VariantRows(alleles, stored.numbers_of(piece, target), stored.texts_of(piece))
        if self._motifs is None:
            return rows
        found = self._motifs.columns(
            piece.head.variants,
            batches[REF].sequences,
            batches[ALT].sequences,
            "left" if self._plan.options.indel_fill == "left" else "right",
        )
        numbers, texts = dict(rows.numbers), dict(rows.texts)
        for name, values in found.items():
            if isinstance(values, np.ndarray):
                numbers[f"variants/{name}"] = values
            else:
                texts[f"variants/{name}"] = values
        return replace(rows, numbers=numbers, texts=texts)


@contextmanager
def _written(path: Path) -> Iterator[None]:
    """Turn the error of a full disc into one line for the user."""
    try:
        yield
    except OSError as error:
        raise not_written(path, error) from error
