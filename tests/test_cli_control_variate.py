"""`--control-variate`: what is stored, and that shards, resumed runs, folds and verification agree."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from score_files import datasets
from small_models import Net, deeplift, encode, random_letters, score, torchscript, write_fasta
from test_folds import failing_after, save
from test_verify import changed

import deeplift_references
from deeplift_cli.models.explainer import Explained
from deeplift_core import DeepLift

LENGTH, RECORDS, ROWS = 24, 7, 2
LETTERS = [random_letters(number, LENGTH) for number in range(RECORDS)]
LETTERS[2] = "NN" + LETTERS[2][2:]
GIVEN = ("--control-variate", "--n-references", 6, "--compile", "off", "--batch-size", ROWS)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Records on both strands, one with N."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEEPLIFT_CACHE", str(tmp_path / "cache"))
    places = (f"chr1:{99 * number}-{99 * number + LENGTH}({'+-'[number % 2]})" for number in range(RECORDS))
    write_fasta(Path("in.fa"), dict(zip(places, LETTERS, strict=True)))
    return tmp_path


def run(out: str, *options: object, models: tuple[object, ...] = ()) -> Any:
    return score(*(models or ("-m", torchscript("Net"))), "-f", "in.fa", "-o", out, *GIVEN, *options)


def values(path: str, name: str) -> np.ndarray:
    with h5py.File(path) as file:
        return file[name][()]


def in_genome(rows: torch.Tensor) -> torch.Tensor:
    """Rows [N, 4, L] or [N, L] of the records, those on the minus strand turned as score files hold them."""
    turned = rows.flip(-1, -2) if rows.dim() == 3 else rows.flip(-1)
    return torch.stack([(turned if number % 2 else rows)[number] for number in range(RECORDS)])


def by_hand(references: np.ndarray, *, turned: bool = False, kind: str = "dinucleotide") -> Any:
    """The library's results from the references of the run, and its own expectation of these."""
    one_hot = np.stack([encode(text) for text in LETTERS]).astype(np.int8)
    expected = deeplift_references.make(kind, n_references=6, seed=0).expected(one_hot)
    x, r, e = (torch.from_numpy(array.astype(np.float32)) for array in (one_hot, references, expected))
    if turned:
        x, r, e = (tensor.flip(-1, -2) for tensor in (x, r, e))
    return DeepLift(Net().eval(), x[:ROWS]).attribute(x, r, expected_reference=e)


@pytest.mark.parametrize("kind", ["dinucleotide", "mononucleotide"])
def test_the_file_holds_what_the_library_computes(kind: str) -> None:
    shown = run("out.h5", "--save-references", "refs.h5", "--standard-errors", "--reference", kind).out
    assert f"{kind}, 6 for each sequence, with a control variate" in shown
    expected = by_hand(values("refs.h5", "references"), kind=kind)
    close = {"rtol": 1e-5, "atol": 1e-7}
    np.testing.assert_allclose(values("out.h5", "shap/seq"), in_genome(expected.hypothetical), **close)
    np.testing.assert_allclose(
        values("out.h5", "standard_error/seq"), in_genome(expected.position_standard_error), **close
    )
    correction = values("out.h5", "qc/reference_correction")
    assert correction.dtype == np.float64
    np.testing.assert_allclose(correction, expected.reference_correction, **close)
    explained = values("out.h5", "qc/output") - values("out.h5", "qc/reference_output").mean(1)
    sums = values("out.h5", "projected_shap/seq").sum((1, 2))
    np.testing.assert_allclose(sums, explained + correction, rtol=1e-4, atol=1e-6)
    with h5py.File("out.h5") as file:
        assert file.attrs["control_variate"]
        assert (file["shap/seq"][2, :, :2] == 0).all()
        assert (file["standard_error/seq"][2, :2] == 0).all()


def test_without_the_option_nothing_is_corrected() -> None:
    score("-m", torchscript("Net"), "-f", "in.fa", "-o", "out.h5")
    with h5py.File("out.h5") as file:
        assert "reference_correction" not in file["qc"]
        assert not file.attrs["control_variate"]


