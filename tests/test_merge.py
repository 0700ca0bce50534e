"""Shards and `deeplift merge`: bit for bit what one run writes; averages; what does not belong together."""

import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, strategies
from score_files import datasets
from small_models import deeplift, random_letters, score, torchscript, write_fasta

from deeplift_cli.shards import Shard, parse_shard

RECORDS, ROWS = 23, 4


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Some records are skipped: in batches, between them, and after all."""
    monkeypatch.chdir(tmp_path)
    short = {1, 4, 5, 13, RECORDS - 1}
    write_fasta(
        Path("in.fa"),
        {f"chr1:{100 * i}-{100 * i + 24}": random_letters(i, 24 - (i in short)) for i in range(RECORDS)},
    )
    return tmp_path


def run(out: str, *options: object) -> Any:
    given = ["-m", torchscript("Net"), "-f", "in.fa", "-o", out, "--n-references", 3, "--compile", "off"]
    if "--batch-size" not in options:
        given += ["--batch-size", ROWS]
    return score(*given, *options)


def shards(count: int, *options: object) -> list[str]:
    for number in range(1, count + 1):
        run("part{shard}.h5", "--shard", f"{number}/{count}", *options)
    return [f"part{number}-of-{count}.h5" for number in range(1, count + 1)]


def refused(*arguments: object, code: int = 1) -> str:
    outcome = deeplift("merge", *arguments, "-o", "x.h5")
    assert outcome.code == code
    assert not list(Path().glob("x.*"))
    assert not list(Path().glob(".*"))
    return outcome.err


# ---- shards


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
def test_shards_merge_to_what_one_run_writes(count: int) -> None:
    """There are 5 batches, the last of 2 rows: some divisions are uneven, and some shards empty."""
    run("whole.h5")
    parts = shards(count)
    assert deeplift("merge", *reversed(parts), "-o", "merged.h5").code == 0
    assert datasets("merged.h5") == datasets("whole.h5")
    for name in ("bed", "skipped.tsv"):
        assert Path(f"merged.{name}").read_bytes() == Path(f"whole.{name}").read_bytes()
    with h5py.File("merged.h5") as merged, h5py.File("whole.h5") as whole:
        for name in (
            "n_skipped",
            "worst_relative_completeness_error",
            "target",
            "model_sha256",
            "batch_size",
        ):
            assert merged.attrs[name] == whole.attrs[name]
    rows = [len(datasets(part)["regions/name"]) for part in parts]
    assert sum(rows) == RECORDS - 5
    assert max(rows) - min(rows) <= ROWS


def test_shards_of_several_targets_and_of_references_from_the_whole_input() -> None:
    """The base frequencies are those of all records, in each shard."""
    options = ("--reference", "frequency", "--target", "0,1")
    given = ["-m", torchscript("Net"), "-f", "in.fa", "--batch-size", ROWS, *options]
    score(*given, "-o", "whole{target}.h5")
    for number in (1, 2):
        score(*given, "-o", "part{target}.{shard}.h5", "--shard", f"{number}/2")
    for target in (0, 1):
        parts = [f"part{target}.{number}-of-2.h5" for number in (1, 2)]
        assert deeplift("merge", *parts, "-o", f"merged{target}.h5").code == 0
        assert datasets(f"merged{target}.h5") == datasets(f"whole{target}.h5")


def test_a_bigwig_of_merged_shards_is_that_of_one_run() -> None:
    Path("sizes").write_text("chr1\t10000\n")
    run("whole.h5", "--bigwig", "whole.bw", "-c", "sizes")
    assert deeplift("merge", *shards(2), "-o", "merged.h5", "--bigwig", "merged.bw", "-c", "sizes").code == 0
    assert Path("merged.bw").read_bytes() == Path("whole.bw").read_bytes()


def test_half_precision() -> None:
    run("whole.h5")
    run("half.h5", "--dtype", "float16")
    assert deeplift("merge", *shards(2, "--dtype", "float16"), "-o", "merged.h5").code == 0
    assert datasets("merged.h5") == datasets("half.h5")
    with h5py.File("whole.h5") as whole, h5py.File("half.h5") as half:
        for name in ("shap/seq", "projected_shap/seq"):
            assert half[name].dtype == np.float16
            np.testing.assert_array_equal(half[name][:], whole[name][:].astype(np.float16))


@given(count=strategies.integers(1, 60), batches=strategies.integers(0, 200))
def test_shares_are_contiguous_and_balanced(count: int, batches: int) -> None:
    shares = [Shard(number, count).batches(batches) for number in range(1, count + 1)]
    assert [batch for share in shares for batch in share] == list(range(batches))
    assert all(before.stop == after.start for before, after in pairwise(shares))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("text", ["", "0/3", "4/3", "1", "1/", "/3", "a/3", "-1/3", "1/3/3"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is neither auto nor I/N"):
        parse_shard(text)


ARRAY = {"ID": "3", "COUNT": "4", "MIN": "1", "MAX": "4"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Shard(3, 4)),
        ({"MIN": "0", "MAX": "3"}, Shard(4, 4)),
        ({"COUNT": "1", "MIN": "3", "MAX": "3"}, "not 1 tasks from 3 to 3"),  # one task, run again
        ({"COUNT": "2", "MIN": "1", "MAX": "4"}, "not 2 tasks from 1 to 4"),
        ({"COUNT": None}, "SLURM_ARRAY_TASK_COUNT is not set"),
    ],
)
def test_the_place_in_a_slurm_array(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], expected: Shard | str
) -> None:
    for name, value in (ARRAY | changes).items():
        if value is None:
            monkeypatch.delenv(f"SLURM_ARRAY_TASK_{name}", raising=False)
        else:
            monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", value)
    if isinstance(expected, Shard):
        assert parse_shard("auto") == expected
    else:
        with pytest.raises(ValueError, match=expected):
            parse_shard("auto")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--shard", "1/2"], "--shard needs --batch-size K"),
        (["--shard", "1/2", "--batch-size", "4", "--bigwig", "a.bw"], "--shard does not go with --bigwig"),
        (["--shard", "auto", "--batch-size", "4"], "SLURM_ARRAY_TASK_ID is not set"),
    ],
)
def test_options_that_do_not_go_with_shards(
    monkeypatch: pytest.MonkeyPatch, options: list[str], words: str
) -> None:
    monkeypatch.delenv("SLURM_ARRAY_TASK_ID", raising=False)
    outcome = deeplift("score", "-m", torchscript("Net"), "-f", "in.fa", "-o", "a.h5", *options)
    assert outcome.code == 2
    assert words in outcome.err


def test_names_that_look_like_something_else() -> None:
    """Templates, JSON, and line ends of Unicode inside a name."""
    write_fasta(Path("in.fa"), {f"a\u2028{i}": random_letters(i, 24 - (i == 3)) for i in range(RECORDS)})
    run("[whole].h5")
    for number in (1, 2):
        run("{shard}.h5", "--shard", f"{number}/2")
    assert deeplift("merge", "1-of-2.h5", "2-of-2.h5", "-o", "{x}.h5").code == 0
    assert datasets("{x}.h5") == datasets("[whole].h5")
    assert Path("{x}.skipped.tsv").read_bytes() == Path("[whole].skipped.tsv").read_bytes()


def test_what_a_killed_merge_left_is_removed() -> None:
    parts = shards(2)
    Path(".m.h5.merge").mkdir()
    Path(".m.h5.merge/.m.h5.123.part").write_text("half")
    assert deeplift("merge", *parts, "-o", "m.h5").code == 0
    assert not list(Path().glob(".*"))


def test_shards_on_genomes_of_different_content() -> None:
    """Of one size: a hard-masked copy, say."""
    letters = random_letters(1, 24 * RECORDS)
    Path("in.bed").write_text("".join(f"chr1\t{24 * i}\t{24 * i + 24}\n" for i in range(RECORDS)))
    for number in (1, 2):
        write_fasta(
            Path("genome.fa"), {"chr1": letters if number == 1 else letters[:24] + "N" * 24 + letters[48:]}
        )
        score(
            "-m", torchscript("Net"), "-g", "genome.fa", "-r", "in.bed", "-o", "{shard}.h5",
            "--batch-size", 4, "--shard", f"{number}/2",
        )  # fmt: skip
    assert "the content of the genome at these regions differ" in refused("1-of-2.h5", "2-of-2.h5")


# ---- what does not belong together


def test_shards_that_are_missing_or_there_twice() -> None:
    first, second, third = shards(3)
    assert "shard 2 of 3 missing" in refused(first, third)
    assert "shards 1, 3 of 3 missing" in refused(second)
    shutil.copy(first, "copy.h5")
    assert "shard 1/3 is there twice: " in refused(first, second, third, "copy.h5")
    assert "none.h5 does not exist" in refused(first, "none.h5")
    assert "part1-of-2.h5 is shard 1/2, part1-of-3.h5 one of 3" in refused(first, shards(2)[0])


def test_shards_of_different_jobs() -> None:
    first, _ = shards(2)
    shutil.copy(first, "first.h5")
    _, second = shards(2, "--seed", 1, "--overwrite")
    assert "part2-of-2.h5 is of another job than first.h5: --seed differ" in refused("first.h5", second)


def test_files_that_are_no_shards() -> None:
    run("whole.h5")
    assert "whole.h5 is no shard but a whole job" in refused("whole.h5")
    assert "is not an HDF5 file, or damaged" in refused("in.fa")
    with h5py.File("other.h5", "w") as file:
        file.attrs["format"] = "another"
    assert "is not a score file of version 1" in refused("other.h5")
    first, second = shards(2)
    Path("part2-of-2.skipped.tsv").unlink()
    assert "part2-of-2.skipped.tsv, which belongs to part2-of-2.h5, cannot be read" in refused(first, second)
    assert "PART" in refused(code=2)
    assert "--bigwig goes with --chrom-sizes or --genome" in refused(first, "--bigwig", "x.bw", code=2)


def test_an_output_that_exists_is_kept() -> None:
    parts = shards(2)
    Path("old.h5").write_text("old")
    outcome = deeplift("merge", *parts, "-o", "old.h5")
    assert (outcome.code, Path("old.h5").read_text()) == (1, "old")
    assert "old.h5 exists; give --overwrite" in outcome.err
    assert deeplift("merge", *parts, "-o", "old.h5", "--overwrite").code == 0
    outcome = deeplift("merge", *parts, "-o", parts[0], "--overwrite")
    assert (outcome.code, outcome.err.count("is also an input")) == (1, 1)


# ---- averages


def test_the_average_of_folds() -> None:
    for number, seed in enumerate((0, 1, 2)):
        run(f"fold{number}.h5", "--seed", seed)
    assert deeplift("merge", "--average", *(f"fold{i}.h5" for i in range(3)), "-o", "mean.h5").code == 0
    files = [h5py.File(f"fold{i}.h5") for i in range(3)]
    with h5py.File("mean.h5") as mean:
        for name in ("shap/seq", "projected_shap/seq", "qc/output", "qc/reference_output", "qc/prediction"):
            expected = sum(file[name][:].astype(np.float64) for file in files) / 3
            np.testing.assert_allclose(mean[name][:], expected, rtol=1e-6, atol=1e-7)
        delta = mean["qc/output"][:] - mean["qc/reference_output"][:].mean(1)
        np.testing.assert_allclose(mean["projected_shap/seq"][:].sum((1, 2)), delta, atol=1e-5)
        assert mean["regions/name"][:].tolist() == files[0]["regions/name"][:].tolist()
        assert (mean["raw/seq"][:] == files[0]["raw/seq"][:]).all()
    assert Path("mean.skipped.tsv").read_text() == Path("fold0.skipped.tsv").read_text()


def test_what_cannot_be_averaged() -> None:
    run("a.h5")
    run("target.h5", "--target", 1)
    run("fewer.h5", "--n-references", 2)
    assert "nothing to average" in refused("--average", "a.h5", "target.h5")
    assert "has 2 references for each, a.h5 has 3" in refused("--average", "a.h5", "fewer.h5")
    assert "takes two score files or more" in refused("--average", "a.h5")
    assert "is a shard; merge the shards of each fold first" in refused("--average", *shards(2))
    short = {1, 4, 5, 13, RECORDS - 1}
    write_fasta(
        Path("in.fa"),
        {f"chr1:{100 * i}-{100 * i + 24}": random_letters(i + 1, 24 - (i in short)) for i in range(RECORDS)},
    )
    run("others.h5")
    assert "others.h5 and a.h5 hold other sequences at records 1 to 7" in refused(
        "--average", "a.h5", "others.h5"
    )


# ---- determinism


def test_what_scores_and_references_depend_on() -> None:
    """References on the seed and the sequence alone; scores beyond that on batch and threads, by rounding."""
    run("base.h5", "--save-references", "base-refs.h5")
    base = h5py.File("base.h5")
    for options in (["--threads", 2], ["--batch-size", 5], ["--batch-size", 1], ["--batch-size", 64]):
        run("other.h5", "--overwrite", "--save-references", "refs.h5", *options)
        assert datasets("refs.h5") == datasets("base-refs.h5")
        with h5py.File("other.h5") as other:
            for name in ("shap/seq", "qc/output", "qc/reference_output"):
                np.testing.assert_allclose(other[name][:], base[name][:], rtol=0, atol=1e-6)
    run("again.h5")
    assert datasets("again.h5") == datasets("base.h5")
    lines = Path("in.fa").read_text().split(">")[1:]
    Path("in.fa").write_text("".join(f">{line}" for line in reversed(lines[:-1])))  # the last is too short
    run("turned.h5", "--save-references", "turned-refs.h5")
    with (
        h5py.File("turned.h5") as turned,
        h5py.File("turned-refs.h5") as theirs,
        h5py.File("base-refs.h5") as ours,
    ):
        np.testing.assert_allclose(turned["shap/seq"][:][::-1], base["shap/seq"][:], rtol=0, atol=1e-6)
        assert (theirs["references"][:][::-1] == ours["references"][:]).all()
