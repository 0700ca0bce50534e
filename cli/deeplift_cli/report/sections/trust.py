"""How far the scores can be trusted, as `deeplift check` measured."""

from deeplift_cli.report.content import Report
from deeplift_cli.report.sections.base import Section, plural, shown_text, table


def section(report: Report) -> Section | None:
    """Return the section, if a file of `deeplift check` was given."""
    check = report.check
    if check is None:
        return None
    caption = (
        f"Measured on {plural(check.sequences, 'sequence')} by deeplift check: medians, with quartiles in "
        "brackets."
    )
    rows = ([shown_text(cell) for cell in row] for row in check.rows)
    return Section("trust", "Trust", table(caption, ("measured", "value", "normal"), rows, "plain"))
