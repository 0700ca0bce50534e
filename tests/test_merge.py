"""Shards and `deeplift merge`: bit for bit what one run writes; averages; what does not belong together."""

import json
import shutil
import warnings
import zlib
from collections.abc import Callable
from contextlib import ExitStack
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, strategies
from score_files import datasets, open_score_file
from small_models import Net, deeplift, random_letters, score, torchscript, write_fasta
from test_outputs_score_file import LENGTH, REFERENCES, make_batch, rows_of, stored
from test_resume import runs

from deeplift_cli.options.shards import Shard, parse_shard
from deeplift_cli.outputs.datasets import ScoreLayout
from deeplift_cli.run.summary import relative_completeness_error

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
    given = ["-f", "in.fa", "-o", out, "--compile", "off"]
    if "-m" not in options:
        given += ["-m", torchscript("Net")]
    if "--n-references" not in options:
        given += ["--n-references", 3]
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


@pytest.mark.parametrize(
    "text", ["", "0/3", "4/3", "1", "1/", "/3", "a/3", "-1/3", "1/3/3", "auto/", "auto/0", "auto/a"]
)
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is neither auto, auto/N nor I/N"):
        parse_shard(text)


ARRAY = {"ID": "3", "COUNT": "4", "MIN": "1", "MAX": "4"}


def set_array(monkeypatch: pytest.MonkeyPatch, **changes: str | None) -> None:
    """The variables that Slurm sets for a task."""
    for name, value in (ARRAY | changes).items():
        if value is None:
            monkeypatch.delenv(f"SLURM_ARRAY_TASK_{name}", raising=False)
        else:
            monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", value)


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
    set_array(monkeypatch, **changes)
    if isinstance(expected, Shard):
        assert parse_shard("auto") == expected
    else:
        with pytest.raises(ValueError, match=expected):
            parse_shard("auto")


@pytest.mark.parametrize(
    "changes",
    [{}, {"COUNT": "1", "MIN": "3", "MAX": "3"}, {"COUNT": "2", "MIN": "3", "MAX": "19"}, {"COUNT": None}],
)
def test_auto_with_the_number_of_shards_heeds_the_tasks_number_only(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, str | None]
) -> None:
    set_array(monkeypatch, **changes)
    assert parse_shard("auto/20") == Shard(3, 20)
    with pytest.raises(ValueError, match=r"is for tasks from 1 to 2 \(sbatch --array=1-2, .* this one is 3"):
        parse_shard("auto/2")
    set_array(monkeypatch, ID="0")
    with pytest.raises(ValueError, match="and this one is 0"):
        parse_shard("auto/20")
    set_array(monkeypatch, ID=None)
    with pytest.raises(ValueError, match="SLURM_ARRAY_TASK_ID is not set"):
        parse_shard("auto/20")


@pytest.mark.parametrize("left", ["scores", "pieces"])
def test_auto_does_not_take_a_part_of_an_array_for_another_division(
    monkeypatch: pytest.MonkeyPatch, left: str
) -> None:
    """Tasks 1 to 4 of 6 are run again: the array at hand has 4."""
    names = ["-o", "s{target}.{shard}.h5", "--batch-size", ROWS, "-f", "in.fa", "-m", torchscript("Net")]
    if left == "scores":
        score(*names, "--shard", "6/6")
        expected = "s0.6-of-6.h5"
    else:
        expected = ".s0.6-of-6.h5.pieces"
        Path(expected).mkdir()
    for other in ("s0.x-of-9.h5", "t0.1-of-9.h5", "s0.1-of-9.h5.bak", "s0.1-of-4.h5", "1-of-9"):
        Path(other).touch()
    set_array(monkeypatch)
    outcome = deeplift("score", *names, "--shard", "auto")
    assert outcome.code == 1
    assert (
        f"for a whole job of 4 shards, but {expected} belongs to a job of 6: give --shard auto/6"
        in outcome.err
    )
    assert not Path("s0.3-of-4.h5").exists()
    score(*names, "--shard", "auto/6")
    assert Path("s0.3-of-6.h5").exists()
    score(*names, "--shard", "auto/4")
    assert Path("s0.3-of-4.h5").exists()


