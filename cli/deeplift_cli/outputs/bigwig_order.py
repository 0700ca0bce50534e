"""Moves the tree of chromosomes of a bigWig before its data, where every reader finds the tree.

pybigtools writes the tree of chromosomes after the data. UCSC's tools write the tree before the data, and
some readers (WashU, JBrowse 2 before May 2025, igv.js up to 3.0) read all bytes between the start of the tree
and the start of the data as the tree. Only the tree and the data change places. The index and the zoom levels
stay where they are, so that only the offsets in the leaves of the index and in the header have to change.
"""

import struct
from pathlib import Path
from typing import IO

import numpy as np

_TREE, _DATA, _INDEX = 8, 16, 24  # places in the header that hold the offsets of these parts
_TREE_MAGIC, _INDEX_MAGIC = 0x78CA8C91, 0x2468ACE0
_TREE_HEAD = struct.Struct("<IIIIQQ")  # magic, block size, key size, value size, items, reserved
_INDEX_HEAD = struct.Struct("<IIQIIIIQII")
_NODE_HEAD = struct.Struct("<BBH")  # is a leaf, reserved, items
_LEAF = np.dtype([("place", "<u4", 4), ("offset", "<u8"), ("size", "<u8")])
_BRANCH = np.dtype([("place", "<u4", 4), ("child", "<u8")])
_BYTES_AT_ONCE = 16 * 1024 * 1024


def move_chromosomes_forward(path: Path) -> None:
    """Rewrite a bigWig of pybigtools in place.

    Parameters
    ----------
    path : Path
        The file. Afterwards its tree of chromosomes is before the data, even if the tree was there before.

    Raises
    ------
    ValueError
        If the parts of the file are in another order than pybigtools writes them.
    OSError
        If the file cannot be read or written.
    """
    with path.open("r+b") as file:
        tree, data, index = (_number(file, place) for place in (_TREE, _DATA, _INDEX))
        if tree < data:
            return
        if not data < tree < index:
            raise ValueError(f"{path} has its chromosomes at {tree}, data at {data} and index at {index}")
        file.seek(tree)
        chromosomes = bytearray(file.read(index - tree))
        _move_children(chromosomes, data - tree)
        _move_back(file, data, tree, len(chromosomes))
        file.seek(data)
        file.write(chromosomes)
        _move_leaves(file, index, len(chromosomes))
        for place, value in ((_TREE, data), (_DATA, data + len(chromosomes))):
            file.seek(place)
            file.write(value.to_bytes(8, "little"))


def _number(file: IO[bytes], place: int) -> int:
    file.seek(place)
    return int.from_bytes(file.read(8), "little")


def _move_back(file: IO[bytes], begin: int, end: int, by: int) -> None:
    """Copy a part of the file towards its end, the last bytes first."""
    while end > begin:
        begun = max(begin, end - _BYTES_AT_ONCE)
        file.seek(begun)
        content = file.read(end - begun)
        file.seek(begun + by)
        file.write(content)
        end = begun


def _move_children(tree: bytearray, by: int) -> None:
    """Change the offsets of child nodes in the tree of chromosomes, which count from the file's start."""
    magic, _, key_size, value_size, _, _ = _TREE_HEAD.unpack_from(tree)
    if magic != _TREE_MAGIC:
        raise ValueError("there is no tree of chromosomes where the header says so")
    place = _TREE_HEAD.size
    while place < len(tree):
        is_leaf, _, count = _NODE_HEAD.unpack_from(tree, place)
        place += _NODE_HEAD.size
        for _ in range(count):
            place += key_size
            if not is_leaf:
                (child,) = struct.unpack_from("<Q", tree, place)
                struct.pack_into("<Q", tree, place, child + by)
            place += value_size


def _move_leaves(file: IO[bytes], index: int, by: int) -> None:
    """Change the offsets of blocks of data in the leaves of the index."""
    file.seek(index)
    if _INDEX_HEAD.unpack(file.read(_INDEX_HEAD.size))[0] != _INDEX_MAGIC:
        raise ValueError("there is no index where the header says so")
    nodes = [index + _INDEX_HEAD.size]
    while nodes:
        place = nodes.pop()
        file.seek(place)
        is_leaf, _, count = _NODE_HEAD.unpack(file.read(_NODE_HEAD.size))
        kind = _LEAF if is_leaf else _BRANCH
        items = np.frombuffer(file.read(count * kind.itemsize), kind).copy()
        if is_leaf:
            items["offset"] += np.uint64(by)
            file.seek(place + _NODE_HEAD.size)
            file.write(items.tobytes())
        else:
            nodes += items["child"].tolist()
