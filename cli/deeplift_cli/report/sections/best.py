"""Logos of the best sequences, which page/report.js draws."""

from deeplift_cli.report.content import Report
from deeplift_cli.report.sections.base import Section, best_by, compared_with

COUNT = 8  # logos
FIRST_VIEW = 100  # bases that are shown as letters at first


def section(report: Report) -> Section:
    """Return the section."""
    layout = report.reader.layout
    is_long = layout.length > FIRST_VIEW
    strip = (
        " The strip shows the whole window; the letters below are the stretch with the largest contributions."
    )
    return Section(
        "best",
        "Best sequences",
        f"<p>The sequences {best_by(layout)}."
        f"{strip if is_long else ''} Letters are as high as the contribution of the base. Compared with "
        f"{compared_with(layout)}, letters above the axis raise the output, and letters that hang below "
        "lower it.</p>"
        '<div id="best-logos" class="cards"></div>',
    )
