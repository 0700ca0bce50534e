"""`--rule ism`: in-silico mutagenesis against a loop over single mutants, and files without references."""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from score_files import datasets
from small_models import (
    BASES,
    MODELS,
    Net,
    deeplift,
    encode,
    random_letters,
    reverse_complement,
    score,
    torchscript,
    write_fasta,
)
from test_cli_further_inputs import Conditioned
from test_cli_layouts import FiveChannels, InLayout, OfIds
from test_resume import runs
from test_verify import changed
from torch import Tensor, nn

from deeplift_cli import load_scores
from deeplift_cli.models import mutagenesis

ROWS = 3  # sequences and mutants in a batch
LETTERS = [random_letters(seed) for seed in range(5)]
LETTERS[1] = "NN" + LETTERS[1][2:10] + "N" + LETTERS[1][11:]
LETTERS[3] = LETTERS[3][:9] + "N" * 15
UNKNOWN = 3 + 15
ABSENT = {
    "qc/reference_output", "qc/completeness_error", "qc/identical_references", "qc/rescored",
    "qc/standard_error", "standard_error/seq",
}  # fmt: skip


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    names = [f"chr1:{99 * row}-{99 * row + 24}" for row in range(len(LETTERS))]
    write_fasta(Path("in.fa"), dict(zip(names, LETTERS, strict=True)))
    return tmp_path


def words(out: str, *options: object, model: object = None, rows: int = ROWS) -> list[str]:
    rule = () if "--rule" in options else ("--rule", "ism")
    given = [
        "-m", model or torchscript("Net"), "-f", "in.fa", "-o", out, *rule, "--batch-size", rows,
        "--allow-pickle", *options,
    ]  # fmt: skip
    return list(map(str, given))


def run(*options: object, out: str = "a.h5", model: object = None) -> str:
    score(*words(out, *options, model=model))
    return out


def pickled(model: nn.Module, name: str = "m.pt") -> str:
    torch.save(model.eval(), name)
    return name


def read(path: str) -> dict[str, np.ndarray]:
    with h5py.File(path) as file:
        return {name: file[name][()] for name in ("shap/seq", "projected_shap/seq", "ism/seq", "qc/output")}


Scalar = Callable[[str], float]


def by_hand(explained: Callable[[int], Scalar], letters: Sequence[str] = LETTERS) -> dict[str, np.ndarray]:
    """The datasets from one sequence at a time; `explained` gives the function of a record's letters."""
    shape = (len(letters), 4, len(letters[0]))
    found = {name: np.zeros(shape) for name in ("shap/seq", "projected_shap/seq", "ism/seq")}
    outputs = []
    for row, text in enumerate(letters):
        f = explained(row)
        outputs.append(f(text))
        for position, letter in enumerate(text):
            if letter == "N":
                continue
            four = [f(text[:position] + base + text[position + 1 :]) for base in BASES]
            for base in range(4):
                found["ism/seq"][row, base, position] = four[base] - outputs[-1]
                found["shap/seq"][row, base, position] = four[base] - sum(four) / 4
            observed = BASES.index(letter)
            others = [value for base, value in enumerate(four) if base != observed]
            usual = outputs[-1] - sum(others) / 3
            found["projected_shap/seq"][row, observed, position] = 3 / 4 * usual
    return found | {"qc/output": np.array(outputs)}


def of_net(text: str) -> float:
    with torch.no_grad():
        rows = torch.tensor(encode(text)[None]).double()
        return float(Net().eval().double().logits(rows)[0, 0])


def alike(path: str, expected: dict[str, np.ndarray], tolerance: float = 1e-6) -> None:
    """The file stores float32."""
    for name, values in read(path).items():
        size = np.abs(expected[name]).max()
        assert size > 1e-3, name
        np.testing.assert_allclose(values, expected[name], rtol=0, atol=tolerance * size, err_msg=name)


# ---- against a loop over mutants


@pytest.fixture(scope="module")
def expected() -> dict[str, np.ndarray]:
    return by_hand(lambda _: of_net)


