"""Checks that an HDF5 file has the layout of a score file: names, types, shapes, chunks and filters.

A file of unknown origin can hold a group, a link to another file, or external storage in place of a dataset.
The program follows and reads none of these.
"""

from collections.abc import Iterator

import h5py

from deeplift_cli.outputs.datasets import WIDE, DatasetKind, ScoreLayout

_FILTERS = [h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE]


class LayoutError(ValueError):
    """A dataset is missing or does not fit the layout; the text of the error says which one, and why."""


def group(file: h5py.File, name: str) -> h5py.Group:
    """Return a group that is in the file itself.

    Raises
    ------
    LayoutError
        If there is no such group.
    """
    if not isinstance(file.get(name, getlink=True), h5py.HardLink) or not isinstance(file[name], h5py.Group):
        raise LayoutError(f"there is no group {name}")
    return file[name]


def dataset(file: h5py.Group, name: str) -> h5py.Dataset:
    """Return a dataset that is stored in chunks in the file itself.

    Raises
    ------
    LayoutError
        If there is no such dataset of this name.
    """
    here = file
    for part in name.split("/"):
        link = here.get(part, getlink=True) if isinstance(here, h5py.Group) else None
        if link is None:
            raise LayoutError(f"there is no dataset {name}")
        if not isinstance(link, h5py.HardLink):
            raise LayoutError(f"{name} is a link to another place, which deeplift does not follow")
        here = here[part]
    if not isinstance(here, h5py.Dataset):
        raise LayoutError(f"{name} is not a dataset")
    if here.id.get_create_plist().get_layout() != h5py.h5d.CHUNKED:
        raise LayoutError(f"{name} is not stored in chunks")
    return here


def problems(file: h5py.Group, layout: ScoreLayout, n_rows: int) -> Iterator[str]:
    """Yield the differences between a file and the layout, dataset by dataset."""
    for name, kind in layout.datasets.items():
        try:
            found = dataset(file, name)
        except LayoutError as error:
            yield str(error)
            continue
        yield from differences(name, found, kind, n_rows)


def differences(name: str, found: h5py.Dataset, kind: DatasetKind, n_rows: int) -> Iterator[str]:
    """Yield the differences between a dataset and its kind and number of rows."""
    if kind.dtype is None:
        is_text = h5py.check_string_dtype(found.dtype)
        if is_text is None or is_text.length is not None:
            yield f"{name} is not of texts of any length"
    elif found.dtype != kind.dtype:
        yield f"{name} is of type {found.dtype}, not {kind.dtype}"
    expected = (n_rows, *kind.rest)
    if found.shape != expected:
        yield f"{name} has the shape {found.shape}, not {expected}"
    if name in WIDE:
        chunks = (kind.chunk_rows, *kind.rest)
        if found.chunks != chunks:
            yield f"{name} has chunks {found.chunks}, not {chunks}"
        plist = found.id.get_create_plist()
        filters = [plist.get_filter(place)[0] for place in range(plist.get_nfilters())]
        if filters != _FILTERS:
            yield f"{name} has other filters than shuffle and gzip"
