"""Track hubs: for the UCSC browser, and the same tracks for the WashU browser.

The settings of a UCSC hub are those of its trackDb documentation: `track` begins with a letter and holds only
letters, digits, "_" and "-"; a `shortLabel` has at most 17 characters, a `longLabel` at most 76; `logo on`
draws a bigWig as letters. The WashU browser reads a list of tracks in JSON, in which the type `dynseq` draws
letters. URLs are relative, so that the folder works wherever a web server has it.
"""

import json
import re

from deeplift_cli.browser.contents import GENOMES, TRACKDB, Contents, locus_text
from deeplift_cli.outputs.narrowpeak import one_column

_SHORT, _LONG = 17, 76  # characters of UCSC's labels
_NAME = "deeplift"


def ucsc_hub(contents: Contents) -> dict[str, str]:
    """Return the texts of a hub's three files.

    Parameters
    ----------
    contents : Contents
        The content of a browser with a known assembly.

    Returns
    -------
    dict of str to str
        "hub", "genomes" and "trackDb".
    """
    assert contents.assembly is not None
    label = "DeepLIFT contribution scores"
    hub = [
        ("hub", _NAME),
        ("shortLabel", "DeepLIFT"),
        ("longLabel", label),
        ("genomesFile", GENOMES),
        ("email", "nobody@example.org"),
    ]
    genomes = [
        ("genome", contents.assembly),
        ("trackDb", TRACKDB),
        ("defaultPos", locus_text(contents.locus)),
    ]
    tracks = list[str]()
    for number, signal in enumerate(contents.signals, 1):
        tracks.append(
            _stanza(
                [
                    ("track", f"{_NAME}_{number}_{_identifier(signal.name)}"),
                    ("type", "bigWig"),
                    ("bigDataUrl", signal.file),
                    ("shortLabel", _label(signal.name, _SHORT)),
                    ("longLabel", _label(f"{signal.name}: {label}", _LONG)),
                    ("visibility", "full"),
                    ("logo", "on"),
                    ("autoScale", "on"),
                    ("alwaysZero", "on"),
                    ("maxHeightPixels", "200:100:16"),
                    ("priority", str(number)),
                ]
            )
        )
    return {"hub": _stanza(hub), "genomes": _stanza(genomes), "trackDb": "\n".join(tracks)}


def washu_hub(contents: Contents) -> str:
    """Return the list of tracks for the WashU browser."""
    tracks = [
        {
            "type": "dynseq",
            "name": signal.name,
            "url": signal.file,
            "showOnHubLoad": True,
            "options": {"height": 100},
        }
        for signal in contents.signals
    ]
    return json.dumps(tracks, indent=2) + "\n"


def _stanza(settings: list[tuple[str, str]]) -> str:
    return "".join(f"{name} {value}\n" for name, value in settings)


def _identifier(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:64]


def _label(text: str, longest: int) -> str:
    """Return a label on one line, of printable characters, cut to a length."""
    line = "".join(letter for letter in one_column(text) if letter.isprintable()).strip() or _NAME
    return line if len(line) <= longest else line[: longest - 3] + "..."
