"""`--input`: values of a model's inputs beside the sequence, against modules with the values inside."""

import json
import shlex
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from small_models import deeplift, encode, random_letters, reverse_complement, score, write_fasta
from torch import Tensor, nn

from deeplift_cli.models.scorer import Scorer
from deeplift_cli.options.further_inputs import parse_input
from deeplift_core import DeepLift

LENGTH, N = 24, 7
LETTERS = [random_letters(seed, LENGTH) for seed in range(N)]
REFERENCES = 2
GIVEN = ("-f", "in.fa", "--allow-pickle", "--n-references", REFERENCES, "--rule", "revealcancel")


class Conditioned(nn.Module):
    """A sequence with two tracks, three features that scale dense units, and the number of a kind."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.conv = nn.Conv1d(4, 6, 5, padding=2)
        self.both = nn.Conv1d(8, 6, 3, padding=1)
        self.dense = nn.Linear(6 * LENGTH, 8)
        self.scale = nn.Linear(3, 8)
        self.kinds = nn.Embedding(5, 8)
        self.last = nn.Linear(8, 2)
        with torch.no_grad():
            self.dense.weight *= 8

    def forward(self, x: Tensor, tracks: Tensor, features: Tensor, kind: Tensor) -> Tensor:
        h = torch.relu(self.both(torch.cat([torch.relu(self.conv(x)), tracks], 1)))
        h = torch.relu(self.dense(h.flatten(1)) * self.scale(features) + self.kinds(kind))
        return self.last(h)


class Tracks(nn.Module):
    """A model of any length that needs tracks, and takes a bias that it does not need."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.conv = nn.Conv1d(4, 6, 5)
        self.other = nn.Conv1d(2, 6, 5)
        self.last = nn.Linear(6, 2)

    def forward(self, x: Tensor, tracks: Tensor, bias: Tensor | None = None) -> Tensor:
        h = self.last(torch.relu(self.conv(x) + self.other(tracks)).mean(-1))
        return h if bias is None else h + torch.relu(h * bias)


class Broadcast(nn.Module):
    """Runs with offsets of many shapes, of which some count more often than others."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.conv = nn.Conv1d(4, 6, 5)

    def forward(self, x: Tensor, offset: Tensor) -> Tensor:
        return torch.relu(self.conv(x)).mean(-1) + (offset + 1).flatten(1).sum(1, keepdim=True)


class Twins(nn.Module):
    """Two sequences."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.conv = nn.Conv1d(4, 6, 5)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return torch.relu(self.conv(left)).mean(-1) + torch.relu(self.conv(right)).amax(-1)


class Holding(nn.Module):
    """A model with values inside, written by hand."""

    def __init__(self, model: nn.Module, *values: Tensor) -> None:
        super().__init__()
        self.model, self.values = model, values

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x, *(value.expand(len(x), *value.shape) for value in self.values))


random = np.random.default_rng(0)
TRACKS = random.poisson(2, (N, 2, LENGTH)).astype(np.float32)
FEATURES = random.normal(size=(N, 3))
KINDS = np.array([4, 0, 1, 1, 2, 3, 0])


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_fasta(Path("in.fa"), LETTERS)
    for name, values in (("tracks", TRACKS), ("features", FEATURES), ("kinds", KINDS), ("one", TRACKS[3])):
        np.save(f"{name}.npy", values)
    return tmp_path


def example(rows: int = 2) -> tuple[Tensor, ...]:
    x = torch.tensor(np.stack([encode(text) for text in LETTERS[:rows]])).float()
    kinds = torch.tensor(KINDS[:rows])
    return x, torch.tensor(TRACKS[:rows]), torch.tensor(FEATURES[:rows]).float(), kinds


def as_pickle(model: nn.Module) -> None:
    torch.save(model, "m.pt")


def as_torchscript(model: nn.Module) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces TorchScript's end
        torch.jit.script(model).save("m.pt")


def as_exported(model: nn.Module) -> None:
    rows = torch.export.Dim("rows")
    names = ("x", "tracks", "features", "kind")
    program = torch.export.export(model, example(), dynamic_shapes={name: {0: rows} for name in names})
    torch.export.save(program, "m.pt")


