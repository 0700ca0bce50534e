"""Several models in one run: the mean over the folds of a cross-validation, and the spread between them."""

import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from score_files import datasets
from small_models import Net, deeplift, random_letters, score, torchscript, write_fasta
from test_resume import hidden, runs
from test_skipped_scores import Odd
from test_verify import changed

from deeplift_cli.errors import OutOfMemoryError
from deeplift_cli.models import batch_memory, fold_mean
from deeplift_cli.models.batch_memory import BatchMemory
from deeplift_cli.models.explainer import Explained
from deeplift_cli.models.model_file import ModelFile

RECORDS, ROWS, FOLDS = 23, 4, 3
MODELS_OF_RUN = [word for number in range(FOLDS) for word in ("-m", f"fold{number}.pt")]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Records on both strands, one with N, and one that is skipped; three folds with other weights."""
    monkeypatch.chdir(tmp_path)
    letters = [random_letters(i, 24 - (i == 4)) for i in range(RECORDS)]
    letters[2] = "NN" + letters[2][2:]
    write_fasta(
        Path("in.fa"), {f"chr1:{99 * i}-{99 * i + 24}({'+-'[i % 2]})": x for i, x in enumerate(letters)}
    )
    for number in range(FOLDS):
        save(Net(), f"fold{number}.pt", 1 + number / 10)
    return tmp_path


def save(model: torch.nn.Module, path: str, factor: float = 1.0) -> str:
    """Write a model with all weights multiplied by a number."""
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for weight in model.eval().parameters():
            weight *= factor
        torch.jit.script(model).save(path)
    return path


def words(out: str, *options: object, models: list[str] = MODELS_OF_RUN) -> list[str]:
    """The arguments of `deeplift score`, with three shuffles unless the options name other references."""
    given = [*models, "-f", "in.fa", "-o", out, "--batch-size", ROWS, *options]
    given += [] if "--reference" in options else ["--n-references", 3]
    given += [] if "--compile" in options else ["--compile", "off"]
    return [str(word) for word in given]


def run(out: str, *options: object, models: list[str] = MODELS_OF_RUN) -> Any:
    return score(*words(out, *options, models=models))


def single(*options: object) -> list[str]:
    """The score files of each fold by itself."""
    for number in range(FOLDS):
        run(f"single{number}.h5", *options, models=["-m", f"fold{number}.pt"])
    return [f"single{number}.h5" for number in range(FOLDS)]


def refused(*models: str, options: tuple[object, ...] = ()) -> str:
    """The message of a run that writes nothing."""
    outcome = deeplift("score", *words("x.h5", *options, models=[w for m in models for w in ("-m", m)]))
    assert outcome.code == 1
    assert not list(Path().glob("x.*"))
    assert hidden() == []
    assert outcome.err.count("\n") == 1
    return outcome.err


# ---- what is written


@pytest.mark.parametrize(
    "options",
    [(), ("--rc-average", "--standard-errors"), ("--reference", "frequency"), ("--precision", "float64")],
)
def test_the_mean_is_that_of_merge_and_of_numpy(options: tuple[object, ...]) -> None:
    """Bit for bit `merge --average` of single runs; in float64 their files have rounded the contributions."""
    assert "mean of 3 folds" in run("mean.h5", *options).out
    parts = single(*options)
    assert deeplift("merge", "--average", *parts, "-o", "merged.h5").code == 0
    if "float64" not in options:
        assert datasets("mean.h5") == datasets("merged.h5")
    files = [h5py.File(part) for part in parts]
    with h5py.File("mean.h5") as mean, h5py.File("merged.h5") as merged:
        names = ["shap/seq", "projected_shap/seq", "qc/prediction", "qc/output", "qc/reference_output"]
        names += [
            "qc/completeness_error",
            "standard_error/seq" if "--standard-errors" in options else "qc/output",
        ]
        for name in names:
            expected = sum(file[name][:].astype(np.float64) for file in files) / FOLDS
            np.testing.assert_allclose(mean[name][:], expected, rtol=1e-6, atol=1e-7)
            np.testing.assert_allclose(mean[name][:], merged[name][:], rtol=1e-6, atol=1e-9)
        observed = np.array([file["projected_shap/seq"][:].sum(1, dtype=np.float64) for file in files])
        average = observed.sum(0) / FOLDS
        spread = np.sqrt(((observed - average) ** 2).sum(0) / (FOLDS - 1))
        assert mean["fold_sd/seq"].dtype == np.float32
        assert mean["fold_sd/seq"].shape == (RECORDS - 1, 24)
        np.testing.assert_allclose(mean["fold_sd/seq"][:], spread, rtol=1e-5, atol=1e-8)
        assert spread.max() > 1e-3
        assert (mean["fold_sd/seq"][:][mean["raw/seq"][:].sum(1) == 0] == 0).all()
        assert (mean["qc/rescored"][:] == sum(file["qc/rescored"][:] for file in files)).all()
        for name in ("model", "model_sha256"):
            assert json.loads(mean.attrs[name]) == [file.attrs[name] for file in files]
        digests = [json.loads(file.attrs["fingerprint"])["the model"] for file in files]
        assert json.loads(mean.attrs["fingerprint"])["the model"] == digests
    assert deeplift("verify", "mean.h5", "merged.h5").code == 0


def test_all_folds_have_the_references_of_one_run() -> None:
    run("mean.h5", "--save-references", "refs.h5")
    run("one.h5", "--save-references", "alone.h5", models=["-m", "fold1.pt"])
    assert datasets("refs.h5") == datasets("alone.h5")
    run("again.h5", "--reference", "file:refs.h5")
    assert datasets("again.h5") == datasets("mean.h5")


def test_one_model_has_no_spread() -> None:
    run("one.h5", models=["-m", "fold1.pt"])
    with h5py.File("one.h5") as file:
        assert "fold_sd" not in file
        assert file.attrs["model"] == "fold1.pt"
        assert len(file.attrs["model_sha256"]) == 64
        assert "models" not in file.attrs


def test_several_targets_and_half_precision() -> None:
    run("t{target}.h5", "--target", "0,1", "--dtype", "float16")
    run("whole.h5", "--target", "1")
    with h5py.File("t1.h5") as half, h5py.File("whole.h5") as whole:
        np.testing.assert_array_equal(half["shap/seq"][:], whole["shap/seq"][:].astype(np.float16))
        np.testing.assert_array_equal(half["fold_sd/seq"][:], whole["fold_sd/seq"][:])


def test_shards_merge_to_what_one_run_writes() -> None:
    run("whole.h5", "--standard-errors")
    for number in (1, 2, 3):
        run("part{shard}.h5", "--shard", f"{number}/3", "--standard-errors")
    parts = [f"part{number}-of-3.h5" for number in (3, 1, 2)]
    assert deeplift("merge", *parts, "-o", "merged.h5").code == 0
    assert datasets("merged.h5") == datasets("whole.h5")
    with h5py.File("merged.h5") as merged, h5py.File("whole.h5") as whole:
        for name in ("model", "model_sha256", "worst_relative_completeness_error"):
            assert merged.attrs[name] == whole.attrs[name]
    run("other.h5", "--shard", "2/3", "--standard-errors", models=["-m", "fold0.pt"])
    outcome = deeplift("merge", "part1-of-3.h5", "other.h5", "part3-of-3.h5", "-o", "x.h5")
    assert "other.h5 is of another job than part1-of-3.h5: the model differ" in outcome.err


def test_a_killed_run_resumes_to_the_same_bits() -> None:
    run("whole.h5")
    given = ["score", *words("a.h5"), "--threads", "1"]
    (first, scored, _), (second, again, _) = runs(
        (given, {"at": "flush", "call": 3, "before": True}), (given, None)
    )
    assert (first, second) == (-9, 0)
    assert scored > 0
    assert again > 0
    assert datasets("a.h5") == datasets("whole.h5")
    assert hidden() == []


def test_folds_in_another_order_are_another_job(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Explained, "score", failing_after(4, Explained.score))
        assert deeplift("score", *words("a.h5")).code == 1
    turned = ["-m", "fold1.pt", "-m", "fold0.pt", "-m", "fold2.pt"]
    outcome = deeplift("score", *words("a.h5", models=turned))
    assert "finished batches of another job: the model was" in outcome.err
    assert outcome.code == 1


def failing_after(calls: int, original: Callable[..., Any]) -> Callable[..., Any]:
    made = [0]

    def score_or_fail(*given: Any) -> Any:
        made[0] += 1
        if made[0] > calls:
            raise MemoryError("none left")
        return original(*given)

    return score_or_fail


def test_a_record_without_scores_in_one_fold_has_no_row() -> None:
    """The fold's output is NaN for a sequence that begins with six A."""
    write_fasta(
        Path("in.fa"), ["AAAAAA" + random_letters(i, 18) if i == 9 else random_letters(i) for i in range(11)]
    )
    save(Odd(), "nan.pt")
    outcome = run("a.h5", models=["-m", "fold0.pt", "-m", "nan.pt"])
    assert "s9 (line 19) has no scores: the model's output is nan for it" in outcome.out
    with h5py.File("a.h5") as file:
        assert file["regions/index"][:].tolist() == [i for i in range(11) if i != 9]


