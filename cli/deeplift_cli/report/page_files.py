"""The files of which the page is made: templates, style sheet, script, outlines of letters."""

from importlib import resources


def page_file(name: str) -> str:
    """Return the text of a file in the folder page/."""
    return (resources.files("deeplift_cli.report") / "page" / name).read_text(encoding="utf-8")
