"""The lengths of the genome's chromosomes in a score file, which an export to bigWig needs.

Two datasets hold the chromosomes in the genome's order: ``chromosomes/name`` (text [C]) and
``chromosomes/length`` (int64 [C], in bp), each with its checksum. Score files of a FASTA file have neither.
"""

from collections.abc import Mapping
from concurrent.futures import Executor

import h5py
import numpy as np

from deeplift_cli.outputs import structure
from deeplift_cli.outputs.checksums import CHECKSUM, OrderedDigest, TextDigest
from deeplift_cli.outputs.columns import ArrayColumn, TextColumn
from deeplift_cli.outputs.datasets import ROW_CHUNK, DatasetKind
from deeplift_cli.outputs.structure import LayoutError

GROUP = "chromosomes"
_NAME, _LENGTH = f"{GROUP}/name", f"{GROUP}/length"
_KINDS = {
    _NAME: DatasetKind(ROW_CHUNK, (), None),
    _LENGTH: DatasetKind(ROW_CHUNK, (), np.dtype("int64")),
}


def write(file: h5py.Group, chrom_sizes: Mapping[str, int], pool: Executor) -> None:
    """Write the names and the lengths [bp] of the chromosomes."""
    datasets = {name: kind.create(file, name) for name, kind in _KINDS.items()}
    names, lengths = TextColumn(datasets[_NAME]), ArrayColumn(datasets[_LENGTH], pool)
    names.append(list(chrom_sizes))
    lengths.append(list(chrom_sizes.values()))
    names.finish()
    lengths.finish()


def read(file: h5py.File) -> dict[str, int] | None:
    """Return the lengths of the chromosomes in bp by name, or None if the file does not hold any.

    Raises
    ------
    LayoutError
        If the datasets have another type, shape or checksum, a name is repeated, or a length is not positive.
    """
    if file.get(GROUP, getlink=True) is None:
        return None
    names, lengths = (structure.dataset(file, name) for name in _KINDS)
    for name, found in ((_NAME, names), (_LENGTH, lengths)):
        for problem in structure.differences(name, found, _KINDS[name], len(lengths)):
            raise LayoutError(problem)
    text_digest, number_digest = TextDigest(), OrderedDigest()
    sizes: dict[str, int] = {}
    for first in range(0, len(lengths), ROW_CHUNK):  # a damaged file can claim any number of rows of rows
        rows = slice(first, first + ROW_CHUNK)
        texts, numbers = names[rows], lengths[rows]
        text_digest.add(texts)
        number_digest.add(numbers)
        for text, number in zip(texts, numbers.tolist(), strict=True):
            name = text.decode("utf-8", "surrogateescape")
            if not name or name in sizes or number <= 0:
                raise LayoutError(f"{GROUP} gives {name!r} a second time, or a length of {number} bp")
            sizes[name] = number
    for dataset, found in ((names, text_digest), (lengths, number_digest)):
        if dataset.attrs.get(CHECKSUM) != found.hexdigest():
            raise LayoutError(f"{dataset.name[1:]}: the values are not those of the stored checksum")
    return sizes
