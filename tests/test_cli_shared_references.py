"""References that serve all sequences: samples of a background, and sequences with N at different places."""

from collections import Counter
from itertools import combinations
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from small_models import LENGTH, Sigmoid, deeplift, encode, random_letters, score, torchscript, write_fasta

import deeplift_cli.reference_kinds
import deeplift_references
from deeplift_core import DeepLift

del deeplift_cli.reference_kinds  # imported to register the kinds that read files


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEEPLIFT_CACHE", str(tmp_path / "cache"))
    return tmp_path


# ---- a sample of the background

RECORDS, DRAWN, SEEDS = 6, 2, 3000


def drawn(seed: int, n_references: int = DRAWN) -> tuple[int, ...]:
    """Which records of the background a seed chooses; record i begins with i times A and goes on with C."""
    made = deeplift_references.make("background:bg.fa", n_references=n_references, seed=seed, length=RECORDS)
    return tuple(sorted(int(reference[0].sum()) for reference in made.common(RECORDS)))


def test_each_set_of_background_records_is_equally_likely() -> None:
    """Pearson's chi-square over the 15 pairs of 6 records: 14 degrees of freedom, limit at probability 1e-4.

    The seeds are fixed, so that the test gives the same answer every time.
    """
    write_fasta(Path("bg.fa"), ["A" * i + "C" * (RECORDS - i) for i in range(RECORDS)])
    counts = Counter(drawn(seed) for seed in range(SEEDS))
    pairs = list(combinations(range(RECORDS), DRAWN))
    assert set(counts) == set(pairs)
    expected = SEEDS / len(pairs)
    assert sum((counts[pair] - expected) ** 2 / expected for pair in pairs) < 42.6


@pytest.mark.parametrize("n_references", [1, RECORDS - 1])
def test_every_background_record_can_be_drawn_the_last_one_too(n_references: int) -> None:
    write_fasta(Path("bg.fa"), ["A" * i + "C" * (RECORDS - i) for i in range(RECORDS)])
    counts = Counter(record for seed in range(600) for record in drawn(seed, n_references))
    expected = 600 * n_references / RECORDS
    spread = (expected * (1 - n_references / RECORDS)) ** 0.5
    assert all(abs(counts[record] - expected) < 4.5 * spread for record in range(RECORDS)), counts


def test_a_background_no_larger_than_the_sample_is_taken_whole() -> None:
    write_fasta(Path("bg.fa"), ["A" * i + "C" * (RECORDS - i) for i in range(RECORDS)])
    for n_references in (RECORDS, RECORDS + 1):
        assert drawn(0, n_references) == tuple(range(RECORDS))


# ---- N at different places

WHOLE = [random_letters(seed) for seed in range(6)]
HOLES = {
    "whole": WHOLE[0],
    "first": "N" + WHOLE[1][1:],
    "last": WHOLE[2][:-1] + "N",
    "middle": WHOLE[3][:9] + "NNN" + WHOLE[3][12:],
    "one base": "N" * 11 + "G" + "N" * (LENGTH - 12),
    "whole again": WHOLE[5],
}
KINDS = {
    "frequency": ("--reference", "frequency", "--frequencies", "0.3,0.2,0.1,0.4"),
    "background": ("--reference", "background:bg.fa", "--n-references", 3),
    "zeros": ("--reference", "zeros"),
}
NAMES = ("shap/seq", "projected_shap/seq", "qc/output", "qc/reference_output")


def scores(fasta: Path, *options: object) -> dict[str, np.ndarray]:
    score("-m", torchscript("Sigmoid"), "-f", fasta, "-o", "out.h5", "--overwrite", *options)
    with h5py.File("out.h5") as file:
        return {name: file[name][()] for name in NAMES}


@pytest.fixture
def background() -> list[str]:
    letters = [random_letters(seed) for seed in range(50, 53)]
    write_fasta(Path("bg.fa"), letters)
    return letters


@pytest.mark.parametrize("rc_average", [(), ("--rc-average",)], ids=["one strand", "both strands"])
@pytest.mark.parametrize("kind", KINDS)
def test_sequences_with_n_at_different_places_score_as_each_one_alone(
    kind: str, rc_average: tuple[str, ...], background: list[str]
) -> None:
    """In one batch, in batches of two of which some hold no N, and alone."""
    options = (*KINDS[kind], *rc_average)
    together = scores(write_fasta(Path("all.fa"), HOLES), *options, "--batch-size", len(HOLES))
    in_twos = scores(write_fasta(Path("all.fa"), HOLES), *options, "--batch-size", 2)
    for row, (record, letters) in enumerate(HOLES.items()):
        alone = scores(write_fasta(Path("one.fa"), {record: letters}), *options, "--batch-size", 1)
        for name in NAMES:
            for found in (together, in_twos):
                np.testing.assert_allclose(
                    found[name][row], alone[name][0], rtol=0, atol=1e-6, err_msg=record
                )


@pytest.mark.parametrize("kind", KINDS)
def test_a_reference_has_no_base_where_its_sequence_has_none(kind: str, background: list[str]) -> None:
    """Against the library, given references that are blanked here."""
    found = scores(write_fasta(Path("all.fa"), HOLES), *KINDS[kind], "--batch-size", len(HOLES))
    common = {
        "frequency": np.tile(np.array([0.3, 0.2, 0.1, 0.4])[None, :, None], (1, 1, LENGTH)),
        "background": np.stack([encode(letters) for letters in background]),
        "zeros": np.zeros((1, 4, LENGTH)),
    }[kind]
    x = np.stack([encode(letters) for letters in HOLES.values()])
    blanked = np.stack(
        [[[column * any(base) for column, base in zip(r.T, s.T, strict=True)] for r in common] for s in x]
    ).swapaxes(2, 3)
    expected = DeepLift(Sigmoid().eval()).attribute(*(torch.tensor(v).float() for v in (x, blanked)))
    np.testing.assert_allclose(found["shap/seq"], expected.hypothetical.numpy(), rtol=0, atol=1e-6)
    reference_output = expected.reference_output.numpy()
    np.testing.assert_allclose(found["qc/reference_output"], reference_output, rtol=0, atol=1e-6)


# ---- several targets


def test_each_target_has_the_worst_error_of_its_own() -> None:
    """In each score file, whatever the errors of the other target."""
    write_fasta(Path("all.fa"), WHOLE)
    outcome = deeplift(
        "score", "-m", torchscript("Softmax"), "-f", "all.fa", "-o", "t{target}.h5", "--target", "0,1,2",
        "--n-references", 2,
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    stored, computed = [], []
    for target in range(3):
        with h5py.File(f"t{target}.h5") as file:
            error, output, at_reference = (
                file[f"qc/{name}"][()].astype(np.float64)
                for name in ("completeness_error", "output", "reference_output")
            )
            stored.append(float(file.attrs["worst_relative_completeness_error"]))
        sizes = (
            np.abs(output[:, None] - at_reference),
            0.01 * np.abs(output[:, None]),
            0.01 * np.abs(at_reference),
        )
        scale = np.maximum(np.maximum(*sizes[:2]), sizes[2])
        computed.append(float((np.abs(error) / scale).max()))
    np.testing.assert_allclose(stored, computed, rtol=1e-3)
    assert len(set(stored)) == 3
    worst = next(line for line in outcome.out.splitlines() if line.startswith("summation-to-delta"))
    assert f"{max(stored):.1e}" in worst
