"""How the scores were made."""

from deeplift_cli.report.content import Report
from deeplift_cli.report.sections.base import Section, definitions
from deeplift_cli.show.text import facts


def section(report: Report) -> Section:
    """Return the section."""
    made = [("score file", str(report.reader.path)), ("page made by", f"deeplift {report.version}")]
    return Section("run", "Run", definitions([*facts(report.reader), *made]))
