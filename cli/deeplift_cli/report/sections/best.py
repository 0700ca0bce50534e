"""Logos of the best sequences, which page/report.js draws."""

from deeplift_cli.report.content import Report
from deeplift_cli.report.sections.base import Section

COUNT = 8  # logos
FIRST_VIEW = 100  # bases that are shown as letters at first


def section(report: Report) -> Section:
    """Return the section."""
    is_long = report.reader.layout.length > FIRST_VIEW
    strip = (
        " The strip shows the whole window; the letters below are the stretch with the largest contributions."
    )
    return Section(
        "best",
        "Best sequences",
        "<p>The sequences whose output is farthest from that of their references."
        f"{strip if is_long else ''} Letters are as high as the contribution of the base. Compared with "
        "the references, letters above the axis raise the output, and letters that hang below lower it.</p>"
        '<div id="best-logos" class="cards"></div>',
    )
