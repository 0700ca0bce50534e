"""`deeplift variants`: effects and contributions against variants applied by hand, and its outputs."""

import csv
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from small_models import (
    MODELS,
    Net,
    Outcome,
    deeplift,
    encode,
    random_letters,
    reverse_complement,
    torchscript,
)

import deeplift_references
from deeplift_cli.outputs.score_reader import ScoreReader
from deeplift_cli.outputs.workspace import Workspace
from deeplift_cli.variants.scoring import PairScorer
from deeplift_core import DeepLift

LENGTH = 24
GENOME = random_letters(5, 400)
R = 3
HEAD = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
SNVS = [(60, 1, None), (61, 1, None), (200, 1, None)]
# 0-based positions, the number of bases of REF, and ALT; None is another base.
INDELS = [(100, 1, "ACGT"), (120, 4, "A"), (150, 2, "TTT"), (170, 3, "GA")]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("g.fa").write_text(f">chr1\n{GENOME}\n")
    return tmp_path


def other(base: str) -> str:
    return {"A": "G", "G": "A", "C": "T", "T": "C"}[base]


def alleles(variants: Sequence[tuple[int, int, str | None]] = (*SNVS, *INDELS)) -> list[tuple[int, str, str]]:
    found = []
    for position, n_ref, alt in variants:
        ref = GENOME[position : position + n_ref]
        found.append((position, ref, alt or other(ref)))
    return found


def vcf(rows: Sequence[tuple[int, str, str]], name: str = "v.vcf", chrom: str = "chr1") -> Path:
    text = "".join(
        f"{chrom}\t{position + 1}\trs{position}\t{ref}\t{alt}\t.\t.\t.\n" for position, ref, alt in rows
    )
    Path(name).write_text(HEAD + text)
    return Path(name)


def variants(*options: object, model: str = "Net", file: str = "v.vcf", out: str = "v.h5") -> Outcome:
    words = ["-m", torchscript(model), "-g", "g.fa", "--vcf", file, "-o", out, "--n-references", R]
    return deeplift("variants", *words, "--batch-size", 4, "--threads", 1, *options)


def done(*options: object, **more: str) -> h5py.File:
    outcome = variants(*options, **more)
    assert outcome.code == 0, outcome.err
    return h5py.File(more.get("out", "v.h5"))


def table(path: str = "v.tsv") -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def column(rows: list[dict[str, str]], name: str) -> np.ndarray:
    return np.array([float(row[name]) for row in rows])


def windows(position: int, ref: str, alt: str, side: str = "right") -> tuple[str, str]:
    """Both windows, from the genome with the variant applied to it."""
    start = position - LENGTH // 2
    mutated = GENOME[:position] + alt + GENOME[position + len(ref) :]
    shift = len(alt) - len(ref) if side == "left" else 0
    return GENOME[start : start + LENGTH], mutated[start + shift : start + shift + LENGTH]


def outputs(letters: Sequence[str], target: int = 0, model: str = "Net") -> np.ndarray:
    x = torch.from_numpy(np.stack([encode(text) for text in letters])).float()
    with torch.no_grad():
        found: np.ndarray = MODELS[model]().eval().double()(x.double())[:, target].numpy()
    return found


def contributions(letters: str, references: np.ndarray, target: int = 0) -> np.ndarray:
    """The contribution of each base against each reference: [R, L]."""
    x = torch.from_numpy(encode(letters)[None]).float()
    result = DeepLift(Net().eval(), x).attribute(x, torch.from_numpy(references), target, per_reference=True)
    found: np.ndarray = result.contributions[0].sum(1).numpy()
    return found


def shuffles(letters: str, seed: int = 0) -> np.ndarray:
    return deeplift_references.make("dinucleotide", n_references=R, seed=seed)(encode(letters)[None])


# ---- effects