def test_auto_alone_serves_a_whole_array(monkeypatch: pytest.MonkeyPatch) -> None:
    for task in "1234":
        set_array(monkeypatch, ID=task)
        run("part{shard}.h5", "--shard", "auto")
    set_array(monkeypatch)
    run("part.h5", "--shard", "auto")  # no name to compare
    run("part{shard}.h5", "--shard", "auto", "--overwrite")
    assert len(list(Path().glob("part*-of-4.h5"))) == 4


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
    Path(".m.h5.merge/.m.h5.0123abcd.part").write_text("half")
    assert deeplift("merge", *parts, "-o", "m.h5").code == 0
    assert not list(Path().glob(".*"))


def test_a_merge_takes_no_folder_that_is_not_its_own() -> None:
    """Neither a link nor what is in it, and no files of others."""
    parts = shards(2)
    Path("precious").mkdir()
    Path("precious/skipped.tsv").write_text("mine")
    Path(".m.h5.merge").symlink_to("precious")
    outcome = deeplift("merge", *parts, "-o", "m.h5")
    assert (outcome.code, outcome.err.count(".m.h5.merge is a symbolic link or a file")) == (
        1,
        1,
    )
    assert Path("precious/skipped.tsv").read_text() == "mine"
    Path(".m.h5.merge").unlink()
    Path(".m.h5.merge").mkdir()
    Path(".m.h5.merge/notes.txt").write_text("mine")
    assert deeplift("merge", *parts, "-o", "m.h5").code == 0
    assert Path(".m.h5.merge/notes.txt").read_text() == "mine"


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
    assert "does not keep the lengths of chromosomes" in refused(first, "--bigwig", "x.bw")
    assert "--chrom-sizes and --genome go with --bigwig" in refused(first, "-c", "sizes", code=2)


def test_an_output_that_exists_is_kept() -> None:
    parts = shards(2)
    Path("old.h5").write_text("old")
    outcome = deeplift("merge", *parts, "-o", "old.h5")
    assert (outcome.code, Path("old.h5").read_text()) == (1, "old")
    assert "old.h5 exists; give --overwrite" in outcome.err
    assert deeplift("merge", *parts, "-o", "old.h5", "--overwrite").code == 0
    outcome = deeplift("merge", *parts, "-o", parts[0], "--overwrite")
    assert (outcome.code, outcome.err.count("is also an input")) == (1, 1)
    Path("sizes").write_text("chr1\t10000\n")
    Path("old.bw").write_text("old")
    assert "old.bw exists; give --overwrite" in refused(*parts, "--bigwig", "old.bw", "-c", "sizes")
    assert "is also an input" in refused(*parts, "--bigwig", parts[0], "-c", "sizes", "--overwrite")
    assert "two outputs would be written to x.bed" in refused(*parts, "--bigwig", "x.bed", "-c", "sizes")
    assert Path("old.bw").read_text() == "old"


@pytest.mark.parametrize(
    ("layout", "words"),
    [
        (ScoreLayout(LENGTH + 1, REFERENCES, 6), "the lengths of the sequences"),
        (ScoreLayout(LENGTH, REFERENCES + 1, 6), "the numbers of references"),
        (ScoreLayout(LENGTH, REFERENCES, 6, "float16"), "the types of scores (--dtype)"),
        (ScoreLayout(LENGTH, REFERENCES, 3), "the numbers of rows a batch (--batch-size)"),
    ],
)
def test_shards_of_other_shapes(layout: ScoreLayout, words: str) -> None:
    """Where nothing that is noted of the jobs tells them apart."""
    part("1.h5", "1/2", 0, [])
    part("2.h5", "2/2", 0, [], layout)
    assert f"2.h5 is of another job than 1.h5: {words} differ" in refused("1.h5", "2.h5")


