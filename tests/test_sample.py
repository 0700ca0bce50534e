"""`--sample`: a random subset of the records, which the seed, their number and its size determine."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from score_files import datasets
from small_models import deeplift, random_letters, score, torchscript, write_fasta
from test_resume import hidden, runs

from deeplift_cli.sequences import FastaSource, GenomeSource, Record, Sample, make_selection, open_source
from deeplift_cli.sequences.genome import Genome

RECORDS, ROWS, LENGTH = 40, 4, 24
FASTA = ("-f", "in.fa")
GENOME = ("-g", "g.fa", "-r", "in.bed")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same number of FASTA records and of regions; some cannot be scored."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEEPLIFT_CACHE", str(tmp_path / "cache"))
    short = {1, 4, 5, 13, RECORDS - 1}
    write_fasta(Path("in.fa"), [random_letters(i, LENGTH - (i in short)) for i in range(RECORDS)])
    size = LENGTH * RECORDS
    write_fasta(Path("g.fa"), {"chr1": random_letters(1, size), "chr2": random_letters(2, size)})
    places = [(f"chr{1 + i % 2}", LENGTH * i - 3 * (i in short)) for i in range(RECORDS)]
    lines = [f"{chrom}\t{at}\t{at + LENGTH - (i in short)}\tr{i}\n" for i, (chrom, at) in enumerate(places)]
    Path("in.bed").write_text("".join(lines))
    return tmp_path


def words(out: str, *options: object) -> list[str]:
    given = ["-m", torchscript("Net"), "-o", out, "--batch-size", ROWS, "--compile", "off", *options]
    given += [] if "--reference" in options else ["--n-references", 2]
    return [str(word) for word in given]


def run(out: str, *options: object) -> Any:
    return score(*words(out, *options))


def indexes(path: str) -> list[int]:
    with h5py.File(path) as file:
        found: list[int] = file["regions/index"][:].tolist()
        return found


def listed(table: str) -> list[int]:
    """The numbers of the skipped records."""
    return [int(line.split("\t")[0]) for line in Path(table).read_text().splitlines()[1:]]


# ---- the draw


def test_a_sample_is_determined_by_seed_number_and_size() -> None:
    assert Sample(5, 0).drawn_of(40) == Sample(5, 0).drawn_of(40)
    assert Sample(5, 0).drawn_of(40) != Sample(5, 1).drawn_of(40)
    # Written down, so that shards of two versions of NumPy or of this program do not draw other records.
    assert Sample(5, 7).drawn_of(40) == [1, 10, 21, 24, 29]
    for seed in (-(2**63), -1, 2**63 - 1):
        drawn = Sample(30, seed).drawn_of(40)
        assert drawn is not None
        assert len(set(drawn)) == 30
        assert drawn == sorted(drawn)
        assert set(drawn) <= set(range(40))


def test_a_larger_sample_holds_the_smaller_one() -> None:
    drawn = [set(Sample(size, 3).drawn_of(100) or ()) for size in range(1, 100)]
    assert [len(sample) for sample in drawn] == list(range(1, 100))
    assert all(small < large for small, large in pairwise(drawn))
    assert Sample(100, 3).drawn_of(100) is None
    assert Sample(101, 3).drawn_of(100) is None


def test_every_record_is_drawn_as_often_as_others() -> None:
    """The number of draws of each of 20 records in 2,000 samples of 5 is 500, give or take 5 deviations."""
    counts = np.zeros(20)
    for seed in range(2000):
        counts[Sample(5, seed).drawn_of(20)] += 1
    assert counts.sum() == 10_000
    assert np.abs(counts - 500).max() < 5 * np.sqrt(2000 * 0.25 * 0.75)


# ---- what is scored


@pytest.mark.parametrize("given", [FASTA, GENOME])
@pytest.mark.parametrize("reference", ["dinucleotide", "frequency", "mean"])
def test_scores_of_a_sample_are_those_of_the_whole_job(given: tuple[str, ...], reference: str) -> None:
    """Also with references that are counted over the whole input."""
    options = (*given, "--seed", 5) + (() if reference == "dinucleotide" else ("--reference", reference))
    run("whole.h5", *options)
    outcome = run("sample.h5", *options, "--sample", 12)
    drawn = Sample(12, 5).drawn_of(RECORDS)
    assert sorted(indexes("sample.h5") + listed("sample.skipped.tsv")) == drawn
    assert f"sample              12 of {RECORDS} records, drawn with seed 5" in outcome.out
    rows = [indexes("whole.h5").index(number) for number in indexes("sample.h5")]
    with h5py.File("whole.h5") as whole, h5py.File("sample.h5") as sample:
        assert (sample["raw/seq"][:] == whole["raw/seq"][:][rows]).all()
        for name in ("shap/seq", "qc/output", "qc/reference_output"):
            np.testing.assert_allclose(sample[name][:], whole[name][:][rows], rtol=0, atol=1e-6)
        assert sample.attrs["sample"] == 12
    assert deeplift("verify", "sample.h5").code == 0
    again = deeplift("verify", "sample.h5", "-m", torchscript("Net"))
    if reference == "dinucleotide":
        assert again.code == 0
    else:
        assert "depend on the whole input, of which the file holds a sample" in again.err


def test_a_sample_is_drawn_of_the_chosen_chromosomes() -> None:
    outcome = run("a.h5", *GENOME, "--chroms", "chr2", "--sample", 6, "--length", LENGTH)
    drawn = Sample(6, 0).drawn_of(RECORDS // 2)
    assert drawn is not None
    # The regions on chr2 are every second one.
    assert sorted(indexes("a.h5") + listed("a.skipped.tsv")) == [2 * place + 1 for place in drawn]
    assert f"6 of {RECORDS // 2} records" in outcome.out
    assert f"left out            {RECORDS // 2} on other chromosomes" in outcome.out


def test_a_sample_of_more_than_all_is_all() -> None:
    run("whole.h5", *FASTA)
    outcome = run("a.h5", *FASTA, "--sample", RECORDS + 1)
    assert f"all {RECORDS} records: the input has fewer than the {RECORDS + 1} of --sample" in outcome.out
    assert datasets("a.h5") == datasets("whole.h5")
    run("b.h5", *FASTA, "--sample", RECORDS, "--reference", "frequency")
    run("c.h5", *FASTA, "--sample", RECORDS + 9, "--reference", "frequency")
    assert deeplift("verify", "c.h5", "-m", torchscript("Net")).code == 0


@pytest.mark.parametrize("given", [FASTA, (*GENOME, "--chroms", "chr1")])
@pytest.mark.parametrize("more", [(), ("--reference", "frequency")])
@pytest.mark.parametrize("cache", [True, False])
def test_shards_of_a_sample_merge_to_what_one_run_writes(
    given: tuple[str, ...], more: tuple[str, ...], cache: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an index, and without one, where each shard reads the whole input."""
    from pyfaidx import Faidx

    Faidx("g.fa").close()  # the genome needs no cache
    if not cache:
        monkeypatch.setenv("DEEPLIFT_CACHE", str(Path("in.bed") / "below-a-file"))
    options = (*given, *more, "--sample", 14)
    run("whole.h5", *options)
    parts = []
    for number in (1, 2, 3):
        run("part{shard}.h5", *options, "--shard", f"{number}/3")
        parts.append(f"part{number}-of-3.h5")
    assert deeplift("merge", *parts, "-o", "merged.h5").code == 0
    assert datasets("merged.h5") == datasets("whole.h5")
    assert Path("merged.skipped.tsv").read_bytes() == Path("whole.skipped.tsv").read_bytes()


