"""The plan of a run of `deeplift variants`, which is complete before the first batch is scored."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from deeplift_cli.models.explainer import Explained
from deeplift_cli.options.settings import ScoreOptions
from deeplift_cli.options.variant_settings import VariantOptions
from deeplift_cli.outputs.datasets import ScoreLayout
from deeplift_cli.process.steps import step
from deeplift_cli.run.plan import share_of
from deeplift_cli.run.references import OBSERVED_ROWS, make_reference, reference_errors
from deeplift_cli.run.setup import attributes_of_run
from deeplift_cli.variants.output_paths import VariantPaths
from deeplift_cli.variants.scoring import PairScorer
from deeplift_cli.variants.source import PairBatch, VariantSource
from deeplift_cli.variants.variant_file import VariantLayout
from deeplift_references import Reference


@dataclass(frozen=True)
class Part:
    """The variants of a file that a run takes: all, or those of its shard.

    Attributes
    ----------
    source : VariantSource
    share : range
        The numbers of the batches of this run.
    n_records : int
        The number of variants; of a shard, of those that can be scored.
    counts_skipped : bool
        True if `n_records` counts skipped variants, too.
    """

    source: VariantSource
    share: range
    n_records: int
    counts_skipped: bool

    @classmethod
    def of(cls, source: VariantSource, options: ScoreOptions, usable: int | None, rows: int) -> "Part":
        """Return the variants of a run with these options, in batches of K rows.

        `usable`, the number of variants that can be scored, is None without shards.
        """
        share, n_records = share_of(options.shard, usable, rows, source.n_records)
        return cls(source, share, n_records, options.shard is None)


@dataclass(frozen=True)
class VariantPlan:
    """The values that all stages of a run share.

    Attributes
    ----------
    options : VariantOptions
    paths : VariantPaths
    scorer : PairScorer
    outputs_of_targets : tuple of int or str
        The output of the model of which each target is.
    reference : Reference
    part : Part
        The variants to score.
    background : Part or None
        The background variants whose effects are computed.
    file : VariantLayout
        The layout of the HDF5 file of each target.
    attributes : dict
        Attributes that the files of all targets have in common.
    chrom_sizes : dict of str to int
        Lengths of the genome's chromosomes in bp.
    """

    options: VariantOptions
    paths: VariantPaths
    scorer: PairScorer
    outputs_of_targets: tuple[int | str, ...]
    reference: Reference
    part: Part
    background: Part | None
    file: VariantLayout
    attributes: dict[str, Any]
    chrom_sizes: dict[str, int]

    @property
    def n_records(self) -> int:
        """The number of variants that the run takes, those of the background included."""
        return self.part.n_records + (0 if self.background is None else self.background.n_records)

    @property
    def labels(self) -> list[str]:
        """The name of each target."""
        return [spec.label for spec in self.paths.files]

    @property
    def alleles(self) -> tuple[str, ...]:
        """The groups of the alleles: "ref", "alt" and perhaps "alt_left"."""
        return self.file.groups

    @property
    def layout(self) -> ScoreLayout:
        """The layout of each allele's group."""
        return self.file.scores


def make_plan(
    options: VariantOptions,
    paths: VariantPaths,
    alleles: tuple[str, ...],
    explained: Explained,
    reference: Reference,
    part: Part,
    background: Part | None,
    job: dict[str, Any],
) -> VariantPlan:
    """Make the plan of a run, from its recorded models, its references, its variants and its fingerprint."""
    scores = ScoreLayout.of_run(
        explained.length,
        reference.n_references,
        explained.batch_size,
        options.dtype,
        standard_errors=False,
        fold_sd=explained.n_models > 1,
        control_variate=False,
    )
    return VariantPlan(
        options,
        paths,
        PairScorer(explained),
        explained.targets.outputs,
        reference,
        part,
        background,
        VariantLayout(
            scores,
            alleles,
            explained.n_models,
            errors=reference.n_references > 1,
            background=background is not None,
            motifs=options.motifs is not None,
        ),
        attributes_of_run(options, explained, job),
        part.source.chrom_sizes,
    )


@dataclass(frozen=True)
class Survey:
    """What one pass over all variants found.

    Attributes
    ----------
    usable : int
        The number of variants that can be scored.
    content : str
        The digest of both alleles' windows of all these.
    """

    usable: int
    content: str


def surveyed(source: VariantSource, length: int, reference: Reference | None = None) -> Survey:
    """Read the windows of all variants, also those of other shards; references may need their statistics.

    Parameters
    ----------
    source : VariantSource
    length : int
        The length of the windows in bp.
    reference : Reference or None
        Observes the windows of REF.
    """
    usable, content = 0, sha256()
    with reference_errors(), step("reading variants", source.path):
        if reference is None:
            for pair in source.usable(length):
                usable += 1
                content.update(pair.content)
            return Survey(usable, f"sha256:{content.hexdigest()}")
        for item in source.batches(OBSERVED_ROWS, length):
            if isinstance(item, PairBatch):
                reference.observe(item.sequences)
                usable += len(item.pairs)
                for pair in item.pairs:
                    content.update(pair.content)
    return Survey(usable, f"sha256:{content.hexdigest()}")


def observed_reference(
    options: VariantOptions, source: VariantSource, length: int
) -> tuple[Reference, Survey | None]:
    """Return the references, with the statistics of all windows of REF that some kinds need.

    Returns
    -------
    tuple of Reference, and Survey or None
        The second value is what a pass over all variants found, if references depend on all variants, or
        there are several shards.

    Raises
    ------
    UserError
        If there are no such references, or the input cannot be read.
    """
    reference = make_reference(options, length)
    if reference.needs_observation:
        return reference, surveyed(source, length, reference)
    return reference, None if options.shard is None else surveyed(source, length)
