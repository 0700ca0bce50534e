"""What a file that cannot be read looks like, for messages: files are often given to the wrong option."""

import gzip
import re
import zlib
from pathlib import Path

_HEAD = 4096  # bytes that are looked at
_GZIP = b"\x1f\x8b"
# A model in ONNX begins with the version of the format, a small number, before the program that wrote the
# file, the version of the program, the graph or the opsets (fields 1, 2, 3, 7 and 8 of ModelProto).
_ONNX = re.compile(rb"\x08[\x01-\x1f][\x12\x1a\x42\x3a]", re.DOTALL)
_BINARY = (
    (re.compile(rb"\x89HDF\r\n\x1a\n"), "an HDF5 file, such as a score file or a model of Keras"),
    (
        re.compile(rb"\x26\xfc\x8f\x88|\x88\x8f\xfc\x26"),
        "a bigWig, which `deeplift browser` and `deeplift plot --track` take",
    ),
    (re.compile(rb"PK\x03\x04"), "a zip archive, such as a model of PyTorch, which --model takes"),
    (re.compile(rb"BAM\x01"), "a BAM file of aligned reads, which no option takes"),
    (_ONNX, "an ONNX model, which --model takes"),
)
_SPAN = r"\d[\d,]*"
_TEXT = (
    (
        re.compile(r">[^\x00-\x08\x0e-\x1f\ufffd\n]*(?:\n|$)"),
        "FASTA, which --fasta takes for sequences and --genome for chromosomes",
    ),
    (re.compile(r"##fileformat=VCF"), "a VCF, which `deeplift variants --vcf` takes"),
    (re.compile(r"MEME version"), "motifs, which `deeplift seqlets --motifs` takes"),
    (
        re.compile(rf"(?:(?:#|track\b|browser\b)[^\n]*\n)*\S+[ \t]+{_SPAN}[ \t]+{_SPAN}(?:\s|$)"),
        "BED, which --regions takes together with --genome",
    ),
    (
        re.compile(rf"\S+:{_SPAN}-{_SPAN}(?:\s|$)"),
        "a list of places such as chr1:100-200; write them with tabs between chromosome, start and end, the "
        "start counted from 0",
    ),
    (
        re.compile(r"[ -+\--~]+,[ -+\--~]+,[ -~]+(?:\r|\n|$)"),
        "a table with commas; separate the columns by tabs",
    ),
)


def look_alike(path: Path) -> str:
    """Return what a file looks like from its first bytes, as the end of a message that refuses the file.

    Parameters
    ----------
    path : Path
        A file; gzip is unpacked.

    Returns
    -------
    str
        Such as "; the file looks like BED, which --regions takes together with --genome"; "" if the file
        looks like nothing known, or cannot be read.
    """
    try:
        head = _head(path)
    except (OSError, EOFError, zlib.error):
        return ""
    kind = next((words for pattern, words in _BINARY if pattern.match(head)), None)
    if kind is None and b"\0" not in head:
        text = head.decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
        kind = next((words for pattern, words in _TEXT if pattern.match(text)), None)
    return "" if kind is None else f"; the file looks like {kind}"


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head.startswith(_GZIP):
        return head
    with gzip.open(path) as unpacked:
        return unpacked.read(_HEAD)
