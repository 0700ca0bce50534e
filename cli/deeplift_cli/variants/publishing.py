"""The outputs of a run, made of its finished batches."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
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
from deeplift_cli.variants.background import Background
from deeplift_cli.variants.effects_table import Column, EffectsTable
from deeplift_cli.variants.motif_changes import MotifChanges
from deeplift_cli.variants.pieces import Piece, VariantPieces
from deeplift_cli.variants.plan import VariantPlan
from deeplift_cli.variants.variant_file import ALT, REF, Numbers, VariantFile


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
        self, pieces: VariantPieces, n_batches: int, backgrounds: Sequence[Background] | None
    ) -> None:
        """Make all outputs, and give them their names together.

        Parameters
        ----------
        pieces : VariantPieces
        n_batches : int
            Number of batches, all of which are finished.
        backgrounds : sequence of Background, or None
            The effects of background variants for each target.

        Raises
        ------
        UserError
            If a piece is damaged (its batch counts as not scored from then on), or the disc is full.
        """
        paths = self._plan.paths
        with Publication(self._workspace.folder) as publication:
            for target, (spec, path) in enumerate(paths.files.items()):
                background = None if backgrounds is None else backgrounds[target]
                with step("writing", path), ExitStack() as stack:
                    file = stack.enter_context(self._file(target, spec, path, publication))
                    table = None
                    if spec in paths.tables:
                        table = stack.enter_context(_opened_table(paths.tables[spec], publication))
                    for number in range(n_batches):
                        with pieces.open(number) as piece:
                            if piece.head.variants:
                                self._append(piece, target, file, table, background)
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
        layout = plan.layout
        numbers = Numbers(layout.length, plan.scorer.n_models, errors=layout.n_references > 1)
        temporary = publication.temporary(path)
        return VariantFile(temporary, path, layout, numbers, plan.alleles, attributes, plan.chrom_sizes)

    def _append(
        self,
        piece: Piece,
        target: int,
        file: VariantFile,
        table: EffectsTable | None,
        background: Background | None,
    ) -> None:
        """Add the variants of a piece to the outputs of one target."""
        options = self._plan.options
        alleles = {name: stored.scored_batch(piece, target, name) for name in self._plan.alleles}
        numbers = stored.numbers_of(piece, target)
        file.append(piece.head.variants, alleles, numbers)
        if table is None:
            return
        alts = [batch.output for name, batch in alleles.items() if name != REF]
        effect = numbers["variants/effect"]
        columns: dict[str, Column] = {
            "ref_output": alleles[REF].output,
            "alt_output": np.mean(alts, axis=0),
            "effect": effect,
        }
        if self._plan.scorer.n_models > 1:
            columns["effect_fold_sd"] = numbers["variants/effect_of_models"].std(1, ddof=1)
        if background is not None:
            columns["background_p"] = background.p_values(effect)
        for name in ("allele", "nearby"):
            columns[f"{name}_difference"] = numbers[f"difference/{name}"]
            error = numbers.get(f"difference/{name}_standard_error")
            if error is not None:
                columns[f"{name}_difference_se"] = error
        if self._motifs is not None:
            columns |= self._motifs.columns(
                piece.head.variants,
                alleles[REF].sequences,
                alleles[ALT].sequences,
                "left" if options.indel_fill == "left" else "right",
            )
        table.append(piece.head.variants, columns)


@contextmanager
def _opened_table(path: Path, publication: Publication) -> Iterator[EffectsTable]:
    with _written(path), EffectsTable(publication.temporary(path)) as table:
        yield table


@contextmanager
def _written(path: Path) -> Iterator[None]:
    """Turn the error of a full disc into one line for the user."""
    try:
        yield
    except OSError as error:
        raise not_written(path, error) from error
