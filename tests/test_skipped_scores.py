"""Records whose scores are NaN, infinite or beyond the stored type are left out and listed."""

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from killed_runs import MOMENTS
from score_files import datasets
from small_models import LENGTH, Net, Outcome, deeplift, random_letters, write_fasta
from torch import Tensor

from deeplift_cli.models.scorer import Scores
from deeplift_cli.outputs.pieces import Pieces
from deeplift_cli.outputs.skipped import SkippedFile
from deeplift_cli.run.finite_scores import reasons_to_skip
from deeplift_cli.run.skipped_tables import SkippedTables
from deeplift_cli.sequences import Skipped

ROWS = 4


class Odd(Net):
    """Target 0 is NaN where a sequence begins with six A, target 1 infinite where one begins with six C."""

    def forward(self, x: Tensor) -> Tensor:
        nan = torch.log(0.5 - torch.relu(x[:, 0, :6].sum(1) - 5)) * 0
        infinite = 1 / (1 - torch.relu(x[:, 1, :6].sum(1) - 5))
        return torch.stack([self.logits(x)[:, 0] + nan, self.logits(x)[:, 1] + infinite], 1)


class Huge(Net):
    """Contributions beyond float16 where a sequence begins with six A."""

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x) * (1 + 1e7 * torch.relu(x[:, 0, :6].sum(1, keepdim=True) - 5))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for kind in (Odd, Huge):
        torch.jit.script(kind().eval()).save(f"{kind.__name__}.pt")
    return tmp_path


def sequences(starts: str, unusable: tuple[int, ...] = ()) -> list[str]:
    """Sequences that begin with six times these letters; the unusable ones are a base too long."""
    return [
        6 * first + random_letters(place, LENGTH - 6 + (place in unusable))
        for place, first in enumerate(starts)
    ]


def scored(out: str, fasta: str = "in.fa", *options: object, model: str = "Odd") -> Outcome:
    few = () if "--n-references" in options else ("--n-references", 3)
    return deeplift("score", "-m", f"{model}.pt", "-f", fasta, "-o", out, *few, "--batch-size", ROWS,
                    "--compile", "off", *options)  # fmt: skip


def table(path: str) -> list[list[str]]:
    return [line.split("\t") for line in Path(path).read_text().splitlines()[1:]]


@pytest.fixture
def interrupted_twice() -> Iterator[list[str]]:
    """Fails at the second batch, then at the third."""
    save = Pieces.save
    limits = [1, 2]

    def fail(self: Pieces, number: int, *rest: object) -> None:
        if limits and number == limits[0]:
            limits.pop(0)
            raise MemoryError
        save(self, number, *rest)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Pieces, "save", fail)
        yield ["--save-references", "refs.h5"]


# The bad records are in the last batch: a score file takes short batches there since its first version.
LAST = "GTGTGTGGTAG"


def test_a_record_without_finite_scores_is_listed_and_the_others_are_scored() -> None:
    write_fasta(Path("in.fa"), sequences(LAST))
    outcome = scored("a.h5", "in.fa", "--save-references", "refs.h5")
    assert outcome.code == 0, outcome.err
    assert "sequences scored    10\n" in outcome.out
    assert "skipped             1\n" in outcome.out
    assert "s9 (line 19) has no scores: the model's output is nan for it" in outcome.out
    assert table("a.skipped.tsv") == [["9", "19", "s9", "has no scores: the model's output is nan for it"]]
    assert len(Path("a.bed").read_text().splitlines()) == 10
    with h5py.File("a.h5") as file, h5py.File("refs.h5") as saved:
        assert file["regions/index"][:].tolist() == [*range(9), 10]
        assert all(np.isfinite(file[f"qc/{name}"][:]).all() for name in ("output", "completeness_error"))
        assert file.attrs["n_skipped"] == 1
        assert file.attrs["worst_relative_completeness_error"] < 1e-4
        assert saved["references"].shape == (10, 3, 4, LENGTH)
        # Row by row: a sequence and its shuffles have the same bases.
        np.testing.assert_array_equal(
            saved["references"][:].sum(3), np.repeat(file["raw/seq"][:].sum(2)[:, None], 3, axis=1)
        )


def test_other_rows_are_those_of_a_job_without_the_record() -> None:
    letters = sequences(LAST)
    write_fasta(Path("in.fa"), letters)
    write_fasta(Path("good.fa"), {f"s{i}": text for i, text in enumerate(letters) if text[0] != "A"})
    scored("a.h5")
    scored("good.h5", "good.fa")
    with h5py.File("a.h5") as file, h5py.File("good.h5") as good:
        for name in ("shap/seq", "qc/output", "qc/reference_output"):
            np.testing.assert_allclose(file[name][:], good[name][:], atol=1e-6)


