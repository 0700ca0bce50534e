"""The simulated signal of `benchmarks/observed_signal.py`, and a short run of the script."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("bpnetlite")

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
models = importlib.import_module("observed_models")
benchmark = importlib.import_module("observed_signal")
PAGE = (ROOT / "docs" / "trust.md").read_text()


def fit(word: str, counts: np.ndarray) -> float:
    """The log-odds of a word under a matrix of counts, in bits."""
    background = {"A": 0.3, "C": 0.2, "G": 0.2, "T": 0.3}
    score = 0.0
    for row, letter in zip(counts, word, strict=True):
        share = (row["ACGT".index(letter)] + 1) / (row.sum() + 4)
        score += float(np.log2(share / background[letter]))
    return score


def test_rates_are_footprints_of_all_sites_on_both_strands() -> None:
    """Against a loop over sites and positions; the distance from a site is mirrored on the minus strand."""
    genome = models.simulated_genome(4, seed=3)
    letters, complement = genome.letters, str.maketrans("ACGT", "TGCA")
    at = np.arange(len(letters))
    expected = np.full((2, len(letters)), 0.02)
    for motif, reads, upstream, spread in (("GATA", 40, 12, 6), ("TAL1", 25, 6, 15)):
        counts = models.MOTIFS[motif]
        best = fit("".join("ACGT"[base] for base in best_word(counts)), counts)
        for start in range(len(letters) - len(counts) + 1):
            word = letters[start : start + len(counts)]
            middle, occupied = start + len(counts) // 2, 0.0
            for strand in (word, word.translate(complement)[::-1]):
                occupied += 1 / (1 + np.exp(-2 * (fit(strand, counts) - 0.7 * best)))
            for strand, direction in ((0, -1), (1, 1)):
                reach = np.abs(at - middle) <= 60
                shape = np.exp(-(((at - middle - direction * upstream) / spread) ** 2) / 2)
                offsets = np.arange(-60, 61)
                total = np.exp(-(((offsets - direction * upstream) / spread) ** 2) / 2).sum()
                expected[strand] += reads * occupied * np.where(reach, shape, 0) / total
    np.testing.assert_allclose(genome.rates, expected, rtol=1e-9, atol=1e-12)
    assert expected.max() > 1


def best_word(counts: np.ndarray) -> list[int]:
    """The bases with the highest log-odds at each position."""
    return [int(np.argmax((row + 1) / np.array([3, 2, 2, 3]))) for row in counts]


def test_the_page_has_all_networks_and_faults() -> None:
    _, begun, rest = PAGE.partition("<!-- observed: begin -->")
    text, ended, _ = rest.partition("<!-- observed: end -->")
    assert begun
    assert ended
    for predictor in models.PREDICTORS:
        assert f"| {predictor.name} | {predictor.what} |" in text
    for fault in benchmark.FAULTS:
        assert f"| {fault.name} |" in text


@pytest.mark.long
def test_a_quick_run_fills_the_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- observed: begin -->\nold\n<!-- observed: end -->\n")
    monkeypatch.setattr(sys, "argv", ["observed_signal.py", "--quick", "--markdown", str(page)])
    benchmark.main()
    text = page.read_text()
    assert "old" not in text
    rows = [line for line in text.splitlines() if "| totals, Pearson |" in line]
    assert len(rows) == len(models.PREDICTORS)
