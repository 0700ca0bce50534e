"""Shards of `deeplift variants`, and `deeplift merge`: bit for bit what one run writes."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from small_models import Outcome, deeplift, random_letters, torchscript

from deeplift_cli.variants.scoring import PairScorer

GENOME = random_letters(5, 400)
HEAD = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\n"
JASPAR = ">MA1 one\nA [ 0 20 0 0 ]\nC [ 0 0 20 0 ]\nG [ 20 0 0 0 ]\nT [ 0 0 0 20 ]\n"
N_VARIANTS, ROWS = 23, 4


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Some variants are skipped: before all, in batches, between them, and after all."""
    monkeypatch.chdir(tmp_path)
    Path("g.fa").write_text(f">chr1\n{GENOME}\n")
    lines = [bad(10)]
    for number, position in enumerate(range(40, 40 + 13 * N_VARIANTS, 13)):
        ref = GENOME[position]
        alt = {"A": "G", "C": "CTT", "G": "T", "T": "A"}[ref]
        lines += [line(position, ref, alt)] + [bad(position)] * (number in (3, 4, 11))
    Path("v.vcf").write_text(HEAD + "".join(lines) + bad(390))
    others = [line(place, GENOME[place], "A" if GENOME[place] != "A" else "C") for place in range(50, 150, 7)]
    Path("b.vcf").write_text(HEAD + bad(60) + "".join(others))
    Path("m.jaspar").write_text(JASPAR)
    return tmp_path


def line(position: int, ref: str, alt: str) -> str:
    return f"chr1\t{position + 1}\trs{position}\t{ref}\t{alt}\n"


def bad(position: int) -> str:
    return line(position, GENOME[position], "<DEL>")


def run(*options: object, out: str = "part.{shard}.h5", vcf: str = "v.vcf") -> Outcome:
    words = ["-m", torchscript("Net"), "-g", "g.fa", "--vcf", vcf, "-o", out, "--threads", 1]
    given = ["--n-references", 3, "--compile", "off"] if "--reference" not in options else []
    sizes = ["--batch-size", ROWS] if "--batch-size" not in options else []
    return deeplift("variants", *words, *given, *sizes, *options)


def done(*options: object, **more: str) -> Outcome:
    outcome = run(*options, **more)
    assert outcome.code == 0, outcome.err
    return outcome


def shards(count: int, *options: object) -> list[str]:
    for number in range(1, count + 1):
        done(*options, "--shard", f"{number}/{count}")
    return [f"part.{number}-of-{count}.h5" for number in range(1, count + 1)]


def datasets(path: str, *, sums: bool = True) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: found.update({name: item[:]}) if isinstance(item, h5py.Dataset) else None
        )
        stored = {name: file[name].attrs["sha256"] if sums else "" for name in found}
    return {
        name: (values.tolist() if values.dtype.kind == "O" else values.tobytes(), values.shape, stored[name])
        for name, values in found.items()
    }


def n_rows(path: str, name: str) -> int:
    with h5py.File(path) as file:
        return len(file[name])


def refused(*arguments: object, code: int = 1) -> str:
    outcome = deeplift("merge", *arguments, "-o", "x.h5")
    assert outcome.code == code
    assert not list(Path().glob("x.*"))
    assert not list(Path().glob(".x*"))
    return outcome.err


# ---- what merged shards hold


@pytest.mark.parametrize("count", [3, 8])
def test_shards_merge_to_what_one_run_writes(count: int) -> None:
    """There are 6 batches, the last of 3 variants: with eight shards, two are empty."""
    options = ("--motifs", "m.jaspar", "--background", "b.vcf", "--indel-fill", "both")
    done(*options, "--tsv", "whole.tsv", out="whole.h5")
    parts = shards(count, *options)
    outcome = deeplift("merge", *reversed(parts), "-o", "merged.h5", "--tsv", "merged.tsv")
    assert outcome.code == 0, outcome.err
    assert f"variants            {N_VARIANTS}" in outcome.out
    assert datasets("merged.h5") == datasets("whole.h5")
    for name in ("tsv", "skipped.tsv"):
        assert Path(f"merged.{name}").read_bytes() == Path(f"whole.{name}").read_bytes()
    with h5py.File("merged.h5") as merged, h5py.File("whole.h5") as whole:
        for place in ("/", "ref", "alt", "alt_left"):
            ours, theirs = merged[place].attrs, whole[place].attrs
            assert (ours["shard"], ours["n_skipped"], ours["format"]) == ("null", 5, theirs["format"])
            for name in ("worst_relative_completeness_error", "target", "model_sha256", "batch_size"):
                assert ours[name] == theirs[name]
    rows = [n_rows(part, "variants/pos") for part in parts]
    assert sum(rows) == N_VARIANTS
    assert max(rows) - min(rows) <= ROWS