def as_onnx(model: nn.Module) -> None:
    names = ["x", "tracks", "features", "kind"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model, example(), "m.pt", input_names=names, output_names=["y"], dynamo=False,
            dynamic_axes={name: {0: "n"} for name in names},
        )  # fmt: skip


def by_hand(model: nn.Module, letters: str, references: Any, *values: Any) -> tuple[np.ndarray, float]:
    """Hypothetical contributions and the output of one sequence."""
    held = Holding(model, *(torch.tensor(value) for value in values))
    x = torch.tensor(encode(letters))[None].float()
    found = DeepLift(held, x.expand(2, -1, -1), rule="revealcancel").attribute(
        x, torch.tensor(references)[None].float()
    )
    return found.hypothetical[0].numpy(), float(found.output)


def check(path: str, model: nn.Module, values: Callable[[int], tuple[Any, ...]], refs: str = "r.h5") -> None:
    """Compare every row of a score file with a module that has the row's values inside."""
    with h5py.File(path) as file, h5py.File(refs) as given:
        assert len(file["shap/seq"]) == len(given["references"]) > 0
        for row, record in enumerate(file["regions/index"][()].tolist()):
            letters = "".join("ACGT"[base] for base in file["raw/seq"][row].argmax(0))
            expected, output = by_hand(model, letters, given["references"][row], *values(record))
            scale = np.abs(expected).max()
            np.testing.assert_allclose(file["shap/seq"][row], expected, atol=1e-5 * scale)
            np.testing.assert_allclose(file["qc/output"][row], output, rtol=1e-5)


# ---- scores


@pytest.mark.parametrize("save", [as_pickle, as_torchscript, as_exported, as_onnx])
def test_values_of_each_record_in_every_format(save: Callable[[nn.Module], None]) -> None:
    """Seven records in batches of two, with an input of each kind: tracks, features, and whole numbers."""
    model = Conditioned().eval()
    save(model)
    words = [word for name, file in (("tracks", "tracks"), ("features", "features"), ("kind", "kinds"))
             for word in ("--input", f"{name}={file}.npy")]  # fmt: skip
    done = score("-m", "m.pt", "-o", "a.h5", *GIVEN, "--batch-size", 2, "--save-references", "r.h5", *words)
    assert "tracks=tracks.npy, features=features.npy, kind=kinds.npy" in done.out
    check("a.h5", model, lambda record: (TRACKS[record], FEATURES[record].astype("f4"), KINDS[record]))
    assert deeplift("verify", "a.h5", "-m", "m.pt", "--allow-pickle").code == 0


@pytest.mark.parametrize("save", [as_pickle, as_exported, as_onnx])
def test_values_that_all_records_share(save: Callable[[nn.Module], None]) -> None:
    model = Conditioned().eval()
    save(model)
    np.save("one_kind.npy", np.array(3, np.int32))
    words = ("--input", "tracks=one.npy", "--input", "features=0.5", "--input", "kind=one_kind.npy")
    score("-m", "m.pt", "-o", "a.h5", *GIVEN, "--save-references", "r.h5", *words)
    check("a.h5", model, lambda _: (TRACKS[3], np.full(3, 0.5, "f4"), 3))
    assert deeplift("verify", "a.h5", "-m", "m.pt", "--allow-pickle").code == 0


def test_a_value_of_all_scores_like_the_same_value_of_each() -> None:
    """Both are constants, under a rule that tells constants from inputs, and the names of layers stay."""
    as_onnx(Conditioned().eval())
    np.save("same.npy", np.repeat(FEATURES[:1], N, 0))
    np.save("alone.npy", FEATURES[0])
    others = ("--input", "tracks=tracks.npy", "--input", "kind=1", "--layer-rule", "*=revealcancel")
    for out, value in (("a.h5", "same.npy"), ("b.h5", "alone.npy")):
        score("-m", "m.pt", "-o", out, *GIVEN, *others, "--input", f"features={value}")
    with h5py.File("a.h5") as a, h5py.File("b.h5") as b:
        np.testing.assert_array_equal(a["shap/seq"][()], b["shap/seq"][()])