@pytest.mark.parametrize("side", ["right", "left", "both"])
def test_effects_are_differences_of_the_model_at_windows_made_by_hand(side: str) -> None:
    rows = alleles()
    vcf(rows)
    file = done("--tsv", "v.tsv", "--indel-fill", side, "--target", 1)
    sides = ("right", "left") if side == "both" else (side,)
    ref = outputs([windows(*row)[0] for row in rows], 1)
    alt = np.mean([outputs([windows(*row, one)[1] for row in rows], 1) for one in sides], axis=0)
    written = table()
    np.testing.assert_allclose(column(written, "ref_output"), ref, atol=1e-6)
    np.testing.assert_allclose(column(written, "alt_output"), alt, atol=1e-6)
    np.testing.assert_allclose(column(written, "effect"), alt - ref, atol=1e-6)
    np.testing.assert_allclose(file["variants/effect"][:], alt - ref, atol=1e-6)
    assert [(row["chrom"], int(row["pos"]) - 1, row["ref"], row["alt"]) for row in written] == [
        ("chr1", *row) for row in rows
    ]
    assert list(written[0])[:8] == ["chrom", "pos", "id", "ref", "alt", "ref_output", "alt_output", "effect"]
    for name, one in zip(("alt", "alt_left"), sides, strict=False):
        expected = np.stack([encode(windows(*row, one)[1]) for row in rows])
        np.testing.assert_array_equal(file[f"{name}/raw/seq"][:], expected)


def test_variants_of_the_file_and_of_the_table_are_those_of_the_vcf() -> None:
    ref = GENOME[80]
    text = f"chr1\t81\trs1;rs2\t{ref.lower()}\t{other(ref)},{ref}TT\t.\t.\t.\n"
    Path("v.vcf").write_text(HEAD + text)
    file = done("--tsv", "v.tsv")
    for name, expected in (
        ("chrom", ["chr1"] * 2),
        ("id", ["rs1;rs2"] * 2),
        ("ref", [ref.lower()] * 2),
        ("alt", [other(ref), f"{ref}TT"]),
    ):
        assert file[f"variants/{name}"].asstr()[:].tolist() == expected
        assert [row[name] for row in table()] == expected
    assert file["variants/pos"][:].tolist() == [81, 81]
    assert file["ref/regions/start"][:].tolist() == [68, 68]
    assert file["alt/regions/index"][:].tolist() == [0, 1]


# ---- contributions


def test_contributions_and_their_difference_are_those_of_the_library() -> None:
    rows = alleles()
    vcf(rows)
    file = done("--tsv", "v.tsv", "--seed", 4)
    written = table()
    for place, (position, ref, alt) in enumerate(rows):
        letters, changed = windows(position, ref, alt)
        references = shuffles(letters, seed=4)
        before, after = (contributions(text, references) for text in (letters, changed))
        for group, text, each in (("ref", letters, before), ("alt", changed, after)):
            stored = file[f"{group}/projected_shap/seq"][place]
            np.testing.assert_allclose(stored.sum(0), each.mean(0), atol=1e-6)
            np.testing.assert_array_equal(stored != 0, (encode(text) != 0) & (stored != 0))
        if len(ref) != len(alt):
            continue
        difference = after - before
        middle = LENGTH // 2
        for name, expected in (
            ("seq", difference.mean(0)),
            ("standard_error", difference.std(0, ddof=1) / np.sqrt(R)),
        ):
            np.testing.assert_allclose(file[f"difference/{name}"][place], expected, atol=1e-6)
        for name, span in (
            ("allele", slice(middle, middle + len(ref))),
            ("nearby", slice(middle - 10, middle + len(ref) + 10)),
        ):
            total = difference[:, span].sum(1)
            row = written[place]
            assert float(row[f"{name}_difference"]) == pytest.approx(total.mean(), abs=1e-6)
            error = total.std(ddof=1) / np.sqrt(R)
            assert float(row[f"{name}_difference_se"]) == pytest.approx(error, abs=1e-6)
            assert file[f"difference/{name}"][place] == pytest.approx(total.mean(), abs=1e-6)