def test_it_is_a_loop_over_single_mutants(expected: dict[str, np.ndarray]) -> None:
    path = run("--precision", "float64")
    alike(path, expected, 1e-7)
    alike(run(out="b.h5"), expected, 1e-5)
    with h5py.File(path) as file:
        assert file["ism/seq"].dtype == np.float32
        assert "sha256" in file["ism/seq"].attrs
        assert not ABSENT & {name for name in ABSENT if name in file}
        assert file.attrs["reference"] == "null"
        assert file.attrs["worst_relative_completeness_error"] == "null"
        unknown = file["raw/seq"][:].sum(1) == 0
        assert unknown.sum() == UNKNOWN
        assert not file["ism/seq"][:].transpose(0, 2, 1)[unknown].any()


def test_small_chunks_of_mutants_give_the_same(
    expected: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call of the model's forward pass then has one batch."""
    run()
    calls = list[int]()
    original = mutagenesis.Mutagenesis._run

    def counted(self: Any, sequences: Any, *given: Any) -> Any:
        calls.append(len(sequences))
        return original(self, sequences, *given)

    monkeypatch.setattr(mutagenesis, "_BYTES_AT_ONCE", 1)
    monkeypatch.setattr(mutagenesis.Mutagenesis, "_run", counted)
    run(out="b.h5")
    assert max(calls) == ROWS
    assert sum(calls) == len(LETTERS) + 3 * (24 * 5 - UNKNOWN)
    assert datasets("a.h5") == datasets("b.h5")


@pytest.mark.parametrize(
    ("layout", "options"),
    [
        ("nlc", ()), ("n1cl", ()), ("flat-lc", ("--layout", "flat-lc")), ("ncl", ("--alphabet", "TGCA")),
    ],
)  # fmt: skip
def test_layouts(layout: str, options: tuple[object, ...], expected: dict[str, np.ndarray]) -> None:
    if "TGCA" in options:
        alike(run(*options, model=torchscript("ChannelsTGCA")), expected, 1e-5)
    else:
        alike(run(*options, model=pickled(InLayout(layout))), expected, 1e-5)


def test_token_ids() -> None:
    """N has an embedding of its own, which is that of both the sequence and its mutants."""
    model = OfIds().eval()

    def f(text: str) -> float:
        with torch.no_grad():
            ids = torch.tensor([[7 + "ACGTN".index(letter) for letter in text]])
            return float(copy.deepcopy(model).double()(ids)[0, 0])

    options = ("--layout", "ids", "--token-ids", "A=7,C=8,G=9,T=10,N=11")
    alike(run(*options, model=pickled(model)), by_hand(lambda _: f), 1e-5)


@pytest.mark.parametrize("encoding", ["channel", "uniform"])
def test_what_the_model_is_shown_for_n(encoding: str) -> None:
    model = FiveChannels().eval() if encoding == "channel" else Net().eval()

    def f(text: str) -> float:
        rows = encode(text).astype(float)
        unknown = np.array([letter == "N" for letter in text])
        if encoding == "channel":
            rows = np.stack([unknown, *rows[::-1]])
        else:
            rows[:, unknown] = 0.25
        with torch.no_grad():
            return float(copy.deepcopy(model).double()(torch.tensor(rows[None]).double())[0, 0])

    options = ("--alphabet", "NTGCA") if encoding == "channel" else ("--encode-n", "uniform")
    alike(run(*options, model=pickled(model)), by_hand(lambda _: f), 1e-5)


def test_both_strands_are_averaged() -> None:
    def f(text: str) -> float:
        return (of_net(text) + of_net(reverse_complement(text))) / 2

    alike(run("--rc-average"), by_hand(lambda _: f), 1e-5)


def test_windows_on_the_minus_strand_are_turned_back(expected: dict[str, np.ndarray]) -> None:
    """A file is in the orientation of the genome."""
    write_fasta(Path("g.fa"), {"chr1": "".join(LETTERS)})
    places = [f"chr1\t{24 * row}\t{24 * row + 24}\tr\t0\t{'+-'[row % 2]}\n" for row in range(5)]
    Path("r.bed").write_text("".join(places))
    given = ("-m", torchscript("Net"), "--rule", "ism", "-g", "g.fa", "-r", "r.bed", "--strand-aware")
    score(*given, "-o", "a.h5")

    def of_row(row: int) -> Scalar:
        return (lambda text: of_net(reverse_complement(text))) if row % 2 else of_net

    alike("a.h5", by_hand(of_row), 1e-5)
    assert deeplift("verify", "a.h5", "-m", torchscript("Net")).code == 0


def test_a_link_is_left_out_and_targets_share_the_passes(expected: dict[str, np.ndarray]) -> None:
    run("--target", "all", model=torchscript("Sigmoid"), out="t{target}.h5")
    alike("t0.h5", expected, 1e-5)
    run("--target", "1", model=torchscript("Sigmoid"))
    assert datasets("t1.h5") == datasets("a.h5")


def test_inputs_by_record_are_those_of_the_mutants() -> None:
    model = Conditioned().eval()
    draw = np.random.default_rng(0)
    values = {
        "tracks": draw.poisson(2, (len(LETTERS), 2, 24)).astype(np.float32),
        "features": draw.normal(size=(len(LETTERS), 3)).astype(np.float32),
        "kind": np.array([4, 0, 1, 1, 2]),
    }
    exact = copy.deepcopy(model).double()

    def of_row(row: int) -> Scalar:
        tracks, features, kind = (torch.tensor(array[row : row + 1]) for array in values.values())

        def f(text: str) -> float:
            x = torch.tensor(encode(text)[None]).double()
            with torch.no_grad():
                return float(exact(x, tracks.double(), features.double(), kind)[0, 0])

        return f

    options: list[object] = []
    for name, array in values.items():
        np.save(f"{name}.npy", array)
        options += ["--input", f"{name}={name}.npy"]
    alike(run(*options, model=pickled(model)), by_hand(of_row), 1e-5)


class Heads(Net):
    """Logits of a profile [N, 1, 8], and log counts."""

    def __init__(self) -> None:
        super().__init__(outputs=9)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        found = self.logits(x)
        return 9 * found[:, None, :8], found[:, 8:]


def test_held_weights_are_those_of_the_sequence() -> None:
    model = Heads().eval()

    def of_row(row: int) -> Scalar:
        def logits(text: str) -> Tensor:
            with torch.no_grad():
                z = copy.deepcopy(model).double()(torch.tensor(encode(text)[None]).double())[0].flatten()
            return z - z.mean()

        weights = torch.softmax(logits(LETTERS[row]), 0)
        return lambda text: float((weights * logits(text)).sum())

    alike(run("--target", "profile-fixed-weights", model=pickled(model)), by_hand(of_row), 1e-5)


def test_operations_without_a_rule_do_not_matter() -> None:
    model = MODELS["OddOperations"]().eval().double()
    refused = deeplift("score", *words("x.h5", "--rule", "rescale", model=torchscript("OddOperations")))
    assert refused.code == 1

    def f(text: str) -> float:
        with torch.no_grad():
            return float(model(torch.tensor(encode(text)[None]).double())[0, 0])

    alike(run("--precision", "float64", model=torchscript("OddOperations")), by_hand(lambda _: f), 1e-6)


# ---- files without references


def test_the_summary_and_the_readers() -> None:
    outcome = score(*words("a.h5", "--bigwig", "a.bw", "--chrom-sizes", "sizes"), _sizes())
    assert "in-silico mutagenesis: no references" in outcome.out
    assert "summation-to-delta" not in outcome.out
    shown = deeplift("show", "a.h5").out
    assert "none: in-silico mutagenesis" in shown
    assert "equal their own" not in shown
    assert deeplift("show", "a.h5", "--table").out.splitlines()[1].split("\t")[4:6] == ["-", "-"]
    assert deeplift("show", "a.h5", "--name", "chr1:0-24").out.upper().strip() == LETTERS[0]
    assert deeplift("plot", "a.h5", "--index", "0", "-o", "a.png").code == 0
    assert deeplift("export", "a.h5", "--npz", "a.npz").code == 0
    with load_scores("a.h5") as scores:
        assert "reference_output" not in scores.regions
        assert scores.dataset.mutant_differences.dims == ("region", "base", "position")
        np.testing.assert_array_equal(scores[2].along["mutant_differences"], read("a.h5")["ism/seq"][2])
        assert "0 references" in repr(scores)


def _sizes() -> str:
    Path("sizes").write_text("chr1\t1000\n")
    return "--overwrite"


def test_shards_merge_to_what_one_run_writes() -> None:
    run(out="whole.h5")
    for number in (1, 2):
        run("--shard", f"{number}/2", out="part{shard}.h5")
    assert deeplift("merge", "part1-of-2.h5", "part2-of-2.h5", "-o", "merged.h5").code == 0
    assert datasets("merged.h5") == datasets("whole.h5")
    assert deeplift("verify", "merged.h5", "-m", torchscript("Net"), "-n", "5").code == 0


def test_folds_are_the_means_of_all(expected: dict[str, np.ndarray]) -> None:
    other = Net().eval()
    with torch.no_grad():
        other.last.weight *= 3
    models = [str(torchscript("Net")), pickled(other)]
    run("-m", models[1], out="mean.h5")
    for number, model in enumerate(models):
        run(out=f"fold{number}.h5", model=model)
    assert deeplift("merge", "--average", "fold0.h5", "fold1.h5", "-o", "merged.h5").code == 0
    assert datasets("merged.h5") == datasets("mean.h5")
    mean, one, two = (read(path) for path in ("mean.h5", "fold0.h5", "fold1.h5"))
    np.testing.assert_allclose(mean["ism/seq"], (one["ism/seq"] + two["ism/seq"]) / 2, atol=1e-6)
    with h5py.File("mean.h5") as file:
        observed = [values["projected_shap/seq"].sum(1) for values in (one, two)]
        np.testing.assert_allclose(file["fold_sd/seq"][:], np.std(observed, axis=0, ddof=1), atol=1e-6)
    verified = deeplift("verify", "mean.h5", "merged.h5", "-m", models[0], "-m", models[1], "--allow-pickle")
    assert verified.code == 0, verified.err


def test_a_killed_run_resumes_to_the_same_bits() -> None:
    score(*words("whole.h5", rows=1))
    killed = ["score", *words("a.h5", rows=1), "--threads", "1"]
    (first, scored, _), (second, again, said) = runs(
        (killed, {"at": "flush", "call": 3, "before": True}), (killed, None)
    )
    assert (first, second) == (-9, 0), said
    assert 0 < again < len(LETTERS)
    assert scored > 0
    assert datasets("a.h5") == datasets("whole.h5")


def test_verify_finds_changed_mutants() -> None:
    run()

    def change(values: Any) -> None:
        values[0, np.argmin(values[0, :, 5]), 5] += 0.5

    changed("a.h5", "ism/seq", change)
    outcome = deeplift("verify", "a.h5")
    assert outcome.code == 1
    assert "row 1, is not ism/seq less its mean over the bases" in outcome.err
    run(out="b.h5")

    def reveal(values: Any) -> None:
        values[3, 0, 17] = 1.0

    changed("b.h5", "ism/seq", reveal)
    assert "ism/seq, row 4, has a value that belongs to no mutant" in deeplift("verify", "b.h5").err


def test_a_file_of_another_rule_does_not_merge_with_it() -> None:
    run()
    other = pickled(Net())
    score("-m", other, "-f", "in.fa", "-o", "b.h5", "--allow-pickle", "--batch-size", ROWS)
    outcome = deeplift("merge", "--average", "a.h5", "b.h5", "-o", "x.h5")
    assert outcome.code == 1
    assert "--rule" in outcome.err


# ---- what does not go with it


@pytest.mark.parametrize(
    "options",
    [
        ("--reference", "frequency"), ("--n-references", 3), ("--frequencies", "0.2,0.3,0.3,0.2"),
        ("--save-references", "r.h5"), ("--standard-errors",), ("--layer-rule", "conv=rescale"),
        ("--compile", "on"), ("--max-completeness-error", 1),
    ],
    ids=lambda options: options[0],
)  # fmt: skip
def test_options_of_references_are_refused(options: tuple[object, ...]) -> None:
    outcome = deeplift("score", *words("a.h5", *options))
    assert outcome.code == 2
    assert str(options[0]) in outcome.err
    assert not Path("a.h5").exists()


def test_an_unknown_rule_is_told_of_it() -> None:
    outcome = deeplift("score", *words("a.h5", "--rule", "isms"))
    assert outcome.code == 2
    assert "integrated-gradients, ism" in " ".join(outcome.err.split())