# ---- what is refused


def test_models_that_do_not_go_together_are_named() -> None:
    same = Path("same.pt")
    same.write_bytes(Path("fold0.pt").read_bytes())
    assert "fold0.pt and same.pt are the same model; give each fold once" in refused("fold0.pt", "same.pt")
    assert "fold1.pt and fold1.pt are the same model" in refused("fold0.pt", "fold1.pt", "fold1.pt")
    assert (
        f"{torchscript('ChannelsLast')} cannot be averaged with fold0.pt: they differ in the layout of the "
        "input (nlc and ncl)"
    ) in refused("fold0.pt", str(torchscript("ChannelsLast")))
    assert (
        f"{torchscript('AnyLength')} cannot be averaged with fold0.pt: they differ in the length of the "
        "sequences (any and 24 bp)"
    ) in refused("fold0.pt", str(torchscript("AnyLength")))
    save(Net(outputs=5), "five.pt")
    assert (
        "five.pt cannot be averaged with fold0.pt: they differ in the shape of the output without the batch "
        "(5 and 2)"
    ) in refused("fold0.pt", "five.pt")
    sigmoid = str(torchscript("Sigmoid"))
    assert (
        f"{sigmoid} cannot be averaged with fold0.pt: they differ in what is explained (0, before the final "
        "sigmoid or softmax and 0)"
    ) in refused("fold0.pt", sigmoid)
    outcome = deeplift(
        "score", *words("x{target}.h5", "--target", "all", models=["-m", "fold0.pt", "-m", "five.pt"])
    )
    assert (
        "five.pt cannot be averaged with fold0.pt: they differ in the targets (0, 1, 2, 3, 4 and 0, 1)"
    ) in outcome.err
    assert "missing.pt" in refused("fold0.pt", "missing.pt")


