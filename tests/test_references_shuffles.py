"""Shuffled references: uniform, count-keeping, and fixed by seed and sequence."""

import math
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise, permutations, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import deeplift_references
from deeplift_references import ReferenceDataError, make

SHUFFLES = ["dinucleotide", "mononucleotide"]
dna = st.text("ACGTN", max_size=60)


def encode(*texts: str) -> np.ndarray:
    """One-hot int8 [N, 4, L]; N (any letter but ACGT) has no base."""
    return np.array([[[letter == base for letter in text] for base in "ACGT"] for text in texts], np.int8)


def decode(one_hot: np.ndarray) -> list[str]:
    """The inverse of `encode`, for [N, 4, L]."""
    letters = np.array(list("ACGTN"))
    return ["".join(row) for row in letters[np.where(one_hot.any(axis=1), one_hot.argmax(axis=1), 4)]]


def shuffles(kind: str, text: str, n: int = 20, seed: int = 0) -> list[str]:
    return decode(make(kind, n_references=n, seed=seed)(encode(text))[0])


def enumerate_shuffles(kind: str, text: str) -> set[str]:
    """Brute force: every permutation that keeps what this kind keeps."""
    if kind == "mononucleotide":
        return {"".join(letters) for letters in permutations(text)}
    first, *inner, last = text
    candidates = ("".join((first, *letters, last)) for letters in set(permutations(inner)))
    counts = Counter(pairwise(text))
    return {candidate for candidate in candidates if Counter(pairwise(candidate)) == counts}


def deviation_from_uniform(drawn: Iterable[str], possible: set[str]) -> float:
    """Chi-square against uniform, as standard deviations of a normal (Wilson & Hilferty 1931)."""
    counts = Counter(drawn)
    assert counts.keys() <= possible
    expected = counts.total() / len(possible)
    assert expected >= 20, "too few draws for the approximation"
    per_degree = sum((counts[text] - expected) ** 2 / expected for text in possible) / (len(possible) - 1)
    spread = 2 / (9 * (len(possible) - 1))
    return (per_degree ** (1 / 3) - (1 - spread)) / math.sqrt(spread)


def test_the_uniformity_check_notices_missing_and_uneven_shuffles():
    possible = enumerate_shuffles("dinucleotide", "ACAGATACCA")
    assert len(possible) == 24
    in_order = sorted(possible)
    assert abs(deviation_from_uniform(in_order * 1000, possible)) > 4  # too even to be drawn
    assert deviation_from_uniform(in_order[:12] * 2000, possible) > 50
    assert deviation_from_uniform(in_order * 1000 + in_order[:1] * 400, possible) > 3


@pytest.mark.parametrize(
    ("kind", "text", "number"),
    [
        ("dinucleotide", "ACAGATACCA", 24),
        ("dinucleotide", "AACGTTACGAT", 24),  # self-loops, and ends that differ
        ("dinucleotide", "TTACATCGTCA", 42),
        ("mononucleotide", "AACGT", 60),
        ("mononucleotide", "TTTCCA", 60),
    ],
)
def test_shuffles_are_uniform(kind, text, number):
    possible = enumerate_shuffles(kind, text)
    assert len(possible) == number
    drawn = shuffles(kind, text, n=number * 1000)
    assert abs(deviation_from_uniform(drawn, possible)) < 4


@pytest.mark.parametrize("kind", SHUFFLES)
def test_first_shuffles_of_many_seeds_are_uniform(kind):
    text = "ACAGATACCA" if kind == "dinucleotide" else "AACGT"
    drawn = [shuffles(kind, text, n=1, seed=seed)[0] for seed in range(-2000, 4000)]
    assert abs(deviation_from_uniform(drawn, enumerate_shuffles(kind, text))) < 4


@pytest.mark.parametrize("kind", SHUFFLES)
def test_runs_of_bases_are_shuffled_independently(kind):
    left, right = ("ACATAGA", "GACAGATAC") if kind == "dinucleotide" else ("AACG", "CCT")
    pairs = product(enumerate_shuffles(kind, left), enumerate_shuffles(kind, right))
    possible = {f"N{first}NN{second}" for first, second in pairs}
    assert len(possible) >= 24
    drawn = shuffles(kind, f"N{left}NN{right}", n=len(possible) * 1000)
    assert abs(deviation_from_uniform(drawn, possible)) < 4