def test_shards_of_other_samples_are_not_merged() -> None:
    run("1.h5", *FASTA, "--sample", 14, "--shard", "1/2")
    run("2.h5", *FASTA, "--sample", 15, "--shard", "2/2")
    assert (
        "2.h5 is of another job than 1.h5: --sample differ"
        in deeplift("merge", "1.h5", "2.h5", "-o", "x.h5").err
    )


def test_a_killed_run_of_a_sample_resumes_to_the_same_bits() -> None:
    options = (*GENOME, "--sample", 20)
    run("whole.h5", *options)
    given = ["score", *words("a.h5", *options), "--threads", "1"]
    (first, *_), (second, *_) = runs((given, {"at": "flush", "call": 3, "before": True}), (given, None))
    assert (first, second) == (-9, 0)
    assert datasets("a.h5") == datasets("whole.h5")
    assert hidden() == []


def test_only_windows_of_the_sample_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = list[int]()
    fetch = Genome.fetch

    def counted(self: Genome, chrom: str, start: int, end: int) -> bytes:
        fetched.append(start)
        return fetch(self, chrom, start, end)

    monkeypatch.setattr(Genome, "fetch", counted)
    run("a.h5", *GENOME, "--sample", 7)
    assert len(fetched) == len(indexes("a.h5"))


# ---- sources


def test_sources_yield_the_sample_from_any_place() -> None:
    selection = make_selection(sample=Sample(9, 2))
    for source in (
        open_source(Path("in.fa"), None, None, lambda _: None, selection),
        open_source(None, Path("g.fa"), Path("in.bed"), lambda _: None, selection),
    ):
        assert isinstance(source, FastaSource | GenomeSource)
        assert source.n_records == 9
        found = [record.region.index if isinstance(record, Record) else record.index
                 for record in source.records(LENGTH)]  # fmt: skip
        assert found == Sample(9, 2).drawn_of(RECORDS)
        assert source.facts.n_records == RECORDS
