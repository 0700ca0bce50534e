"""Windows of both alleles and their alignment, against variants that are applied to the genome by hand."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deeplift_cli.variants.windows import Alignment, Window

SIDES = ("right", "left")


class Case:
    """A genome with room for any window, and a variant in it."""

    def __init__(self, genome: bytes, position: int, n_ref: int, alt: bytes, length: int, side: Any) -> None:
        self.genome = genome
        self.window = Window(length, position, genome[position : position + n_ref], alt, side)
        self.mutated = genome[:position] + alt + genome[position + n_ref :]

    def fetch(self, start: int, end: int) -> bytes:
        return self.genome[start:end]

    @property
    def windows(self) -> tuple[bytes, bytes]:
        return self.window.reference(self.fetch), self.window.alternative(self.fetch)


@st.composite
def cases(draw: st.DrawFn, side: str | None = None) -> Case:
    length = draw(st.integers(1, 30))
    genome = bytes(draw(st.lists(st.sampled_from(b"ACGT"), min_size=200, max_size=200)))
    longest = length - length // 2
    alt = bytes(draw(st.lists(st.sampled_from(b"ACGT"), min_size=1, max_size=longest)))
    n_ref = draw(st.integers(1, longest))
    return Case(genome, 100, n_ref, alt, length, side or draw(st.sampled_from(SIDES)))


@given(cases())
def test_the_window_of_ref_is_the_genome_with_the_variant_in_the_middle(case: Case) -> None:
    ref, alt = case.windows
    window = case.window
    assert len(ref) == len(alt) == window.length
    assert ref == case.genome[window.start : window.end]
    assert ref[window.length // 2 :].startswith(window.ref)
    assert alt[window.at_in_alt :].startswith(window.alt)


@given(cases())
def test_the_window_of_alt_is_the_genome_with_the_variant_applied(case: Case) -> None:
    window = case.window
    shift = window.gained if window.side == "left" else 0
    assert case.windows[1] == case.mutated[window.start + shift : window.end + shift]


@given(cases(side="right"))
def test_a_variant_and_then_its_reverse_give_the_window_of_ref(case: Case) -> None:
    window = case.window
    back = Window(window.length, window.position, window.alt, window.ref, "right")
    assert back.alternative(lambda start, end: case.mutated[start:end]) == case.windows[0]


@given(cases())
def test_the_span_holds_all_that_is_read(case: Case) -> None:
    read = list[tuple[int, int]]()

    def fetch(start: int, end: int) -> bytes:
        if end > start:
            read.append((start, end))
        return case.genome[start:end]

    case.window.reference(fetch)
    case.window.alternative(fetch)
    assert case.window.span == (min(start for start, _ in read), max(end for _, end in read))


def slow_alignment(case: Case) -> tuple[list[int | None], dict[int, int]]:
    """For each base of REF's window the index of its partner in ALT's; and the REF index by inserted base."""
    window = case.window
    ref, alt = window.ref, window.alt
    first = 0
    while first < min(len(ref), len(alt)) and ref[first] == alt[first]:
        first += 1
    last = 0
    while last < min(len(ref), len(alt)) - first and ref[-1 - last] == alt[-1 - last]:
        last += 1
    # The place in the genome of each base of the mutated genome; None for an inserted base.
    middle_ref, middle_alt = len(ref) - first - last, len(alt) - first - last
    at = window.position
    places: list[int | None] = list(range(at + first))
    for number in range(middle_alt):
        places.append(at + first + number if number < middle_ref else None)
    places += range(at + len(ref) - last, len(case.genome))
    begin = window.start + (window.gained if window.side == "left" else 0)
    index_of = {place: index for index, place in enumerate(places[begin : begin + window.length])}
    partners = [index_of.get(place) for place in range(window.start, window.end)]
    inserted = {}
    for index, place in enumerate(places[begin : begin + window.length]):
        if place is None:
            anchor = window.at + max(first + min(middle_ref, middle_alt) - 1, 0)
            inserted[index] = anchor
    return partners, inserted


@given(cases(), st.integers(0, 2**32 - 1))
def test_alignment(case: Case, seed: int) -> None:
    values = np.random.default_rng(seed).integers(1, 1000, (2, case.window.length)).astype(np.float32)
    partners, inserted = slow_alignment(case)
    expected = np.zeros_like(values)
    for place, partner in enumerate(partners):
        if partner is not None:
            expected[:, place] += values[:, partner]
    for index, anchor in inserted.items():
        expected[:, anchor] += values[:, index]
    np.testing.assert_array_equal(Alignment.of(case.window).aligned(values), expected)


@pytest.mark.parametrize(
    ("ref", "alt", "side", "expected"),
    [
        ("A", "G", "right", [1, 2, 3, 4, 5, 6, 7, 8]),
        ("A", "ACC", "right", [1, 2, 3, 4, 5 + 6 + 7, 8, 0, 0]),  # the last two bases left the window
        ("A", "ACC", "left", [0, 0, 1, 2, 3 + 4 + 5, 6, 7, 8]),
        ("ACC", "A", "right", [1, 2, 3, 4, 5, 0, 0, 6]),
        ("ACC", "A", "left", [3, 4, 5, 6, 7, 0, 0, 8]),
        ("AC", "GT", "right", [1, 2, 3, 4, 5, 6, 7, 8]),
        ("ACT", "AT", "right", [1, 2, 3, 4, 5, 0, 6, 7]),  # C is deleted, T is paired with T
    ],
)
def test_alignment_by_hand(ref: str, alt: str, side: Any, expected: list[int]) -> None:
    window = Window(8, 100, ref.encode(), alt.encode(), side)
    assert Alignment.of(window).aligned(np.arange(1, 9)).tolist() == expected


def test_alleles_that_are_too_long_for_the_window() -> None:
    assert Window(9, 100, b"A" * 5, b"C").is_wide_enough
    assert not Window(8, 100, b"A" * 5, b"C").is_wide_enough
    assert not Window(8, 100, b"A", b"C" * 5).is_wide_enough
