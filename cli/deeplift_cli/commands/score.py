"""`deeplift score`: computes contribution scores of every sequence of a file."""

from typing import Any

import click

import deeplift_references
from deeplift_cli.commands.attribution_options import (
    CENTRE,
    DTYPE,
    FREQUENCIES,
    MAX_COMPLETENESS_ERROR,
    N_REFERENCES,
    RC_AVERAGE,
    REFERENCE,
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
from deeplift_cli.commands.record_options import LENGTH, RECORD_OPTIONS, refuse_without_regions
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
    OVERLAP,
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
from deeplift_cli.options.rules import ISM, SCORE_RULES, parse_score_rule
from deeplift_cli.options.settings import ScoreOptions
from deeplift_cli.process.fast_imports import without_garbage_collection
from deeplift_cli.process.standard_input import STANDARD_INPUT, copied_if_standard_input

# With two references, the correction raised the variance of some sequences' scores by 1.8: see "How many
# references" in docs/references.md.
_LEAST_FOR_CONTROL_VARIATE = 5


_OPTIONS = (
    MODELS,
    click.option("-f", "--fasta", type=FILE,
                 help="Sequences, all of one length unless --length is given (.gz too)."),
    click.option("-g", "--genome", type=FILE, help="Genome FASTA, with --regions (.gz too)."),
    click.option(
        "-r", "--regions", "--peaks", type=FILE,
        help="BED or narrowPeak (.gz too): windows around the summits, or else the midpoints; - is standard "
             "input.",
    ),
    click.option("--length", type=LENGTH, metavar="L",
                 help="For models that take any length: width of the windows; FASTA records are cut or "
                      "padded with N about their centre."),
    *RECORD_OPTIONS,
    click.option("--sample", type=click.IntRange(min=1), metavar="N",
                 help="Score N records or regions, drawn at random with --seed.  [default: all]"),
    click.option("-o", "--out", required=True, callback=parsed(new_file), metavar="PATH",
                 help="HDF5 file of scores to write."),
    click.option("--bigwig", callback=parsed(new_file), metavar="PATH",
                 help="Also write a bigWig of the observed bases' contributions."),
    click.option(
        "-c", "--chrom-sizes", type=FILE, help="For --bigwig with --fasta: two columns, name and length."
    ),
    OUTPUT,
    TARGET,
    LABELS,
    click.option("--rule", default="genomics-default", callback=parsed(parse_score_rule), show_default=True,
                 metavar="|".join(SCORE_RULES),
                 help="How activations are explained; ism: in-silico mutagenesis, without references."),
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
    click.option("--strand-aware", is_flag=True, help="Score minus-strand regions as reverse complements."),
    OVERLAP,
    MAX_COMPLETENESS_ERROR,
    BATCH_SIZE,
    DEVICE,
    THREADS,
    PRECISION,
    COMPILE,
    DTYPE,
    click.option("--standard-errors", is_flag=True,
                 help="Also store the standard error, over references, of each base's contribution."),
    click.option("--control-variate", is_flag=True,
                 help="Correct the mean over shuffles by their expected bases, which makes it less noisy."),
    SHARD,
    RESUME,
    OVERWRITE,
    ALLOW_PICKLE,
)  # fmt: skip


@click.command(
    "score",
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
    """Score sequences: which bases made the model say this?

    \b
    deeplift score -m model.onnx -f peaks.fa -o scores.h5
    deeplift score -m model.onnx -g hg38.fa -r peaks.narrowPeak -o scores.h5 --bigwig scores.bw

    Writes contribution scores (HDF5), the scored windows (.bed) and the skipped records (.skipped.tsv).
    """
    _refuse_contradictions(context, given)
    # These modules import torch, for which --help should not wait.
    with without_garbage_collection():
        from deeplift_cli.process.screen import Screen
        from deeplift_cli.run.scoring_run import score

    screen = Screen(quiet=quiet, verbose=verbose)
    with copied_if_standard_input(given["regions"]) as regions:
        found: dict[str, Any] = {"default_target": not is_given(context, "targets"), "regions": regions}
        if given["rule"] == ISM:
            found |= {"reference": None, "n_references": 0}
        own = given | chosen_models(given) | found
        options = ScoreOptions(**with_format_options(context, own, ScoreOptions))
        with screen.progress() as progress, unusable_options(context):
            summary, written = score(options, screen, progress)
    return exit_code_of(summary, written, screen)


def _refuse_contradictions(context: click.Context, given: dict[str, Any]) -> None:
    """Refuse options that contradict each other (exit code 2)."""

    if given["fasta"] and (given["genome"] or given["regions"]):
        raise click.UsageError("give either --fasta, or --genome with --regions")
    if not given["fasta"] and not (given["genome"] and given["regions"]):
        if given["genome"]:
            raise click.UsageError("--regions is missing: --genome needs the regions, as BED or narrowPeak")
        if given["regions"]:
            raise click.UsageError("--genome is missing: --regions needs the FASTA file of the chromosomes")
        raise click.UsageError("give --fasta, or --genome with --regions")
    refuse_without_regions(given)
    refuse_contradictory_layout(given)
    if given["rule"] == ISM:
        _refuse_options_of_references(context, given)
    refuse_contradicting_references(context, given)
    if given["control_variate"]:
        _refuse_control_variate(given)
    if (is_given(context, "overlap") or is_given(context, "chrom_sizes")) and not given["bigwig"]:
        raise click.UsageError("--overlap and --chrom-sizes go with --bigwig")
    refuse_contradicting_shard(given)
    if given["shard"] and given["regions"] == STANDARD_INPUT:
        raise click.UsageError("--shard does not go with --regions -: save the regions to a file first")
    if given["shard"] and given["bigwig"]:
        raise click.UsageError("--shard does not go with --bigwig: deeplift merge makes it, of all shares")
    refuse_names_of_outputs(given, of_shards=("out", "save_references"), of_targets=("out", "bigwig"))


def _refuse_control_variate(given: dict[str, Any]) -> None:
    """Refuse the control variate with references for which it is not defined, or too few of them."""
    kind, _ = deeplift_references.parse_spec(given["reference"])
    if not kind.has_expectation:
        usable = " or ".join(
            name for name, other in deeplift_references.kinds().items() if other.has_expectation
        )
        raise click.UsageError(
            f"--control-variate needs references that are independent draws of known expectation: {usable}, "
            f"not {kind.name}"
        )
    if given["n_references"] < _LEAST_FOR_CONTROL_VARIATE:
        raise click.UsageError(
            f"--control-variate needs --n-references {_LEAST_FOR_CONTROL_VARIATE} or more: with fewer, the "
            "correction can add more noise than it takes away"
        )


# Options that say what references are, or what is made of them.
_OF_REFERENCES = (
    "reference",
    "n_references",
    "frequencies",
    "save_references",
    "standard_errors",
    "control_variate",
)


def _refuse_options_of_references(context: click.Context, given: dict[str, Any]) -> None:
    """Refuse options that say nothing about in-silico mutagenesis (exit code 2)."""
    names = [f"--{name.replace('_', '-')}" for name in _OF_REFERENCES if is_given(context, name)]
    if names:
        raise click.UsageError(f"--rule ism takes no references; leave out {', '.join(names)}")
    if given["max_completeness_error"] is not None:
        raise click.UsageError("--rule ism has no summation-to-delta; leave out --max-completeness-error")
    if given["layer_rules"]:
        raise click.UsageError("--layer-rule does not go with --rule ism, which runs forward passes only")
    if given["compile"] == "on":
        raise click.UsageError("--compile on does not go with --rule ism, which compiles nothing")
