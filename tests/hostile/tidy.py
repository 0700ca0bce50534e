"""The tidy inputs that every case finds in its folder, and that hostile ones are made from."""

import functools
import shutil
from pathlib import Path

from small_models import LENGTH, onnx_file, pickled, random_letters, torchscript

LETTERS = tuple(random_letters(seed) for seed in range(3))
NAMES = ("s0", "s1", "s2")
CHR1, CHR2 = random_letters(5, 400), random_letters(6, 90)
# The windows of 24 bp around the midpoints of in.bed's regions.
WINDOWS = (CHR1[108:132], CHR1[208:232], CHR2[28:52])
BED = "chr1\t100\t140\tone\t0\t+\nchr1\t200\t240\ttwo\t0\t-\nchr2\t20\t60\tthree\t0\t.\n"
SIZES = "chr1\t400\nchr2\t90\n"


def fasta(*letters: str, names: tuple[str, ...] = ()) -> str:
    """A FASTA file's text."""
    named = zip(names or (f"s{place}" for place in range(len(letters))), letters, strict=True)
    return "".join(f">{name}\n{text}\n" for name, text in named)


def folded(letters: str, width: int = 60, end: str = "\n") -> str:
    """Letters in lines of a width."""
    return end.join(letters[place : place + width] for place in range(0, len(letters), width))


PLAIN = fasta(*LETTERS)
GENOME = f">chr1\n{folded(CHR1)}\n>chr2\n{folded(CHR2)}\n"

FILES = {"in.fa": PLAIN, "genome.fa": GENOME, "in.bed": BED, "sizes": SIZES}


@functools.cache
def models() -> dict[str, Path]:
    """Models by the names that they have in a case's folder."""
    return {
        "net.pt": torchscript("Net"),
        "any.pt": torchscript("AnyLength"),
        "net.onnx": onnx_file(),
        "pickled.pt": pickled(),
    }


def fill(folder: Path) -> None:
    """Write the tidy inputs into a folder."""
    for name, text in FILES.items():
        (folder / name).write_text(text)
    for name, path in models().items():
        shutil.copyfile(path, folder / name)


__all__ = [
    "BED",
    "CHR1",
    "CHR2",
    "FILES",
    "GENOME",
    "LENGTH",
    "LETTERS",
    "NAMES",
    "PLAIN",
    "SIZES",
    "WINDOWS",
    "fasta",
    "fill",
    "folded",
    "models",
]
