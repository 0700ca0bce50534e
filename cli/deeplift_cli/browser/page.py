"""The page index.html: igv.js with the tracks, in one file that needs nothing from the internet.

The page holds igv.js itself. Where the data are small the page holds them, too, and opens from disk;
otherwise it reads the files beside it, which browsers allow only if a web server gives them.

Names of tracks and regions come from files of other people. They are data in JSON, in which "<" is escaped,
and never part of the page's code. A content security policy runs only the page's two scripts, which it names
by their SHA-256, and allows no connection to another host.
"""

import base64
import gzip
import html
from importlib import resources
from typing import Any

from deeplift_cli.browser.contents import LETTERS, LETTERS_FAI, LETTERS_GZI, Contents, locus_text
from deeplift_cli.browser.windows import Stretch, Window, first_view
from deeplift_cli.markup import policy_source, script_json

LARGEST_EMBEDDED = 20_000_000  # bytes of data that a page may hold
_HEIGHT = 160  # pixels of a track of letters
_PACKAGE = "deeplift_cli.browser"


def fits_page(contents: Contents, n_letters: int) -> bool:
    """Return whether the data of a page are below 20 MB, so that the page can hold them.

    Parameters
    ----------
    contents : Contents
        What the page shows.
    n_letters : int
        The number of the genome's letters that the page needs.
    """
    size = sum(signal.path.stat().st_size for signal in contents.signals)
    size += sum(len(annotation.text) for annotation in contents.annotations)
    return size + n_letters < LARGEST_EMBEDDED


def page(contents: Contents, letters: bytes | None, serve: str) -> bytes:
    """Return index.html.

    Parameters
    ----------
    contents : Contents
        What the page shows.
    letters : bytes or None
        FASTA text of the shown parts of the genome, if the page is to hold its data.
    serve : str
        The command that serves the folder, for readers who open a page from disk that does not hold its data.
    """
    genome: dict[str, Any] = {"id": _label(contents.assembly or contents.genome_name)}
    if letters is None:
        genome |= {"fastaURL": LETTERS, "indexURL": LETTERS_FAI, "compressedIndexURL": LETTERS_GZI}
    else:
        genome |= {"fastaURL": _data_url(gzip.compress(letters, mtime=0), "application/gzip")}
    config = {
        "embedded": letters is not None,
        "serve": serve,
        "reference": genome,
        "locus": _locus(contents.locus),
        "tracks": _tracks(contents, embedded=letters is not None),
        "windows": [_window(window) for window in contents.windows],
    }
    library = _vendored("igv.min.js").partition("\n//# sourceMappingURL=")[0]
    own = _own("page.js")
    policy = (
        f"default-src 'none'; script-src {policy_source(library)} {policy_source(own)}; "
        "style-src 'unsafe-inline'; img-src 'self' data: blob:; font-src data:; "
        "connect-src 'self' data: blob:; base-uri 'none'; form-action 'none'"
    )
    return (
        _own("page.html")
        .format_map(
            _Parts(
                policy=policy, style=_own("page.css"), config=script_json(config), library=library, own=own
            )
        )
        .encode()
    )


def library_license() -> str:
    """Return the licence of igv.js, which accompanies each copy of it."""
    return _vendored("LICENSE")


class _Parts(dict[str, str]):
    """The parts of a page; one that is missing is an error."""


def _tracks(contents: Contents, *, embedded: bool) -> list[dict[str, Any]]:
    signals = [
        {
            "type": "wig",
            "format": "bigwig",
            "graphType": "dynseq",
            "name": _label(signal.name),
            "url": _data_url(signal.path.read_bytes()) if embedded else signal.file,
            "height": _HEIGHT,
            "autoscale": True,
            **({"autoscaleGroup": "contributions"} if len(contents.signals) > 1 else {}),
        }
        for signal in contents.signals
    ]
    annotations = [
        {
            "type": "annotation",
            "format": "bed",
            "indexed": False,
            "delimiter": "\t",  # names may hold blanks
            "name": _label(annotation.name),
            "url": _data_url(annotation.text, "text/plain") if embedded else annotation.file,
            "displayMode": "EXPANDED",
            "height": 60,
            "searchable": True,
        }
        for annotation in contents.annotations
    ]
    return signals + annotations


def _window(window: Window) -> list[str]:
    """Return a region for the page's list: its name, its view of letters, its whole place."""
    return [window.name, _locus(first_view(window)), _locus(window)]


def _locus(part: Stretch | Window) -> str:
    """Return a place as igv.js reads it: with tabs if the chromosome's name has a colon."""
    if ":" in part.chrom:
        return f"{part.chrom}\t{part.start + 1}\t{part.end}"
    return locus_text(part)


def _label(name: str) -> str:
    """Return the name of a track for igv.js, which takes it for HTML."""
    return html.escape(name, quote=False)


def _data_url(content: bytes, kind: str = "application/octet-stream") -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _own(name: str) -> str:
    return (resources.files(_PACKAGE) / "page" / name).read_text(encoding="utf-8")


def _vendored(name: str) -> str:
    return (resources.files(_PACKAGE) / "vendored" / name).read_text(encoding="utf-8")
