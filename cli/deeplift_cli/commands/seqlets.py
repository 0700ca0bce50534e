"""`deeplift seqlets`: the spans of large contributions in a score file, as BED."""

from pathlib import Path

import click

from deeplift_cli.commands.shared_options import FILE, new_file, parsed, with_options

_LONGEST = 100  # bp; the time and memory of the null distributions grow with the square

_OPTIONS = (
    click.argument("scores", type=FILE, metavar="SCORES.h5"),
    click.option("-o", "--out", required=True, callback=parsed(new_file), metavar="FILE.bed",
                 help="The BED file to write; compressed by bgzip where the name ends in .gz."),
    click.option("--motifs", type=FILE, metavar="FILE.meme",
                 help="Known motifs (MEME or JASPAR): also report the best match of each seqlet."),
    click.option("--p-value", type=click.FloatRange(0, 1, min_open=True), default=0.01, show_default=True,
                 help="Threshold for the p-value of a seqlet and of all spans in it."),
    click.option("--min-length", type=click.IntRange(1, _LONGEST), default=4, show_default=True, metavar="BP",
                 help="Shortest seqlet."),
    click.option("--max-length", type=click.IntRange(1, _LONGEST), default=25, show_default=True,
                 metavar="BP", help="Longest seqlet."),
    click.option("--additional-flanks", type=click.IntRange(0, 1000), default=0, show_default=True,
                 metavar="BP", help="Bases that are added on both sides of each seqlet."),
    click.option("--negative", is_flag=True, help="Also find seqlets of negative contributions."),
    click.option("--overwrite", is_flag=True, help="Replace an output that exists."),
    click.option("-q", "--quiet", is_flag=True, help="Print no summary."),
)  # fmt: skip
_CERTAIN = 0.1  # the false discovery rate below which the summary counts matches


@click.command("seqlets", context_settings={"help_option_names": ["-h", "--help"]})
@with_options(_OPTIONS)
def command(
    scores: Path,
    out: Path,
    motifs: Path | None,
    p_value: float,
    min_length: int,
    max_length: int,
    additional_flanks: int,
    negative: bool,
    overwrite: bool,
    quiet: bool,
) -> int:
    """Find seqlets: short spans of unusually large contributions.

    \b
    deeplift seqlets scores.h5 -o seqlets.bed
    deeplift seqlets scores.h5 -o seqlets.bed.gz --motifs jaspar.meme

    The method is tangermeme's: a seqlet is a span in which every part of at least --min-length bases has a
    sum of contributions that is unlikely among all contributions of the file. Tomtom (memelite) compares the
    letters of each seqlet with the motifs. The extra "motifs" installs both.
    """
    if min_length > max_length:
        raise click.UsageError(f"--min-length {min_length} is larger than --max-length {max_length}")
    # These modules import h5py and numpy, for which --help should not wait.
    from deeplift_cli.motifs.run import SeqletOptions, write_seqlets
    from deeplift_cli.process.screen import Screen
    from deeplift_cli.process.terminal_text import printable

    screen = Screen(quiet=quiet)
    options = SeqletOptions(
        scores=scores,
        out=out,
        motifs=motifs,
        p_value=p_value,
        min_length=min_length,
        max_length=max_length,
        additional_flanks=additional_flanks,
        negative=negative,
        overwrite=overwrite,
    )
    written = write_seqlets(options, screen.note)
    count = f"{written.n_positive:,}"
    if negative:
        count += f" of positive and {written.n_negative:,} of negative contributions"
    else:
        count += " of positive contributions; --negative finds those of negative ones, too"
    rows = [("sequences", f"{written.n_sequences:,}"), ("seqlets", count)]
    if written.n_elsewhere:
        rows.append(("left out", f"{written.n_elsewhere:,} that another, overlapping window has, too"))
    if motifs is not None:
        certain = int((written.q_values <= _CERTAIN).sum())
        rows.append(
            ("matches", f"{certain:,} at a false discovery rate of {_CERTAIN}; {written.n_motifs:,} motifs")
        )
    rows.append(("written", printable(str(out))))
    screen.show([f"{label:<18}  {text}" for label, text in rows])
    return 0