def test_both_strands_are_corrected() -> None:
    run("out.h5", "--rc-average", "--save-references", "refs.h5")
    references = values("refs.h5", "references")
    forward, backward = by_hand(references), by_hand(references, turned=True)
    mean = (forward.hypothetical + backward.hypothetical.flip(-1, -2)) / 2
    np.testing.assert_allclose(values("out.h5", "shap/seq"), in_genome(mean), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(
        values("out.h5", "qc/reference_correction"),
        (forward.reference_correction + backward.reference_correction) / 2,
        rtol=1e-5,
        atol=1e-7,
    )


def test_profiles_with_held_weights_are_corrected() -> None:
    """The second input, the weights, is the same for a sequence and its references."""
    model = ("-m", torchscript("Profile"))
    run("out.h5", "--target", "profile-fixed-weights", models=model)
    assert deeplift("verify", "out.h5", *model).code == 0
    score(*model, "-f", "in.fa", "-o", "plain.h5", *GIVEN[1:], "--target", "profile-fixed-weights")
    moved = values("out.h5", "projected_shap/seq") - values("plain.h5", "projected_shap/seq")
    correction = values("out.h5", "qc/reference_correction")
    np.testing.assert_allclose(moved.sum((1, 2)), correction, rtol=1e-3, atol=1e-7)
    assert (np.abs(correction) > 1e-5).all()


@pytest.mark.parametrize("options", [(), ("--strand-aware", "--rc-average")])
def test_shards_merge_to_one_run_that_verifies(options: tuple[object, ...]) -> None:
    run("whole.h5", *options)
    for number in (1, 2):
        run("part{shard}.h5", "--shard", f"{number}/2", *options)
    parts = [path.name for path in sorted(Path().glob("part*.h5"))]
    assert deeplift("merge", *parts, "-o", "merged.h5").code == 0
    assert datasets("merged.h5") == datasets("whole.h5")
    assert deeplift("verify", "merged.h5", "-m", torchscript("Net"), "-n", RECORDS).code == 0


def test_a_stopped_run_resumes_to_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    run("whole.h5")
    words = ("-m", torchscript("Net"), "-f", "in.fa", "-o", "out.h5", *GIVEN)
    with monkeypatch.context() as patch:
        patch.setattr(Explained, "score", failing_after(2, Explained.score))
        assert deeplift("score", *words).code == 1
    assert "from 4 sequences that an earlier run had finished" in score(*words).out
    assert datasets("out.h5") == datasets("whole.h5")


def test_folds_are_the_mean_of_their_corrections() -> None:
    models = []
    for number in range(2):
        save(Net(), f"fold{number}.pt", 1 + number / 5)
        models += ["-m", f"fold{number}.pt"]
        run(f"single{number}.h5", models=("-m", f"fold{number}.pt"))
    run("mean.h5", models=tuple(models))
    assert deeplift("merge", "--average", "single0.h5", "single1.h5", "-o", "merged.h5").code == 0
    assert datasets("mean.h5") == datasets("merged.h5")
    each = [values(f"single{number}.h5", "qc/reference_correction") for number in range(2)]
    np.testing.assert_allclose(values("mean.h5", "qc/reference_correction"), np.mean(each, 0), rtol=1e-6)
    assert deeplift("verify", "mean.h5", *models).code == 0
    score("-m", "fold0.pt", "-f", "in.fa", "-o", "other.h5", *GIVEN[1:])
    outcome = deeplift("merge", "--average", "other.h5", "single1.h5", "-o", "x.h5")
    assert outcome.code == 1
    assert "--control-variate" in outcome.err


def test_verify_notices_another_correction() -> None:
    run("out.h5")
    changed("out.h5", "qc/reference_correction", lambda found: np.add(found, 0.5, out=found))
    outcome = deeplift("verify", "out.h5")
    assert outcome.code == 1
    assert "qc/completeness_error + qc/reference_correction" in outcome.out + outcome.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--n-references", 4), "needs --n-references 5 or more"),
        (("--reference", "frequency"), "dinucleotide or mononucleotide, not frequency"),
        (("--reference", "file:refs.h5"), "dinucleotide or mononucleotide, not file"),
        (("--reference", "background:in.fa"), "dinucleotide or mononucleotide, not background"),
    ],
)
def test_references_without_noise_or_expectation_are_refused(
    options: tuple[object, ...], message: str
) -> None:
    outcome = deeplift("score", "-m", "no.pt", "-f", "in.fa", "-o", "out.h5", "--control-variate", *options)
    assert outcome.code == 2
    assert message in outcome.err
