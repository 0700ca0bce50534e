"""The table of all regions, which page/report.js fills, searches and sorts."""

from deeplift_cli.report.content import Report
from deeplift_cli.report.page_files import page_file
from deeplift_cli.report.sections.base import Section, best_by

# Columns that compare a sequence with its references, which in-silico mutagenesis does not have.
_OF_REFERENCES = ("difference", "error")
# The key of each column in page/report.js, its heading, and what the heading says when it is pointed at.
_COLUMNS = (
    ("rank", "rank", "order in which the sequences are best"),
    ("name", "region", "name of the region"),
    ("place", "place", "0-based and half-open, as in BED"),
    ("prediction", "prediction", "the model's own output"),
    ("output", "output", "the explained scalar: a logit, if a final sigmoid or softmax was left out"),
    ("difference", "difference", "output minus its mean over the references: the sum of contributions"),
    ("error", "error of sum", "largest absolute error of summation-to-delta over the references"),
)
_NOISE = ("noise", "noise", "standard error over the references, as a share of the contributions")


def section(report: Report) -> Section:
    """Return the section."""
    listed, every, logos = len(report.listing.rows), report.reader.n_rows, len(report.listing.logos)
    which = "all regions" if listed == every else f"the best {listed:,} of {every:,} regions"
    drawn = "with the logo of each" if logos == listed else f"and logos of the best {logos:,} of {every:,}"
    columns = list(_COLUMNS) if report.quality.noise is None else [*_COLUMNS, _NOISE]
    if not report.reader.layout.has_references:
        columns = [column for column in columns if column[0] not in _OF_REFERENCES]
    body = page_file("regions.html").format_map(
        {
            "told": f"{which}, {drawn}",
            "best": best_by(report.reader.layout),
            "heads": "".join(_head(*column) for column in columns),
        }
    )
    return Section("regions", "Regions", body)


def _head(key: str, label: str, told: str) -> str:
    sort = "ascending" if key == "rank" else "none"
    button = f'<button type="button" data-sort="{key}" title="{told}">{label}</button>'
    return f'<th scope="col" aria-sort="{sort}">{button}</th>'