@pytest.mark.parametrize("starts", ["AGTGTGTGGTG", "GTAGAAAAGTTG"], ids=["middle", "a whole batch"])
def test_records_in_the_middle_leave_their_batches_shorter(starts: str) -> None:
    """Also a batch of which nothing is left, and records that the reader cannot use in between."""
    write_fasta(Path("in.fa"), sequences(starts, unusable=(3, 8)))
    outcome = scored("a.h5")
    assert outcome.code == 0, outcome.err
    bad = {place for place, first in enumerate(starts) if first == "A"} | {3, 8}
    with h5py.File("a.h5") as file:
        assert file["regions/index"][:].tolist() == [i for i in range(len(starts)) if i not in bad]
    assert [int(line[0]) for line in table("a.skipped.tsv")] == sorted(bad)


def test_short_batches_resume_and_merge_like_one_run(interrupted_twice: list[str]) -> None:
    """Bad records in several batches of both shards, next to unusable ones."""
    write_fasta(Path("in.fa"), sequences("AGTGTAGGTTGGAGTAGT", unusable=(2, 9)))
    for _ in range(2):
        assert scored("a.h5", "in.fa", *interrupted_twice).code == 1
    assert "resumed             from 6 sequences" in scored("a.h5", "in.fa", *interrupted_twice).out
    assert scored("b.h5", "in.fa", "--save-references", "whole.h5").code == 0
    for shard in ("1/2", "2/2"):
        assert scored("s{shard}.h5", "in.fa", "--shard", shard).code == 0
    assert deeplift("merge", "s1-of-2.h5", "s2-of-2.h5", "-o", "merged.h5").code == 0
    for name in ("a", "merged"):
        assert Path(f"{name}.skipped.tsv").read_bytes() == Path("b.skipped.tsv").read_bytes()
        assert datasets(f"{name}.h5") == datasets("b.h5")
    assert datasets("refs.h5") == datasets("whole.h5")
    assert [int(line[0]) for line in table("b.skipped.tsv")] == [0, 2, 5, 9, 12, 15]


def test_a_record_that_is_bad_for_one_target_is_left_out_for_all() -> None:
    write_fasta(Path("in.fa"), sequences("GTGTGTGGTACG"))
    outcome = scored("t{target}.h5", "in.fa", "--target", "0,1")
    assert outcome.code == 0, outcome.err
    assert datasets("t0.h5")["raw/seq"] == datasets("t1.h5")["raw/seq"]
    assert Path("t0.skipped.tsv").read_bytes() == Path("t1.skipped.tsv").read_bytes()
    assert [line[2:] for line in table("t0.skipped.tsv")] == [
        ["s9", "has no scores: the model's output is nan for it for target 0"],
        ["s10", "has no scores: the model's output is inf for it for target 1"],
    ]


def test_a_reference_without_a_finite_output_is_named() -> None:
    """Mononucleotide shuffles of a sequence that begins with G may begin with six A."""
    write_fasta(Path("in.fa"), ["G" * 6 + "A" * (LENGTH - 6), "G" * LENGTH])
    outcome = scored("a.h5", "in.fa", "--reference", "mononucleotide", "--n-references", 30)
    assert outcome.code == 0, outcome.err
    ((*_, reason),) = table("a.skipped.tsv")
    assert reason.startswith("has no scores: the model's output is nan for its reference ")
    assert reason.endswith(" of 30")


def test_contributions_beyond_float16_are_listed_with_the_remedy() -> None:
    write_fasta(Path("in.fa"), sequences("GTGTA"))
    given = ("-m", "Huge.pt", "-f", "in.fa", "--reference", "zeros", "--batch-size", ROWS)
    assert deeplift("score", *given, "-o", "a.h5", "--dtype", "float16").code == 0
    ((index, *_, reason),) = table("a.skipped.tsv")
    assert index == "4"
    assert reason.startswith("has contributions up to ")
    assert reason.endswith("beyond the range of float16 (6.6e+04); give --dtype float32")
    assert deeplift("score", *given, "-o", "b.h5").code == 0
    assert table("b.skipped.tsv") == []


@pytest.mark.parametrize("starts", ["AA", "AAAAAAA"])
def test_nothing_is_left(starts: str) -> None:
    write_fasta(Path("in.fa"), sequences(starts, unusable=(1,)))
    outcome = scored("a.h5")
    assert outcome.code == 1
    assert outcome.err == (
        f"deeplift: no sequence is left to score of in.fa with Odd.pt: {len(starts)} skipped; the "
        "first, s0 (line 1), has no scores: the model's output is nan for it\n"
    )
    assert sorted(path.name for path in Path().iterdir()) == ["Huge.pt", "Odd.pt", "in.fa"]


