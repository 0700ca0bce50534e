"""`deeplift check` on models of which the answers are known."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pybigtools
import pytest
import torch
from small_models import LENGTH, Net, deeplift, encode, random_letters, score, torchscript, write_fasta
from torch import Tensor, nn

from deeplift_cli.trust.measure import correlations

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_fasta(Path("in.fa"), [random_letters(seed) for seed in range(6)])
    return tmp_path


class Weighted(nn.Module):
    """A sum of weights over bases and positions, times a factor."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.weight = nn.Parameter(factor * torch.randn(4, LENGTH))

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.weight).flatten(1).sum(1, keepdim=True)


class EitherHalf(nn.Module):
    """As large as the larger half: of two halves that are alike, either can stand in for the other."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.weight = nn.Parameter(torch.randn(4, LENGTH // 2))

    def forward(self, x: Tensor) -> Tensor:
        first, second = ((half * self.weight).flatten(1).sum(1) for half in x.chunk(2, 2))
        return torch.maximum(first, second).unsqueeze(1)


def checked(model: nn.Module, *options: object, rows: int = 6) -> dict[str, Any]:
    """The measures of the scores of a model."""
    torch.save(model.eval(), "m.pt")
    score("-m", "m.pt", "-f", "in.fa", "-o", "a.h5", "--allow-pickle", "--overwrite", *options)
    outcome = deeplift("check", "a.h5", "-m", "m.pt", "--allow-pickle", "--json", "-n", rows)
    assert outcome.code == 0, outcome.err
    found: dict[str, Any] = json.loads(outcome.out)
    assert found["sequences"] == rows
    measures: dict[str, Any] = found["measures"]
    return measures


def test_a_sum_of_weights_agrees_with_its_mutants() -> None:
    """Against equal frequencies both are the weight less the mean of the four, and the order is the best."""
    found = checked(Weighted(), "--reference", "frequency", "--frequencies", "0.25,0.25,0.25,0.25")
    for name in ("pearson", "spearman"):
        assert found["mutagenesis"][name]["lower_quartile"] > 1 - 1e-6
    for name in ("deletion", "insertion"):
        curve = np.array(found["curves"][name]["by_contribution"])
        assert (curve > np.array(found["curves"][name]["at_random"])).all()
    assert found["references"]["relative_standard_error"] is None
    share = found["changed_positions"]
    assert share["share"]["median"] == pytest.approx(0.75)
    assert share["never"]["median"] == 0


def test_what_is_replaced_is_what_is_lost() -> None:
    """The contributions of the replaced positions, exactly, where the model is a sum."""
    letters = random_letters(3)
    write_fasta(Path("in.fa"), [letters])
    found = checked(Weighted(), "--reference", "zeros", rows=1)
    weights = Weighted().weight.detach().numpy()
    contributions = np.array([weights["ACGT".index(base), place] for place, base in enumerate(letters)])
    total = contributions.sum()
    ordered = np.sort(np.sign(total) * contributions)[::-1]
    for name in ("deletion", "insertion"):
        for share, value in zip(
            found["curves"][name]["shares"], found["curves"][name]["by_contribution"], strict=True
        ):
            expected = ordered[: max(1, round(share * LENGTH))].sum() / abs(total)
            assert value == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        ("--reference", "frequency", "--rc-average"),
        ("--reference", "frequency", "--strand-aware"),
        ("--reference", "zeros", "-m", "n.pt"),
    ],
    ids=["both strands", "minus strand", "folds"],
)
def test_changed_sequences_are_scored_as_the_file_was(options: tuple[str, ...]) -> None:
    """For a sum, deletion loses the stored contributions at the replaced positions."""
    write_fasta(Path("g.fa"), {"chr1": random_letters(5, 3 * LENGTH)})
    Path("r.bed").write_text(f"chr1\t{LENGTH}\t{2 * LENGTH}\tr\t0\t-\n")
    torch.save(Weighted().eval(), "m.pt")
    torch.save(Weighted(-0.3).eval(), "n.pt")
    score("-m", "m.pt", "-g", "g.fa", "-r", "r.bed", "-o", "a.h5", "--allow-pickle", *options)
    models = ["-m", "m.pt", *options[options.index("-m") :]] if "-m" in options else ["-m", "m.pt"]
    outcome = deeplift("check", "a.h5", *models, "--allow-pickle", "--json")
    assert outcome.code == 0, outcome.err
    curves = json.loads(outcome.out)["measures"]["curves"]
    with h5py.File("a.h5") as file:
        contributions = file["projected_shap/seq"][0].sum(0)
        delta = file["qc/output"][0] - file["qc/reference_output"][0].mean()
    ordered = np.sort(np.sign(delta) * contributions)[::-1]
    for share, value in zip(curves["deletion"]["shares"], curves["deletion"]["by_contribution"], strict=True):
        expected = ordered[: max(1, round(share * LENGTH))].sum() / abs(delta)
        assert value == pytest.approx(expected, rel=1e-3)


def test_a_constant_output_has_no_numbers() -> None:
    found = checked(Weighted(0.0), "--n-references", 3)
    assert found["mutagenesis"]["pearson"]["median"] is None
    assert found["curves"]["deletion"]["area"]["sequences"] == 0
    assert found["references"]["references_needed"]["median"] is None
    outcome = deeplift("check", "a.h5", "-m", "m.pt", "--allow-pickle")
    assert outcome.code == 0
    assert "not defined" in outcome.out


def test_motifs_that_stand_in_for_each_other_disagree_with_mutants() -> None:
    """No single substitution lowers the larger of two equal halves, although each half carries the output."""
    half = "".join("ACGT"[base] for base in EitherHalf().weight.argmax(0))
    write_fasta(Path("in.fa"), [half + half])
    found = checked(EitherHalf(), "--n-references", 10, rows=1)
    agreement = found["mutagenesis"]["pearson"]["median"]
    assert agreement is None or agreement < 0.5
    assert found["curves"]["insertion"]["area"]["median"] > 0


def test_the_number_of_references() -> None:
    """R (s / 0.05)^2, from what the file holds."""
    found = checked(Net(), "--n-references", 4, "--standard-errors")["references"]
    with h5py.File("a.h5") as file:
        errors = np.sqrt((file["standard_error/seq"][:].astype(float) ** 2).mean(1))
        relative = errors / np.abs(file["projected_shap/seq"][:]).max((1, 2))
    assert found["relative_standard_error"]["median"] == pytest.approx(np.median(relative), rel=1e-5)
    needed = np.median(np.ceil(4 * (relative / 0.05) ** 2))
    assert found["references_needed"]["median"] == needed


def test_positions_that_references_change() -> None:
    """All shuffles of a run of one base are the run."""
    write_fasta(Path("in.fa"), ["A" * LENGTH, "NN" + "C" * (LENGTH - 2)])
    found = checked(Net(), "--n-references", 2, rows=2)["changed_positions"]
    assert found["share"]["upper_quartile"] == 0
    assert found["never"]["lower_quartile"] == 1


def test_likeness_of_a_trained_model_is_lost_with_its_weights() -> None:
    model = EXAMPLES / "tal1_gata.onnx"
    before = model.read_bytes()
    records = (EXAMPLES / "sequences.fa").read_text().split(">")[1:]
    with_motif = [record for record in records if "gata" in record.splitlines()[0]][:4]
    Path("in.fa").write_text("".join(f">{record}" for record in with_motif))
    score("-m", model, "-f", "in.fa", "--target", 1, "-o", "a.h5", "--n-references", 8, "--compile", "off")
    one, two = (deeplift("check", "a.h5", "-m", model, "-n", 4, "--json").out for _ in range(2))
    assert one == two
    found = json.loads(one)["measures"]
    assert found["shuffled_weights"]["pearson"]["median"] < 0.4
    assert found["mutagenesis"]["pearson"]["lower_quartile"] > 0.7
    assert model.read_bytes() == before


def test_ranks_share_the_mean_of_ties() -> None:
    first = np.array([[1.0, 2.0, 2.0, 9.0]])
    second = np.array([[0.0, 5.0, 5.0, 6.0]])
    pearson, spearman = correlations(first, second, np.ones((1, 4), bool))
    assert spearman[0] == pytest.approx(1)
    assert pearson[0] == pytest.approx(np.corrcoef(first, second)[0, 1])


def test_what_cannot_be_checked() -> None:
    net = torchscript("Net")
    score("-m", net, "-f", "in.fa", "-o", "ism.h5", "--rule", "ism")
    outcome = deeplift("check", "ism.h5", "-m", net)
    assert outcome.code == 1
    assert "holds in-silico mutagenesis" in outcome.err
    score("-m", net, "-f", "in.fa", "-o", "a.h5", "--n-references", 2)
    outcome = deeplift("check", "a.h5", "-m", torchscript("Sigmoid"))
    assert outcome.code == 1
    assert "is another model" in outcome.err


class ProfileAndCounts(nn.Module):
    """BPNet's heads: logits of a profile with two tracks, and the logarithm of the counts.

    The profile leaves out ``cut`` positions at either end of the sequence.
    """

    def __init__(self, cut: int = 0) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.cut = cut
        self.profile = nn.Conv1d(4, 2, 5, padding=2)
        self.counts = nn.Linear(4 * LENGTH, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        profile = 3 * self.profile(x)[:, :, self.cut : LENGTH - self.cut]
        return profile, 4 + self.counts(x.flatten(1))


def observed(rows: list[str], alphabet: str, cut: int = 0, outside: float = 0.0) -> dict[str, Any]:
    """The agreement of the scores with a bigWig of what the model gives for sequences in the order ACGT.

    Where the model has no profile, every second window has the value ``outside``.
    """
    model = ProfileAndCounts(cut).eval()
    with torch.no_grad():
        profile, counts = model(torch.stack([torch.from_numpy(encode(row)).float() for row in rows]))
    inside = profile.flatten(1).softmax(1).reshape(profile.shape).sum(1) * counts.exp()
    signal = torch.zeros(len(rows), LENGTH)
    signal[::2] = outside
    signal[:, cut : LENGTH - cut] = inside
    genome = "".join(rows)
    Path("g.fa").write_text(f">chr1\n{genome}\n")
    starts = range(0, len(genome), LENGTH)
    Path("r.bed").write_text("".join(f"chr1\t{s}\t{s + LENGTH}\tr{s}\n" for s in starts))
    values = [("chr1", at, at + 1, value) for at, value in enumerate(signal.flatten().tolist())]
    pybigtools.open("signal.bw", "w").write({"chr1": len(genome)}, iter(values))
    torch.save(model, "m.pt")
    source = ("-g", "g.fa", "-r", "r.bed", "--alphabet", alphabet)
    score("-m", "m.pt", *source, "-o", "a.h5", "--allow-pickle", "--overwrite", "--n-references", 2)
    given = ("check", "a.h5", "-m", "m.pt", "--allow-pickle", "--observed", "signal.bw")
    assert "predicted and observed profiles" in deeplift(*given).out
    found: dict[str, Any] = json.loads(deeplift(*given, "--json").out)["measures"]["observed"]
    return found


def test_an_observed_signal_shows_a_wrong_order_of_channels() -> None:
    rows = [random_letters(seed) for seed in range(20)]
    right = observed(rows, "ACGT")
    assert right["total"]["pearson"] > 0.999
    assert right["profile"]["lower_quartile"] > 0.999
    wrong = observed(rows, "TGAC")
    assert abs(wrong["total"]["pearson"]) < 0.7
    assert wrong["profile"]["upper_quartile"] < 0.7


def test_totals_are_those_of_the_positions_of_the_profile() -> None:
    """The counts of a BPNet are those of its profile, which is shorter than the sequence."""
    found = observed([random_letters(seed) for seed in range(8)], "ACGT", cut=6, outside=1000.0)
    assert found["total"]["pearson"] > 0.999
    assert found["profile"]["lower_quartile"] > 0.999


def test_without_a_profile_totals_alone_are_compared() -> None:
    places = [(at * LENGTH, (at + 1) * LENGTH) for at in range(6)]
    write_fasta(Path("in.fa"), {f"chr1:{s}-{e}": random_letters(s) for s, e in places})
    torch.save(Weighted().eval(), "m.pt")
    score("-m", "m.pt", "-f", "in.fa", "-o", "a.h5", "--allow-pickle", "--n-references", 2)
    values = [("chr1", at, at + 1, 1.0 + at // LENGTH) for at in range(6 * LENGTH)]
    pybigtools.open("signal.bw", "w").write({"chr1": 6 * LENGTH}, iter(values))
    given = ("check", "a.h5", "-m", "m.pt", "--allow-pickle", "--observed", "signal.bw", "--json")
    found = json.loads(deeplift(*given).out)["measures"]["observed"]
    with h5py.File("a.h5") as file:
        expected = np.corrcoef(file["qc/output"][:], np.log1p(LENGTH * np.arange(1.0, 7)))[0, 1]
    assert found.keys() == {"total"}
    assert found["total"]["pearson"] == pytest.approx(expected)


def test_a_bigwig_of_other_chromosomes_is_refused() -> None:
    torch.save(Weighted().eval(), "m.pt")
    score("-m", "m.pt", "-f", "in.fa", "-o", "a.h5", "--allow-pickle", "--n-references", 2)
    pybigtools.open("signal.bw", "w").write({"chrX": 100}, iter([("chrX", 0, 1, 1.0)]))
    outcome = deeplift("check", "a.h5", "-m", "m.pt", "--allow-pickle", "--observed", "signal.bw")
    assert outcome.code == 1
    assert "signal.bw" in outcome.err
