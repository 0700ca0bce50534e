"""What a section of the page is, and the parts of which sections are made."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from deeplift_cli.markup import escaped
from deeplift_cli.outputs.datasets import ScoreLayout
from deeplift_cli.process.terminal_text import printable


@dataclass(frozen=True)
class Section:
    """A section: the target of its link, its title, its content as HTML."""

    id: str
    title: str
    body: str


def definitions(rows: Iterable[tuple[str, str]]) -> str:
    """Return labels and plain texts as a list of definitions."""
    items = (f"<div><dt>{escaped(label)}</dt><dd>{shown_text(value)}</dd></div>" for label, value in rows)
    return f'<dl class="facts">{"".join(items)}</dl>'


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]], kind: str) -> str:
    """Return a table.

    Parameters
    ----------
    caption : str
    heads : sequence of str
        The headings of the columns.
    rows : iterable of sequence of str
        Cells as HTML; the first cell of a row is its heading.
    kind : str
        The CSS class.
    """
    head = "".join(f'<th scope="col">{escaped(name)}</th>' for name in heads)
    body = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in others)}</tr>'
        for first, *others in rows
    )
    return (
        f'<div class="scroll"><table class="{kind}"><caption>{escaped(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def figure(drawn: str, caption: str) -> str:
    """Return a chart with its caption, both HTML."""
    return f"<figure>{drawn}<figcaption>{caption}</figcaption></figure>"


def shown_text(text: str) -> str:
    """Return a text from a file as HTML, on one line, with control characters escaped."""
    return escaped(printable(text))


def best_by(layout: ScoreLayout) -> str:
    """Return the relative clause that says which sequences are best, and are listed first."""
    if layout.has_references:
        return "whose output is farthest from that of their references"
    return "whose output is farthest from 0"


def compared_with(layout: ScoreLayout) -> str:
    """Return the words for what a contribution compares the observed base with."""
    return "the references" if layout.has_references else "the mean over the four bases"


def plural(count: int, noun: str) -> str:
    """Return a number of things."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
