"""What a browser shows: tracks, letters, regions; and the names of the files in its folder."""

from dataclasses import dataclass
from pathlib import Path

from deeplift_cli.browser.windows import Stretch, Window

PAGE, LICENSE, FILES = "index.html", "igv.js-LICENSE.txt", "files.json"
SESSION, WASHU = "igv_session.xml", "washu_hub.json"
HUB, GENOMES, TRACKDB = "hub.txt", "genomes.txt", "trackDb.txt"
LETTERS, LETTERS_FAI, LETTERS_GZI = "sequence.fa.gz", "sequence.fa.gz.fai", "sequence.fa.gz.gzi"
WINDOWS = "windows.bed"
FIXED = (
    PAGE, LICENSE, FILES, SESSION, WASHU, HUB, GENOMES, TRACKDB, LETTERS, LETTERS_FAI, LETTERS_GZI, WINDOWS,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Signal:
    """A bigWig that is shown as letters: its path, its name on the screen, its file in the folder."""

    path: Path
    name: str
    file: str


@dataclass(frozen=True, slots=True)
class Annotation:
    """Regions that are shown as boxes: their BED text, their name on the screen, their file in the folder."""

    text: bytes
    name: str
    file: str


@dataclass(frozen=True, slots=True)
class Contents:
    """Everything that the page, the session and the hubs say.

    Attributes
    ----------
    signals : tuple of Signal
    annotations : tuple of Annotation
        The first are the scored windows.
    windows : tuple of Window
        The regions that the page lists, in their order.
    locus : Stretch
        The first view.
    assembly : str or None
        The name of the genome assembly, where it is known.
    genome_name : str
        The genome's name on the screen.
    """

    signals: tuple[Signal, ...]
    annotations: tuple[Annotation, ...]
    windows: tuple[Window, ...]
    locus: Stretch
    assembly: str | None
    genome_name: str


def locus_text(part: Stretch | Window) -> str:
    """Return a place as browsers write it: 1-based, both ends included."""
    return f"{part.chrom}:{part.start + 1}-{part.end}"