# ---- averages


def fold(number: int) -> Path:
    """A model of the same kind with other weights."""
    path = Path(f"fold{number}.pt")
    model = Net().eval()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for weight in model.parameters():
            weight *= 1 + number / 10
        torch.jit.script(model).save(str(path))
    return path


def folds(count: int, *options: object) -> list[str]:
    for number in range(count):
        run(f"fold{number}.h5", "-m", fold(number), *options)
    return [f"fold{number}.h5" for number in range(count)]


def test_the_average_of_folds() -> None:
    parts = folds(3)
    assert deeplift("merge", "--average", *parts, "-o", "mean.h5").code == 0
    files = [h5py.File(part) for part in parts]
    with h5py.File("mean.h5") as mean:
        for name in ("shap/seq", "projected_shap/seq", "qc/output", "qc/reference_output", "qc/prediction"):
            expected = sum(file[name][:].astype(np.float64) for file in files) / 3
            np.testing.assert_allclose(mean[name][:], expected, rtol=1e-6, atol=1e-7)
        delta = mean["qc/output"][:] - mean["qc/reference_output"][:].mean(1)
        np.testing.assert_allclose(mean["projected_shap/seq"][:].sum((1, 2)), delta, atol=1e-5)
        assert mean["regions/name"][:].tolist() == files[0]["regions/name"][:].tolist()
        assert (mean["raw/seq"][:] == files[0]["raw/seq"][:]).all()
        worst = "worst_relative_completeness_error"
        errors = [file.attrs[worst] for file in files]
        assert len(set(errors)) == 3
        assert mean.attrs[worst] == max(errors)
        assert json.loads(mean.attrs["model_sha256"]) == [file.attrs["model_sha256"] for file in files]
        one, other = (json.loads(file.attrs["fingerprint"]) for file in files[:2])
        common = {name: value for name, value in one.items() if other[name] == value}
        assert json.loads(mean.attrs["fingerprint"]) == common
        assert len(common) == len(one) - 1  # all but the model
    assert Path("mean.skipped.tsv").read_text() == Path("fold0.skipped.tsv").read_text()
    assert "mean.h5 is an average already" in refused("--average", "mean.h5", parts[0])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--target", 1], "--target, the target differ"),
        (["--n-references", 2], "--n-references, the numbers of references differ"),
        (["--seed", 1], "--seed differ"),
        (["--rule", "revealcancel"], "--rule differ"),
        (["--reference", "mononucleotide"], "--reference differ"),
        (["--no-logits", "--no-centre"], "--logits, --centre differ"),
        (["--precision", "float64"], "--precision differ"),
        (["--dtype", "float16"], "--dtype, the types of scores (--dtype) differ"),
        (["--batch-size", 2], "--batch-size, the numbers of rows a batch (--batch-size) differ"),
    ],
)
def test_folds_by_other_options_are_not_averaged(options: list[object], words: str) -> None:
    run("a.h5")
    run("b.h5", "-m", fold(1), *options)
    assert f"b.h5 cannot be averaged with a.h5: {words}" in refused("--average", "a.h5", "b.h5")


def test_what_cannot_be_averaged() -> None:
    run("a.h5")
    assert "takes two score files or more" in refused("--average", "a.h5")
    assert "is a shard; merge the shards of each fold first" in refused("--average", *shards(2))
    short = {1, 4, 5, 13, RECORDS - 1}
    write_fasta(
        Path("in.fa"),
        {f"chr1:{100 * i}-{100 * i + 24}": random_letters(i + 1, 24 - (i in short)) for i in range(RECORDS)},
    )
    run("others.h5", "-m", fold(1))
    assert "others.h5 cannot be averaged with a.h5: the FASTA file differ" in refused(
        "--average", "a.h5", "others.h5"
    )


