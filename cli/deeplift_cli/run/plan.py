"""The plan of a run, which is complete before the first batch is scored."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deeplift_cli.models.explainer import Explained
from deeplift_cli.options.settings import ScoreOptions
from deeplift_cli.options.shards import Shard
from deeplift_cli.options.targets import TargetSpec
from deeplift_cli.outputs.datasets import ScoreLayout
from deeplift_cli.run.batches import EVERY, Records
from deeplift_cli.run.checkpoint import Checkpoint
from deeplift_cli.run.output_paths import OutputPaths
from deeplift_cli.run.setup import attributes_of_run
from deeplift_references import Reference

# The name under which the letters of a genome at the regions count in the fingerprint of a share.
GENOME_CONTENT = "the content of the genome at these regions"


@dataclass(frozen=True)
class RunPlan:
    """A run's paths, its share of the input, and the attributes of its score files.

    Attributes
    ----------
    outputs : OutputPaths
    layout : ScoreLayout
        The layout of the score files: L, R, K and the stored type.
    share : range
        The numbers of the batches that this run scores. The last of several shares has no end, since records
        that are skipped after the last batch belong to the last share, too.
    n_records : int
        The number of records in the input; of a shard, the number of its records that can be scored.
    attributes : dict
        Attributes that the score files of all targets have in common.
    chrom_sizes : mapping of str to int, or None
        Lengths of the chromosomes in bp, where they are known.
    """

    outputs: OutputPaths
    layout: ScoreLayout
    share: range
    n_records: int
    attributes: Mapping[str, Any]
    chrom_sizes: Mapping[str, int] | None

    @property
    def targets(self) -> list[TargetSpec]:
        """The targets, each of which has a score file."""
        return list(self.outputs.scores)


def make_plan(
    options: ScoreOptions,
    outputs: OutputPaths,
    fingerprint: Mapping[str, Any],
    explained: Explained,
    records: Records,
    reference: Reference,
    chrom_sizes: Mapping[str, int] | None,
    checkpoint: Checkpoint,
) -> RunPlan:
    """Make the plan: find the share of the input, and add the genome's content to the fingerprint.

    Shards, and references that depend on the whole input, depend on sequences that this run may not score.
    The digest of a FASTA file covers these sequences. For a genome, this function computes a digest of the
    sequences at the regions, and adds the digest to the fingerprint.

    Raises
    ------
    UserError
        If an earlier run of the same job has read other sequences.
    """
    usable = None if options.shard is None else records.survey()[0]
    if options.genome is not None and (options.shard is not None or reference.needs_observation):
        _, digest = (records.whole if reference.needs_observation else records).survey()
        checkpoint.add_to_job(GENOME_CONTENT, f"sha256:{digest}")
        fingerprint = {**fingerprint, GENOME_CONTENT: f"sha256:{digest}"}
    share, n_records = share_of(options.shard, usable, explained.batch_size, records.n_records)
    layout = ScoreLayout.of_run(
        explained.length,
        reference.n_references,
        explained.batch_size,
        options.dtype,
        standard_errors=options.standard_errors,
        fold_sd=explained.n_models > 1,
        control_variate=options.control_variate,
    )
    attributes = attributes_of_run(options, explained, fingerprint)
    return RunPlan(outputs, layout, share, n_records, attributes, chrom_sizes)


def share_of(shard: Shard | None, usable: int | None, rows: int, n_records: int) -> tuple[range, int]:
    """Return the numbers of the batches that a run scores, and the number of their records.

    Parameters
    ----------
    shard : Shard or None
        The shard of the run; None for the whole job.
    usable : int or None
        The number of records that can be scored; None if it is not known, as it need not be without shards.
    rows : int
        K, the number of records in a batch.
    n_records : int
        The number of all records.

    Returns
    -------
    tuple of range and int
        The last of several shares has no end, since records that are skipped after the last batch belong to
        the last share, too. The number of a shard's records is that of those that can be scored.
    """
    if shard is None or usable is None:
        return EVERY, n_records
    share = shard.batches(-(-usable // rows))
    count = max(0, min(share.stop * rows, usable) - share.start * rows)
    return range(share.start, EVERY.stop) if shard.number == shard.count else share, count