@given(text=dna, seed=st.integers(-(2**70), 2**70))
@settings(deadline=None)
def test_each_run_keeps_its_counts_and_ends(text, seed):
    for kind in SHUFFLES:
        for shuffled in shuffles(kind, text, n=3, seed=seed):
            assert [letter == "N" for letter in shuffled] == [letter == "N" for letter in text]
            for before, after in zip(text.split("N"), shuffled.split("N"), strict=True):
                assert Counter(before) == Counter(after)
                if kind == "dinucleotide":
                    assert Counter(pairwise(before)) == Counter(pairwise(after))
                    assert (before[:1], before[-1:]) == (after[:1], after[-1:])


@given(texts=st.lists(st.text("ACGTN", min_size=30, max_size=30), min_size=1, max_size=6), data=st.data())
@settings(deadline=None)
def test_shuffles_depend_on_seed_and_sequence_alone(texts, data):
    order = data.draw(st.permutations(range(len(texts))))
    for kind in SHUFFLES:
        alone = {text: shuffles(kind, text, n=4, seed=7) for text in texts}
        batch = make(kind, n_references=4, seed=7)(encode(*(texts[i] for i in order)))
        assert [decode(references) for references in batch] == [alone[texts[i]] for i in order]


def test_shuffles_differ_between_seeds_sequences_and_kinds():
    text = "ACGTTGCATCAGGATC" * 4
    drawn = [tuple(shuffles(kind, text, seed=seed)) for kind in SHUFFLES for seed in (0, 1, -1, 2**64)]
    assert len(set(drawn)) == len(drawn)
    assert len(set(drawn[0])) == 20
    # One base more, far away behind an N, is another sequence: the first run is shuffled otherwise.
    assert [other[: len(text)] for other in shuffles("dinucleotide", f"{text}NA")] != list(drawn[0])


@pytest.mark.parametrize("kind", SHUFFLES)
def test_more_references_leave_the_first_ones_unchanged(kind):
    text = "NNACGTTGCATCAGGATCNACGATTACAGN"
    assert shuffles(kind, text, n=50)[:7] == shuffles(kind, text, n=7)
    assert shuffles(kind, text, n=1) == shuffles(kind, text, n=7)[:1]


def test_shuffles_stay_the_same_between_versions():
    text = "ACGTTGCATCAGGATCNACGATTACAG"
    # Whoever repeats a published run relies on these: a change here has to be announced.
    dinucleotide = ["ATCGCAGACATGGTTCNACATTACGAG", "AGTGGCGATTCATCACNACGATTACAG"]
    mononucleotide = ["CAGGAATTCCAGTTCGNACTACAGAGT", "ATCAGCCAGATGTGCTNAGACTACGTA"]
    assert shuffles("dinucleotide", text, n=2) == dinucleotide
    assert shuffles("mononucleotide", text, n=2) == mononucleotide


def test_threads_make_the_same_shuffles():
    rng = np.random.default_rng(0)
    batches = [encode(*("".join(rng.choice(list("ACGT"), 200)) for _ in range(8))) for _ in range(8)]
    reference = make("dinucleotide", n_references=5)
    with ThreadPoolExecutor(4) as pool:
        for made, batch in zip(pool.map(reference, batches), batches, strict=True):
            np.testing.assert_array_equal(made, reference(batch))


@pytest.mark.parametrize("kind", SHUFFLES)
@pytest.mark.parametrize("text", ["", "A", "N", "NNNN", "CCCCCCC", "ANANNA"])
def test_sequences_that_cannot_change(kind, text):
    assert shuffles(kind, text, n=3) == [text] * 3


def test_two_bases():
    assert set(shuffles("dinucleotide", "GC", n=50)) == {"GC"}
    assert set(shuffles("mononucleotide", "GC", n=50)) == {"GC", "CG"}


def test_lopsided_counts():
    # One step out of A among 50,001, and C and G that are left to each other many times before T is found.
    text = "A" * 50_000 + "CG" * 20_000 + "CTTG"
    for shuffled in shuffles("dinucleotide", text, n=2):
        assert Counter(pairwise(shuffled)) == Counter(pairwise(text))


