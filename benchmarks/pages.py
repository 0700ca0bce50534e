"""Tables of what was measured, in the pages of docs/."""

from collections.abc import Iterable
from pathlib import Path

MARKS = ("<!-- measured: begin -->", "<!-- measured: end -->")


def table(header: str, rows: Iterable[list[str]]) -> str:
    """A markdown table; ``header`` has its columns separated by |."""
    columns = header.split("|")
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cell.strip() for cell in line)} |" for line in lines)


def insert(page: Path, text: str) -> None:
    """Replace what stands between the page's two marks."""
    before, _, rest = page.read_text().partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    page.write_text(f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{after}")