def test_a_fold_that_takes_other_batches_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """As an ONNX file declares."""
    monkeypatch.setattr(
        ModelFile, "batch_size", property(lambda model: 3 if model.path.name == "fold1.pt" else None)
    )
    assert (
        f"fold1.pt cannot be averaged with fold0.pt: it takes batches of 3 only, not of {ROWS}; give "
        "--batch-size 3 if fold0.pt takes batches of any size"
    ) in refused("fold0.pt", "fold1.pt")


def test_notes_that_all_folds_share_are_printed_once() -> None:
    """As that on a network that is dense from end to end."""
    models = list[str]()
    for seed in (0, 1):
        torch.manual_seed(seed)
        model = torch.nn.Sequential(
            torch.nn.Flatten(), torch.nn.Linear(4 * 24, 5), torch.nn.ReLU(), torch.nn.Linear(5, 1)
        )
        models += ["-m", save(model, f"dense{seed}.pt")]
    outcome = run("a.h5", "--layout", "ncl", models=models)
    assert outcome.err.count("RevealCancel follows a dense layer that reads the input itself") == 1


def test_a_mean_is_no_part_of_an_average() -> None:
    run("mean.h5")
    run("one.h5", models=["-m", "fold1.pt"])
    outcome = deeplift("merge", "--average", "mean.h5", "one.h5", "-o", "x.h5")
    assert "mean.h5 is the mean of 3 models already; to add models, give all of them to one" in outcome.err
    assert not Path("x.h5").exists()


