"""`file:REFS.h5`: references from a file, such as `--save-references` writes."""

from pathlib import Path

from deeplift_references import Reference, Settings, register


@register("file", help="references given in a file", takes_argument=True, metavar="REFS.h5")
def open_saved(argument: str | None, settings: Settings) -> Reference:
    """Open a file of references.

    Raises
    ------
    UserError
        If the file is missing, is no file of references, or has another length.
    """
    # This module imports h5py, which takes longer than everything else that --help needs.
    from deeplift_cli.reference_kinds.reference_file import open_references

    return open_references(Path(argument or ""), settings.context["length"])
