"""The expectation of shuffles, against all shuffles of short sequences, written out."""

import numpy as np
import pytest
from test_references_shuffles import SHUFFLES, encode, enumerate_shuffles

from deeplift_references import Reference, kinds, make

TEXTS = ["ACAGATACCA", "AACGTTACGAT", "TTACATCGTCA", "GGATTACAGATT", "ACACACACAGA", "AAAA", "CT", "G"]


def expected(kind: str, *texts: str, seed: int = 0, n: int = 20) -> np.ndarray:
    found = make(kind, n_references=n, seed=seed).expected(encode(*texts))
    assert found.dtype == np.float32
    return found.astype(np.float64)


def enumerated(text: str) -> np.ndarray:
    return encode(*sorted(enumerate_shuffles("dinucleotide", text))).mean(0)


def test_mononucleotide_expectations_are_exact_in_each_run_of_bases() -> None:
    """Of the multiset of permutations: each base is as likely at every position of its run."""
    found = expected("mononucleotide", "NAACGTNNCCA")[0]
    shares = {1: (0.4, 0.2, 0.2, 0.2), 8: (1 / 3, 2 / 3, 0, 0)}
    for first, length in ((1, 5), (8, 3)):
        for position in range(first, first + length):
            np.testing.assert_allclose(found[:, position], shares[first], rtol=1e-6)
    assert not found[:, [0, 6, 7]].any()


@pytest.mark.parametrize("text", [text for text in TEXTS if len(text) > 2])
def test_dinucleotide_expectations_have_no_bias(text: str) -> None:
    """The mean over 300 seeds differs from that of all shuffles by no more than its own noise."""
    exact = enumerated(text)
    found = np.stack([expected("dinucleotide", text, seed=seed)[0] for seed in range(300)])
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)
    error = np.abs(found.mean(0) - exact)
    assert (error <= 4.5 * found.std(0, ddof=1) / np.sqrt(300) + 1e-6).all()
    # The noise of one estimate is no larger than that of the mean of its 60 shuffles.
    assert (found.var(0, ddof=1) <= 1.4 * exact * (1 - exact) / 60 + 1e-6).all()


def test_rotations_of_a_long_shuffle_are_worth_many_shuffles() -> None:
    letters = "".join(np.random.default_rng(1).choice(list("ACGT"), 300))
    found = np.stack([expected("dinucleotide", letters, seed=seed)[0] for seed in range(60)])
    mean = found.mean(0)
    worth = (mean * (1 - mean)).sum(0)[1:-1] / found.var(0, ddof=1).sum(0)[1:-1]
    assert np.median(worth) > 1000
    drawn = make("dinucleotide", n_references=4000, seed=7)(encode(letters))[0].mean(0)
    off = np.abs(mean - drawn) / np.sqrt(np.maximum(mean * (1 - mean), 1e-4) / 4000)
    assert off.max() < 5  # of 1,200 numbers


@pytest.mark.parametrize("text", TEXTS)
def test_ends_stay_and_gaps_stay_empty(text: str) -> None:
    found = expected("dinucleotide", f"N{text}NN{text}")[0]
    own = encode(f"N{text}NN{text}")[0]
    assert not found[:, own.sum(0) == 0].any()
    ends = [1, len(text), len(text) + 3, 2 * len(text) + 2]
    np.testing.assert_array_equal(found[:, ends], own[:, ends])


@pytest.mark.parametrize("kind", SHUFFLES)
def test_expectations_depend_on_seed_and_sequence_alone(kind: str) -> None:
    texts = ["ACGTTGCATCAGGATC", "GGATCATCATTTACGN", "NACGTACTTTTACGAN"]
    together = expected(kind, *texts, seed=3)
    for text, found in zip(texts, together, strict=True):
        np.testing.assert_array_equal(expected(kind, text, seed=3)[0], found)
    assert (expected(kind, *texts, seed=4) == together).all() == (kind == "mononucleotide")


def test_more_references_draw_more_shuffles() -> None:
    """The error of the expectation stays small beside that of the references."""
    text = "TTACATCGTCA"
    spreads = [
        np.stack([expected("dinucleotide", text, seed=seed, n=n)[0] for seed in range(100)]).var(0).sum()
        for n in (20, 400)
    ]
    assert spreads[0] / spreads[1] > 8


def test_other_kinds_have_no_known_expectation() -> None:
    with_one = {name for name, kind in kinds().items() if kind.has_expectation}
    assert with_one == set(SHUFFLES)
    reference: Reference = make("zeros")
    with pytest.raises(TypeError, match="Zeros has no known expectation"):
        reference.expected(encode("ACGT"))