@pytest.mark.parametrize("fill", ["right", "left", "both"])
def test_the_difference_of_an_insertion_sums_to_the_effect(fill: str) -> None:
    """Inserted bases are counted at the base before them, so that nothing is lost."""
    vcf(alleles([*SNVS, (100, 1, "ACGT"), (150, 2, "TTT")]))
    file = done("--indel-fill", fill)
    np.testing.assert_allclose(file["difference/seq"][:].sum(1), file["variants/effect"][:], atol=2e-6)


def test_bases_beyond_the_window_of_ref_are_missing_in_the_difference() -> None:
    vcf(alleles([(120, 4, "A")]))
    file = done()
    beyond = file["alt/projected_shap/seq"][0].sum(0)[-3:].sum()
    lost = file["variants/effect"][0] - file["difference/seq"][0].sum()
    assert abs(beyond) > 1e-4
    assert lost == pytest.approx(beyond, abs=2e-6)


def test_both_is_the_mean_of_right_and_left() -> None:
    vcf(alleles())
    files = {fill: done("--indel-fill", fill, out=f"{fill}.h5") for fill in ("right", "left", "both")}
    for name in ("variants/effect", "difference/seq", "difference/allele"):
        mean = (files["right"][name][:] + files["left"][name][:]) / 2
        np.testing.assert_allclose(files["both"][name][:], mean, atol=1e-6)
    for name, same in (("alt", "right"), ("alt_left", "left")):
        for part in ("shap/seq", "qc/output"):
            np.testing.assert_allclose(
                files["both"][f"{name}/{part}"][:], files[same][f"alt/{part}"][:], atol=1e-6
            )


def test_both_alleles_have_the_same_references() -> None:
    vcf(alleles())
    file = done()
    np.testing.assert_array_equal(file["ref/qc/reference_output"][:], file["alt/qc/reference_output"][:])


def test_one_reference_has_no_standard_error() -> None:
    vcf(alleles(SNVS))
    file = done_with_zeros()
    assert "standard_error" not in file["difference"]
    assert not any(name.endswith("_se") for name in table()[0])
    np.testing.assert_allclose(file["difference/seq"][:].sum(1), file["variants/effect"][:], atol=2e-6)


def done_with_zeros() -> h5py.File:
    words = ["-m", torchscript("Net"), "-g", "g.fa", "--vcf", "v.vcf", "-o", "v.h5", "--tsv", "v.tsv"]
    outcome = deeplift("variants", *words, "--reference", "zeros", "--threads", 1)
    assert outcome.code == 0, outcome.err
    return h5py.File("v.h5")


@pytest.mark.parametrize("reference", ["mean", "frequency"])
def test_references_that_depend_on_all_windows(reference: str) -> None:
    rows = alleles()
    vcf(rows)
    words = ["-m", torchscript("Net"), "-g", "g.fa", "--vcf", "v.vcf", "-o", "v.h5"]
    outcome = deeplift("variants", *words, "--reference", reference, "--threads", 1, "--batch-size", 4)
    assert outcome.code == 0, outcome.err
    encoded = np.stack([encode(windows(*row)[0]) for row in rows])
    one = encoded.mean(0) if reference == "mean" else encoded.mean((0, 2))[:, None].repeat(LENGTH, 1)
    x = torch.from_numpy(one[None]).double()
    expected = Net().eval().double()(x)[0, 0].item()
    with h5py.File("v.h5") as file:
        np.testing.assert_allclose(file["alt/qc/reference_output"][:], expected, atol=1e-5)


def test_rc_average_scores_both_strands() -> None:
    rows = alleles(SNVS)
    vcf(rows)
    file = done("--rc-average")
    pairs = [windows(*row) for row in rows]
    ref, alt = (
        [np.mean([outputs([text])[0], outputs([reverse_complement(text)])[0]]) for text in some]
        for some in zip(*pairs, strict=True)
    )
    np.testing.assert_allclose(file["variants/effect"][:], np.subtract(alt, ref), atol=1e-6)
    np.testing.assert_allclose(file["difference/seq"][:].sum(1), file["variants/effect"][:], atol=2e-6)
    letters, changed = pairs[0]
    references = shuffles(letters)
    turned = references[..., ::-1, ::-1].copy()
    each = [
        (contributions(text, references) + contributions(reverse_complement(text), turned)[:, ::-1]) / 2
        for text in (letters, changed)
    ]
    error = (each[1] - each[0]).std(0, ddof=1) / np.sqrt(R)
    np.testing.assert_allclose(file["difference/standard_error"][0], error, atol=1e-6)


