"""The strongest seqlets, and the motifs that they match."""

from collections.abc import Iterator

from deeplift_cli.report.charts import shown
from deeplift_cli.report.content import Report
from deeplift_cli.report.sections.base import Section, plural, shown_text, table
from deeplift_cli.report.seqlets import CERTAIN, Motif, Seqlet, SeqletTable

_FLANK = 3  # bases that a small logo shows on both sides of the seqlet
_NOTHING = "\N{EN DASH}"


def section(report: Report) -> Section | None:
    """Return the section; None without a file of seqlets."""
    found = report.seqlets
    return None if found is None else Section("seqlets", "Seqlets", "".join(_parts(found)))


def _parts(found: SeqletTable) -> Iterator[str]:
    counted = plural(found.count, "seqlet")
    text = f"{shown_text(found.path.name)} has {counted}, short spans of large contributions"
    if found.count_negative:
        text += f" ({found.count_negative:,} of negative ones)"
    if found.has_motifs:
        text += f". {found.count_matched:,} match a known motif at a false discovery rate of {CERTAIN:g}"
    yield f"<p>{text}.</p>"
    if found.motifs:
        caption = "Motifs, by the sum of the absolute contributions"
        if found.n_motifs > len(found.motifs):
            caption += f"; the first {len(found.motifs)} of {found.n_motifs:,}"
        heads = ("motif", "seqlets", "mean contribution", "strongest seqlets")
        yield table(caption, heads, map(_motif_cells, found.motifs), "motifs")
    if found.top:
        matches = ["best match", "q-value"] if found.has_motifs else []
        columns = ["seqlet", "region", "contribution", "p-value", *matches]
        caption = f"The {len(found.top)} strongest of {counted}"
        yield table(caption, columns, (_cells(one, found.has_motifs) for one in found.top), "seqlets")


def _motif_cells(motif: Motif) -> list[str]:
    logos = "".join(f'<span class="mini-box">{_logo(seqlet)}</span>' for seqlet in motif.best)
    return [shown_text(motif.name), f"{motif.count:,}", shown(motif.total / motif.count), logos]


def _cells(seqlet: Seqlet, has_motifs: bool) -> list[str]:
    link = (
        f'<button type="button" class="link" {_opening(seqlet)} data-name="{seqlet.row}">'
        f"row {seqlet.row:,}</button>"
    )
    cells = [_logo(seqlet), link, shown(seqlet.contribution), shown(seqlet.p_value)]
    if has_motifs:
        named = f"{shown_text(seqlet.motif)} ({shown_text(seqlet.strand)})"
        cells += [named, shown(seqlet.q_value)] if seqlet.motif else [_NOTHING, _NOTHING]
    return cells


def _logo(seqlet: Seqlet) -> str:
    """Return a button that opens the region; its letters are shown until page/report.js draws the logo."""
    return (
        f'<button type="button" class="mini" {_opening(seqlet)} data-flank="{_FLANK}">'
        f"{shown_text(seqlet.sequence)}</button>"
    )


def _opening(seqlet: Seqlet) -> str:
    return f'data-open="{seqlet.row}" data-from="{seqlet.start}" data-to="{seqlet.end}"'
