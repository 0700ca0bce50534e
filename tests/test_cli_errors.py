"""What cannot be used is said in one line with the right exit code, and nothing is left behind."""

import gzip
import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from small_models import (
    LENGTH,
    deeplift,
    onnx_file,
    pickled,
    random_letters,
    torchscript,
    write_fasta,
)

NET = ("-m", torchscript("Net"))
ANY = ("-m", torchscript("AnyLength"))
FASTA = ("-f", "good.fa")
GENOME = ("-g", "genome.fa")
OUT = ("-o", "out.h5")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with files of many kinds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEEPLIFT_CACHE", str(tmp_path / "cache"))
    write_fasta(Path("good.fa"), [random_letters(i) for i in range(3)])
    write_fasta(Path("longer.fa"), [random_letters(i, LENGTH + 1) for i in range(2)])
    write_fasta(Path("all_a.fa"), ["A" + random_letters(i, LENGTH - 1) for i in range(2)])
    write_fasta(Path("genome.fa"), {"chr1": random_letters(5, 400), "chr2": random_letters(6, 90)})
    texts = {
        "empty": "", "blank.fa": "\n\n", "words.txt": "hello\nworld\n", "headings.fa": ">a\n>b\n",
        "digits.fa": f">a\n{random_letters(1)}\n>b\nACGT1CGT\n", "all_n.fa": f">a\n{'N' * LENGTH}\n",
        "good.bed": "chr1\t100\t150\n", "nochr.bed": "1\t100\t150\n2\t5\t10\n", "other.bed": "chrX\t1\t90\n",
        "two.bed": "chr1\t100\n", "turned.bed": "chr1\t200\t100\n", "names.bed": "chrom\tstart\tend\n",
        "far.bed": "chr1\t800\t840\n",
        "outside.bed": "chr1\t380\t420\nchr2\t80\t120\n", "huge.bed": "chr1\t999999999999\t9999999999999\n",
        "sizes": "chr1\t400\n", "short_sizes": "chr1\t100\n", "bad_sizes": "chr1\n", "taken.h5": "mine",
    }  # fmt: skip
    for name, text in texts.items():
        Path(name).write_text(text)
    Path("cut.fa.gz").write_bytes(gzip.compress(Path("good.fa").read_bytes())[:40])
    Path("cut.pt").write_bytes(torchscript("Net").read_bytes()[:3000])
    Path("cut.onnx").write_bytes(onnx_file().read_bytes()[:900])
    for name, letters in {"there": "chr1:10-34", "late": "chr1:390-414"}.items():
        write_fasta(Path(f"{name}.fa"), {"chr1:0-24": random_letters(1), letters: random_letters(2)})
    write_fasta(Path("unplaced.fa"), {"chr1:0-24": random_letters(1), "peak": random_letters(2)})
    Path("loop.h5").symlink_to("loop.h5")
    Path("a folder").mkdir()
    sets = {"short": np.zeros((2, 4, LENGTH - 1)), "few": np.zeros((1, 2, 4, LENGTH)), "flat": np.zeros(4),
            "none": np.zeros((0, 4, LENGTH)), "nan": np.full((2, 4, LENGTH), np.nan), "text": np.full((1, 4, LENGTH), b"A")}  # fmt: skip  # noqa: E501
    for name, values in sets.items():
        with h5py.File(f"refs_{name}.h5", "w") as file:
            file["references"] = values
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    """Every file but those of the cache."""
    files = (path for path in folder.rglob("*") if path.is_file() and "cache" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


USER_ERRORS = {
    # the model
    "model missing": (["-m", "none.onnx", *FASTA, *OUT], ["none.onnx", "does not exist"]),
    "model empty": (["-m", "empty", *FASTA, *OUT], ["empty is empty"]),
    "model a folder": (["-m", "a folder", *FASTA, *OUT], ["a folder", "is a folder"]),
    "model of no kind": (["-m", "words.txt", *FASTA, *OUT], ["words.txt", "not a model", "ONNX"]),
    "model cut, TorchScript": (["-m", "cut.pt", *FASTA, *OUT], ["cut.pt", "truncated"]),
    "model cut, ONNX": (["-m", "cut.onnx", *FASTA, *OUT], ["cut.onnx", "truncated"]),
    "model a pickle": (["-m", pickled(), *FASTA, *OUT], ["pickle", "--allow-pickle"]),
    "operations without a rule": (
        ["-m", torchscript("OddOperations"), *FASTA, *OUT], ["no DeepLIFT rule", "logcumsumexp", "pinv"]),
    "model indifferent to its input": (
        ["-m", torchscript("Constant"), *FASTA, *OUT, "--layout", "ncl"], ["depends on its input"]),
    "model gives NaN for all": (
        ["-m", torchscript("GivesNan"), "-f", "all_a.fa", *OUT],
        ["all_a.fa", "2 skipped", "s0 (line 1)", "the model's output is nan for it"]),
    "batch size baked in": (
        ["-m", torchscript("BatchOfOne"), *FASTA, *OUT, "--batch-size", 2], ["batches of 1", "--batch-size"]),
    "layout does not fit": ([*NET, *FASTA, *OUT, "--layout", "nc1l"], ["nc1l"]),
    # FASTA
    "FASTA missing": ([*NET, "-f", "none.fa", *OUT], ["none.fa does not exist"]),
    "FASTA empty": ([*NET, "-f", "empty", *OUT], ["empty is empty"]),
    "FASTA blank": ([*NET, "-f", "blank.fa", *OUT], ["blank.fa", "blank lines"]),
    "FASTA a folder": ([*NET, "-f", "a folder", *OUT], ["a folder", "give a file"]),
    "FASTA is not": ([*NET, "-f", "words.txt", *OUT], ["words.txt is not a FASTA file", "line 1"]),
    "FASTA is a BED": ([*NET, "-f", "good.bed", *OUT], ["good.bed is not a FASTA file"]),
    "FASTA without letters": ([*NET, "-f", "headings.fa", *OUT], ["headings.fa", "no letters"]),
    "FASTA with digits": ([*NET, "-f", "digits.fa", *OUT], ["digits.fa", "record 2", "line 4", "'1'"]),
    "FASTA of N only": ([*NET, "-f", "all_n.fa", *OUT], ["no sequence is left", "no base"]),
    "FASTA cut short": ([*NET, "-f", "cut.fa.gz", *OUT], ["cut.fa.gz", "cut short"]),
    "FASTA of the wrong length, ONNX": (
        ["-m", onnx_file(), "-f", "longer.fa", *OUT],
        [f"{LENGTH + 1} bp", f"takes {LENGTH} bp (--length {LENGTH} cuts and pads records"]),
    "FASTA of the wrong length, TorchScript": (
        [*NET, "-f", "longer.fa", *OUT], [f"{LENGTH + 1} bp", f"takes {LENGTH} bp: give --length {LENGTH}"]),
    # genome and regions
    "genome missing": ([*ANY, "-g", "none.fa", "-r", "good.bed", *OUT], ["none.fa does not exist"]),
    "genome is not": ([*ANY, "-g", "words.txt", "-r", "good.bed", *OUT], ["words.txt is not a FASTA"]),
    "regions missing": ([*ANY, *GENOME, "-r", "none.bed", *OUT], ["none.bed does not exist"]),
    "regions empty": ([*ANY, *GENOME, "-r", "empty", *OUT], ["empty is empty"]),
    "regions blank": ([*ANY, *GENOME, "-r", "blank.fa", *OUT], ["blank.fa", "no regions"]),
    "regions, two columns": ([*ANY, *GENOME, "-r", "two.bed", *OUT], ["two.bed, line 1", "3"]),
    "regions, end before start": ([*ANY, *GENOME, "-r", "turned.bed", *OUT], ["turned.bed, line 1", "100"]),
    "regions, not numbers": ([*ANY, *GENOME, "-r", "names.bed", *OUT], ["names.bed, line 1", "'start'"]),
    "regions outside": ([*ANY, *GENOME, "-r", "outside.bed", *OUT],
        ["no sequence is left", "400 bp"]),
    "regions of another assembly": ([*ANY, *GENOME, "-r", "far.bed", *OUT],
        ["no sequence is left", "outside the chromosome (400 bp; are regions and genome of one assembly?)"]),
    "chromosome without chr": (
        [*ANY, *GENOME, "-r", "nochr.bed", *OUT], ["regions say '1', the genome has 'chr1'"]),
    "chromosome unknown": ([*ANY, *GENOME, "-r", "other.bed", *OUT], ["'chrX'", "'chr1'"]),
    "region of half the world": ([*ANY, *GENOME, "-r", "huge.bed", *OUT], ["memory"]),
    # targets, outputs, rules
    "target out of range": ([*NET, *FASTA, *OUT, "--target", 2], ["target 2", "0 to 1"]),
    "target out of range, by far": ([*NET, *FASTA, *OUT, "--target", 10**30], ["0 to 1"]),
    "one target of several": ([*NET, *FASTA, "-o", "{target}.h5", "--target", "0,9"], ["9", "0 to 1"]),
    "target with too few axes": (
        ["-m", torchscript("Profile"), *FASTA, *OUT, "--target", 1], ["(3, 2)", "0 to 2, 0 to 1"]),
    "target with too many axes": ([*NET, *FASTA, *OUT, "--target", "(0,1)"], ["(2,)", "0 to 1"]),
    "target of a scalar": (["-m", torchscript("Scalar"), *FASTA, *OUT, "--target", 1], ["target 1", "(0)"]),
    "no such output": (["-m", torchscript("TwoOutputs"), *FASTA, *OUT, "--output", 2], ["0 to 1"]),
    "no output of this name": (
        ["-m", onnx_file(), *FASTA, *OUT, "--output", "profile"], ["'profile'", "logit, probability"]),
    "layer rule for no layer": (
        ["-m", pickled(), "--allow-pickle", *FASTA, *OUT, "--layer-rule", "foo*=rescale"],
        ["foo*", "'first'"]),
    "device that is not there": ([*NET, *FASTA, *OUT, "--device", "cuda:99999999999999999999"], ["cuda:9"]),
    "more references than fit": (
        [*NET, *FASTA, *OUT, "--n-references", 10**9, "--compile", "off"],
        ["memory", "with 1,000,000,000 references each", "--n-references"]),
    "more rows than fit": (
        [*NET, *FASTA, *OUT, "--batch-size", 2**24, "--n-references", 1000],
        ["a batch of 16,777,216 sequences of 24 bp", "TB of memory", "are free; give --batch-size"]),
    # references
    "background missing": ([*NET, *FASTA, *OUT, "--reference", "background:none.fa"], ["none.fa"]),
    "background of another length": (
        [*NET, *FASTA, *OUT, "--reference", "background:longer.fa"], ["longer.fa", f"{LENGTH} bp"]),
    "background of N": ([*NET, *FASTA, *OUT, "--reference", "background:all_n.fa"], ["all_n.fa"]),
    "references missing": ([*NET, *FASTA, *OUT, "--reference", "file:none.h5"], ["none.h5 does not exist"]),
    "references not HDF5": ([*NET, *FASTA, *OUT, "--reference", "file:words.txt"], ["words.txt", "HDF5"]),
    "references too short": (
        [*NET, *FASTA, *OUT, "--reference", "file:refs_short.h5"], [f"{LENGTH - 1} bp", f"{LENGTH} bp"]),
    "references too few": ([*NET, *FASTA, *OUT, "--reference", "file:refs_few.h5"], ["1 records"]),
    "references flat": ([*NET, *FASTA, *OUT, "--reference", "file:refs_flat.h5"], ["[N, R, 4, L]"]),
    "references none": ([*NET, *FASTA, *OUT, "--reference", "file:refs_none.h5"], ["[N, R, 4, L]"]),
    "references text": ([*NET, *FASTA, *OUT, "--reference", "file:refs_text.h5"], ["numbers"]),
    "references NaN": ([*NET, *FASTA, *OUT, "--reference", "file:refs_nan.h5"], ["finite"]),
    # where to write
    "output exists": ([*NET, *FASTA, "-o", "taken.h5"], ["taken.h5 exists", "--overwrite"]),
    "output folder missing": ([*NET, *FASTA, "-o", "nowhere/out.h5"], ["nowhere", "does not exist"]),
    "output folder a file": ([*NET, *FASTA, "-o", "words.txt/out.h5"], ["words.txt", "not a folder"]),
    "output a folder": ([*NET, *FASTA, "-o", "a folder", "--overwrite"], ["a folder", "not a regular file"]),
    "output is an input": ([*NET, *FASTA, "-o", "good.fa", "--overwrite"], ["good.fa is also an input"]),
    "output's companion is an input": (
        [*ANY, *GENOME, "-r", "good.bed", "-o", "good.h5"],
        ["output good.bed, which is written beside good.h5, is also an input; give good.h5 another name"]),
    "output's name too long": ([*NET, *FASTA, "-o", "x" * 300], ["too long"]),
    "output a link to itself": ([*NET, *FASTA, "-o", "loop.h5"], ["loop.h5"]),
    "references written over references": (
        [*NET, *FASTA, *OUT, "--reference", "file:refs_few.h5", "--save-references", "refs_few.h5",
         "--overwrite"], ["refs_few.h5 is also an input"]),
    "two outputs of one name": (
        [*NET, *FASTA, *OUT, "--save-references", "out.bed"], ["two outputs", "out.bed"]),
    # bigWig
    "bigWig without sizes": ([*NET, *FASTA, *OUT, "--bigwig", "o.bw"], ["--chrom-sizes"]),
    "bigWig with bad sizes": (
        [*NET, *FASTA, *OUT, "--bigwig", "o.bw", "-c", "bad_sizes"], ["bad_sizes, line 1"]),
    "bigWig of records without a place": (
        [*NET, "-f", "unplaced.fa", *OUT, "--bigwig", "o.bw", "-c", "sizes"], ["'peak'", "coordinates"]),
    "bigWig past the end": (
        [*NET, "-f", "late.fa", *OUT, "--bigwig", "o.bw", "-c", "sizes"], ["390-414", "400"]),
}  # fmt: skip


@pytest.mark.parametrize("case", USER_ERRORS)
def test_what_cannot_be_used_gets_one_line_and_exit_code_1(folder: Path, case: str) -> None:
    arguments, fragments = USER_ERRORS[case]
    before = contents(folder)
    outcome = deeplift("score", "-q", *arguments)
    assert outcome.code == 1
    assert outcome.out == ""
    assert outcome.err.count("\n") == 1, outcome.err
    assert outcome.err.startswith("deeplift: ")
    for fragment in fragments:
        assert fragment in outcome.err
    assert contents(folder) == before


USAGE_ERRORS = {
    "no model": ([*FASTA, *OUT], "--model"),
    "no output": ([*NET, *FASTA], "--out"),
    "no sequences": ([*NET, *OUT], "--fasta"),
    "both kinds of input": ([*NET, *FASTA, *GENOME, "-r", "good.bed", *OUT], "either"),
    "genome alone": ([*NET, *GENOME, *OUT], "--regions"),
    "regions alone": ([*NET, "-r", "good.bed", *OUT], "--genome"),
    "unknown option": ([*NET, *FASTA, *OUT, "--fast"], "--fast"),
    "extra word": ([*NET, *FASTA, *OUT, "more"], "more"),
    "no file's name": ([*NET, *FASTA, "-o", ""], "--out"),
    "this folder": ([*NET, *FASTA, "-o", "."], "--out"),
    "a folder to be": ([*NET, *FASTA, "-o", "results/"], "results/"),
    "target not a number": ([*NET, *FASTA, *OUT, "--target", "x"], "'x'"),
    "target negative": ([*NET, *FASTA, *OUT, "--target", "-1"], "'-1'"),
    "target cut off": ([*NET, *FASTA, *OUT, "--target", "(0,"], "'(0,'"),
    "target empty": ([*NET, *FASTA, *OUT, "--target", ""], "--target"),
    "target twice": ([*NET, *FASTA, "-o", "{target}.h5", "--target", "1,(1,)"], "twice"),
    "several targets, one name": ([*NET, *FASTA, *OUT, "--target", "0,1"], "{target}"),
    "several targets, one bigWig": (
        [*NET, *FASTA, "-o", "{target}.h5", "--bigwig", "o.bw", "--target", "0,1"], "--bigwig"),
    "unknown rule": ([*NET, *FASTA, *OUT, "--rule", "lrp"], "genomics-default"),
    "integrated gradients, 1e11 steps": (
        [*NET, *FASTA, *OUT, "--rule", f"integrated-gradients:{10**11}"], "1 to 10,000 steps"),
    "integrated gradients, no steps": ([*NET, *FASTA, *OUT, "--rule", "integrated-gradients:0"], "--rule"),
    "layer rule without =": ([*NET, *FASTA, *OUT, "--layer-rule", "conv"], "PATTERN=RULE"),
    "layer rule of no kind": ([*NET, *FASTA, *OUT, "--layer-rule", "conv=best"], "revealcancel"),
    "layer rule with gradient": (
        [*NET, *FASTA, *OUT, "--rule", "gradient", "--layer-rule", "*=rescale"], "--layer-rule"),
    "unknown reference": ([*NET, *FASTA, *OUT, "--reference", "blank"], "dinucleotide"),
    "background of nothing": ([*NET, *FASTA, *OUT, "--reference", "background:"], "background"),
    "frequencies with shuffles": ([*NET, *FASTA, *OUT, "--frequencies", ".25,.25,.25,.25"], "frequency"),
    "frequencies that are three": (
        [*NET, *FASTA, *OUT, "--reference", "frequency", "--frequencies", "0.5,0.3,0.2"], "four"),
    "frequencies beyond 1": (
        [*NET, *FASTA, *OUT, "--reference", "frequency", "--frequencies", "1,1,1,1"], "sum to 1"),
    "frequencies in words": (
        [*NET, *FASTA, *OUT, "--reference", "frequency", "--frequencies", "a,b,c,d"], "--frequencies"),
    "number of zeros": ([*NET, *FASTA, *OUT, "--reference", "zeros", "--n-references", 5], "--n-references"),
    "no references": ([*NET, *FASTA, *OUT, "--n-references", 0], "--n-references"),
    "seed in words": ([*NET, *FASTA, *OUT, "--seed", "lucky"], "--seed"),
    "seed beyond 64 bits": ([*NET, *FASTA, *OUT, "--seed", 2**63], "--seed"),
    "unknown layout": ([*NET, *FASTA, *OUT, "--layout", "lcn"], "--layout"),
    "unknown alphabet": ([*NET, *FASTA, *OUT, "--alphabet", "ACGG"], "ACGG"),
    "unknown overlap": ([*NET, *FASTA, *OUT, "--bigwig", "o.bw", "--overlap", "sum"], "--overlap"),
    "overlap without bigWig": ([*NET, *FASTA, *OUT, "--overlap", "mean"], "--bigwig"),
    "sizes without bigWig": ([*NET, *FASTA, *OUT, "-c", "sizes"], "--bigwig"),
    "limit below 0": ([*NET, *FASTA, *OUT, "--max-completeness-error", "-1"], "--max-completeness-error"),
    "limit that is none": ([*NET, *FASTA, *OUT, "--max-completeness-error", "nan"], "nan"),
    "empty batches": ([*NET, *FASTA, *OUT, "--batch-size", 0], "--batch-size"),
    "batches beyond memory": ([*NET, *FASTA, *OUT, "--batch-size", 10**12], "--batch-size"),
    "unknown device": ([*NET, *FASTA, *OUT, "--device", "tpu"], "--device"),
    "no threads": ([*NET, *FASTA, *OUT, "--threads", 0], "--threads"),
    "threads beyond reason": ([*NET, *FASTA, *OUT, "--threads", 10**6], "--threads"),
    "unknown precision": ([*NET, *FASTA, *OUT, "--precision", "float8"], "--precision"),
}  # fmt: skip


@pytest.mark.parametrize("case", USAGE_ERRORS)
def test_options_that_make_no_sense_get_exit_code_2(folder: Path, case: str) -> None:
    arguments, fragment = USAGE_ERRORS[case]
    before = contents(folder)
    outcome = deeplift("score", *arguments)
    assert outcome.code == 2
    assert outcome.out == ""
    assert fragment in outcome.err.splitlines()[-1]
    assert outcome.err.splitlines()[-1].startswith("Error: ")
    assert contents(folder) == before


@pytest.mark.parametrize("command", ["inspect", "plot"])
def test_a_second_model_is_refused_where_one_is_taken(folder: Path, command: str) -> None:
    rest = {"inspect": [], "plot": ["a.h5", "-o", "a.png"]}[command]
    before = contents(folder)
    outcome = deeplift(command, *rest, "-m", "a.onnx", "--model", "b.onnx")
    assert (outcome.code, outcome.out) == (2, "")
    assert "--model is given 2 times" in outcome.err.splitlines()[-1]
    assert contents(folder) == before


def test_the_last_value_of_an_option_counts(folder: Path) -> None:
    outcome = deeplift("score", *NET, *FASTA, *OUT, "--n-references", "3", "--n-references", "2")
    assert outcome.code == 0
    with h5py.File("out.h5") as file:
        assert file["qc/reference_output"].shape[1] == 2


def test_an_unknown_command_gets_exit_code_2() -> None:
    outcome = deeplift("scores")
    assert outcome.code == 2
    assert "scores" in outcome.err


def test_a_folder_that_cannot_be_written_is_told_before_any_work(folder: Path) -> None:
    Path("a folder").chmod(0o555)
    if os.access("a folder", os.W_OK):
        pytest.skip("this user may write everywhere")
    outcome = deeplift("score", *NET, *FASTA, "-o", "a folder/out.h5")
    assert outcome.code == 1
    assert "permissions" in outcome.err


def test_a_failed_run_leaves_an_older_result_alone(folder: Path) -> None:
    """It fails when a batch is finished: there are references for the first record only."""
    with h5py.File("refs_one.h5", "w") as file:
        file["references"] = np.eye(4)[np.newaxis, np.newaxis, :, np.arange(LENGTH) % 4]
    outcome = deeplift("score", "-m", torchscript("Net"), "-f", "good.fa", "-o", "taken.h5", "--overwrite",
                       "--batch-size", 1, "--reference", "file:refs_one.h5")  # fmt: skip
    assert outcome.code == 1
    assert "1 finished batches are kept: a run with the same model" in outcome.err
    assert Path("taken.h5").read_text() == "mine"
    assert [path.name for path in folder.glob(".*")] == [".taken.h5.pieces"]