def test_rows_are_those_of_records_where_others_are_skipped() -> None:
    """One record is too long, one has no base; the rows behind them stay with their records."""
    model = Conditioned().eval()
    as_onnx(model)
    letters = list(LETTERS)
    letters[1], letters[4] = letters[1] + "A", "N" * LENGTH
    write_fasta(Path("in.fa"), letters)
    words = ("--input", "tracks=tracks.npy", "--input", "features=1", "--input", "kind=2")
    score("-m", "m.pt", "-o", "a.h5", *GIVEN, "--batch-size", 2, "--save-references", "r.h5", *words)
    with h5py.File("a.h5") as file:
        assert file["regions/index"][()].tolist() == [0, 2, 3, 5, 6]
    check("a.h5", model, lambda record: (TRACKS[record], np.ones(3, "f4"), 2))
    assert deeplift("verify", "a.h5", "-m", "m.pt").code == 0


def test_shards_and_resumed_runs_give_what_one_run_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    as_onnx(Conditioned().eval())
    words = ["-m", "m.pt", *GIVEN, "--batch-size", 2, "--input", "tracks=tracks.npy", "--input",
             "features=features.npy", "--input", "kind=kinds.npy"]  # fmt: skip
    score(*words, "-o", "a.h5")
    parts = [f"p{number}.h5" for number in (1, 2)]
    for number, part in enumerate(parts, 1):
        score(*words, "-o", part, "--shard", f"{number}/2")
    assert deeplift("merge", *parts, "-o", "merged.h5").code == 0
    kept = Scorer.score

    def failing(self: Scorer, sequences: Any, *rest: Any) -> Any:
        if np.array_equal(sequences[0], encode(LETTERS[4])):
            raise MemoryError("not enough memory")
        return kept(self, sequences, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(Scorer, "score", failing)
        assert deeplift("score", *words, "-o", "resumed.h5").code == 1
    assert "from 4 sequences" in score(*words, "-o", "resumed.h5").out
    for other in ("merged.h5", "resumed.h5"):
        with h5py.File("a.h5") as one, h5py.File(other) as two:
            np.testing.assert_array_equal(one["shap/seq"][()], two["shap/seq"][()])


def test_a_changed_file_is_another_job(monkeypatch: pytest.MonkeyPatch) -> None:
    as_pickle(Tracks())
    words = ["-m", "m.pt", *GIVEN, "-o", "a.h5", "--input", "tracks=tracks.npy"]
    score(*words)
    np.save("tracks.npy", TRACKS + 1)
    found = deeplift("verify", "a.h5", "-m", "m.pt", "--allow-pickle")
    assert found.code == 1
    assert "tracks.npy, the values of input tracks, has changed since a.h5 was written" in found.err
    score(*words[:-1], "tracks=one.npy", "--overwrite")
    with h5py.File("a.h5") as file:
        stored = json.loads(file.attrs["further_inputs"])
        assert stored == [["tracks", "one.npy"]]
        counted = json.loads(file.attrs["fingerprint"])
        assert counted["--input"] == ["tracks=FILE.npy"]
        assert counted["the values of input tracks"].startswith("sha256:")


def test_profiles_with_fixed_weights_have_the_weights_of_their_own_rows() -> None:
    """Delta is the sum of p(x) (z(x) - z(r)), with the tracks of the record in both."""

    class Profile(Tracks):
        def forward(self, x: Tensor, tracks: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
            h = torch.relu(self.conv(x) + self.other(tracks))
            return 9 * h[:, :2], self.last(h.mean(-1))[:, :1]

    model = Profile().eval()
    program = torch.export.export(
        model, example()[:2], dynamic_shapes=({0: torch.export.Dim("rows")}, {0: torch.export.Dim("rows")})
    )
    torch.export.save(program, "m.pt")
    score("-m", "m.pt", "-o", "a.h5", *GIVEN, "--target", "profile-fixed-weights", "--batch-size", 2,
          "--save-references", "r.h5", "--input", "tracks=tracks.npy")  # fmt: skip
    with h5py.File("a.h5") as file, h5py.File("r.h5") as refs, torch.no_grad():
        for row in range(N):
            tracks = torch.tensor(TRACKS[row : row + 1])
            z, *others = (
                (logits := model(torch.tensor(x)[None].float(), tracks)[0].flatten()) - logits.mean()
                for x in (file["raw/seq"][row], *refs["references"][row])
            )
            expected = [float((torch.softmax(z, 0) * (z - other)).sum()) for other in others]
            found = file["qc/output"][row] - file["qc/reference_output"][row]
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


# ---- models that declare no shapes


def test_zeros_of_a_shape_that_is_found_by_running_the_model() -> None:
    """The model still takes any length, and inputs with a default are given by name."""
    model = Tracks().eval()
    for save in (as_pickle, as_torchscript):
        save(model)
        words = ("--input", "tracks=zeros", "--input", "bias=2.5")
        score("-m", "m.pt", "-o", "a.h5", *GIVEN, "--save-references", "r.h5", *words, "--overwrite")
        check("a.h5", model, lambda _: (np.zeros((2, LENGTH), "f4"), np.full(1, 2.5, "f4")))
    write_fasta(Path("in.fa"), [*LETTERS, random_letters(9, 30)])
    found = deeplift("score", "-m", "m.pt", "-o", "b.h5", *GIVEN, *words)
    assert found.code == 1
    assert "records of 24 to 30 bp, and m.pt takes any length: give --length" in found.err


def test_rows_and_values_of_undeclared_shape_are_told_apart_by_running_the_model() -> None:
    model = Tracks().eval()
    as_pickle(model)
    for file, values in (
        ("tracks.npy", lambda record: (TRACKS[record],)),
        ("one.npy", lambda _: (TRACKS[3],)),
    ):
        words = ("--save-references", "r.h5", "--overwrite", "--input", f"tracks={file}")
        score("-m", "m.pt", "-o", "a.h5", *GIVEN, *words)
        check("a.h5", model, values)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("tracks=wrong.npy", "with any shape and type of input tracks that was tried (Given groups=1"),
        ("tracks=few.npy", "a value of the shape that the model takes or one for each record of the input"),
        ("x=zeros tracks=one.npy", "every input has a value by --input, and one is the sequence"),
        ("nothing=1", "m.pt has no input of this name; it takes x (shape not declared), tracks (shape not"),
        ("tracks=none.npy", "none.npy does not exist; a value is zeros, a number or FILE.npy"),
        ("tracks=in.fa", "in.fa is not a NumPy file of numbers"),
        ("tracks=archive.npz", "archive.npz is not a NumPy file of numbers"),
        ("tracks=objects.npy", "objects.npy is not a NumPy file of numbers"),
        ("tracks=words.npy", "words.npy holds values of the type <U1; it takes real numbers"),
        ("tracks=infinite.npy", "holds a value that is no finite number of 32 bits, at index (1, 5)"),
        ("tracks=turned.npy", "holds a value that is no finite number of 32 bits, at index (0, 7)"),
        ("tracks=empty.npy", "empty.npy holds no values"),
        ("tracks=cut.npy", "cut.npy is not a NumPy file of numbers"),
        ("tracks=.", "--input tracks: . is no regular file"),
        ("bias=1", "to explain x, add --input tracks=zeros"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_said_in_one_line(words: str, text: str) -> None:
    as_pickle(Tracks())
    infinite, turned = TRACKS[0].copy(), np.asfortranarray(TRACKS[0])
    infinite[1, 5], turned[0, 7] = np.inf, np.nan
    arrays = {"wrong": np.ones((3, LENGTH)), "few": TRACKS[:3], "words": np.array(["a"]), "turned": turned,
              "infinite": infinite, "empty": np.ones((0, 2))}  # fmt: skip
    for name, values in arrays.items():
        np.save(f"{name}.npy", values)
    np.save("objects.npy", np.array([None]), allow_pickle=True)
    np.savez("archive.npz", TRACKS)
    Path("cut.npy").write_bytes(Path("tracks.npy").read_bytes()[:500])
    inputs = [f"--input={word}" for word in words.split()]
    found = deeplift("score", "-m", "m.pt", "-o", "a.h5", *GIVEN, *inputs)
    assert (found.code, len(found.err.splitlines())) == (1, 1)
    assert text in found.err
    assert not Path("a.h5").exists()


def test_shapes_that_give_different_outputs_are_refused() -> None:
    as_pickle(Broadcast())
    found = deeplift("score", "-m", "m.pt", "-o", "a.h5", *GIVEN, "--input", "offset=zeros")
    assert found.code == 1
    assert (
        "m.pt runs with several shapes of input offset, [1, any] and [1], with different outputs" in found.err
    )
    score("-m", "m.pt", "-o", "a.h5", *GIVEN, "--input", "offset=one.npy")


# ---- models that declare shapes


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("tracks=few.npy features=1 kind=0", "few.npy has the shape [3, 2, 24]; it takes one value for all "
         "records of the shape [2, 24], or one row for each of the 7 records of the input"),
        ("tracks=one.npy features=1 kind=1.5", "--input kind=1.5: this input takes whole numbers (int64)"),
        ("tracks=one.npy features=1 kind=features.npy", "features.npy has the shape [7, 3]"),
        ("tracks=one.npy features=1 kind=large.npy", "numbers above 16,777,216 are not exact in float32"),
        ("kind=0", "takes 4 inputs: x [N, 4, 24], tracks [N, 2, 24], features [N, 3] and kind [N], of which "
         "kind has a value; deeplift score explains one, the sequence, and needs values of the others (one-"
         "hot sequences by their shapes: x): to explain x, add --input tracks=zeros --input features=zeros"),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_declared_shapes(words: str, text: str) -> None:
    as_onnx(Conditioned().eval())
    np.save("few.npy", TRACKS[:3])
    np.save("large.npy", KINDS + (1 << 24))
    inputs = [f"--input={word}" for word in words.split()]
    found = deeplift("score", "-m", "m.pt", "-o", "a.h5", *GIVEN, *inputs)
    assert (found.code, len(found.err.splitlines())) == (1, 1)
    assert text in found.err


def test_an_input_without_rows_has_one_value_for_the_batch() -> None:
    """A temperature that is a number, and weights [2] of the two outputs, beside rows of any number."""
    torch.manual_seed(5)
    weight = torch.randn(2, 4 * LENGTH)
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"], axis=1),
        helper.make_node("Gemm", ["flat", "weight"], ["linear"], transB=1),
        helper.make_node("Mul", ["linear", "temperature"], ["scaled"]),
        helper.make_node("Relu", ["scaled"], ["positive"]),
        helper.make_node("Mul", ["positive", "mixing"], ["y"]),
    ]
    shapes = {"x": ["N", 4, LENGTH], "temperature": [], "mixing": [2], "y": ["N", 2]}
    x, temperature, mixing, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()
    )
    initial = [numpy_helper.from_array(weight.numpy(), "weight")]
    graph = helper.make_graph(nodes, "small", [x, temperature, mixing], [y], initial)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), "m.onnx")
    np.save("mixing.npy", np.array([3.0, -2.0]))
    given = ("score", "-m", "m.onnx", "-o", "a.h5", *GIVEN, "--target", 1, "--input", "temperature=0.5")
    found = deeplift(*given, "--input", "mixing=features.npy")
    assert "it takes one value for all records of the shape [2]" in found.err
    assert deeplift(*given, "--input", "mixing=mixing.npy").code == 0
    with h5py.File("a.h5") as file:
        flat = torch.tensor(file["raw/seq"][()]).float().flatten(1)
        expected = -2 * torch.relu(0.5 * flat @ weight.T)[:, 1]
        np.testing.assert_allclose(file["qc/output"][()], expected, rtol=1e-5, atol=1e-6)