def test_one_file_twice_is_not_averaged() -> None:
    run("a.h5")
    run("b.h5", "-m", fold(1))
    words = "are the same scores of the same model"
    Path("link.h5").symlink_to("a.h5")
    Path("link.bed").symlink_to("a.bed")
    shutil.copy("a.h5", "copy.h5")
    for twice in ("a.h5", "./a.h5", "link.h5", "copy.h5"):
        assert words in refused("--average", "a.h5", "b.h5", twice)
    for name in ("a.h5", "copy.h5"):
        without_checksums(name)
    assert words in refused("--average", "a.h5", "b.h5", "copy.h5")


def test_a_fold_that_holds_nan_is_not_averaged() -> None:
    first, second = folds(2)
    changed(second, "shap/seq", lambda values: values.__setitem__((6, 2, 3), np.nan))
    assert "fold1.h5 has values that are not finite numbers in hypothetical at records" in refused(
        "--average", first, second
    )


# ---- damage


def without_checksums(name: str) -> None:
    """As an earlier version wrote it."""
    with h5py.File(name, "a") as file:
        del file.attrs["attributes_sha256"]
        file.visititems(
            lambda _, item: item.attrs.__delitem__("sha256") if isinstance(item, h5py.Dataset) else None
        )


def changed(name: str, dataset: str, change: Callable[[Any], object]) -> None:
    """Change values, and what tells it."""
    with h5py.File(name, "a") as file:
        values = file[dataset][:]
        change(values)
        file[dataset][:] = values
        file[dataset].attrs["sha256"] = sha256(values.tobytes()).hexdigest()


def flipped(content: bytes, chunk: Any) -> bytes:
    """The content of a file with one bit of a chunk turned, such that the chunk is no longer what it was."""
    for place in range(chunk.byte_offset + chunk.size // 2, chunk.byte_offset + chunk.size):
        changed = bytearray(content)
        changed[place] ^= 4
        try:
            zlib.decompress(changed[chunk.byte_offset : chunk.byte_offset + chunk.size])
        except zlib.error:
            return bytes(changed)
    raise AssertionError("no bit matters")


@pytest.mark.parametrize(("average", "checksums"), [(True, True), (False, True), (False, False)])
def test_a_flipped_byte_is_not_passed_on(average: bool, checksums: bool) -> None:
    parts = folds(2) if average else shards(2)
    if not checksums:
        for part in parts:
            without_checksums(part)
    how = ["--average"] if average else []
    with h5py.File(parts[1]) as file:
        spots = {
            name: file[name].id.get_chunk_info(1 if name != "qc/output" else 0)
            for name in ("raw/seq", "shap/seq", "projected_shap/seq", "qc/output")
        }
    original = Path(parts[1]).read_bytes()
    for name, spot in spots.items():
        Path(parts[1]).write_bytes(flipped(original, spot))
        message = refused(*how, *parts)
        rows = (spot.chunk_offset[0] + 1) if name != "qc/output" else 1
        assert f"score file {parts[1]} is damaged, {name}, rows {rows} to " in message
        assert ("score it again" if average else "score shard 2/2 again") in message
    Path(parts[1]).write_bytes(original)
    outcome = deeplift("merge", *how, *parts, "-o", "good.h5")
    assert outcome.code == 0
    assert outcome.err.count(f"{parts[0]} and 1 more has no checksums") == (not checksums)


def test_values_that_are_not_those_of_the_checksum() -> None:
    """What no stream of gzip can tell: chunks in each other's places, texts, and attributes."""
    parts = shards(2)
    shutil.copy(parts[0], "copy.h5")
    with h5py.File(parts[0], "a") as file:
        id_ = file["shap/seq"].id
        (_, first), (_, second) = (id_.read_direct_chunk((row, 0, 0)) for row in (0, 4))
        id_.write_direct_chunk((0, 0, 0), second)
        id_.write_direct_chunk((4, 0, 0), first)
    assert "damaged, shap/seq, rows 1 to 8: the values are not those of the stored checksum" in refused(
        *parts
    )
    shutil.copy("copy.h5", parts[0])
    with h5py.File(parts[0], "a") as file:
        file["regions/name"][3] = "another"
    assert "damaged, regions/name, rows 1 to 8" in refused(*parts)
    shutil.copy("copy.h5", parts[0])
    with h5py.File(parts[0], "a") as file:
        file.attrs["n_skipped"] = 0
    assert "damaged, its attributes: they are not those of the stored checksum" in refused(*parts)


def odd_attribute(name: str, value: Any) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file.attrs[name]
        if value is not None:
            file.attrs[name] = value

    return change


def replaced(name: str, make: Callable[[h5py.File], object]) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]
        make(file)

    return change


