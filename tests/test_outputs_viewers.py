"""Outputs as genome browsers read them: by the code of JBrowse 2, WashU and igv.js, old releases included.

`pytest -m viewers` runs these; they need node and npm, and fetch the readers from the npm registry.
"""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pybigtools
import pytest
from score_files import write_bigwig
from test_outputs_bigwig import contributions, scored_windows

from deeplift_cli.motifs import Matches, Seqlets
from deeplift_cli.motifs.bed_output import HEADER, bed_lines
from deeplift_cli.sequences import Region

pytestmark = pytest.mark.viewers
HERE = Path(__file__).with_name("viewers")
READERS = {"bbi4", "bbi5", "bbi6", "bbi7", "igv2", "igv3", "igv3-later"}
NAMES = [f"c{number:03d}" for number in range(300)]


@pytest.fixture(scope="module")
def viewers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the readers."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    folder = tmp_path_factory.mktemp("viewers")
    for path in HERE.iterdir():
        shutil.copy(path, folder)
    install = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
    done = subprocess.run(install, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"the readers cannot be fetched: {done.stderr}")
    return folder


def by_each_reader(folder: Path, bigwig: Path, chrom: str, start: int, end: int) -> dict[str, Any]:
    command = ["node", "read_bigwig.mjs", str(bigwig), chrom, str(start), str(end)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    assert set(found) == READERS
    return found


def test_every_viewer_reads_it(viewers: Path, tmp_path: Path) -> None:
    windows = [(name, 50, ".") for name in NAMES] + [("d", start, ".") for start in range(0, 90_000, 1000)]
    scores = scored_windows(tmp_path / "s.h5", windows, 1000)
    write_bigwig(tmp_path / "s.bw", scores, dict.fromkeys(NAMES, 2000) | {"d": 100_000})
    values = contributions(scores)
    for chrom, start, end, expected in (
        ("d", 0, 90_000, values[300:].ravel()),
        ("c007", 50, 1050, values[7]),
    ):
        for reader, found in by_each_reader(viewers, tmp_path / "s.bw", chrom, start, end).items():
            assert not isinstance(found, str), (reader, found)
            assert found["starts"] == list(range(start, end)), reader
            np.testing.assert_array_equal(np.float32(found["values"]), expected, reader)
            assert 0 < found["zoomed"] < end - start, reader


def test_some_viewers_cannot_read_chromosomes_behind_the_data(viewers: Path, tmp_path: Path) -> None:
    """What pybigtools writes; so that the test above can fail."""
    path = tmp_path / "x.bw"
    values = [("a", place, place + 1, 1.0) for place in range(5000)]
    pybigtools.open(str(path), "w").write({"a": 9000}, iter(values))
    found = by_each_reader(viewers, path, "a", 0, 5000)
    readable = {
        name for name, what in found.items() if not isinstance(what, str) and len(what["values"]) == 5000
    }
    assert "bbi7" in readable
    assert not readable & {"bbi4", "igv2", "igv3"}


def test_seqlets_are_six_columns_of_bed_for_every_viewer(viewers: Path, tmp_path: Path) -> None:
    """None takes one of the further columns for a thick part, a colour or an exon."""
    regions = [Region("chr1", 1000, 1200, "12", ".", 0), Region("chr2", 500, 700, "peak", ".", 1)]
    row = np.array([0, 0, 1, 1])
    start = np.array([7, 50, 0, 180])
    seqlets = Seqlets(row, start, start + 10, np.array([3.0, 2.5, 40, 5]), np.array([1e-4, 0.003, 0, 1e-30]))
    strands = np.array(["+", "-", "-", "+"])
    matches = Matches(
        np.array([0, 1, 1, 0]), strands, np.array([1e-5, 0, 1, 0.25]), np.array([1e-4, 0, 1, 1])
    )
    lines = bed_lines(
        seqlets, np.tile(np.arange(4, dtype=np.int8), (2, 50)), regions, {}, ["1 2", "255,0,0"], matches
    )
    (tmp_path / "s.bed").write_text("".join([HEADER, *lines]))
    command = ["node", "read_bed.mjs", str(tmp_path / "s.bed")]
    done = subprocess.run(command, cwd=viewers, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    places = [("chr1", 1007, 40), ("chr1", 1050, 25), ("chr2", 500, 1000), ("chr2", 680, 300)]
    names = ["1_2", "255,0,0", "255,0,0", "1_2"]
    expected = [
        {
            "chrom": chrom,
            "start": start,
            "end": start + 10,
            "name": name,
            "score": score,
            "strand": strand,
            "more": [],
        }
        for (chrom, start, score), name, strand in zip(places, names, strands.tolist(), strict=True)
    ]
    assert set(found) == {"jbrowse", "igv2", "igv3", "igv3-later"}
    for reader, features in found.items():
        assert features == expected, reader