def test_p_values_are_made_of_the_background_of_all_shards() -> None:
    """A shard computes its share of the background, and its own table has no p-values."""
    done("--background", "b.vcf", "--tsv", "whole.tsv", out="whole.h5")
    parts = shards(2, "--background", "b.vcf", "--tsv", "part.{shard}.tsv")
    sizes = [n_rows(part, "background/effect") for part in parts]
    assert min(sizes) >= ROWS
    assert sum(sizes) == n_rows("whole.h5", "background/effect") == 15
    for number in (1, 2):
        assert "background_p" not in Path(f"part.{number}-of-2.tsv").read_text()
    assert deeplift("merge", *parts, "-o", "merged.h5", "--tsv", "merged.tsv").code == 0
    assert "background_p" in Path("merged.tsv").read_text()
    assert Path("merged.tsv").read_bytes() == Path("whole.tsv").read_bytes()


@pytest.mark.parametrize("reference", ["mean", "frequency"])
def test_references_come_from_all_variants_in_each_shard(reference: str) -> None:
    options = ("--reference", reference, "--target", "0,1")
    done(*options, out="whole.{target}.h5")
    for number in (1, 2):
        done(*options, "--shard", f"{number}/2", out="part.{target}.{shard}.h5")
    for target in (0, 1):
        parts = [f"part.{target}.{number}-of-2.h5" for number in (1, 2)]
        assert deeplift("merge", *parts, "-o", f"merged.{target}.h5").code == 0
        assert datasets(f"merged.{target}.h5") == datasets(f"whole.{target}.h5")


def test_shards_of_folds_in_half_precision() -> None:
    options = ("-m", torchscript("ChannelsTGCA"), "--dtype", "float16")
    done(*options, "--tsv", "whole.tsv", out="whole.h5")
    assert deeplift("merge", *shards(2, *options), "-o", "merged.h5", "--tsv", "merged.tsv").code == 0
    assert datasets("merged.h5") == datasets("whole.h5")
    assert "effect_fold_sd" in Path("merged.tsv").read_text()
    assert Path("merged.tsv").read_bytes() == Path("whole.tsv").read_bytes()


def test_a_group_of_a_merged_file_is_a_score_file() -> None:
    assert deeplift("merge", *shards(2), "-o", "merged.h5").code == 0
    with h5py.File("merged.h5") as merged, h5py.File("alt.h5", "w") as scores:
        for name in merged["alt"]:
            merged.copy(f"alt/{name}", scores)
        scores.attrs.update(merged["alt"].attrs)
    shown = deeplift("show", "alt.h5")
    assert shown.code == 0, shown.err


