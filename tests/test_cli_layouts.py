"""The same network with its input in every layout, alphabet and encoding: the same scores."""

import shlex
from functools import cache
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from small_models import (
    LENGTH,
    Net,
    Outcome,
    deeplift,
    encode,
    random_letters,
    score,
    torchscript,
    write_fasta,
)
from torch import Tensor, nn

from deeplift_cli.models.layouts import LAYOUTS
from deeplift_core import DeepLift

FEW = ("--n-references", 2)
LETTERS = [random_letters(seed) for seed in range(3)]
WITH_N = [LETTERS[0], "NN" + LETTERS[1][2:10] + "N" + LETTERS[1][11:], LETTERS[2]]
IDS = "A=7,C=8,G=9,T=10"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEEPLIFT_CACHE", str(tmp_path / "cache"))
    write_fasta(Path("in.fa"), WITH_N)
    return tmp_path


# How a model of each layout finds the bases [N, 4, L] in its input.
BASES_OF = {
    "ncl": (3, lambda x: x),
    "nlc": (3, lambda x: x.transpose(1, 2)),
    "nc1l": (4, lambda x: x[:, :, 0]),
    "ncl1": (4, lambda x: x[..., 0]),
    "n1cl": (4, lambda x: x[:, 0]),
    "n1lc": (4, lambda x: x[:, 0].transpose(1, 2)),
    "nl1c": (4, lambda x: x[:, :, 0].transpose(1, 2)),
    "nlc1": (4, lambda x: x[..., 0].transpose(1, 2)),
    "flat-cl": (2, lambda x: x.unflatten(1, (4, LENGTH))),
    "flat-lc": (2, lambda x: x.unflatten(1, (LENGTH, 4)).transpose(1, 2)),
}


class InLayout(Net):
    """`Net` with its input in another layout."""

    def __init__(self, layout: str) -> None:
        super().__init__()
        self.layout = layout

    def forward(self, x: Tensor) -> Tensor:
        axes, bases_of = BASES_OF[self.layout]
        assert x.dim() == axes, f"{self.layout} has {axes} axes"
        return self.logits(bases_of(x))


class OfIds(Net):
    """`Net` with an embedding before the convolution; N has a row of its own."""

    def __init__(self, *, plain: bool = False) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.table = nn.Embedding(12, 4)
        if plain:  # the embedding of a base is its one-hot column
            self.table.weight.data[7:11] = torch.eye(4)

    def forward(self, ids: Tensor) -> Tensor:
        return self.logits(self.table(ids).transpose(1, 2))


class OfRows(OfIds):
    """The same for one-hot rows [N, 5, L] in the order ACGTN."""

    def forward(self, x: Tensor) -> Tensor:
        return self.logits((x.transpose(1, 2) @ self.table.weight[7:12]).transpose(1, 2))


class FiveChannels(Net):
    """A channel for N beside the bases, in the order NTGCA."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.conv = nn.Conv1d(5, 6, 5)


class Looks(nn.Module):
    """A model that does something else with ids than look-ups."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(12, 2)

    def forward(self, ids: Tensor) -> Tensor:
        return self.table(ids).mean(1) * ids.cumsum(1)[:, -1:]