def test_a_resumed_run_lists_the_same(interrupted_twice: list[str]) -> None:
    """The piece of a finished batch keeps what was left out of it."""
    write_fasta(Path("in.fa"), sequences("GTGTGTGGTGGTAG", unusable=(2, 6)))
    for _ in range(2):
        assert scored("a.h5", "in.fa", *interrupted_twice).code == 1
    outcome = scored("a.h5", "in.fa", *interrupted_twice)
    assert "resumed             from 8 sequences" in outcome.out
    assert scored("b.h5", "in.fa", "--save-references", "whole.h5").code == 0
    assert Path("a.skipped.tsv").read_bytes() == Path("b.skipped.tsv").read_bytes()
    assert datasets("a.h5") == datasets("b.h5")
    assert datasets("refs.h5") == datasets("whole.h5")


def test_pieces_keep_what_was_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run ends when all is scored; the next one scores nothing, and lists the same."""
    write_fasta(Path("in.fa"), sequences(LAST))
    owner, name = MOMENTS["publication"]

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, fail)
        outcome = scored("a.h5")
    assert outcome.code == 1
    assert "3 finished batches are kept: the same command resumes from them" in outcome.err
    outcome = scored("a.h5")
    assert "resumed             from 10 sequences" in outcome.out
    assert "skipped             1\n" in outcome.out
    assert table("a.skipped.tsv")[0][2:] == ["s9", "has no scores: the model's output is nan for it"]


def test_merged_shards_list_the_same() -> None:
    write_fasta(Path("in.fa"), sequences("GTGTGTGGTGGA", unusable=(1, 6)))
    for shard in ("1/2", "2/2"):
        assert scored("s{shard}.h5", "in.fa", "--shard", shard).code == 0
    assert deeplift("merge", "s1-of-2.h5", "s2-of-2.h5", "-o", "merged.h5").code == 0
    assert scored("whole.h5").code == 0
    assert Path("merged.skipped.tsv").read_bytes() == Path("whole.skipped.tsv").read_bytes()
    assert datasets("merged.h5") == datasets("whole.h5")


# ---- the parts


def test_reasons_name_what_is_wrong_first() -> None:
    def scores(**changes: object) -> Scores:
        values = {
            "hypothetical": np.ones((3, 4, 5), np.float32), "prediction": np.ones(3), "output": np.ones(3),
            "reference_output": np.ones((3, 2)), "completeness_error": np.zeros((3, 2)),
            "rescored": np.zeros(3, int), "standard_error": np.zeros((3, 5)),
        }  # fmt: skip
        for name, (place, value) in changes.items():  # type: ignore[misc]
            values[name][place] = value
        return Scores(**values)

    def reasons(*found: Scores, dtype: str = "float32") -> dict[int, str]:
        return reasons_to_skip(found, [str(i) for i in range(len(found))], dtype)

    assert reasons(scores()) == {}
    assert reasons(scores(prediction=(1, np.inf))) == {}
    assert reasons(scores(prediction=(1, np.nan))) == {
        1: "has no scores: the model's prediction is nan for it"
    }
    assert reasons(scores(reference_output=((2, 1), -np.inf))) == {
        2: "has no scores: the model's output is -inf for its reference 2 of 2"
    }
    assert reasons(scores(hypothetical=((0, 1, 2), np.nan))) == {
        0: "has no scores: nan is among its contributions, though the model's outputs are finite"
    }
    assert reasons(scores(hypothetical=((0, 1, 2), -7e4)), dtype="float16") == {
        0: "has contributions up to 7e+04, beyond the range of float16 (6.6e+04); give --dtype float32"
    }
    both = reasons(scores(output=(2, np.nan)), scores(output=(slice(1, 3), np.inf)))
    assert both == {
        1: "has no scores: the model's output is inf for it for target 1",
        2: "has no scores: the model's output is nan for it for target 0",
    }


def test_tables_are_merged_in_record_order(tmp_path: Path) -> None:
    with SkippedTables(Path("a.h5"), tmp_path / "1", tmp_path / "2", 3) as records:
        for index in (1, 5, 10, 11):
            records.add_unusable(Skipped(index, f"r{index}", 1, "is short"))
        for index in (2, 9, 100):
            records.add_unscored(Skipped(index, f"r{index}", 1, "is\nodd"))
        assert (records.count, [record.index for record in records.first]) == (7, [1, 2, 5])
        records.close()
        records.merge_into(tmp_path / "merged")
    with SkippedFile(tmp_path / "expected") as expected:
        for index in (1, 2, 5, 9, 10, 11, 100):
            reason = "is\nodd" if index in (2, 9, 100) else "is short"
            expected.append(Skipped(index, f"r{index}", 1, reason))
    assert (tmp_path / "merged").read_text() == (tmp_path / "expected").read_text()
