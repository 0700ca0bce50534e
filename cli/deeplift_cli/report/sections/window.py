"""Means along the window: contributions, and the composition of bases."""

from deeplift_cli.report.charts import lines
from deeplift_cli.report.content import Report
from deeplift_cli.report.sections.base import Section, figure, plural

_BASES = "ACGT"


def section(report: Report) -> Section:
    """Return the section."""
    found, rows, length = report.contributions, report.reader.n_rows, report.reader.layout.length
    start = -(length // 2)
    known = int(found.bases.sum())
    shares = (found.bases.sum(axis=1) / max(1, known)).tolist()
    in_all = ", ".join(f"{base} {share:.1%}" for base, share in zip(_BASES, shares, strict=True))
    unknown = rows * length - known
    if unknown:
        in_all += f", without the {unknown / (rows * length):.2%} of positions that have no base"
    scores = {"size": found.mean_size, "mean": found.mean}
    bases = {base.lower(): found.bases[place] / max(1, rows) for place, base in enumerate(_BASES)}
    drawn = lines(scores, start, "contribution", "mean contribution at each position, signed and absolute")
    composition = lines(bases, start, "share of sequences", f"bases at each position; in all {in_all}")
    keys = "".join(f"{_key(base.lower())} {base} " for base in _BASES)
    return Section(
        "window",
        "Along the window",
        f"<p>Means over {plural(rows, 'sequence')}, in the direction of the genome.</p>"
        '<div class="figures">'
        + figure(drawn, f"{_key('size')} mean absolute contribution {_key('mean')} mean contribution")
        + figure(composition, f"{keys}<br>In all {in_all}")
        + "</div>",
    )


def _key(kind: str) -> str:
    return f'<span class="key {kind}"></span>'
