"""`file:REFS.h5`: references given in a file, such as `--save-references` writes."""

from pathlib import Path

from deeplift_references import Reference, Settings, register


@register("file", help="references given in a file", takes_argument=True, metavar="REFS.h5")
def open_saved(argument: str | None, settings: Settings) -> Reference:
    """Open a file of references.

    Raises
    ------
    UserError
        If it is missing, not such a file, or made for another length.
    """
    # This imports h5py, which takes longer than all else that --help needs.
    from deeplift_cli.reference_kinds.reference_file import open_references

    return open_references(Path(argument or ""), settings.context["length"])