def instead(name: str, shape: tuple[int, ...], kind: str, **options: Any) -> Callable[[h5py.File], None]:
    """Another dataset."""
    return replaced(name, lambda file: file.create_dataset(name, shape, kind, **options))


def linked(name: str, link: Any) -> Callable[[h5py.File], None]:
    return replaced(name, lambda file: file.__setitem__(name, link))


OUTPUT, SEQUENCES = "qc/output", "raw/seq"
ODD_DATASETS: list[tuple[Callable[[h5py.File], object], str]] = [
    (replaced("shap/seq", lambda file: file.create_group("shap/seq")), "shap/seq is not a dataset"),
    (replaced(OUTPUT, lambda file: file.create_group(OUTPUT)), "qc/output is not a dataset"),
    (replaced("regions/end", lambda file: None), "there is no dataset regions/end"),
    (
        replaced(OUTPUT, lambda f: f.create_virtual_dataset(OUTPUT, h5py.VirtualLayout((8,), "f8"))),
        "in chunks",
    ),
    (instead("shap", (3,), "f4"), "there is no dataset shap/seq"),
    (instead(OUTPUT, (8,), "f4", chunks=(8,)), "qc/output is of type float32, not float64"),
    (instead(OUTPUT, (9,), "f8", chunks=(9,)), "qc/output has the shape (9,), not (8,)"),
    (instead(OUTPUT, (8,), "f8", external=[("in.fa", 0, 64)]), "qc/output is not stored in chunks"),
    (instead("regions/name", (8,), "i8", chunks=(8,)), "regions/name is not of texts"),
    (instead("shap/seq", (8,), "f4", chunks=(8,)), "shap/seq has another shape or type"),
    (instead("shap/seq", (), "f4"), "shap/seq is not stored in chunks"),
    (instead(SEQUENCES, (8, 4, 24), "i1", chunks=(2, 4, 24)), "raw/seq has chunks (2, 4, 24)"),
    (instead(SEQUENCES, (8, 4, 24), "i1", chunks=(4, 4, 24)), "raw/seq has other filters"),
    (
        instead(SEQUENCES, (8, 4, 24), "i1", chunks=(4, 4, 24), compression="gzip", shuffle=True),
        "raw/seq has no checksum",
    ),
    (linked(OUTPUT, h5py.SoftLink("/qc/prediction")), "qc/output is a link to another place"),
    (linked("qc", h5py.ExternalLink("whole.h5", "/qc")), "qc/reference_output is a link to another place"),
]
ODD_ATTRIBUTES: dict[str, tuple[Any, ...]] = {
    "batch_size": (None, 0, -4, 2**40, 4.0, "4", [4, 4], np.void(b"x")),
    "shard": (None, 1, "3/2", "auto", "1/"),
    "fingerprint": (None, 3, "[1]", "{", "3"),
    "n_skipped": (None, "many", -1, 1.5),
    "worst_relative_completeness_error": (None, "large", h5py.Empty("f8")),
    "target": (None,),
    "model_sha256": (None, 1, "[1]", "[x"),
}
ODD = ODD_DATASETS + [
    (odd_attribute(name, value), f"attribute {name}")
    for name, values in ODD_ATTRIBUTES.items()
    for value in values
]


