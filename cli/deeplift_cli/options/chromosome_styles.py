"""How names of chromosomes are spelled: `--rename-chroms ucsc` and `--rename-chroms ensembl`."""

from collections.abc import Callable, Mapping


def _to_ucsc(name: str) -> str:
    bare = name.removeprefix("chr")
    return "chrM" if bare in ("M", "MT") else f"chr{bare}"


def _to_ensembl(name: str) -> str:
    bare = name.removeprefix("chr")
    return "MT" if bare in ("M", "MT") else bare


# Of assembled chromosomes; names of other sequences follow no rule that both share.
STYLES: Mapping[str, Callable[[str], str]] = {"ucsc": _to_ucsc, "ensembl": _to_ensembl}