# ---- verify


def test_verify_scores_rows_again_with_all_models() -> None:
    run("mean.h5", "--rc-average")
    assert deeplift("merge", "--average", *single("--rc-average"), "-o", "merged.h5").code == 0
    turned = [MODELS_OF_RUN[place] for place in (4, 5, 0, 1, 2, 3)]
    outcome = deeplift("verify", "mean.h5", "merged.h5", *turned)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.count("10 rows computed again") == 2
    save(Net(), "other.pt", 2.0)
    outcome = deeplift("verify", "mean.h5", *MODELS_OF_RUN[:4], "-m", "other.pt")
    assert outcome.code == 1
    assert "other.pt is another model: its SHA-256 is not in the attribute model_sha256" in outcome.err
    for count in (1, 2):
        outcome = deeplift("verify", "mean.h5", *MODELS_OF_RUN[: 2 * count])
        assert "mean.h5 holds the mean of 3 models; give each of its models by --model" in outcome.err
    outcome = deeplift("verify", "single0.h5", *MODELS_OF_RUN)
    assert "single0.h5 holds the scores of one model" in outcome.err


def test_a_spread_that_was_changed_is_found() -> None:
    run("mean.h5")

    def change(values: Any) -> None:
        values[:] *= 2

    changed("mean.h5", "fold_sd/seq", change)
    assert deeplift("verify", "mean.h5").code == 0  # no check without the models can tell
    outcome = deeplift("verify", "mean.h5", *MODELS_OF_RUN)
    assert outcome.code == 1
    assert "fold_sd/seq, row 2, computed again, differs by" in outcome.err


# ---- memory and compilation


def test_memory_counts_the_other_models(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = BatchMemory(4, 24, 3, 1000, 100, torch.device("cpu"), True)
    beside = replace(memory, others=10**6)
    assert beside.size == memory.size + 10**6
    monkeypatch.setattr(batch_memory, "available_memory", lambda _: 500_000)
    memory.check(Path("m.pt"))
    with pytest.raises(OutOfMemoryError, match=r"beside the further models of .*; give each model to a run"):
        beside.check(Path("m.pt"))


def test_each_model_is_told_of_the_weights_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recording copies the weights."""
    told = list[int]()
    original = fold_mean.explain

    def noted(*given: Any) -> Explained:
        told.append(given[-1])
        return original(*given)

    monkeypatch.setattr(fold_mean, "explain", noted)
    run("mean.h5", "--precision", "float64")
    weights = 8 * sum(weight.numel() for weight in Net().parameters())
    assert told == [2 * weights, weights, 0]


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_if_one_fold_cannot_be_compiled_none_is(failing: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a run that resumes could not repeat the choice, which is one for all folds."""
    explained = list[Explained]()
    original = fold_mean.explain

    def compiled_but_one(options: Any, *given: Any) -> Explained:
        found = original(replace(options, compile="off"), *given)
        works = options.compile != "off" and options.model != Path(f"fold{failing}.pt")
        explained.append(replace(found, is_compiled=works))
        return explained[-1]

    monkeypatch.setattr(fold_mean, "explain", compiled_but_one)
    run("mean.h5", "--compile", "on")
    last = {found.options.model: found.is_compiled for found in explained}
    assert set(last.values()) == {False}
    assert len(last) == FOLDS


@pytest.mark.compiles
@pytest.mark.long
def test_compiled_folds() -> None:
    run("eager.h5", models=MODELS_OF_RUN[:4])
    outcome = run("compiled.h5", "--compile", "on", models=MODELS_OF_RUN[:4])
    assert "the model's scoring was compiled" in outcome.err
    with h5py.File("eager.h5") as eager, h5py.File("compiled.h5") as compiled:
        for name in ("shap/seq", "fold_sd/seq", "qc/output"):
            np.testing.assert_allclose(compiled[name][:], eager[name][:], atol=1e-5)