@pytest.mark.parametrize("kind", SHUFFLES)
def test_type_and_shape(kind):
    reference = make(kind, n_references=3)
    assert (reference.n_references, reference.shared, reference.needs_observation) == (3, False, False)
    reference.observe(encode("ACGT"))
    for sequences, shape in [(encode("ACGTN", "TTTTT"), (2, 3, 4, 5)), (np.zeros((0, 4, 9)), (0, 3, 4, 9))]:
        made = reference(sequences, rows=np.arange(len(sequences)))
        assert made.dtype == np.float32
        assert made.shape == shape
    with pytest.raises(TypeError, match="common"):
        reference.common(5)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.bool_, np.float32, np.float64])
def test_type_and_memory_order_of_the_input_do_not_matter(dtype):
    sequences = encode("ACGTTGCATCAGGATC", "ACGNTGCATCAGGATC")
    channels_last = np.ascontiguousarray(sequences.transpose(0, 2, 1)).transpose(0, 2, 1)
    reference = make("dinucleotide", n_references=2)
    np.testing.assert_array_equal(reference(channels_last.astype(dtype)), reference(sequences))


@pytest.mark.parametrize("kind", [*SHUFFLES, "zeros"])
def test_what_is_not_one_hot_is_refused(kind):
    reference = make(kind)
    for wrong in (np.zeros((4, 5)), np.zeros((1, 5, 4)), np.zeros((1, 4))):
        with pytest.raises(ReferenceDataError, match=r"\[N, 4, L\]"):
            reference(wrong)
    for value in (2, -1, 0.25, np.nan):
        sequences = encode("ACGT", "ACGT").astype(float)
        sequences[1, 2, 3] = value
        with pytest.raises(ReferenceDataError, match="sequence 1, position 3"):
            reference(sequences)
    two_bases = encode("ACGT", "AAAA") | encode("ACGT", "AAAC")
    with pytest.raises(ReferenceDataError, match=r"sequence 1, position 3 .* \[1, 1, 0, 0\]"):
        reference(two_bases)


def test_random_stream_is_xoshiro256_plus_plus():
    from deeplift_references.kernels import _random

    # The generator's outputs for the state 1 2 3 4, as in the tests of Rust's rand_xoshiro.
    published = [41943041, 58720359, 3588806011781223, 3591011842654386, 9228616714210784205]
    state = np.array([1, 2, 3, 4], dtype=np.uint64)
    assert [int(_random(state)) for _ in published] == published


def test_bounded_integers_are_unbiased():
    from deeplift_references.kernels import _below

    # With a bound of 3/4 of 2^32, multiplying without rejection draws every third number twice as often.
    state = np.array([1, 2, 3, 4], dtype=np.uint64)
    drawn = [str(_below(3 << 30, state) % 3) for _ in range(30_000)]
    assert abs(deviation_from_uniform(drawn, {"0", "1", "2"})) < 4


def run_python(code: str, **environment: str) -> str:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_import_is_light_and_numba_waits_for_the_first_shuffle():
    code = """if True:
        import sys, deeplift_references as references, numpy
        sequence = numpy.eye(4)[None]
        references.make("zeros")(sequence), references.make("dinucleotide")
        print(sorted({"numba", "torch", "h5py", "deeplift_cli", "deeplift_core"} & set(sys.modules)))
        references.make("dinucleotide")(sequence)
        print("numba" in sys.modules)
    """
    assert run_python(code).split("\n") == ["[]", "True"]


SHUFFLE_ONCE = """if True:
    import deeplift_references as references, numpy
    print(references.__file__)
    print(references.make("dinucleotide")(numpy.eye(4)[None]).shape)
"""


def test_no_writable_folder_for_compiled_code(tmp_path):
    package = tmp_path / "deeplift_references"
    shutil.copytree(
        Path(deeplift_references.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__")
    )
    # A file in the place of each folder that numba would try stops root, too.
    (package / "__pycache__").touch()
    (tmp_path / "home").touch()
    blocked = str(tmp_path / "home")
    printed = run_python(
        SHUFFLE_ONCE, PYTHONPATH=str(tmp_path), HOME=blocked, XDG_CACHE_HOME=f"{blocked}/cache"
    )
    assert printed.split("\n") == [str(package / "__init__.py"), "(1, 20, 4, 4)"]


def test_no_space_left_for_compiled_code(tmp_path):
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
    printed = run_python(limit + SHUFFLE_ONCE, NUMBA_CACHE_DIR=str(tmp_path), PYTHONDONTWRITEBYTECODE="1")
    assert printed.endswith("(1, 20, 4, 4)")
    assert not list(tmp_path.rglob("*.nbc"))