def test_windows_with_n_contribute_nothing_there() -> None:
    """An N of the genome moves with an insertion; references have no base at either place."""
    genome = GENOME[:108] + "NN" + GENOME[110:]
    Path("g.fa").write_text(f">chr1\n{genome}\n")
    Path("v.vcf").write_text(HEAD + f"chr1\t101\t.\t{genome[100]}\t{genome[100]}ACG\t.\t.\t.\n")
    file = done()
    ref, alt = (file[f"{name}/projected_shap/seq"][0].sum(0) for name in ("ref", "alt"))
    assert not ref[20:22].any()
    assert not alt[23:].any()
    assert np.count_nonzero(ref) > 8
    for name in ("ref", "alt"):
        assert np.abs(file[f"{name}/qc/completeness_error"][:]).max() < 1e-5
        total = file[f"{name}/projected_shap/seq"][0].sum()
        expected = file[f"{name}/qc/output"][0] - file[f"{name}/qc/reference_output"][0].mean()
        assert total == pytest.approx(expected, abs=1e-5)


# ---- the layout of the groups


def test_a_group_that_is_copied_out_is_a_score_file() -> None:
    """Readers of score files read the group; the scores are those that `score` gives for the same windows."""
    rows = alleles()
    vcf(rows)
    file = done("--target", 1)
    for group in ("ref", "alt"):
        with h5py.File(f"{group}.h5", "w") as copy:
            for name in file[group]:
                file.copy(f"{group}/{name}", copy)
            for name, value in file[group].attrs.items():
                copy.attrs[name] = value
        reader = ScoreReader(Path(f"{group}.h5"))
        assert (reader.n_rows, reader.layout.length, reader.layout.n_references) == (len(rows), LENGTH, R)
        assert reader.chrom_sizes == {"chr1": 400}
        shown = deeplift("show", f"{group}.h5")
        assert shown.code == 0, shown.err
    whole = deeplift("show", "v.h5")
    assert (whole.code, "v.h5 holds variants (deeplift variants): its groups" in whole.err) == (1, True)
    exported = deeplift("export", "ref.h5", "--bedgraph", "ref.bedGraph")
    assert exported.code == 0, exported.err
    bed = [f"chr1\t{position - 12}\t{position + 12}\tp{position}\n" for position, *_ in rows]
    Path("r.bed").write_text("".join(bed))
    words = ["-m", torchscript("Net"), "-g", "g.fa", "-r", "r.bed", "-o", "s.h5", "--target", 1]
    scored = deeplift("score", *words, "--n-references", R, "--batch-size", 4)
    assert scored.code == 0, scored.err
    with h5py.File("s.h5") as plain:
        for name in ("raw/seq", "shap/seq", "qc/output", "qc/reference_output", "qc/standard_error"):
            np.testing.assert_allclose(file[f"ref/{name}"][:], plain[name][:], atol=1e-6)


def test_attributes_and_checksums() -> None:
    vcf(alleles())
    file = done("--indel-fill", "left")
    assert file.attrs["format"] == "deeplift-variants"
    assert file["ref"].attrs["format"] == "deeplift-scores"
    assert (file.attrs["indel_fill"], file.attrs["vcf"]) == ("left", "v.vcf")
    checked = 0

    def check(name: str, item: Any) -> None:
        nonlocal checked
        if isinstance(item, h5py.Dataset) and h5py.check_string_dtype(item.dtype) is None:
            assert item.attrs["sha256"] == hashlib.sha256(item[:].tobytes()).hexdigest(), name
            checked += 1

    file.visititems(check)
    assert checked > 20


def test_float16_halves_the_scores() -> None:
    vcf(alleles(SNVS))
    file = done("--dtype", "float16")
    assert file["alt/shap/seq"].dtype == np.float16
    assert file["difference/seq"].dtype == np.float32