def test_a_shard_resumes(monkeypatch: pytest.MonkeyPatch) -> None:
    """So does its file of references, which appears with the scores."""
    saved = ("--save-references", "r.{shard}.h5")
    part = shards(2, *saved)[1]
    whole = datasets(part), datasets("r.2-of-2.h5", sums=False)
    for name in (part, "part.2-of-2.skipped.tsv", "r.2-of-2.h5"):
        Path(name).unlink()
    score, calls = PairScorer.score, 0

    def failing(self: PairScorer, *given: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError(5, "the device failed")
        return score(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(PairScorer, "score", failing)
        assert run("--shard", "2/2", *saved).code == 1
    assert not Path("r.2-of-2.h5").exists()
    again = done("--shard", "2/2", *saved)
    assert "resumed             from 4 variants" in again.out
    assert (datasets(part), datasets("r.2-of-2.h5", sums=False)) == whole


# ---- what does not belong together


def test_parts_that_are_missing_or_there_twice() -> None:
    parts = shards(3)
    assert "shard 2 of 3 missing; score and give them all" in refused(parts[0], parts[2])
    shutil.copy(parts[0], "copy.h5")
    assert "shard 1/3 is there twice" in refused(*parts, "copy.h5")
    done(out="whole.h5")
    assert "whole.h5 is no shard but a whole job" in refused("whole.h5", *parts)
    Path("part.3-of-3.skipped.tsv").unlink()
    assert "part.3-of-3.skipped.tsv, which belongs to part.3-of-3.h5" in refused(*parts)


def test_parts_of_other_jobs() -> None:
    done("--shard", "1/2")
    others: list[tuple[Sequence[object], str]] = [
        (["--seed", 1], "--seed"),
        (["--indel-fill", "left"], "--indel-fill"),
        (["--target", 1], "the target"),
        (["--motifs", "m.jaspar"], "the file of motifs"),
        (["--background", "b.vcf"], "the VCF file of --background"),
        (["--batch-size", 3], "--batch-size"),
    ]
    for other, words in others:
        done("--shard", "2/2", "--overwrite", *other)
        message = refused("part.1-of-2.h5", "part.2-of-2.h5")
        assert "part.2-of-2.h5 is of another job than part.1-of-2.h5: " in message
        assert words in message


def test_parts_on_genomes_of_other_content() -> None:
    """The base differs beside the variants of the first shard only, which the second shard does not score."""
    done("--shard", "1/2")
    changed = {"A": "C", "C": "A", "G": "T", "T": "G"}[GENOME[41]]
    Path("g.fa").write_text(f">chr1\n{GENOME[:41]}{changed}{GENOME[42:]}\n")
    done("--shard", "2/2")
    message = refused("part.1-of-2.h5", "part.2-of-2.h5")
    assert "the content of the genome at these variants" in message


def test_scores_and_variants_are_not_mixed() -> None:
    (part,) = shards(1)
    Path("in.fa").write_text(">s\n" + GENOME[:24] + "\n")
    given = ["-m", torchscript("Net"), "-f", "in.fa", "-o", "s.h5", "--shard", "1/1", "--batch-size", 1]
    assert deeplift("score", *given).code == 0
    assert "s.h5 is no file of deeplift variants" in refused(part, "s.h5")
    assert f"{part} holds variants (deeplift variants)" in refused("s.h5", part)
    assert "--tsv goes with files of variants, and s.h5 is none" in refused("s.h5", "--tsv", "x.tsv")
    assert "give all models to one deeplift variants" in refused(part, "--average")
    assert "leave out --bigwig" in refused(part, "--bigwig", "x.bw")


def test_a_changed_value_is_not_passed_on() -> None:
    parts = shards(2, "--background", "b.vcf")
    for name in ("ref/qc/output", "variants/effect", "difference/seq", "background/effect"):
        shutil.copy(parts[1], "changed.h5")
        shutil.copy("part.2-of-2.skipped.tsv", "changed.skipped.tsv")
        with h5py.File("changed.h5", "r+") as file:
            file[name][1] = 7
        message = refused(parts[0], "changed.h5")
        assert "changed.h5" in message
        assert "the values are not those of the stored checksum" in message
        assert name.partition("/")[2] in message
    with h5py.File("changed.h5", "r+") as file:
        del file["difference/nearby"]
    assert "there is no dataset difference/nearby" in refused(parts[0], "changed.h5")
    Path("changed.h5").write_bytes(Path(parts[1]).read_bytes()[:5000])
    assert "changed.h5 is damaged" in refused(parts[0], "changed.h5")


# ---- options


def test_options_of_shards() -> None:
    outcome = deeplift(
        "variants", "-m", torchscript("Net"), "-g", "g.fa", "--vcf", "v.vcf", "-o", "a.h5", "--shard", "1/2"
    )
    assert (outcome.code, "--shard needs --batch-size" in outcome.err) == (2, True)
    outcome = run(out="a.{shard}.h5")
    assert (outcome.code, "{shard} in the name of --out goes with --shard" in outcome.err) == (2, True)
    outcome = run("--tsv", "{shard}.tsv", out="a.h5")
    assert (outcome.code, "{shard} in the name of --tsv goes with --shard" in outcome.err) == (2, True)


def test_auto_does_not_take_a_part_of_an_array_for_another_division(monkeypatch: pytest.MonkeyPatch) -> None:
    shards(3)
    for name, value in (("ID", 1), ("COUNT", 2), ("MIN", 1), ("MAX", 2)):
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", str(value))
    outcome = run("--shard", "auto")
    assert outcome.code == 1
    assert "belongs to a job of 3: give --shard auto/3" in outcome.err


def test_a_limit_of_completeness() -> None:
    outcome = run("--max-completeness-error", "1e-30", out="a.h5")
    assert outcome.code == 3
    assert "summation-to-delta is off by more than --max-completeness-error" in outcome.err
    assert Path("a.h5").exists()
    done("--max-completeness-error", "0.1", out="b.h5")


def test_saved_references_give_the_same_scores() -> None:
    done("--save-references", "r.h5", out="a.h5")
    with h5py.File("r.h5") as file:
        assert file["references"].shape == (N_VARIANTS, 3, 4, 24)
    done("--reference", "file:r.h5", out="b.h5")
    with h5py.File("a.h5") as first, h5py.File("b.h5") as second:
        for name in ("ref/shap/seq", "alt/shap/seq", "difference/standard_error", "variants/effect"):
            np.testing.assert_allclose(first[name][:], second[name][:], atol=1e-6)
    done("--reference", "frequency", "--save-references", "f.h5", out="c.h5")
    with h5py.File("f.h5") as file:
        assert file["references"].shape == (1, 4, 24)
