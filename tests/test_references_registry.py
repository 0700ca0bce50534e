"""The registry of references, and the kinds with one reference for all sequences."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from deeplift_references import (
    Reference,
    ReferenceDataError,
    ReferenceSpecError,
    Settings,
    SharedReference,
    kinds,
    make,
    register,
    registry,
)

OWN = ["dinucleotide", "frequency", "mean", "mononucleotide", "zeros"]


def encode(*texts: str) -> np.ndarray:
    """One-hot int8 [N, 4, L]; N (any letter but ACGT) has no base."""
    return np.array([[[letter == base for letter in text] for base in "ACGT"] for text in texts], np.int8)


@pytest.fixture
def scratch_registry(monkeypatch):
    """A registry whose additions end with the test."""
    monkeypatch.setattr(registry, "_KINDS", dict(registry._KINDS))


# --- the registry


def test_own_kinds_are_listed_with_help():
    assert set(OWN) <= kinds().keys()
    for name in OWN:
        kind = kinds()[name]
        assert (kind.name, kind.usage, kind.takes_argument) == (name, name, False)
        assert kind.help
        assert "\n" not in kind.help
    with pytest.raises(TypeError):
        kinds()["new"] = kinds()["zeros"]  # a view, not the registry itself


def test_unknown_kind_lists_the_kinds():
    with pytest.raises(ReferenceSpecError, match="'shuffled'") as caught:
        make("shuffled")
    assert isinstance(caught.value, ValueError)
    for kind in kinds().values():
        assert kind.usage in str(caught.value)


@pytest.mark.parametrize("spec", ["", ":", "Zeros", " zeros", "zeros:", "zeros:1", "dinucleotide:20"])
def test_wrong_specs(spec):
    with pytest.raises(ReferenceSpecError):
        make(spec)


@pytest.mark.parametrize("kind", OWN)
@pytest.mark.parametrize("number", [0, -1])
def test_fewer_than_one_reference_is_an_error(kind, number):
    with pytest.raises(ReferenceSpecError, match="at least 1"):
        make(kind, n_references=number)


def test_numbers_that_are_not_whole_are_refused():
    with pytest.raises(TypeError):
        make("dinucleotide", n_references=2.5)
    with pytest.raises(TypeError):
        make("dinucleotide", seed=0.5)


def test_a_kind_of_another_package_is_one_factory(scratch_registry):
    seen = []

    @register("constant", help="all the same base", takes_argument=True, metavar="BASE")
    def make_constant(argument: str | None, settings: Settings) -> Reference:
        seen.append(settings)

        class Constant(SharedReference):
            n_references = settings.n_references

            def common(self, length):
                one = settings.context["encode"](argument * length)
                return np.repeat(one, self.n_references, axis=0).astype(np.float32)

        return Constant()

    assert kinds()["constant"].usage == "constant:BASE"
    made = make("constant:C", n_references=2, seed=3, frequencies=[0, 1, 0, 0], encode=encode)
    assert made.shared
    np.testing.assert_array_equal(made(encode("ANG")), np.stack([encode("CNC", "CNC")]))
    assert (seen[0].n_references, seen[0].seed, seen[0].frequencies) == (2, 3, (0.0, 1.0, 0.0, 0.0))
    assert dict(seen[0].context) == {"encode": encode}
    with pytest.raises(FrozenInstanceError):
        seen[0].seed = 4
    for spec in ("constant", "constant:"):
        with pytest.raises(ReferenceSpecError, match="constant:BASE"):
            make(spec)


def test_an_argument_may_contain_colons(scratch_registry):
    arguments = []

    @register("scratch-file", help="from a file", takes_argument=True)
    def make_file(argument: str | None, settings: Settings) -> Reference:
        arguments.append(argument)
        return make("zeros")

    make("scratch-file:C:/references:1.h5")
    assert arguments == ["C:/references:1.h5"]


def test_names_are_unique_and_without_colon(scratch_registry):
    with pytest.raises(ValueError, match="two kinds"):
        register("zeros", help="again")
    for name in ("", "a:b"):
        with pytest.raises(ValueError, match="cannot be called"):
            register(name, help="unusable")


# --- one reference for all


def test_zeros():
    zeros = make("zeros")
    assert (zeros.n_references, zeros.shared, zeros.needs_observation) == (1, True, False)
    for made, shape in [(zeros(encode("ACG", "NNN")), (2, 1, 4, 3)), (zeros.common(7), (1, 4, 7))]:
        assert made.dtype == np.float32
        assert made.shape == shape
        assert not made.any()


def test_given_frequencies_by_hand():
    reference = make("frequency", frequencies=[0.3, 0.2, 0.1, 0.4])
    assert (reference.n_references, reference.shared, reference.needs_observation) == (1, True, False)
    column = np.array([0.3, 0.2, 0.1, 0.4], np.float32)
    none = np.zeros(4, np.float32)
    made = reference(encode("ANG", "TTN"))
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made[0, 0].T, [column, none, column])
    np.testing.assert_array_equal(made[1, 0].T, [column, column, none])
    np.testing.assert_array_equal(reference.common(2)[0].T, [column, column])
    reference.observe(encode("AAAA"))
    np.testing.assert_array_equal(reference.common(2)[0].T, [column, column])


def test_auto_frequencies_over_several_batches_by_hand():
    reference = make("frequency")
    assert (reference.n_references, reference.shared, reference.needs_observation) == (1, True, True)
    reference.observe(encode("AACG", "ANNT"))
    reference.observe(encode("NN"))  # lengths may differ
    reference.observe(encode("TT"))
    # Of 8 bases: 3 A, 1 C, 1 G, 3 T.
    expected = [[0.375], [0.125], [0.125], [0.375]]
    np.testing.assert_array_equal(reference.common(1)[0], expected)
    np.testing.assert_array_equal(reference(encode("GN"))[0, 0], np.multiply(expected, [[1, 0]]))


def test_auto_frequencies_count_past_eight_bits():
    reference = make("frequency")
    for _ in range(3):
        reference.observe(encode("A" * 1000))
    reference.observe(encode("C" * 1000))
    np.testing.assert_array_equal(reference.common(1)[0, :, 0], [0.75, 0.25, 0, 0])


def test_frequencies_never_observed_are_an_error():
    reference = make("frequency")
    for unseen in (lambda: None, lambda: reference.observe(encode("NNN"))):
        unseen()
        with pytest.raises(ReferenceDataError, match="no base has been observed"):
            reference(encode("ACG"))
        with pytest.raises(ReferenceDataError, match="no base has been observed"):
            reference.common(3)


@pytest.mark.parametrize(
    ("frequencies", "problem"),
    [
        ([], "four numbers"),
        ([0.5, 0.5], "four numbers"),
        ([0.2] * 5, "four numbers"),
        ([0.25, 0.25, 0.25, 0.26], "sum to 1"),
        ([0.3, 0.3, 0.3, 0.3], "sum to 1"),
        ([29.5, 20.5, 20.5, 29.5], "between 0 and 1"),
        ([1.2, -0.2, 0, 0], "between 0 and 1"),
        ([float("nan"), 0.5, 0.25, 0.25], "between 0 and 1"),
    ],
)
def test_wrong_frequencies(frequencies, problem):
    with pytest.raises(ReferenceSpecError, match=problem):
        make("frequency", frequencies=frequencies)


def test_rounded_frequencies_are_scaled_to_sum_to_one():
    column = make("frequency", frequencies=(0.333, 0.333, 0.333, 0.0)).common(1)[0, :, 0]
    np.testing.assert_allclose(column, [1 / 3, 1 / 3, 1 / 3, 0], rtol=1e-6)


def test_mean_by_hand():
    reference = make("mean")
    assert (reference.n_references, reference.shared, reference.needs_observation) == (1, True, True)
    reference.observe(encode("AANN", "ACNG"))
    reference.observe(encode("CTNN", "ATNN"))
    expected = np.array([[0.75, 0.25, 0, 0], [0.25, 0.25, 0, 0.5], [0, 0, 0, 0], [0, 0, 1, 0]]).T
    np.testing.assert_array_equal(reference.common(4), expected[None])
    made = reference(encode("GNNT", "NNNN"))
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made[0, 0], expected * [1, 0, 0, 1])
    assert not made[1].any()


def test_mean_of_a_position_that_no_observed_sequence_covers():
    reference = make("mean")
    reference.observe(encode("AN", "CN"))
    np.testing.assert_array_equal(reference.common(2)[0, :, 1], np.zeros(4))
    with pytest.raises(ReferenceDataError, match="position 1"):
        reference(encode("AN", "AC"))


def test_mean_needs_one_length_and_something_observed():
    reference = make("mean")
    with pytest.raises(ReferenceDataError, match="none has been observed"):
        reference(encode("AC"))
    with pytest.raises(ReferenceDataError, match="none has been observed"):
        reference.common(2)
    reference.observe(encode("AC"))
    with pytest.raises(ReferenceDataError, match="2 and of 3"):
        reference.observe(encode("ACG"))
    with pytest.raises(ReferenceDataError, match="2 and of 3"):
        reference(encode("ACG"))
    np.testing.assert_array_equal(reference.common(2), encode("AC"))  # the refused batch left no trace


@pytest.mark.parametrize("kind", ["frequency", "mean"])
def test_the_result_does_not_depend_on_batches(kind):
    rng = np.random.default_rng(0)
    sequences = encode(*("".join(rng.choice(list("ACGTN"), 30)) for _ in range(40)))
    whole, parts = make(kind), make(kind)
    whole.observe(sequences)
    for batch in np.array_split(sequences[::-1], 7):
        parts.observe(batch)
    np.testing.assert_array_equal(whole(sequences), parts(sequences))


@pytest.mark.parametrize("kind", ["frequency", "mean", "zeros"])
def test_common_is_what_a_sequence_of_bases_gets(kind):
    reference = make(kind, n_references=20)
    assert reference.n_references == 1
    reference.observe(encode("ACGT", "AAGC"))
    sequences = encode("TGCA")
    np.testing.assert_array_equal(reference(sequences)[0], reference.common(4))
    assert reference(np.zeros((0, 4, 4), np.int8)).shape == (0, 1, 4, 4)
