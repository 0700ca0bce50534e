"""References from files: `background:FASTA` and `file:REFS.h5`, whatever these hold."""

import os
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from small_models import deeplift, encode, random_letters, score, torchscript, write_fasta

from deeplift_cli import reference_kinds  # noqa: F401 - registers its kinds
from deeplift_cli.errors import UserError
from deeplift_cli.reference_kinds.reference_file import digest, open_references
from deeplift_references import NoReferencesError, Reference, make

LENGTH = 12
SEQUENCES = [random_letters(seed, LENGTH) for seed in range(6)]


def background(path: Path, count: int, seed: int = 0) -> Reference:
    return make(f"background:{path}", n_references=count, seed=seed, length=LENGTH)


def letters_of(reference: Reference) -> list[str]:
    return ["".join("ACGT"[base] for base in one.argmax(0)) for one in reference.common(LENGTH)]


@pytest.mark.parametrize(("count", "of"), [(1, 3), (2, 4)])
def test_each_background_sequence_is_drawn_equally_often(tmp_path: Path, count: int, of: int) -> None:
    """Within 4 standard deviations, over 700 seeds; a draw from one too few or too many is off by more."""
    path = write_fasta(tmp_path / "b.fa", SEQUENCES[:of])
    times = Counter[str]()
    for seed in range(700):
        drawn = letters_of(background(path, count, seed))
        assert drawn == sorted(drawn, key=SEQUENCES.index)  # in the file's order
        times.update(drawn)
    share = count / of
    spread = np.sqrt(700 * share * (1 - share))
    assert all(abs(times[text] - 700 * share) < 4 * spread for text in SEQUENCES[:of])


@pytest.mark.parametrize("count", [5, 6, 7])
def test_a_background_of_as_many_or_fewer_is_taken_whole(tmp_path: Path, count: int) -> None:
    path = write_fasta(tmp_path / "b.fa", SEQUENCES)
    reference = background(path, count)
    assert reference.n_references == min(count, 6)
    assert set(letters_of(reference)) <= set(SEQUENCES)
    assert len(set(letters_of(reference))) == min(count, 6)