def test_the_message_about_several_sequences_gives_a_command_that_runs() -> None:
    program = torch.export.export(
        Twins().eval(), (example()[0], example()[0]),
        dynamic_shapes=({0: torch.export.Dim("rows")}, {0: torch.export.Dim("rows")}),
    )  # fmt: skip
    torch.export.save(program, "m.pt")
    found = deeplift("score", "-m", "m.pt", "-o", "a.h5", *GIVEN)
    assert (found.code, len(found.err.splitlines())) == (1, 1)
    assert "one-hot sequences by their shapes: left, right" in found.err
    assert "explained together from Python, by deeplift_core.DeepLift(model, (left, right))" in found.err
    words = shlex.split(found.err.partition(", add ")[2].partition(", with ")[0])
    assert words == ["--input", "right=zeros"]
    score("-m", "m.pt", "-o", "a.h5", *GIVEN, *words)


# ---- other options


@pytest.mark.parametrize("option", ["--rc-average", "--strand-aware"])
def test_arrays_are_not_turned_with_the_sequence(option: str) -> None:
    as_onnx(Conditioned().eval())
    words = ("-m", "m.pt", "-o", "a.h5", *GIVEN, option, "--input", "features=1", "--input", "kind=kinds.npy")
    found = deeplift("score", *words, "--input", "tracks=one.npy")
    assert found.code == 2
    assert f"{option} does not go with --input tracks=FILE.npy" in found.err
    score(*words, "--input", "tracks=zeros")


