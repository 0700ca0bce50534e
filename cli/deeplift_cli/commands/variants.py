"""`deeplift variants`: the effects of variants, and the contributions of both alleles."""

from typing import Any

import click

from deeplift_cli.commands.attribution_options import (
    CENTRE,
    DTYPE,
    FREQUENCIES,
    MAX_COMPLETENESS_ERROR,
    N_REFERENCES,
    RC_AVERAGE,
    REFERENCE,
    RULE,
    SAVE_REFERENCES,
    SEED,
    refuse_contradicting_references,
)
from deeplift_cli.commands.further_options import (
    ExtensibleCommand,
    is_given,
    options_of_further_model_formats,
    options_of_own_model_formats,
    with_format_options,
)
from deeplift_cli.commands.job_options import (
    OVERWRITE,
    RESUME,
    SHARD,
    exit_code_of,
    refuse_contradicting_shard,
    refuse_names_of_outputs,
)
from deeplift_cli.commands.record_options import LENGTH, RECORD_OPTIONS
from deeplift_cli.commands.shared_options import (
    ALLOW_PICKLE,
    ALPHABET,
    BATCH_SIZE,
    COMPILE,
    DEVICE,
    ENCODE_N,
    FILE,
    INPUT,
    LABELS,
    LAYER_RULE,
    LAYOUT,
    LOGITS,
    MODELS,
    OUTPUT,
    PRECISION,
    TARGET,
    THREADS,
    TOKEN_IDS,
    chosen_models,
    new_file,
    parsed,
    refuse_contradictory_layout,
    unusable_options,
    with_options,
)
from deeplift_cli.options.variant_settings import VariantOptions
from deeplift_cli.process.fast_imports import without_garbage_collection

_OPTIONS = (
    MODELS,
    click.option("-g", "--genome", type=FILE, required=True, help="Genome FASTA (.gz too)."),
    click.option("--vcf", type=FILE, required=True, help="Variants: SNVs and short indels (.gz too)."),
    click.option("-o", "--out", required=True, callback=parsed(new_file), metavar="PATH",
                 help="HDF5 file to write: scores of both alleles, and their differences."),
    click.option("--tsv", callback=parsed(new_file), metavar="PATH",
                 help="Also write a table of the effects."),
    click.option("--background", type=FILE,
                 help="VCF of other variants: how rare is an effect among theirs?"),
    click.option("--motifs", type=FILE,
                 help="Motifs (MEME or JASPAR): which does the variant make or break?"),
    click.option("--indel-fill", type=click.Choice(["right", "left", "both"]), default="right",
                 show_default=True,
                 help="End at which the window of an insertion or deletion is cut or filled; both: the "
                      "mean of the two."),
    click.option("--length", type=LENGTH, metavar="L",
                 help="For models that take any length: width of the windows."),
    *RECORD_OPTIONS,
    OUTPUT,
    TARGET,
    LABELS,
    RULE,
    LAYER_RULE,
    REFERENCE,
    SAVE_REFERENCES,
    FREQUENCIES,
    N_REFERENCES,
    SEED,
    LAYOUT,
    ALPHABET,
    INPUT,
    ENCODE_N,
    TOKEN_IDS,
    LOGITS,
    CENTRE,
    RC_AVERAGE,
    MAX_COMPLETENESS_ERROR,
    BATCH_SIZE,
    DEVICE,
    THREADS,
    PRECISION,
    COMPILE,
    DTYPE,
    SHARD,
    RESUME,
    OVERWRITE,
    ALLOW_PICKLE,
)  # fmt: skip


@click.command(
    "variants",
    cls=ExtensibleCommand,
    own=options_of_own_model_formats,
    further=options_of_further_model_formats,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@with_options(_OPTIONS)
@click.option("-q", "--quiet", is_flag=True, help="Print no progress, notes or summary.")
@click.option("-v", "--verbose", is_flag=True, help="More notes.")
@click.pass_context
def command(context: click.Context, /, quiet: bool, verbose: bool, **given: Any) -> int:
    """Score variants: what does the other allele change, and through which bases?

    \b
    deeplift variants -m model.onnx -g hg38.fa --vcf variants.vcf.gz -o variants.h5 --tsv variants.tsv

    The effect of a variant is the output for ALT less that for REF. The contributions of both alleles are
    compared with the same references. Writes the scores (HDF5) and the skipped variants (.skipped.tsv).
    """
    _refuse_contradictions(context, given)
    # These modules import torch, for which --help should not wait.
    with without_garbage_collection():
        from deeplift_cli.process.screen import Screen
        from deeplift_cli.variants.variants_run import score_variants

    screen = Screen(quiet=quiet, verbose=verbose)
    found = {"default_target": not is_given(context, "targets")}
    own = given | chosen_models(given) | found
    options = VariantOptions(**with_format_options(context, own, VariantOptions))
    with screen.progress("variants") as progress, unusable_options(context):
        summary, written = score_variants(options, screen, progress)
    return exit_code_of(summary, written, screen)


def _refuse_contradictions(context: click.Context, given: dict[str, Any]) -> None:
    """Refuse options that contradict each other (exit code 2)."""
    refuse_contradictory_layout(given)
    refuse_contradicting_references(context, given)
    refuse_contradicting_shard(given)
    refuse_names_of_outputs(given, of_shards=("out", "tsv", "save_references"), of_targets=("out", "tsv"))
