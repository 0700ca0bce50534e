"""The plan of a run of `deeplift variants`, which is complete before the first batch is scored."""

from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from typing import Any

from deeplift_cli.distribution import deeplift_version
from deeplift_cli.models.explainer import Explained
from deeplift_cli.options.variant_settings import VariantOptions
from deeplift_cli.outputs.datasets import ScoreLayout
from deeplift_cli.process.steps import step
from deeplift_cli.run.references import OBSERVED_ROWS, make_reference, reference_errors
from deeplift_cli.variants.output_paths import VariantPaths
from deeplift_cli.variants.scoring import PairScorer
from deeplift_cli.variants.source import PairBatch, VariantSource
from deeplift_references import Reference


@dataclass(frozen=True)
class VariantPlan:
    """The values that all stages of a run share.

    Attributes
    ----------
    options : VariantOptions
    paths : VariantPaths
    alleles : tuple of str
        The groups of the alleles: "ref", "alt" and perhaps "alt_left".
    scorer : PairScorer
    outputs_of_targets : tuple of int or str
        The output of the model of which each target is.
    reference : Reference
    layout : ScoreLayout
        The layout of each allele's group.
    attributes : dict
        Attributes that the files of all targets have in common.
    chrom_sizes : dict of str to int
        Lengths of the genome's chromosomes in bp.
    """

    options: VariantOptions
    paths: VariantPaths
    alleles: tuple[str, ...]
    scorer: PairScorer
    outputs_of_targets: tuple[int | str, ...]
    reference: Reference
    layout: ScoreLayout
    attributes: dict[str, Any]
    chrom_sizes: dict[str, int]

    @property
    def labels(self) -> list[str]:
        """The name of each target."""
        return [spec.label for spec in self.paths.files]


def make_plan(
    options: VariantOptions,
    paths: VariantPaths,
    alleles: tuple[str, ...],
    explained: Explained,
    reference: Reference,
    job: dict[str, Any],
    chrom_sizes: dict[str, int],
) -> VariantPlan:
    """Make the plan of a run, from its recorded models, its references and its fingerprint."""
    layout = ScoreLayout.of_run(
        explained.length,
        reference.n_references,
        explained.batch_size,
        options.dtype,
        standard_errors=False,
        fold_sd=explained.n_models > 1,
        control_variate=False,
    )
    attributes = options.as_attributes() | {
        "model_sha256": explained.sha256,
        "batch_size": explained.batch_size,
        "versions": {"deeplift": deeplift_version(), "torch": version("torch"), "numpy": version("numpy")},
        "fingerprint": job,
    }
    outputs = explained.targets.outputs
    scorer = PairScorer(explained)
    return VariantPlan(options, paths, alleles, scorer, outputs, reference, layout, attributes, chrom_sizes)


def observed_reference(
    options: VariantOptions, source: VariantSource, length: int
) -> tuple[Reference, str | None]:
    """Return the references, with the statistics of all windows of REF that some kinds need.

    Returns
    -------
    tuple of Reference, and str or None
        The second value is the digest of all these windows, if the references depend on them.

    Raises
    ------
    UserError
        If there are no such references, or the input cannot be read.
    """
    reference = make_reference(options, length)
    if not reference.needs_observation:
        return reference, None
    content = sha256()
    with reference_errors(), step("reading variants", options.vcf):
        for item in source.batches(OBSERVED_ROWS, length):
            if isinstance(item, PairBatch):
                reference.observe(item.sequences)
                content.update(item.sequences.tobytes())
    return reference, f"sha256:{content.hexdigest()}"
