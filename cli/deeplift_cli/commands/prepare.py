"""`deeplift prepare`: makes the index of an input once for all shards of a job."""

from pathlib import Path
from typing import Any

import click

from deeplift_cli.commands.record_options import LENGTH, RECORD_OPTIONS, refuse_without_regions
from deeplift_cli.commands.shared_options import FILE, with_options
from deeplift_cli.commands.single_values import OnceCommand
from deeplift_cli.errors import UserError
from deeplift_cli.process.fast_imports import without_garbage_collection
from deeplift_cli.process.standard_input import STANDARD_INPUT

_OPTIONS = (
    click.option("-f", "--fasta", type=FILE, help="Sequences (.gz too)."),
    click.option("-g", "--genome", type=FILE, help="Genome FASTA (.gz too)."),
    click.option("-r", "--regions", "--peaks", type=FILE, help="BED or narrowPeak, with --genome."),
    click.option("--length", type=LENGTH, metavar="L",
                 help="Width of the windows: the model's, or --length of score. With --fasta only where "
                      "score gets --length, too.  [default: that of the first record]"),
    *RECORD_OPTIONS,
)  # fmt: skip


@click.command("prepare", cls=OnceCommand, context_settings={"help_option_names": ["-h", "--help"]})
@with_options(_OPTIONS)
@click.option("-q", "--quiet", is_flag=True, help="Print no notes and no report.")
def command(
    fasta: Path | None,
    genome: Path | None,
    regions: Path | None,
    length: int | None,
    quiet: bool,
    **chosen: Any,
) -> int:
    """Prepare an input, so that many shards of it start at once.

    \b
    deeplift prepare -g hg38.fa -r peaks.narrowPeak --length 2114
    deeplift prepare -f peaks.fa
    deeplift prepare -g hg38.fa.gz

    Makes files in the cache (DEEPLIFT_CACHE) that the first of many `deeplift score --shard` would make while
    the others wait: the index of the input, with which each shard reads only its own records, and for a
    genome its index, or an unpacked copy of a gzip file. Files that exist are not made again. An index serves
    jobs with the same length and the same options that choose records.
    """
    if fasta and (genome or regions):
        raise click.UsageError("give either --fasta, or --genome, with --regions or without")
    if not fasta and not genome:
        raise click.UsageError("give --fasta, or --genome, with --regions or without")
    if length is not None and not (fasta or regions):
        raise click.UsageError("--length goes with --fasta or --regions")
    if regions == STANDARD_INPUT:
        raise click.UsageError("--regions - cannot be prepared: save the regions to a file first")
    refuse_without_regions({"regions": regions, **chosen})
    with without_garbage_collection():
        from deeplift_cli.process.screen import Screen
        from deeplift_cli.process.steps import step
        from deeplift_cli.process.terminal_text import printable
        from deeplift_cli.sequences import InputIndex, Skipped, make_selection, open_prepared_source
        from deeplift_cli.sequences.genome import Genome
        from deeplift_cli.sequences.genome_files import cached_files

    screen = Screen(quiet=quiet)
    lines = list[str]()
    if genome is not None:
        with step("preparing", genome):
            before = cached_files(genome)
            sizes = Genome(genome, screen.note).sizes
            made = [path for path in cached_files(genome) if path not in before]
        report = f"made {', '.join(map(str, made))}" if made else "its index is there already"
        lines.append(f"{genome}: {len(sizes):,} sequence(s), {sum(sizes.values()):,} bp; {report}")
    records = fasta or regions
    if records is not None:
        with step("preparing", records):
            selection = make_selection(**chosen, fit=fasta is not None and length is not None)
            source = open_prepared_source(fasta, genome, regions, screen.note, selection)
            length = length or source.first_length()
            index = InputIndex(source, length, screen.note)
            if not index.n_usable:
                first = next(record for record in source.records(length) if isinstance(record, Skipped))
                raise UserError(
                    f"{records} has no record that can be scored with {length:,} bp; the first, {first.name} "
                    f"(line {first.line}), {first.reason}"
                )
        report = f"made its index, {index.path}" if index.is_new else "its index is there already"
        lines.append(
            f"{records}: {index.n_records:,} record(s), of which {index.n_usable:,} can be scored with "
            f"{length:,} bp; {report}"
        )
    screen.show([printable(line) for line in lines])
    return 0