def test_parts_that_no_run_writes() -> None:
    """One line for each, and nothing is followed out of the file or taken for what it is not."""
    run("whole.h5")
    first, second = shards(2)
    shutil.copy(first, "copy.h5")
    for change, words in ODD:
        shutil.copy("copy.h5", first)
        with h5py.File(first, "a") as file:
            change(file)
        message = refused(first, second)
        assert message.count("\n") == 1, message
        assert first in message, message
        assert words in message, message


def test_a_file_of_no_score_files_kind() -> None:
    first, second = shards(2)
    with h5py.File(second, "a") as file:
        file.attrs["format_version"] = 2
    assert "is not a score file of version 1" in refused(first, second)


# ---- details that a mistake in the code once passed


@pytest.mark.parametrize("missing", [[RECORDS - 1], [RECORDS - 2, RECORDS - 1], [7, 8], [1]])
@pytest.mark.parametrize("count", [2, 3])
def test_skipped_records_at_the_ends_of_shards(missing: list[int], count: int) -> None:
    """The last records, or those between two shards, which belong to exactly one of them."""
    letters = [random_letters(i, 24 - (i in missing)) for i in range(RECORDS)]
    write_fasta(Path("in.fa"), letters)
    run("whole.h5")
    assert deeplift("merge", *shards(count), "-o", "merged.h5").code == 0
    table = Path("merged.skipped.tsv").read_bytes()
    assert table == Path("whole.skipped.tsv").read_bytes()
    assert table.count(b"\n") == len(missing) + 1
    with h5py.File("merged.h5") as file:
        assert file.attrs["n_skipped"] == len(missing)


def test_the_worst_error_is_the_targets_own() -> None:
    """Of one run, of merged shards, and for each target another."""
    given = ["-m", torchscript("Net"), "-f", "in.fa", "--batch-size", ROWS, "--target", "0,1"]
    score(*given, "-o", "whole{target}.h5")
    for number in (1, 2):
        score(*given, "-o", "part{target}.{shard}.h5", "--shard", f"{number}/2")
    found = []
    for target in (0, 1):
        with h5py.File(f"whole{target}.h5") as file:
            parts = (file[f"qc/{name}"][:] for name in ("completeness_error", "output", "reference_output"))
            worst = relative_completeness_error(*parts).max()
            assert file.attrs["worst_relative_completeness_error"] == worst
        assert (
            deeplift("merge", *(f"part{target}.{n}-of-2.h5" for n in (1, 2)), "-o", f"m{target}.h5").code == 0
        )
        with h5py.File(f"m{target}.h5") as file:
            assert file.attrs["worst_relative_completeness_error"] == worst
        found.append(worst)
    assert found[0] != found[1]


# ---- batches that are not full


def part(
    name: str,
    shard: str,
    first: int,
    sizes: list[int],
    layout: ScoreLayout = ScoreLayout(LENGTH, REFERENCES, 6),  # noqa: B008 - it cannot be changed
) -> None:
    """A shard with batches of these sizes, as a run writes it that drops records after it has scored them."""
    attrs = {
        "shard": shard, "batch_size": layout.batch_size, "fingerprint": {}, "target": 0, "model_sha256": "x",
        "n_skipped": 0, "worst_relative_completeness_error": 0.0,
    }  # fmt: skip
    with open_score_file(Path(name), layout, attrs=attrs) as file:
        for size in sizes:
            rows = make_batch(RECORDS)
            file.add(rows_of(rows, slice(first, first + size)))
            first += size


