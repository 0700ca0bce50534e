"""Tables of what was measured, in the pages of docs/."""

from collections.abc import Iterable
from pathlib import Path


def table(header: str, rows: Iterable[list[str]]) -> str:
    """A markdown table; ``header`` has its columns separated by |."""
    columns = header.split("|")
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cell.strip() for cell in line)} |" for line in lines)


def insert(page: Path, text: str, name: str = "measured") -> None:
    """Replace what stands between the page's two marks of this name."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, found, rest = page.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise SystemExit(f"{page} has no {begin} with {end} behind it")
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}")
