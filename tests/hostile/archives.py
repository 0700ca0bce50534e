"""Zip archives taken apart and put together again."""

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

Edit = Callable[[dict[str, bytes]], object]


def members(path: Path) -> dict[str, bytes]:
    """What is in an archive, by name."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path: Path, content: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> None:
    """Make an archive as torch does: uncompressed."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in content.items():
            archive.writestr(name, data)


def changed(source: Path, target: Path, edit: Edit) -> None:
    """Copy an archive with something done to what is in it, by names without their top folder."""
    content = members(source)
    top = next(iter(content)).partition("/")[0]
    inner = {name.removeprefix(f"{top}/"): data for name, data in content.items()}
    edit(inner)
    write(target, {f"{top}/{name}": data for name, data in inner.items()})