@pytest.mark.parametrize(
    ("records", "words"),
    [
        ({"a": "ACGT"}, "no sequence of 12 bp"),
        ({"a": "N" * LENGTH}, "no sequence of 12 bp"),
        ({"a": "MEFILPQKLVWY"}, "looks like protein"),
        ({"a": "ACGT1CGTACGT"}, "holds '1'"),
    ],
)
def test_backgrounds_without_a_usable_sequence(tmp_path: Path, records: dict[str, str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        background(write_fasta(tmp_path / "b.fa", records), 3)


def test_a_background_that_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, words in [
        (tmp_path / "pipe", "not a regular file"),
        (Path("/dev/zero"), "not a regular file"),
        (tmp_path, "is a folder"),
        (tmp_path / "none", "does not exist"),
    ]:
        with pytest.raises(UserError, match=words):
            background(path, 3)


# ---- file:

ONE = np.stack([encode(text) for text in SEQUENCES[:3]]).astype(np.float32)  # [3, 4, 12]
EACH = np.stack([ONE, ONE[::-1]])  # [2, 3, 4, 12]


def _linked(kind: str) -> Callable[[h5py.File], None]:
    def write(file: h5py.File) -> None:
        with h5py.File("other.h5", "w") as other:
            other["references"] = ONE
        if kind == "external link":
            file["references"] = h5py.ExternalLink("other.h5", "/references")
        elif kind == "soft link":
            file["real"] = ONE
            file["references"] = h5py.SoftLink("/real")
        elif kind == "virtual":
            layout = h5py.VirtualLayout(ONE.shape, "f4")
            layout[...] = h5py.VirtualSource("other.h5", "references", ONE.shape)
            file.create_virtual_dataset("references", layout)
        else:
            Path("raw").write_bytes(ONE.tobytes())
            file.create_dataset("references", ONE.shape, "f4", external=[("raw", 0, ONE.nbytes)])

    return write


def _digests(value: object) -> Callable[[h5py.File], None]:
    def write(file: h5py.File) -> None:
        file["references"] = EACH
        if value is None:
            file.create_group("sequence_digest")
        elif isinstance(value, h5py.SoftLink):
            file["sequence_digest"] = value
        else:
            file["sequence_digest"] = value

    return write


def _values(value: np.ndarray) -> Callable[[h5py.File], None]:
    return lambda file: file.create_dataset("references", data=value)


HOSTILE: dict[str, tuple[Callable[[h5py.File], object], str]] = {
    "nothing in it": (lambda file: None, "no dataset 'references'"),
    "a group": (lambda file: file.create_group("references"), "no dataset 'references'"),
    "a scalar": (lambda file: file.create_dataset("references", data=1.0), "no dataset 'references'"),
    "no values": (lambda file: file.create_dataset("references", data=h5py.Empty("f4")), "no dataset"),
    "other axes": (_values(ONE.transpose(0, 2, 1)), "no dataset 'references'"),
    "none": (_values(ONE[:0]), "no dataset 'references'"),
    "texts": (_values(np.full(ONE.shape, b"A")), "no dataset 'references' of numbers"),
    "complex": (_values(ONE.astype(complex)), "no dataset 'references' of numbers"),
    "another length": (_values(ONE[..., :-1]), "11 bp long; the sequences are 12 bp"),
    "NaN": (_values(np.where(ONE == 1, np.nan, ONE)), "not finite"),
    "infinite": (_values(np.where(ONE == 1, np.inf, 0)), "not finite"),
    "beyond float32": (_values(ONE.astype(float) * 1e300), "not finite"),
    "negative": (_values(-ONE), "no bases nor frequencies"),
    "all ones": (_values(np.ones_like(ONE)), "no bases nor frequencies"),
    "codes": (_values(np.full(ONE.shape, 3, np.int8)), "no bases nor frequencies"),
    "an external link": (_linked("external link"), "is a link"),
    "a soft link": (_linked("soft link"), "is a link"),
    "virtual": (_linked("virtual"), "lie in other files"),
    "raw values elsewhere": (_linked("external"), "lie in other files"),
    "petabytes in few bytes": (
        lambda file: file.create_dataset("references", (10**12, 4, LENGTH), "f4", chunks=(1, 4, LENGTH)),
        "GiB"),
    "petabytes for each": (
        lambda file: file.create_dataset("references", (2, 10**12, 4, 12), "f4", chunks=(1, 1, 4, 12)),
        "GiB"),
    "digests are a group": (_digests(None), "sequence_digest"),
    "digests are numbers": (_digests(np.zeros(2)), "sequence_digest"),
    "digests are too few": (_digests(np.array([b"x" * 32], "S32")), "sequence_digest"),
    "digests lead elsewhere": (_digests(h5py.SoftLink("/nowhere")), "is a link"),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_files_that_are_no_references(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.chdir(tmp_path)
    write, words = HOSTILE[kind]
    with h5py.File("refs.h5", "w") as file:
        write(file)
    with pytest.raises(UserError, match=words) as caught:
        open_references(Path("refs.h5"), LENGTH)
    assert "refs.h5" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_values_of_single_sets_are_checked_when_they_are_read(tmp_path: Path) -> None:
    wrong = EACH.copy()
    wrong[1, 2, :, 5] = 1
    with h5py.File(tmp_path / "refs.h5", "w") as file:
        file["references"] = wrong
    reference = open_references(tmp_path / "refs.h5", LENGTH)
    sequences = np.stack([encode(text) for text in SEQUENCES[:2]])
    np.testing.assert_array_equal(reference(sequences[:1], np.array([0]))[0], EACH[0])
    with pytest.raises(UserError, match="no bases nor frequencies"):
        reference(sequences[1:], np.array([1]))


def test_what_is_no_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "refs.h5"
    for content, words in [
        (b"", "is empty"),
        (b"text", "are not an HDF5 file"),
        (b"\x89HDF\r\n\x1a\n" * 9, "HDF5"),
    ]:
        path.write_bytes(content)
        with pytest.raises(UserError, match=words):
            open_references(path, LENGTH)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="not a regular file"):
        open_references(tmp_path / "pipe", LENGTH)


def test_damaged_files_give_references_or_one_line(tmp_path: Path) -> None:
    """Flipped bytes and cut ends, anywhere in a small file with everything in it."""
    path = tmp_path / "refs.h5"
    sequences = np.stack([encode(text) for text in SEQUENCES[:2]])
    with h5py.File(path, "w") as file:
        file.create_dataset("references", data=EACH, chunks=(1, 3, 4, LENGTH), compression="gzip")
        file["sequence_digest"] = np.array([digest(one) for one in sequences], "S32")
    np.testing.assert_array_equal(open_references(path, LENGTH)(sequences), EACH)
    whole = path.read_bytes()
    rng = random.Random(0)
    refused = 0
    for number in range(120):
        content = bytearray(whole)
        if number % 4 == 0:
            del content[rng.randrange(len(content)) :]
        else:
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(content)
        try:
            assert open_references(path, LENGTH)(sequences).shape == EACH.shape
        except (UserError, NoReferencesError) as error:
            refused += 1
            assert "refs.h5" in str(error)  # noqa: PT017
    assert refused >= 30  # all that were cut, at least


def test_records_without_references_are_skipped_and_the_others_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    letters = {f"s{i}": random_letters(i) for i in range(7)}
    given = ["-m", torchscript("Net"), "--n-references", 2, "--batch-size", 3]
    write_fasta(Path("some.fa"), {name: text for name, text in letters.items() if name not in ("s1", "s4")})
    score(*given, "-f", "some.fa", "-o", "some.h5", "--save-references", "refs.h5")
    write_fasta(Path("all.fa"), letters)
    given = given[:2] + given[4:]
    score(
        *given, "-f", "all.fa", "-o", "all.h5", "--reference", "file:refs.h5", "--save-references", "kept.h5"
    )
    with h5py.File("some.h5") as some, h5py.File("all.h5") as every:
        assert every["regions/name"].asstr()[:].tolist() == some["regions/name"].asstr()[:].tolist()
        np.testing.assert_allclose(every["shap/seq"][:], some["shap/seq"][:], atol=1e-6)
    with h5py.File("refs.h5") as before, h5py.File("kept.h5") as after:
        np.testing.assert_array_equal(before["references"][:], after["references"][:])
    skipped = Path("all.skipped.tsv").read_text().splitlines()[1:]
    assert [line.split("\t")[2] for line in skipped] == ["s1", "s4"]
    assert all("has no references in refs.h5" in line for line in skipped)
    write_fasta(Path("others.fa"), [random_letters(seed) for seed in (20, 21)])
    outcome = deeplift("score", *given, "-f", "others.fa", "-o", "x.h5", "--reference", "file:refs.h5")
    assert outcome.code == 1
    assert "no sequence is left to score of others.fa" in outcome.err
    assert "has no references in refs.h5, which was saved for other sequences" in outcome.err
