"""Files of known motifs, in MEME's or JASPAR's format."""

import re
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deeplift_cli.errors import UserError
from deeplift_cli.motifs.libraries import library
from deeplift_cli.sequences.text import require_file

Motifs = dict[str, npt.NDArray[np.float64]]

_WHAT = "motif file"
_MOTIF = re.compile(r"^MOTIF[ \t]+(\S.*)$", re.MULTILINE)
_ALPHABET = re.compile(r"^ALPHABET\s*=?\s*(.*)$", re.MULTILINE)
_TOLERANCE = 0.02  # of a sum of probabilities, since files round to few digits


def read_motifs(path: str | PathLike[str]) -> Motifs:
    """Read motifs of DNA from a file in MEME's format (minimal or whole) or in JASPAR's.

    memelite reads MEME, as for tangermeme and TF-MoDISco, and Biopython reads JASPAR. Counts become
    frequencies without pseudocounts, as in JASPAR's own files for MEME.

    Parameters
    ----------
    path : path

    Returns
    -------
    dict of str to ndarray of float64, [4, W]
        The probability of A, C, G and T at each of W positions, by the motif's name: the text of the line
        MOTIF or of the heading, with single spaces between its words ("MA0035.3 Gata1").

    Raises
    ------
    UserError
        If the file cannot be read, is in another format, is not about DNA, holds no motif or two of one name,
        or a motif is damaged.
    """
    path = Path(path)
    require_file(path, _WHAT)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{_WHAT} {path} cannot be read as text: {error}; give MEME or JASPAR") from error
    if text.lstrip().startswith("MEME version"):
        named = _from_meme(path, text)
    elif text.lstrip().startswith(">"):
        named = _from_jaspar(path, text)
    else:
        raise UserError(
            f"{_WHAT} {path} is neither MEME (its first line begins with 'MEME version') nor JASPAR (its "
            "first line begins with '>'); convert it"
        )
    if not named:
        raise UserError(f"{_WHAT} {path} holds no motifs")
    motifs: Motifs = {}
    for name, values in named:
        if name in motifs:
            raise UserError(f"{_WHAT} {path} has two motifs of the name {name!r}; rename one")
        motifs[name] = _checked(path, name, values)
    return motifs


def _from_meme(path: Path, text: str) -> list[tuple[str, npt.NDArray[np.float64]]]:
    alphabet = _ALPHABET.search(text)
    # A custom alphabet is described line by line, and its first line says what it is like.
    if alphabet and not (alphabet[1].strip().upper() == "ACGT" or "DNA" in alphabet[1].upper()):
        raise UserError(f"{_WHAT} {path} has the alphabet {alphabet[1].strip()[:40]!r}; it has to be ACGT")
    names = [" ".join(found.split()) for found in _MOTIF.findall(text)]
    for name in names:
        if names.count(name) > 1:  # the library would keep the last one
            raise UserError(f"{_WHAT} {path} has two motifs of the name {name!r}; rename one")
    try:
        motifs = library("memelite.io").read_meme(str(path))
    except (ValueError, AttributeError, IndexError) as error:
        raise UserError(f"{_WHAT} {path} is damaged: memelite cannot read it ({error})") from error
    for name in names:
        if name not in motifs:
            raise UserError(f"{_WHAT} {path}, motif {name!r}: it has no whole letter-probability matrix")
    return list(motifs.items())


def _from_jaspar(path: Path, text: str) -> list[tuple[str, npt.NDArray[np.float64]]]:
    from Bio import motifs

    try:
        with path.open(encoding="utf-8") as file:
            found: list[Any] = motifs.parse(file, "jaspar")
    except Exception as error:  # Biopython raises exceptions of all kinds
        raise UserError(
            f"{_WHAT} {path} is damaged, or holds no motifs: Biopython cannot read it as JASPAR ({error}); "
            "give motifs in the format MEME or JASPAR"
        ) from error
    headings = text.count("\n>") + 1
    if len(found) != headings:
        raise UserError(
            f"{_WHAT} {path} is damaged: it has {headings:,} headings, but {len(found):,} motifs with the "
            "four lines A, C, G and T"
        )
    named = []
    for motif in found:
        name = " ".join(dict.fromkeys(part for part in (motif.matrix_id, motif.name) if part))
        counts = np.array([motif.counts[base] for base in "ACGT"], np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            named.append((name, counts / counts.sum(axis=0, keepdims=True)))
    return named


def _checked(path: Path, name: str, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Check one motif [4, W], and let each position sum to 1 to all digits."""
    where = f"{_WHAT} {path}, motif {name!r}"
    if values.ndim != 2 or values.shape[1] == 0:
        raise UserError(f"{where}: it has no positions")
    sums = values.sum(axis=0)
    wrong = ~((values >= 0).all(axis=0) & (np.abs(sums - 1) <= _TOLERANCE))  # NaN is wrong, too
    if wrong.any():
        raise UserError(
            f"{where}: the values of position {int(np.flatnonzero(wrong)[0]) + 1} are no frequencies that "
            "sum to 1"
        )
    return np.asarray(values / sums, np.float64)