@pytest.mark.parametrize("sizes", [[[6, 6], [6, 3]], [[5, 6], [6, 2]], [[2, 6, 0, 3], [4]], [[], [6, 1, 6]]])
def test_shards_of_batches_that_are_not_full(sizes: list[list[int]]) -> None:
    for number, mine in enumerate(sizes, start=1):
        part(f"{number}.h5", f"{number}/2", sum(sizes[0]) * (number - 1), mine)
    part("whole.h5", "1/1", 0, [size for mine in sizes for size in mine])
    assert deeplift("merge", "1.h5", "2.h5", "-o", "merged.h5").code == 0
    assert stored(Path("merged.h5")) == stored(Path("whole.h5"))
    assert datasets("merged.h5") == datasets("whole.h5")
    assert Path("merged.bed").read_bytes() == Path("whole.bed").read_bytes()


# ---- killed


def merge_words(out: str) -> list[str]:
    parts = ["part1-of-2.h5", "part2-of-2.h5"]
    return ["merge", *parts, "-o", out, "--bigwig", f"{out}.bw", "-c", "sizes"]


def test_a_merge_that_is_stopped_leaves_nothing_or_all() -> None:
    Path("sizes").write_text("chr1\t10000\n")
    shards(2)
    assert deeplift(*merge_words("whole.h5")).code == 0
    expected = datasets("whole.h5")
    # Renames: of what says that outputs begin to appear, of four outputs, of what says that they are there.
    moments: list[dict[str, Any]] = [
        *(
            {"at": at, "call": call, "before": True}
            for at, call in (("assembly", 2), ("fsync", 3), ("bigwig", 1))
        ),
        *({"at": "rename", "call": call, "before": False} for call in (1, 2, 5, 6)),
        *({"at": at, "call": 1, "before": True, "signal": "SIGTERM"} for at in ("assembly", "bigwig")),
        *({"after": 0.05, "signal": signal} for signal in ("SIGKILL", "SIGTERM")),
    ]
    names = [f"{number}.h5" for number in range(len(moments))]
    killed = runs(*((merge_words(name), moment) for name, moment in zip(names, moments, strict=True)))
    endings = (".bed", ".skipped.tsv", ".h5", ".h5.bw")
    there = [[Path(f"{number}{end}").exists() for end in endings] for number in range(len(names))]
    again = runs(*((merge_words(name), None) for name in names))
    for number, moment in enumerate(moments):
        status, *_ = killed[number]
        is_sigterm = moment.get("signal") == "SIGTERM"
        assert status == (143 if is_sigterm else -9) or (status == 0 and "after" in moment), moment
        if moment.get("at") != "rename":
            assert len(set(there[number])) == 1, moment
        second, _, err = again[number]
        done = status == 0 or moment == {"at": "rename", "call": 6, "before": False}
        assert second == done, moment
        assert not second or "exists; give --overwrite" in err
        assert datasets(names[number]) == expected, moment
        assert Path(f"{number}.h5.bw").read_bytes() == Path("whole.h5.bw").read_bytes()
    assert not list(Path().glob(".*"))


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


def test_standard_errors_of_shards_and_averages() -> None:
    """Shards keep them; folds share their references, so that the mean of the errors is the upper bound."""
    wide = ("--standard-errors",)
    run("whole.h5", *wide)
    assert deeplift("merge", *shards(3, *wide), "-o", "merged.h5").code == 0
    parts = folds(2, *wide)
    assert deeplift("merge", "--average", *parts, "-o", "mean.h5").code == 0
    names = ("standard_error/seq", "qc/standard_error", "qc/rescored")
    with ExitStack() as stack:
        paths = ("whole.h5", "merged.h5", "mean.h5", *parts)
        files = [stack.enter_context(h5py.File(path)) for path in paths]
        found = {name: [file[name][:] for file in files] for name in names}
    for name, (whole, merged, mean, first, second) in found.items():
        assert np.array_equal(whole, merged)
        expected = first + second if name == "qc/rescored" else (first + second) / 2
        np.testing.assert_allclose(mean, expected, rtol=1e-6)
    assert deeplift("verify", "merged.h5", "mean.h5").code == 0
    run("plain.h5", "-m", fold(0))
    assert "the datasets of standard errors (--standard-errors) differ" in refused(
        "--average", parts[1], "plain.h5"
    )