# ---- targets, folds and background


def test_several_targets_have_files_of_their_own() -> None:
    vcf(alleles())
    outcome = variants("--target", "0,1,1-0", "--tsv", "v_{target}.tsv", out="v_{target}.h5")
    assert outcome.code == 0, outcome.err
    effects = [column(table(f"v_{label}.tsv"), "effect") for label in ("0", "1", "1_minus_0")]
    np.testing.assert_allclose(effects[2], effects[1] - effects[0], atol=1e-6)
    with h5py.File("v_1_minus_0.h5") as file:
        assert file["ref"].attrs["target"] == "1-0"
    assert Path("v_1.skipped.tsv").exists()


def test_folds_are_averaged_and_the_spread_of_their_effects_is_told() -> None:
    rows = alleles()
    vcf(rows)
    file = done("-m", torchscript("ChannelsTGCA"), "--tsv", "v.tsv")
    singles = [done(model=model, out=f"{model}.h5") for model in ("Net", "ChannelsTGCA")]
    by_model = np.stack([single["variants/effect"][:] for single in singles])
    written = table()
    np.testing.assert_allclose(column(written, "effect"), by_model.mean(0), atol=1e-6)
    np.testing.assert_allclose(column(written, "effect_fold_sd"), by_model.std(0, ddof=1), atol=1e-6)
    np.testing.assert_allclose(file["variants/effect_of_models"][:], by_model.T, atol=1e-6)
    for name in ("ref/shap/seq", "alt/qc/output", "difference/seq", "ref/qc/reference_output"):
        mean = np.mean([single[name][:] for single in singles], axis=0)
        np.testing.assert_allclose(file[name][:], mean, atol=1e-6)
    error = file["difference/standard_error"][:]
    bound = np.mean([single["difference/standard_error"][:] for single in singles], axis=0)
    assert (error <= bound + 1e-6).all()
    assert list(written[0])[8] == "effect_fold_sd"


def test_folds_must_take_one_length() -> None:
    vcf(alleles(SNVS))
    outcome = variants("-m", torchscript("AnyLength"))
    assert outcome.code == 1
    assert "AnyLength.pt takes sequences of any length: give the width of the windows" in outcome.err


def test_the_background_gives_p_values() -> None:
    vcf(alleles())
    background = [(position, GENOME[position], other(GENOME[position])) for position in range(42, 140, 5)]
    vcf([*background, (150, "AAAAAAA", "C")], "b.vcf")
    done("--tsv", "v.tsv", "--background", "b.vcf")
    pairs = [windows(*row) for row in background]
    sizes = np.abs(outputs([alt for _, alt in pairs]) - outputs([ref for ref, _ in pairs]))
    written = table()
    effects = np.abs(column(written, "effect"))
    expected = [(1 + np.sum(sizes >= effect)) / (1 + len(sizes)) for effect in effects]
    np.testing.assert_allclose(column(written, "background_p"), expected)


# ---- rows that are skipped


def test_bad_rows_are_skipped_and_listed() -> None:
    good = alleles()
    rows = [
        f"chr1\t301\t.\t{GENOME[300]}\t<DEL>",
        f"chr1\t302\t.\t{other(GENOME[301])}\t{GENOME[301]}",
        "chrUn\t10\t.\tA\tC",
        f"chr1\t5\t.\t{GENOME[4]}\t{other(GENOME[4])}",
        f"chr1\t396\t.\t{GENOME[395]}\t{other(GENOME[395])}",
        "chr1\t401\t.\tA\tC",
        f"chr1\t201\t.\t{GENOME[200:213]}\tA",
    ]
    vcf(good)
    with open("v.vcf", "a") as file:
        file.writelines(f"{row}\t.\t.\t.\n" for row in rows)
    written = done()
    assert len(written["variants/pos"]) == len(good)
    with open("v.skipped.tsv", newline="") as skipped:
        found = list(csv.DictReader(skipped, delimiter="\t"))
    reasons = [row["reason"] for row in found]
    assert [int(row["index"]) for row in found] == list(range(len(good), len(good) + len(rows)))
    assert [int(row["line"]) for row in found] == list(range(3 + len(good), 3 + len(good) + len(rows)))
    for reason, part in zip(
        reasons,
        (
            "symbolic ALT allele",
            f"where the genome has {GENOME[301]!r}",
            "the genome lacks: the VCF says 'chrUn'",
            "begins before the chromosome",
            "ends after the chromosome",
            "lies outside its chromosome",
            "has an allele of 13 bp; the window of 24 bp has room for 12",
        ),
        strict=True,
    ):
        assert part in reason


