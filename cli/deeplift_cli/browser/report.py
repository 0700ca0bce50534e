"""The lines that say what was made, and how to look at it."""

import shlex
from pathlib import Path

from deeplift_cli.browser import contents as files
from deeplift_cli.browser.build import Built
from deeplift_cli.process.terminal_text import printable

_LABEL = 18


def as_lines(built: Built, out: Path, *, served: bool) -> list[str]:
    """Return the lines of the summary.

    Parameters
    ----------
    built : Built
        What was made.
    out : Path
        The folder.
    served : bool
        True if the command serves the folder itself.
    """
    shown = built.contents
    page = out / files.PAGE
    how = f"open {page}"
    if not built.embedded:
        how = f"deeplift browser -o {shlex.quote(str(out))} --serve 8000"
    assembly = shown.assembly or "not known: no hub for UCSC; give --assembly if UCSC has this genome"
    tracks = [*(signal.name for signal in shown.signals), *(track.name for track in shown.annotations)]
    rows = [
        ("windows", f"{len(shown.windows):,}"),
        ("tracks", ", ".join(tracks)),
        ("assembly", assembly),
        ("data", "in the page" if built.embedded else "beside the page, which needs a web server"),
        ("IGV", f"{out / files.SESSION}"),
    ]
    if shown.assembly is not None:
        rows.append(("hubs", f"{out / files.HUB} (UCSC), {out / files.WASHU} (WashU), on a web server"))
    if not served:
        rows.append(("to look", how))
    return [f"{label:<{_LABEL}}  {printable(text)}" for label, text in rows]