def test_both_strands_get_the_same_numbers() -> None:
    as_onnx(Conditioned().eval())
    words = ("-m", "m.pt", *GIVEN, "--reference", "zeros", "--input", "tracks=1", "--input", "features=1",
             "--input", "kind=kinds.npy")  # fmt: skip
    words = tuple(word for word in words if word not in ("--n-references", REFERENCES))
    score(*words, "-o", "both.h5", "--rc-average")
    score(*words, "-o", "plus.h5")
    write_fasta(Path("in.fa"), [reverse_complement(text) for text in LETTERS])
    score(*words, "-o", "minus.h5")
    read = {}
    for name in ("both", "plus", "minus"):
        with h5py.File(f"{name}.h5") as file:
            read[name] = file["shap/seq"][()]
    mean = (read["plus"] + read["minus"][:, ::-1, ::-1]) / 2
    np.testing.assert_allclose(read["both"], mean, atol=1e-6)


def test_values_by_record_are_not_compiled() -> None:
    as_pickle(Tracks())
    words = ("--input", "tracks=tracks.npy", "--compile", "on")
    found = deeplift("score", "-m", "m.pt", "-o", "a.h5", *GIVEN, *words)
    assert found.code == 2
    assert "--compile on does not go with --input values that differ by record" in found.err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tracks", "none of NAME=zeros"),
        ("=1", "none of NAME=zeros"),
        ("a=", "none of"),
        ("a=nan", "no finite"),
    ],
)
def test_what_is_no_value(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_input(text)
    assert deeplift("inspect", "-m", "m.pt", "--input", text).code == 2


def test_a_name_with_two_values() -> None:
    found = deeplift("inspect", "-m", "m.pt", "--input", "a=1", "--input", "a=zeros")
    assert found.code == 2
    assert "'a' has several values" in found.err


@pytest.mark.parametrize(
    "words", ["tracks=zeros features=1 kind=0", "tracks=tracks.npy features=1 kind=kinds.npy"]
)
def test_inspect_takes_inputs_too(words: str) -> None:
    """Its checks hold, and the command that it prints runs."""
    as_onnx(Conditioned().eval())
    options = [f"--input={word}" for word in words.split()]
    report = json.loads(deeplift("inspect", "-m", "m.pt", *options, "--json").out)
    assert report["can_be_scored"]
    assert report["further_inputs"] == dict(word.split("=") for word in words.split())
    assert [item["name"] for item in report["inputs"]] == ["x", "tracks", "features", "kind"]
    assert report["cost"]["scoring_seconds"] > 0
    assert f"with {', '.join(words.split())}" in deeplift("inspect", "-m", "m.pt", *options).out
    command = report["command"].replace("SEQUENCES.fa", "in.fa").replace("SCORES.h5", "a.h5")
    assert deeplift(*shlex.split(command)[1:]).code == 0