class Counts(nn.Module):
    """Takes ids apart by a call that no dispatcher sees."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(12, 2)

    def forward(self, ids: Tensor) -> Tensor:
        share = torch.frombuffer(bytearray(bytes(ids.untyped_storage())), dtype=torch.int64).reshape(
            ids.shape
        )
        return self.table(ids).mean(1) * (share == 7).float().mean(1, keepdim=True)


def saved(module: nn.Module, name: str = "model.pt") -> Path:
    torch.save(module.eval(), name)
    return Path(name)


def scores(model: Path, *options: object, few: tuple[object, ...] = FEW) -> dict[str, np.ndarray]:
    score("-m", model, "-f", "in.fa", "-o", "out.h5", "--allow-pickle", "--overwrite", *few, *options)
    with h5py.File("out.h5") as file:
        names = ("raw/seq", "shap/seq", "projected_shap/seq", "qc/output", "qc/reference_output")
        return {name: file[name][()] for name in names}


def alike(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=0, atol=2e-6, err_msg=name)


def refused(code: int, *options: object) -> str:
    outcome: Outcome = deeplift("score", "-f", "in.fa", "-o", "out.h5", "--allow-pickle", *options)
    assert outcome.code == code, outcome.err
    assert not Path("out.h5").exists()
    return " ".join(outcome.err.split())


# ---- layouts


def test_every_layout_is_tried_here() -> None:
    assert {*BASES_OF, "ids"} == set(LAYOUTS)


@pytest.mark.parametrize("layout", BASES_OF)
def test_scores_are_the_same_in_every_layout(layout: str) -> None:
    model = saved(InLayout(layout))
    expected = scores(torchscript("Net"))
    chosen = ("--layout", layout) if layout.startswith("flat") else ()
    alike(scores(model, *chosen), expected)
    both_strands = ("--rc-average", "--layout", layout)
    alike(scores(model, *both_strands), scores(torchscript("Net"), "--rc-average"))


@pytest.mark.parametrize("layout", ["n1lc", "flat-lc"])
def test_another_order_of_bases_in_another_layout(layout: str) -> None:
    found = scores(saved(InLayout(layout)), "--layout", layout, "--alphabet", "TGCA")
    alike(found, scores(torchscript("Net"), "--alphabet", "TGCA"))


def test_strands_of_a_flattened_input() -> None:
    write_fasta(Path("g.fa"), {"chr1": "".join(LETTERS)})
    Path("r.bed").write_text("chr1\t10\t34\ta\t0\t-\nchr1\t30\t54\tb\t0\t+\n")

    def of(model: Path, *options: object) -> np.ndarray:
        score("-m", model, "-g", "g.fa", "-r", "r.bed", "-o", "out.h5", "--allow-pickle", "--strand-aware",
              "--overwrite", *FEW, *options)  # fmt: skip
        with h5py.File("out.h5") as file:
            return file["shap/seq"][()]

    found = of(saved(InLayout("flat-lc")), "--layout", "flat-lc")
    np.testing.assert_allclose(found, of(torchscript("Net")), atol=2e-6)


def test_a_flattened_input_is_not_guessed() -> None:
    message = refused(1, "-m", saved(InLayout("flat-lc")))
    assert (
        "--layout (flat-cl: [batch, bases x positions], the positions of each base side by side or" in message
    )
    assert "flat-lc: [batch, bases x positions], the bases of each position side by side)" in message


def test_modules_of_a_flattened_model_keep_their_names() -> None:
    model = saved(InLayout("flat-cl"))
    options = ("--layer-rule", "second=rescale", "--layer-rule", "first=rescale")
    found = scores(model, "--layout", "flat-cl", *options)
    alike(found, scores(saved(Net()), *options))


# ---- N


@cache
def five_channels(letters: str) -> np.ndarray:
    """One-hot [5, L] in the order NTGCA."""
    return np.array([[letter == base for letter in letters] for base in "NTGCA"], np.float32)


def by_hand(module: nn.Module, x: np.ndarray, references: np.ndarray, order: str) -> np.ndarray:
    """Hypothetical contributions [N, 4, L], 0 where there is N."""
    rows = torch.from_numpy(x)
    found = DeepLift(module.eval(), rows, channel_axis=1).attribute(rows, torch.from_numpy(references))
    bases = found.hypothetical[:, [order.index(base) for base in "ACGT"]].numpy()
    unknown = x[:, order.index("N")] == 1 if "N" in order else (x == 0.25).all(1)
    return np.where(unknown[:, None], 0, bases)


def references_in(order: str) -> np.ndarray:
    """The saved references [N, R, letters, L], with N where the sequence has N."""
    with h5py.File("refs.h5") as file:
        found = file["references"][()]
    unknown = np.array([[letter == "N" for letter in letters] for letters in WITH_N], np.float32)
    assert (found.sum(2) == 1 - unknown[:, None]).all()
    channels = {base: found[:, :, place] for place, base in enumerate("ACGT")}
    channels["N"] = np.broadcast_to(unknown[:, None], channels["A"].shape)
    return np.stack([channels[letter] for letter in order], 2)


@pytest.mark.parametrize("options", [(), ("--layout", "ncl", "--rc-average")])
def test_a_channel_for_n(options: tuple[str, ...]) -> None:
    model = saved(FiveChannels())
    found = scores(model, "--alphabet", "NTGCA", "--save-references", "refs.h5", *options)
    x, references = np.stack([five_channels(letters) for letters in WITH_N]), references_in("NTGCA")
    expected = by_hand(FiveChannels(), x, references, "NTGCA")
    if options:
        # The reverse complement exchanges A with T and C with G; N stays.
        order = [0, 4, 3, 2, 1]
        there, behind = (np.ascontiguousarray(one[..., order, ::-1]) for one in (x, references))
        turned = by_hand(FiveChannels(), there, behind, "NTGCA")
        expected = (expected + turned[:, ::-1, ::-1]) / 2
    observed = np.stack([encode(letters) for letters in WITH_N])
    np.testing.assert_array_equal(found["raw/seq"], observed)
    np.testing.assert_allclose(found["shap/seq"], expected, atol=2e-6)
    np.testing.assert_allclose(found["projected_shap/seq"], found["shap/seq"] * observed, atol=1e-7)
    explained = found["qc/output"] - found["qc/reference_output"].mean(1)
    np.testing.assert_allclose(found["projected_shap/seq"].sum((1, 2)), explained, atol=5e-6)


def test_references_without_bases_are_no_n() -> None:
    """A reference of zeros is zeros in all five channels, but for the places of N."""
    model = saved(FiveChannels())
    found = scores(model, "--alphabet", "NTGCA", "--reference", "zeros", few=())
    x = np.stack([five_channels(letters) for letters in WITH_N])
    references = np.zeros_like(x)[:, None]
    references[:, 0, 0] = x[:, 0]
    np.testing.assert_allclose(found["shap/seq"], by_hand(FiveChannels(), x, references, "NTGCA"), atol=2e-6)


def test_a_quarter_of_each_base_for_n() -> None:
    found = scores(torchscript("Net"), "--encode-n", "uniform", "--save-references", "refs.h5")
    assert np.abs(found["qc/output"] - scores(torchscript("Net"))["qc/output"])[1] > 1e-3
    x = np.stack([encode(letters) for letters in WITH_N]).astype(np.float32)
    references = references_in("ACGT")
    x += (x.sum(1, keepdims=True) == 0) / np.float32(4)
    references += (references.sum(2, keepdims=True) == 0) / np.float32(4)
    np.testing.assert_allclose(found["shap/seq"], by_hand(Net(), x, references, "ACGT"), atol=2e-6)
    assert not found["raw/seq"][1, :, :2].any()


def test_an_alphabet_that_does_not_fit() -> None:
    message = refused(2, "-m", torchscript("Net"), "--alphabet", "ACGTN", "--encode-n", "uniform")
    assert "--encode-n uniform goes with four letters" in message
    assert "to have 4 channels" in refused(1, "-m", torchscript("Net"), "--alphabet", "ACGTN")


# ---- token ids


@pytest.mark.parametrize(
    "options", [(), ("--rc-average",), ("--rule", "revealcancel"), ("--precision", "float64")]
)
def test_token_ids_are_one_hot_rows_times_the_embedding(options: tuple[str, ...]) -> None:
    found = scores(saved(OfIds(plain=True)), "--layout", "ids", "--token-ids", IDS, *options)
    alike(found, scores(torchscript("Net"), *options))


def test_a_token_for_n() -> None:
    found = scores(
        saved(OfIds()), "--token-ids", f"n=11, {IDS.replace('T', 'U')}", "--save-references", "refs.h5"
    )
    x = np.stack([five_channels(letters)[[4, 3, 2, 1, 0]] for letters in WITH_N])
    expected = by_hand(OfRows(), x, references_in("ACGTN"), "ACGTN")
    np.testing.assert_allclose(found["shap/seq"], expected, atol=2e-6)
    ids = torch.tensor([["ACGTN".index(letter) + 7 for letter in letters] for letters in WITH_N])
    with torch.no_grad():
        np.testing.assert_allclose(found["qc/output"], OfIds().eval()(ids)[:, 0], atol=1e-6)


def test_a_model_of_ids_says_what_is_missing() -> None:
    model = saved(OfIds())
    assert "--layout ids --token-ids A=7,C=8,G=9,T=10" in refused(1, "-m", model)
    assert "--layout ids --token-ids A=7,C=8,G=9,T=10" in refused(2, "-m", model, "--layout", "ids")
    message = refused(1, "-m", model, "--token-ids", "A=7,C=8,G=9,T=12")
    assert f"does not run on token ids of {LENGTH} positions: index out of range" in message
    assert "--layout ids" in refused(2, "-m", model, "--token-ids", IDS, "--layout", "ncl")
    assert "--alphabet" in refused(2, "-m", model, "--token-ids", IDS, "--alphabet", "TGCA")
    message = refused(1, "-m", torchscript("Net"), "--token-ids", IDS)
    assert f"{LENGTH} positions: RuntimeError: Input type (long int)" in message


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("A=7,C=8,G=9", "T must have a number"), ("A=7", "C and G and T must have"),
        ("A=7,C=8,G=9,T=9", "one number"),
        ("A=7,A=8,C=9,G=10,T=11", "A has two"), ("7,8,9,10", "LETTER=NUMBER"), ("A=7,C=8,G=9,T=x", "'T=x'"),
        ("A=7,C=8,G=9,T=10,X=3", "'X=3'"), ("A=7,C=8,G=9,T=10,", "''"),
    ],
)  # fmt: skip
def test_unreadable_token_ids(text: str, word: str) -> None:
    assert word in refused(2, "-m", saved(OfIds()), "--token-ids", text)


def test_other_uses_of_ids_are_refused() -> None:
    message = refused(1, "-m", saved(Looks()), "--token-ids", IDS)
    assert "test_cli_layouts.py:" in message
    assert "aten.cumsum" in message
    message = refused(1, "-m", saved(Counts()), "--token-ids", IDS)
    assert "computes something else from token ids than look-ups in tables" in message


def test_ids_in_exported_programs() -> None:
    """With a batch of two in the file, which can be freed."""
    program = torch.export.export(OfIds(plain=True).eval(), (torch.full((2, LENGTH), 7),))
    torch.export.save(program, "ids.pt2")
    alike(scores(Path("ids.pt2"), "--token-ids", IDS), scores(torchscript("Net")))


@pytest.mark.parametrize("rows", ["N", 2])
def test_a_channel_for_n_in_onnx(rows: int | str) -> None:
    axes = {"x": {0: "N"}} if rows == "N" else None
    torch.onnx.export(
        FiveChannels().eval(), (torch.zeros(2, 5, LENGTH),), "five.onnx", input_names=["x"],
        dynamic_axes=axes, dynamo=False,
    )  # fmt: skip
    assert "--alphabet ACGTN" in refused(1, "-m", "five.onnx")
    options = ("--alphabet", "NTGCA")
    alike(scores(Path("five.onnx"), *options), scores(saved(FiveChannels()), *options))


def test_ids_in_onnx() -> None:
    pytest.importorskip("onnxscript")
    model = OfIds(plain=True).eval()
    torch.onnx.export(
        model, (torch.full((2, LENGTH), 7),), "ids.onnx", dynamic_axes={"ids": {0: "N"}}, input_names=["ids"],
        dynamo=False,
    )  # fmt: skip
    assert "input ids of ids.onnx holds int64 values" in refused(1, "-m", "ids.onnx")
    assert "holds float32 values and no token ids" in refused(1, "-m", onnx_net(), "--token-ids", IDS)
    alike(scores(Path("ids.onnx"), "--token-ids", IDS), scores(torchscript("Net")))


def onnx_net() -> Path:
    torch.onnx.export(Net().eval(), (torch.zeros(2, 4, LENGTH),), "net.onnx", dynamo=False)
    return Path("net.onnx")


# ---- inspect


@pytest.mark.parametrize(
    ("module", "options", "shown"),
    [
        (lambda: InLayout("nl1c"), (), "nl1c [batch, positions, 1, bases]"),
        (lambda: InLayout("flat-lc"), ("--layout", "flat-lc"), f"[N, {4 * LENGTH}] float32"),
        (FiveChannels, ("--alphabet", "NTGCA"), f"[N, 5, {LENGTH}] float32"),
        (lambda: OfIds(plain=True), ("--token-ids", IDS), f"[N, {LENGTH}] int64"),
        (Net, ("--encode-n", "uniform"), f"[N, 4, {LENGTH}] float32"),
    ],
)
def test_inspect_shows_the_input_and_the_command(module, options: tuple[str, ...], shown: str) -> None:
    model = saved(module())
    outcome = deeplift("inspect", "-m", model, "--allow-pickle", "--length", LENGTH, *options)
    assert outcome.code == 0, outcome.err
    assert shown in outcome.out
    command = shlex.split(outcome.out.splitlines()[-1])
    assert set(options) <= set(command)
    filled = [{"SEQUENCES.fa": "in.fa", "SCORES.h5": "shown.h5"}.get(word, word) for word in command[2:]]
    score(*filled, *FEW)
    with h5py.File("shown.h5") as file:
        alike(scores(model, *options), {"shap/seq": file["shap/seq"][()]})


def test_verify_scores_rows_of_a_model_of_ids_again() -> None:
    model = saved(OfIds())
    scores(model, "--token-ids", IDS)
    outcome = deeplift("verify", "out.h5", "-m", model, "--allow-pickle")
    assert outcome.code == 0, outcome.err