def test_edge_pad_fills_with_n() -> None:
    vcf([(3, GENOME[3], other(GENOME[3])), (395, GENOME[395:398], "A")])
    file = done("--edge", "pad")
    assert file["ref/regions/start"][:].tolist() == [-9, 383]
    assert not file["ref/raw/seq"][0, :, :9].any()
    assert file["ref/raw/seq"][0, :, 9:].any(0).all()
    assert file["alt/raw/seq"][1].any(0).tolist() == [True] * 15 + [False] * 9


def test_the_wrong_genome_build_is_told() -> None:
    rows = [(position, other(ref), ref) for position, ref, _ in alleles(SNVS)]
    vcf([*rows, *alleles(INDELS[:2])])
    outcome = variants()
    assert outcome.code == 1
    assert "3 of 5 REF alleles of VCF file v.vcf are not what the genome has at their place" in outcome.err
    assert "another genome build" in outcome.err
    assert not Path("v.h5").exists()


def test_nothing_left_is_an_error() -> None:
    Path("v.vcf").write_text(HEAD + f"chr1\t201\t.\t{GENOME[200]}\t<DEL>\t.\t.\t.\n")
    outcome = variants()
    assert outcome.code == 1
    assert "no variant is left to score of v.vcf" in outcome.err
    assert "symbolic" in outcome.err
    assert not list(Path().glob(".v.h5*"))


def test_chromosomes_are_renamed_and_chosen() -> None:
    vcf(alleles(SNVS), chrom="1")
    outcome = variants()
    assert outcome.code == 1
    assert "--rename-chroms ucsc translates the VCF's names" in outcome.err
    file = done("--rename-chroms", "ucsc", "--tsv", "v.tsv")
    assert {row["chrom"] for row in table()} == {"1"}
    assert set(file["ref/regions/chrom"].asstr()[:]) == {"chr1"}
    outcome = variants("--rename-chroms", "ucsc", "--chroms", "chr2", out="w.h5")
    assert "no variant on the chromosomes of --chroms (chr2)" in outcome.err


def test_variants_without_finite_scores_are_skipped() -> None:
    """The model gives NaN for windows that begin with A."""
    rows = [(position, GENOME[position], other(GENOME[position])) for position in range(40, 60)]
    vcf(rows)
    outcome = variants(model="GivesNan")
    assert outcome.code == 0, outcome.err
    begins = [windows(*row)[0].startswith("A") for row in rows]
    with h5py.File("v.h5") as file:
        assert file["variants/pos"][:].tolist() == [
            row[0] + 1 for row, bad in zip(rows, begins, strict=True) if not bad
        ]
    text = Path("v.skipped.tsv").read_text()
    assert text.count("has no scores: the model's output is nan for it (allele REF)") == sum(begins)


def test_a_batch_without_any_finite_score() -> None:
    rows = [(position, GENOME[position], other(GENOME[position])) for position in range(40, 100)]
    bad = [row for row in rows if windows(*row)[0].startswith("A")][:8]
    good = [row for row in rows if not windows(*row)[0].startswith("A")][:3]
    vcf([*good, *bad, *good])
    outcome = variants("--tsv", "v.tsv", model="GivesNan")  # in batches of four
    assert outcome.code == 0, outcome.err
    with h5py.File("v.h5") as file:
        assert file["variants/pos"][:].tolist() == [row[0] + 1 for row in [*good, *good]]
    assert len(table()) == 6
    vcf(bad)
    outcome = variants(model="GivesNan", out="w.h5")
    assert (outcome.code, "no variant is left to score" in outcome.err) == (1, True)


