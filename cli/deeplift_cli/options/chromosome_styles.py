"""Styles of chromosome names: `--rename-chroms ucsc` and `--rename-chroms ensembl`."""

from collections.abc import Callable, Mapping


def _to_ucsc(name: str) -> str:
    bare = name.removeprefix("chr")
    return "chrM" if bare in ("M", "MT") else f"chr{bare}"


def _to_ensembl(name: str) -> str:
    bare = name.removeprefix("chr")
    return "MT" if bare in ("M", "MT") else bare


# The styles apply to assembled chromosomes; names of other sequences have no rule that both styles share.
STYLES: Mapping[str, Callable[[str], str]] = {"ucsc": _to_ucsc, "ensembl": _to_ensembl}
