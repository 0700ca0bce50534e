"""The sections of the page, a module for each; a further section is a further module, named here.

Parts that change when the reader searches, sorts or opens a region are empty, and filled by page/report.js.
"""

from collections.abc import Callable, Sequence

from deeplift_cli.report.content import Report
from deeplift_cli.report.sections import best, quality, regions, run, seqlets, trust, window
from deeplift_cli.report.sections.base import Section

_SECTIONS: Sequence[Callable[[Report], Section | None]] = (
    best.section, seqlets.section, regions.section, window.section, quality.section, trust.section,
    run.section,
)  # fmt: skip


def sections_of(report: Report) -> list[Section]:
    """Return the sections of a page, in their order; some need a file that was not given."""
    made = (make(report) for make in _SECTIONS)
    return [section for section in made if section is not None]