# ---- options and outputs


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--target", "0,1"], "several targets need {target}"),
        (["--target", "0,1", "--tsv", "v.tsv"], "several targets need {target}"),
        (["--layout", "ids"], "--layout ids needs the number of each letter"),
        (["--encode-n", "uniform", "--alphabet", "ACGTN"], "--encode-n uniform goes with four letters"),
        (["--reference", "zeros"], "decides by itself how many"),
        (["--indel-fill", "middle"], "'middle' is not one of"),
    ],
)
def test_options_that_contradict_each_other(options: list[Any], message: str) -> None:
    vcf(alleles(SNVS))
    outcome = variants(*options)
    assert (outcome.code, message in outcome.err) == (2, True), outcome.err


def test_outputs_are_not_replaced_unless_told() -> None:
    vcf(alleles(SNVS))
    Path("v.tsv").write_text("mine")
    outcome = variants("--tsv", "v.tsv")
    assert outcome.code == 1
    assert "output v.tsv exists; give --overwrite" in outcome.err
    assert not Path("v.h5").exists()
    done("--tsv", "v.tsv", "--overwrite")
    assert variants("--tsv", "v.vcf", out="w.h5").code == 1


def test_any_length_needs_a_length() -> None:
    vcf(alleles(SNVS))
    outcome = variants(model="AnyLength")
    assert (outcome.code, "give the width of the windows with --length L" in outcome.err) == (1, True)
    file = done("--length", 40, model="AnyLength")
    assert file["ref/raw/seq"].shape == (3, 4, 40)
    outcome = variants("--length", 30, out="w.h5")
    assert outcome.code == 1
    assert "24 bp" in outcome.err


def test_the_same_scores_for_any_batch_size_and_order() -> None:
    rows = alleles()
    vcf(rows)
    first = done()
    vcf(rows[::-1], "w.vcf")
    words = ["-m", torchscript("Net"), "-g", "g.fa", "--vcf", "w.vcf", "-o", "w.h5", "--n-references", R]
    assert deeplift("variants", *words, "--batch-size", 3, "--threads", 1).code == 0
    with h5py.File("w.h5") as second:
        for name in ("difference/seq", "difference/standard_error", "variants/effect", "alt/shap/seq"):
            np.testing.assert_allclose(first[name][:], second[name][:][::-1], atol=1e-6)


# ---- resuming

START = [sys.executable, "-c", "from deeplift_cli.main import main; main()"]


def content(path: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: (
                found.update({name: item.attrs["sha256"]}) if isinstance(item, h5py.Dataset) else None
            )
        )
    return found


