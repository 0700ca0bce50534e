"""The commands of docs/modisco.md, run on simulated peaks: TF-MoDISco and Fi-NeMo find the planted motifs.

`make downstream` installs both programs and runs these tests; they take two minutes.
"""

import csv
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

pytestmark = pytest.mark.downstream

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
sys.path.insert(0, str(ROOT / "examples"))
from simulation import LENGTH, MOTIFS, Planted, simulate  # noqa: E402

PEAKS, CHROMOSOMES = 2000, 4
# What the page says for windows of thousands of bases, and what the example's 200 bp allow.
SMALLER = {"-w 400": f"-w {LENGTH}", "-w 1000": f"-w {LENGTH}", "-W 400": f"-W {LENGTH}"}
PROGRAMS = ("modisco", "finemo")


def commands() -> list[str]:
    """The commands of the page after its installation."""
    page = (ROOT / "docs/modisco.md").read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    assert lines[0].startswith("pip install")
    return lines[1:]


def known_motifs() -> dict[str, np.ndarray]:
    """The two planted motifs among 98 others, as probabilities [4, W]."""
    rng = np.random.default_rng(0)
    planted = {name: (counts / counts.sum(axis=1, keepdims=True)).T for name, counts in MOTIFS.items()}
    return planted | {f"other{n}": rng.dirichlet([0.3] * 4, rng.integers(8, 14)).T for n in range(98)}


def write_inputs(folder: Path) -> dict[str, list[Planted]]:
    """A genome in which the simulated sequences lie side by side, and their motifs in its coordinates."""
    from memelite.io import write_meme

    sequences = simulate(PEAKS, 77)
    planted: dict[str, list[Planted]] = {}
    genome, peaks = [], []
    for number in range(CHROMOSOMES):
        chrom, start = f"chr{number + 1}", 0
        genome.append(f">{chrom}\n")
        for sequence in sequences[number::CHROMOSOMES]:
            genome.append(sequence.letters + "\n")
            middle = LENGTH // 2
            peaks.append(f"{chrom}\t{start}\t{start + LENGTH}\t{sequence.name}\t0\t.\t1\t-1\t-1\t{middle}\n")
            planted.setdefault(chrom, []).extend(
                motif._replace(start=motif.start + start, end=motif.end + start) for motif in sequence.planted
            )
            start += LENGTH
    (folder / "genome.fa").write_text("".join(genome))
    (folder / "peaks.narrowPeak").write_text("".join(peaks))
    write_meme(str(folder / "jaspar.meme"), known_motifs())
    shutil.copy(ROOT / "examples/tal1_gata.onnx", folder / "model.onnx")
    return planted


@pytest.fixture(scope="module")
def planted_and_results(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[dict[str, list[Planted]], Path]:
    """Run all commands of the page once."""
    for program in PROGRAMS:
        if not (BIN / program).exists():
            pytest.skip(f"{program} is not installed: pip install '.[downstream]'")
    folder = tmp_path_factory.mktemp("downstream")
    planted = write_inputs(folder)
    environment = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "MPLBACKEND": "agg"}
    applied = set()
    for command in commands():
        for text, smaller in SMALLER.items():
            if f"{text} " in command:
                command = command.replace(text, smaller)
                applied.add(text)
        done = subprocess.run(
            command, shell=True, cwd=folder, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}"
    assert applied == set(SMALLER)
    return planted, folder


def best_names(patterns: list[np.ndarray]) -> list[tuple[str, float]]:
    """The known motif that each pattern [4, W] is most like, and Tomtom's p-value."""
    from memelite import tomtom

    known = known_motifs()
    found = tomtom(patterns, list(known.values()), n_nearest=1)
    return [
        (list(known)[int(place)], float(p)) for place, p in zip(found[5][:, 0], found[0][:, 0], strict=True)
    ]


def trimmed(pattern: h5py.Group) -> np.ndarray:
    """The frequencies [4, W] of a motif where its contributions are at least 30 % of the largest."""
    size = np.abs(pattern["contrib_scores"][:]).sum(axis=1)
    strong = np.flatnonzero(size >= 0.3 * size.max())
    return pattern["sequence"][strong[0] : strong[-1] + 1].T.astype(float)


def names_of_patterns(folder: Path) -> dict[str, str]:
    """The known motif of each pattern, by the name that Fi-NeMo gives the pattern."""
    with h5py.File(folder / "modisco.h5") as file:
        patterns = {
            f"pos_patterns.{name}": trimmed(pattern) for name, pattern in file["pos_patterns"].items()
        }
    found = best_names(list(patterns.values()))
    assert all(p < 1e-4 for _, p in found), found
    return {pattern: name for pattern, (name, _) in zip(patterns, found, strict=True)}


def agreement(
    hits: list[tuple[str, int, int, str]], planted: dict[str, list[Planted]]
) -> tuple[float, float]:
    """The share of hits whose centre is on a planted instance of their motif, and of instances with a hit."""
    right, found = 0, set()
    for chrom, start, end, name in hits:
        on = {
            (chrom, motif)
            for motif in planted[chrom]
            if motif.motif == name and motif.start <= (start + end) / 2 < motif.end
        }
        right += bool(on)
        found |= on
    return right / len(hits), len(found) / sum(map(len, planted.values()))


Found = tuple[dict[str, list[Planted]], Path]


def test_tf_modisco_finds_both_motifs(planted_and_results: Found) -> None:
    _, folder = planted_and_results
    assert sorted(names_of_patterns(folder).values()) == ["GATA", "TAL1"]
    with h5py.File(folder / "modisco.h5") as file:
        for name, pattern in file["pos_patterns"].items():
            print(f"TF-MoDISco: {name}, {pattern['seqlets/n_seqlets'][0]} seqlets")
    report = (folder / "modisco_report/report.html").read_text()
    assert "TAL1" in report
    assert "GATA" in report


def test_hits_of_fi_nemo_are_planted_motifs(planted_and_results: Found) -> None:
    planted, folder = planted_and_results
    names = names_of_patterns(folder)
    with (folder / "hits/hits.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    hits = [(row["chr"], int(row["start"]), int(row["end"]), names[row["motif_name"]]) for row in rows]
    precision, recall = agreement(hits, planted)
    print(f"Fi-NeMo: {len(hits)} hits, precision {precision:.3f}, recall {recall:.3f}")
    assert precision > 0.75
    assert recall > 0.75
    assert (folder / "hits_report/report.html").stat().st_size > 1000


def test_seqlets_are_planted_motifs(planted_and_results: Found) -> None:
    planted, folder = planted_and_results
    lines = [line.split("\t") for line in (folder / "seqlets.bed").read_text().splitlines()[1:]]
    hits = [(chrom, int(start), int(end), name) for chrom, start, end, name, *_ in lines]
    precision, recall = agreement(hits, planted)
    print(f"seqlets: {len(hits)}, precision {precision:.3f}, recall {recall:.3f}")
    assert precision > 0.7
    assert recall > 0.55
