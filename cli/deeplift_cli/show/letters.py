"""A region's sequence as letters: strong contributions in upper case, and in colour on a terminal."""

import sys

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.text import Text

from deeplift_cli.sequences.names import printed
from deeplift_cli.show.contents import Row
from deeplift_cli.show.text import place

_STRONG = 0.25  # fraction of the region's largest absolute contribution
_COLOURS = {"A": "green", "C": "blue", "G": "yellow", "T": "red"}  # the colours of sequence logos
_GROUP = 10  # the number of letters in a line is a multiple of this


def screen_of_stdout() -> Console:
    """Return a console on standard output, with colours only on a terminal, and none if NO_COLOR is set."""
    # The stream itself is asked, since rich treats FORCE_COLOR as a terminal.
    on_terminal = sys.stdout is not None and sys.stdout.isatty()
    return Console(force_terminal=on_terminal, highlight=False, soft_wrap=True, emoji=False, markup=False)


def as_letters(row: Row, screen: Console) -> list[str]:
    """Return lines for a screen.

    A position is strong if its absolute contribution is at least a quarter of the region's largest. The
    letter of a strong position is upper case; on a terminal the letter is bold and has the colour of its
    base, and is reversed if the contribution is negative.

    Parameters
    ----------
    row : Row
    screen : rich Console
        On a terminal, a line about the region comes first, and the letters are split into lines that begin
        with the place of their first letter. Otherwise all letters are one line, without any other text.
    """
    text = _text(row.sequence, row.contributions)
    if not screen.is_terminal:
        return [text.plain]
    explained = row.explained
    head = f"{printed(explained.region.name)}  {place(explained.region)}  output {explained.output:.4g}"
    if explained.difference is not None:
        head += f", difference from the references {explained.difference:+.4g}"
    start = explained.region.start
    margin = len(f"{explained.region.end:,}")
    width = max(_GROUP, (screen.width - margin - 2) // _GROUP * _GROUP)
    lines = [Text(head)]
    for first in range(0, len(text), width):
        lines.append(Text(f"{start + first:>{margin},}  ") + text[first : first + width])
    with screen.capture() as captured:
        for line in lines:
            screen.print(line)
    return captured.get().splitlines()


def _text(sequence: npt.NDArray[np.int8], contributions: npt.NDArray[np.float32]) -> Text:
    largest = float(np.abs(contributions).max(initial=0.0))
    strong = (np.abs(contributions) >= _STRONG * largest) & (contributions != 0)
    letters = np.where(sequence.any(axis=0), np.array(list("ACGT"))[sequence.argmax(axis=0)], "N")
    text = Text()
    for letter, is_strong, value in zip(
        letters.tolist(), strong.tolist(), contributions.tolist(), strict=True
    ):
        if is_strong and letter in _COLOURS:
            text.append(letter, f"bold {_COLOURS[letter]}" + (" reverse" if value < 0 else ""))
        else:
            text.append(letter.lower(), "dim")
    return text