def test_a_stopped_run_resumes_to_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    vcf(alleles() * 3)
    vcf(alleles(SNVS), "b.vcf")
    options = ("--tsv", "v.tsv", "--background", "b.vcf")
    done(*options).close()
    whole, effects = content("v.h5"), Path("v.tsv").read_text()
    for name in ("v.h5", "v.tsv", "v.skipped.tsv"):
        Path(name).unlink()
    calls = 0
    score = PairScorer.score

    def failing(self: PairScorer, *given: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise OSError(5, "the device failed")
        return score(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(PairScorer, "score", failing)
        outcome = variants(*options)
    assert outcome.code == 1
    assert "2 finished batches are kept: the same command resumes from them" in outcome.err
    assert not Path("v.h5").exists()
    changed = variants(*options, "--seed", 1)
    assert (changed.code, "--seed was 0, now 1" in changed.err) == (1, True)
    piece = sorted(Path(".v.h5.pieces").glob("*.npz"))[1]
    piece.write_bytes(piece.read_bytes()[:-100])  # a damaged batch is scored again
    outcome = variants(*options)
    assert outcome.code == 0, outcome.err
    assert "resumed             from 4 variants" in outcome.out
    assert content("v.h5") == whole
    assert Path("v.tsv").read_text() == effects
    assert not list(Path().glob(".v.h5*"))


def test_a_changed_genome_is_found_when_a_run_resumes(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = alleles() * 2
    vcf(rows)
    score = PairScorer.score
    calls = 0

    def failing(self: PairScorer, *given: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise OSError(5, "the device failed")
        return score(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(PairScorer, "score", failing)
        assert variants().code == 1
    changed = GENOME[:59] + other(GENOME[59]) + GENOME[60:]  # in the first window, beside its variant
    Path("g.fa").write_text(f">chr1\n{changed}\n")
    outcome = variants()
    assert outcome.code == 1
    assert "those of batch 1 have changed since; --no-resume starts over" in outcome.err
    assert variants("--no-resume").code == 0


def test_outputs_of_a_run_that_was_killed_while_it_published_are_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vcf(alleles(SNVS))

    def failing(self: Workspace) -> None:
        raise OSError(5, "the device failed")

    with monkeypatch.context() as patch:
        patch.setattr(Workspace, "mark_published", failing)
        assert variants("--tsv", "v.tsv").code == 1
    assert Path("v.h5").exists()
    outcome = variants("--tsv", "v.tsv")
    assert outcome.code == 0, outcome.err
    assert "resumed             from 3 variants" in outcome.out
    assert not list(Path().glob(".v.h5*"))
    assert variants("--tsv", "v.tsv").code == 1  # the outputs are complete now, and stay


def test_two_runs_cannot_write_one_output() -> None:
    vcf(alleles(SNVS))
    with Workspace(Path("v.h5"), {}, resume=True, note=print):
        outcome = variants()
    assert (outcome.code, "is being written by another run" in outcome.err) == (1, True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--vcf": "nowhere.vcf"}, "VCF file nowhere.vcf does not exist"),
        ({"--vcf": "."}, "VCF file . is a folder"),
        ({"--vcf": "g.fa"}, "is it a VCF?"),
        ({"-g": "nowhere.fa"}, "genome nowhere.fa does not exist"),
        ({"-g": "v.vcf"}, "is not a FASTA file"),
        ({"-o": "g.fa", "--overwrite": None}, "output g.fa is also an input"),
        ({"-o": "no/v.h5"}, "output folder no does not exist"),
        ({"--tsv": "v.h5"}, "two outputs would be written to v.h5"),
        ({"--tsv": "v.tsv", "--motifs": "v.vcf"}, "motif file v.vcf is neither MEME"),
        ({"--tsv": "v.tsv", "--background": "g.fa"}, "VCF file g.fa, line 1"),
        ({"--target": "7"}, "target 7 is out of range"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(changes: dict[str, str | None], message: str) -> None:
    vcf(alleles(SNVS))
    given = {"-m": str(torchscript("Net")), "-g": "g.fa", "--vcf": "v.vcf", "-o": "v.h5"} | changes
    words = [word for pair in given.items() for word in pair if word is not None]
    outcome = deeplift("variants", *words, "--n-references", 2, "--threads", 1)
    assert outcome.code == 1
    assert message in outcome.err
    assert "Traceback" not in outcome.err
    assert not Path("v.h5").exists()


@pytest.mark.long
def test_a_signal_stops_the_run_and_the_next_run_resumes() -> None:
    rows = [(position, GENOME[position], other(GENOME[position])) for position in range(20, 180)]
    vcf(rows)
    words = ["-m", torchscript("Net"), "-g", "g.fa", "--vcf", "v.vcf", "-o", "v.h5", "--batch-size", "4"]
    command = [*START, "variants", *map(str, words), "--n-references", "30", "--threads", "1"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ)
    folder = Path(".v.h5.pieces")
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if folder.is_dir() and any(folder.glob("*.npz")):
            process.send_signal(signal.SIGTERM)
            break
        time.sleep(0.02)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 143, errors
    assert "the same command resumes from them" in errors
    done_again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done_again.returncode == 0, done_again.stderr
    assert "resumed" in done_again.stdout
    with h5py.File("v.h5") as file:
        assert len(file["variants/pos"]) == len(rows)
