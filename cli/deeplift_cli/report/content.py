"""Everything that the page of one score file shows."""

from dataclasses import dataclass

from deeplift_cli.outputs.score_reader import ScoreReader
from deeplift_cli.report.contributions import Contributions
from deeplift_cli.report.listing import Listing
from deeplift_cli.report.marks import Marks
from deeplift_cli.report.numbers import Numbers
from deeplift_cli.report.quality import Quality
from deeplift_cli.report.seqlets import SeqletTable
from deeplift_cli.report.trust import CheckTable


@dataclass(frozen=True)
class Report:
    """The content of a page.

    Attributes
    ----------
    title : str
    reader : ScoreReader
    numbers : Numbers
    contributions : Contributions
    quality : Quality
    listing : Listing
    seqlets : SeqletTable or None
    marks : Marks
        The seqlets of the listed regions.
    check : CheckTable or None
    version : str
        The version of deeplift that makes the page.
    """

    title: str
    reader: ScoreReader
    numbers: Numbers
    contributions: Contributions
    quality: Quality
    listing: Listing
    seqlets: SeqletTable | None
    marks: Marks
    check: CheckTable | None
    version: str
