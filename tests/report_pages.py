"""Score files for tests of `deeplift report`, and a reader of its pages with code of its own."""

import base64
import json
import zlib
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from score_files import attributes, open_score_file
from small_models import deeplift

from deeplift_cli.outputs.datasets import ScoreLayout
from deeplift_cli.outputs.packed import ScoredBatch
from deeplift_cli.sequences import Region, Skipped, one_hot

REFERENCES = 3
HOSTILE = '</script><img src=x onerror="window.hacked=1">&amp;<!--\'"\\'
SKIPPED = (
    Skipped(1, "short one", 3, "is 5 bp long; the model takes 24 bp"),
    Skipped(4, "other", 9, "is 1,007 bp long; the model takes 24 bp"),
    Skipped(6, "<b>bad</b>", 13, "has the letter '<' & more"),
)


def batch_of(n: int, length: int, names: list[str] | None = None, coordinates: bool = True) -> ScoredBatch:
    """Scores of random letters, some of them N; rows 1 and 2 differ from their references alike."""
    rng = np.random.default_rng(n + length)
    letters = ["".join(rng.choice(list("ACGTN"), length, p=[0.3, 0.2, 0.2, 0.25, 0.05])) for _ in range(n)]
    sequences = one_hot([text.encode() for text in letters]) if n else np.zeros((0, 4, length), np.int8)
    hypothetical = rng.standard_normal((n, 4, length)).astype(np.float32) * sequences.any(1, keepdims=True)
    names = names or [f"peak_{i}" for i in range(n)]
    regions = [
        Region(f"chr{i % 3 + 1}", 1000 * i, 1000 * i + length, name, "+-."[i % 3], i)
        if coordinates
        else Region(name, 0, length, name, ".", i)
        for i, name in enumerate(names)
    ]
    output = rng.normal(0, 5, n)
    at_references = rng.normal(0, 1, (n, REFERENCES))
    if n > 2:
        output[2], at_references[2] = -output[1], -at_references[1]
    return ScoredBatch(
        regions=regions,
        sequences=sequences,
        hypothetical=hypothetical,
        prediction=1 / (1 + np.exp(-output)),
        output=output,
        reference_output=at_references,
        completeness_error=rng.normal(0, 1e-6, (n, REFERENCES)),
        identical_references=rng.integers(0, 2, n),
        rescored=rng.integers(0, 3, n),
        standard_error=rng.random(n) / 10,
    )


def write_scores(
    path: Path,
    batch: ScoredBatch,
    skipped: tuple[Skipped, ...] = SKIPPED,
    dtype: str = "float32",
    **attrs: Any,
) -> Path:
    """Write a score file of one batch."""
    n, _, length = batch.sequences.shape
    optional = {"qc/rescored": batch.rescored, "qc/standard_error": batch.standard_error}
    there = frozenset(name for name, values in optional.items() if values is not None)
    layout = ScoreLayout(length, batch.reference_output.shape[1], max(1, n), dtype, there)
    given = attributes(layout) | {"n_skipped": len(skipped), "rule": "rescale", "reference": "dinucleotide"}
    with open_score_file(path, layout, skipped=skipped, attrs=given | attrs) as file:
        if n:
            file.add(batch)
    return path


def make(*words: object) -> str:
    """Run `deeplift report`, which has to succeed, and return what it says."""
    done = deeplift("report", *words)
    assert (done.code, done.err) == (0, ""), done.err
    return done.out


@dataclass
class ReadPage(HTMLParser):
    """The elements and texts of a page, and the data in its scripts."""

    text: str
    tags: list[str] = field(default_factory=list)
    attributes: list[tuple[str, str | None]] = field(default_factory=list)
    scripts: dict[str, str] = field(default_factory=dict)
    said: str = ""
    _inside: str | None = None

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.text)
        self.close()

    def __hash__(self) -> int:
        return id(self)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag in ("script", "style"):
            self._inside = dict(attrs).get("id") or tag
            self.scripts[self._inside] = ""

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._inside = None

    def handle_data(self, data: str) -> None:
        if self._inside is not None:
            self.scripts[self._inside] += data
        else:
            self.said += data + " "

    @property
    def words(self) -> str:
        """All text that a reader sees, with single spaces."""
        return " ".join(self.said.split())

    @property
    def settings(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.scripts["settings"])
        return found

    @property
    def table(self) -> dict[str, Any]:
        packed = base64.b64decode(self.scripts["table-data"], validate=True)
        found: dict[str, Any] = json.loads(zlib.decompress(packed, -15))
        return found

    def logos(self) -> dict[int, tuple[str, NDArray[np.float64]]]:
        """Letters and contributions by row."""
        packed = base64.b64decode(self.scripts["logo-data"], validate=True)
        table, length = self.table, self.settings["length"]
        found: dict[int, tuple[str, NDArray[np.float64]]] = {}
        offset = 0
        for row, size, largest in zip(table["row"], table["size"], table["largest"], strict=True):
            if size:
                found[row] = unpacked(packed[offset : offset + size], length, largest)
                offset += (size + 2) // 3 * 3
        assert offset == len(packed)
        return found

    def marks(self) -> dict[int, list[tuple[int, int]]]:
        """Start and end in the window of each seqlet, by row."""
        packed = base64.b64decode(self.scripts["mark-data"], validate=True)
        found = json.loads(zlib.decompress(packed, -15))
        return {
            int(row): [(start, start + size) for start, size in zip(flat[::2], flat[1::2], strict=True)]
            for row, flat in found.items()
        }


def unpacked(content: bytes, length: int, largest: float) -> tuple[str, NDArray[np.float64]]:
    """The letters and contributions of one packed region, read one by one."""
    ahead = (length + 3) // 4
    levels = zlib.decompress(content[ahead:], -15)
    assert len(levels) == length
    letters, values = "", []
    for i, level in enumerate(levels):
        signed = level - 256 if level > 127 else level
        is_base = signed != -128
        letters += "ACGT"[content[i // 4] // 4 ** (i % 4) % 4] if is_base else "N"
        values.append(signed * largest / 127 if is_base else 0.0)
    return letters, np.array(values)


def read_page(path: Path) -> ReadPage:
    return ReadPage(path.read_text())
