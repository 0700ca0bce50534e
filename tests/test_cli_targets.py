"""`--target` on the command line: scores against wrappers in torch, names, heads, resuming, exit codes."""

import errno
import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import onnx
import pytest
import torch
from score_files import datasets
from small_models import (
    LENGTH,
    MODELS,
    deeplift,
    encode,
    onnx_file,
    random_letters,
    score,
    torchscript,
    write_fasta,
)
from torch import Tensor, nn

from deeplift_cli.models import ModelFile, targets
from deeplift_cli.models.heads import with_bias_inside
from deeplift_cli.models.labels import labels_in_metadata
from deeplift_cli.run.checkpoint import Checkpoint
from deeplift_core import DeepLift

LETTERS = [random_letters(seed) for seed in range(5)]
X = torch.tensor(np.stack([encode(text) for text in LETTERS])).float()
FEW = ("-f", "in.fa", "--n-references", 3)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_fasta(Path("in.fa"), LETTERS)
    Path("three").write_text("CAGE:K562\nH3K4me3\r\nH3K4me3-2\n\n")
    Path("two").write_text("minus strand\nplus\n")
    return tmp_path


class Of(nn.Module):
    """A function of a model's output as a model of its own, with one output."""

    def __init__(self, model: nn.Module, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.model, self.function = model, function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.model(x)).unsqueeze(1)


class Heads(nn.Module):
    """Logits of two profiles [N, 2, L], and two log counts [N, 2], as BPNet has them."""

    def __init__(self, tracks: int = 2) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.conv = nn.Conv1d(4, 6, 5, padding=2)
        self.profile = nn.Conv1d(6, tracks, 3, padding=1)
        self.counts = nn.Linear(6, tracks)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.relu(self.conv(x))
        return 3 * self.profile(h), self.counts(h.mean(-1))


class CountsFirst(Heads):
    """The outputs of a ChromBPNet, the other way round: counts [N, 1], and a profile [N, L]."""

    def __init__(self) -> None:
        super().__init__(1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.relu(self.conv(x))
        return self.counts(h.mean(-1)), 3 * self.profile(h)[:, 0]


class Unclear(Heads):
    """Two outputs that could be profiles."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = torch.relu(self.conv(x))
        return self.profile(h), 2 * self.profile(h), self.counts(h.mean(-1))


def scripted(model: nn.Module, name: str = "heads.pt") -> Path:
    torch.jit.script(model.eval()).save(name)
    return Path(name)


def scored(path: str) -> dict[str, np.ndarray]:
    with h5py.File(path) as file:
        names = ("shap/seq", "qc/output", "qc/prediction", "qc/reference_output", "qc/completeness_error")
        return {name: file[name][()] for name in names} | {
            f"@{name}": value for name, value in file.attrs.items()
        }


def by_hand(model: nn.Module, target: object = 0, path: str = "refs.h5", **options: object):
    with h5py.File(path) as file:
        references = torch.tensor(file["references"][()]).float()
    return DeepLift(model.eval(), X, **options).attribute(X, references, target)


def same(path: str, expected: object) -> None:
    """Scores and outputs of a file are those of a result of the core, up to rounding."""
    found = scored(path)
    for name, other in (
        ("shap/seq", expected.hypothetical), ("qc/output", expected.output),
        ("qc/reference_output", expected.reference_output), ("qc/prediction", expected.prediction),
    ):  # fmt: skip
        np.testing.assert_allclose(found[name], other.numpy(), rtol=1e-5, atol=2e-6)


# ---- terms


PROFILE = {  # of an output [N, 3, 2]
    "mean": ("mean", lambda y: y.mean((1, 2))),
    "sum": ("sum", lambda y: y.sum((1, 2))),
    "max": ("max", lambda y: y.flatten(1).amax(1)),
    "mean(:,1)": ("mean_all-1", lambda y: y[:, :, 1].mean(1)),
    "sum(1:3,0)": ("sum_1..3-0", lambda y: y[:, 1:3, 0].sum(1)),
    "max(:,0:1)": ("max_all-0..1", lambda y: y[:, :, 0].amax(1)),
    "(2,1)-(0,0)": ("2-1_minus_0-0", lambda y: y[:, 2, 1] - y[:, 0, 0]),
    "mean(0:2,1)-(2,0)": ("mean_0..2-1_minus_2-0", lambda y: y[:, :2, 1].mean(1) - y[:, 2, 0]),
}


def test_terms_are_those_of_wrappers_in_torch() -> None:
    score("-m", torchscript("Profile"), "-o", "p_{target}.h5", "--target", ",".join(PROFILE), *FEW,
          "--save-references", "refs.h5")  # fmt: skip
    model = MODELS["Profile"]()
    for text, (label, function) in PROFILE.items():
        same(f"p_{label}.h5", by_hand(Of(model, function)))
        assert scored(f"p_{label}.h5")["@target"] == text
        with torch.no_grad():
            expected = function(model.eval()(X)).numpy()
        np.testing.assert_allclose(scored(f"p_{label}.h5")["qc/output"], expected, rtol=0, atol=1e-6)


def test_terms_are_taken_of_logits_and_predictions_of_what_the_model_gives() -> None:
    score("-m", torchscript("Sigmoid"), "-o", "a.h5", "--target", "1-0", *FEW, "--save-references", "refs.h5")
    same("a.h5", by_hand(MODELS["Sigmoid"](), lambda y: y[:, 1] - y[:, 0]))
    with torch.no_grad():
        p = MODELS["Sigmoid"]().eval()(X)
    np.testing.assert_allclose(scored("a.h5")["qc/prediction"], p[:, 1] - p[:, 0], atol=1e-6)


def test_all_is_each_index() -> None:
    model = torchscript("Profile")
    score("-m", model, "-o", "a_{target}.h5", "--target", "(1,all),mean(all,:)", *FEW)
    score("-m", model, "-o", "b_{target}.h5", "--target", "(1,0),(1,1),mean(0,:),mean(1,:),mean(2,:)", *FEW)
    for label in ("1-0", "1-1", "mean_0-all", "mean_1-all", "mean_2-all"):
        assert datasets(f"a_{label}.h5") == datasets(f"b_{label}.h5")
        assert scored(f"a_{label}.h5")["@targets"] == scored(f"b_{label}.h5")["@targets"]
    score("-m", torchscript("Net"), "-o", "n{target}.h5", "--target", "all", *FEW)
    assert [scored(f"n{index}.h5")["@target"] for index in (0, 1)] == [0, 1]
    assert not Path("n2.h5").exists()


@pytest.mark.parametrize("target", ["mean", "sum(:)", "mean(0:3)", "mean-0"])
def test_a_mean_over_all_classes_of_a_centred_softmax_is_refused(target: str) -> None:
    given = ("score", "-m", torchscript("Softmax"), "-o", "a.h5", "--target", target, *FEW)
    outcome = deeplift(*given)
    assert outcome.code == 2
    assert "is 0 for every sequence" in outcome.err
    assert "--no-centre" in outcome.err
    assert not Path("a.h5").exists()
    assert deeplift(*given, "--no-centre").code == 0


def test_a_mean_over_some_classes_of_a_softmax_is_scored() -> None:
    score(
        "-m",
        torchscript("Softmax"),
        "-o",
        "a.h5",
        "--target",
        "mean(0:2)",
        *FEW,
        "--save-references",
        "refs.h5",
    )
    same("a.h5", by_hand(MODELS["Softmax"](), lambda y: y[:, :2].mean(1)))
    assert deeplift("score", "-m", torchscript("Softmax"), "-o", "b.h5", "--target", "max", *FEW).code == 0


def test_shapes_of_long_sequences_are_found_by_short_ones_where_the_model_takes_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried = list[int]()
    kept = targets.find_layout

    def find_layout(*given: object, length: int, **rest: object) -> object:
        tried.append(length)
        return kept(*given, length=length, **rest)

    monkeypatch.setattr(targets, "find_layout", find_layout)
    monkeypatch.setattr(targets, "LONG", LENGTH - 1)
    monkeypatch.setattr(targets, "SHORTER", 12)
    for name, lengths in (("AnyLength", [12]), ("Net", [12, LENGTH])):
        tried.clear()
        score("-m", torchscript(name), "-o", f"{name}{{target}}.h5", "--target", "all", *FEW)
        assert tried == lengths
        score("-m", torchscript(name), "-o", f"{name}.h5", "--target", 1, *FEW)
        assert datasets(f"{name}1.h5")["shap/seq"] == datasets(f"{name}.h5")["shap/seq"]


# ---- names


def test_names_of_a_file_are_indices_of_the_axis_of_its_length() -> None:
    given = ("-m", torchscript("Profile"), *FEW, "--labels", "three")
    score(
        *given, "-o", "a_{target}.h5", "--target", "(H3K4me3-2,1),(H3K4me3,1)-(CAGE:K562,1),mean(H3K4me3,:)"
    )
    score(
        "-m", torchscript("Profile"), *FEW, "-o", "b_{target}.h5", "--target", "(2,1),(1,1)-(0,1),mean(1,:)"
    )
    for named, index in (
        ("H3K4me3_2-1", "2-1"), ("H3K4me3-1_minus_CAGE_K562-1", "1-1_minus_0-1"),
        ("mean_H3K4me3-all", "mean_1-all"),
    ):  # fmt: skip
        a, b = scored(f"a_{named}.h5"), scored(f"b_{index}.h5")
        np.testing.assert_array_equal(a["shap/seq"], b["shap/seq"])
    assert scored("a_H3K4me3_2-1.h5")["@target"] == '("H3K4me3-2",1)'
    assert deeplift("verify", "a_H3K4me3_2-1.h5", "-m", torchscript("Profile")).code == 0
    Path("two").write_text("a\nb\n")
    score(*given[:-1], "two", "-o", "c_{target}.h5", "--target", "(0,b)")
    np.testing.assert_array_equal(scored("c_0-b.h5")["shap/seq"].shape, (5, 4, LENGTH))


def with_metadata(**metadata: str) -> str:
    model = onnx.load(onnx_file())
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, "named.onnx")
    return "named.onnx"


def test_names_come_from_the_metadata_of_an_onnx_file() -> None:
    model = with_metadata(author="x, y", Labels=json.dumps(["GM12878", "K562"]))
    score("-m", model, "-o", "{target}.h5", "--target", "K562,GM12878-K562,all", *FEW)
    np.testing.assert_array_equal(scored("K562.h5")["shap/seq"], scored("1.h5")["shap/seq"])
    assert Path("GM12878_minus_K562.h5").exists()
    score(
        "-m", model, "-o", "a.h5", "--target", "plus", "--labels", "two", *FEW
    )  # the user's names come first
    np.testing.assert_array_equal(scored("a.h5")["shap/seq"], scored("1.h5")["shap/seq"])


def test_names_in_metadata_are_read_in_the_usual_notations() -> None:
    expected = ("a", "b c")
    for text in ('["a", "b c"]', "['a', 'b c']", '{"0": "a", "1": "b c"}', "{1: 'b c', 0: 'a'}", "a\nb c\n"):
        assert labels_in_metadata({"class_names": text}) == expected
    for text in ("", "3", "a", "[1, 2]", "{'a': 'b'}", "(" * 10_000, "{[]: 1}"):
        assert labels_in_metadata({"names": text}) == ()


NAME_ERRORS = {
    "no such name": (2, "Profile", "(H3K4me1,1)", "three", "perhaps H3K4me3"),
    "no such quoted name": (2, "Profile", '("H3K4me1",1)', "three", "perhaps H3K4me3"),
    "no names at all": (2, "Profile", "(H3K4me1,1)", None, "--labels FILE"),
    "no names at all, quoted": (2, "Profile", '("a",1)', None, "--labels FILE"),
    "another axis": (2, "Profile", "(1,H3K4me3)", "three", '("H3K4me3",0) or mean("H3K4me3",:)'),
    "two axes": (2, "Square", "(a,1)", "two", "two axes"),
    "no axis": (1, "Net", "H3K4me3", "three", "no axis has as many"),
    "a name twice": (2, "Net", '"a"', "twice", "name of 2 indices, 0 and 1"),
    "no file": (1, "Net", "a", "none", "none does not exist"),
    "an empty file": (1, "Net", "a", "empty", "holds no names"),
    "two of one name in files' names": (2, "Net", '"a b","a.b"', "alike", "have one name, a_b"),
    "all without {target} in the name": (2, "Net", "(0,all)", None, "{target}"),
    "several that turn out to be so": (2, "Net", "minus strand,plus", "two", "{target}"),
    "all of an output with more axes": (1, "Profile", "(all)", None, "write (0,all), perhaps"),
    "all of a scalar": (1, "Scalar", "all", None, "shape ()"),
    "a range beyond the axis": (1, "Net", "mean(0:3)", None, "valid is 0 to 1"),
    "an index of a mean beyond the axis": (1, "Net", "mean(2)", None, "valid is 0 to 1"),
    "too few places": (1, "Profile", "mean(1)", None, "one for each axis (0 to 2, 0 to 1)"),
    "too many places": (1, "Net", "max(1,1)", None, "one for each axis (0 to 1)"),
    "counts of a profile": (2, "Profile", "counts", None, "[N, 3, 2]"),
    "a profile of an output without positions": (2, "Scalar", "profile", None, "0 [N]"),
    "a difference of heads": (2, "Net", "counts-0", None, "has no differences"),
}


class Square(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = MODELS["Net"]()

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.net(x), 2 * self.net(x)], 1)


@pytest.mark.parametrize("case", NAME_ERRORS)
def test_what_is_wrong_with_targets_and_which_exit_code_it_gets(case: str) -> None:
    code, name, target, labels, says = NAME_ERRORS[case]
    for file, text in {"twice": "a\na\n", "empty": "\n\n", "alike": "a b\na.b\n"}.items():
        Path(file).write_text(text)
    Path("two").write_text("a\nb\n" if name == "Square" else "minus strand\nplus\n")
    model = scripted(Square(), "square.pt") if name == "Square" else torchscript(name)
    before = sorted(map(str, Path().iterdir()))
    more = ("--labels", labels) if labels else ()
    out = "a.h5" if says == "{target}" else "a{target}.h5"
    outcome = deeplift("score", "-m", model, "-o", out, "--target", target, *FEW, *more)
    assert outcome.code == code, outcome.err
    assert says in outcome.err
    assert sorted(map(str, Path().iterdir())) == before


# ---- heads


def profile_of(logits: Tensor, axis: int = 1) -> Tensor:
    """Sum of softmax(z) z, with z less its mean, along an axis."""
    z = logits - logits.mean(axis, keepdim=True)
    return (torch.softmax(z, axis) * z).sum(axis)


HEADS = {
    "counts": lambda y: y[1].mean(1),
    "profile": lambda y: profile_of(y[0].flatten(1)),
    "profile-per-track": lambda y: profile_of(y[0], 2).sum(1),
}


def test_heads_are_those_of_wrappers_in_torch() -> None:
    given = ("-m", scripted(Heads()), "-o", "{target}.h5", *FEW, "--save-references", "refs.h5")
    score(*given, "--target", "counts,profile,profile-per-track")
    for name, function in HEADS.items():
        same(f"{name}.h5", by_hand(Of(Heads(), function)))
        found = scored(f"{name}.h5")
        assert found["@target"] == name
        assert found["@output"] == (1 if name == "counts" else 0)
        with torch.no_grad():
            expected = function(Heads()(X)).numpy()
        np.testing.assert_allclose(found["qc/output"], expected, rtol=1e-5)
        assert deeplift("verify", f"{name}.h5", "-m", "heads.pt").code == 0


@pytest.mark.parametrize("options", [(), ("--rc-average",), ("--reference", "zeros")])
def test_fixed_weights_are_those_of_the_sequence(options: tuple[str, ...]) -> None:
    few = FEW if not options or options[0] != "--reference" else FEW[:2]
    score("-m", scripted(Heads()), "-o", "a.h5", "--target", "profile-fixed-weights", "--rule", "rescale",
          *few, *options, "--save-references", "refs.h5")  # fmt: skip
    found = scored("a.h5")
    model = Heads().double().eval()  # what is left of the sums is small
    with h5py.File("refs.h5") as file:
        references = torch.tensor(file["references"][()]).double()
    references = references if references.dim() == 4 else references.expand(len(X), *references.shape)
    with torch.no_grad():
        contributions, output = torch.zeros_like(X), torch.zeros(len(X), dtype=torch.float64)
        for turned in (False, True) if "--rc-average" in options else (False,):
            x, r = (t.flip(-1, -2) if turned else t for t in (X.double(), references))
            for row in range(len(X)):
                z = model(x[row : row + 1])[0].flatten(1)
                z = z - z.mean()
                w = torch.softmax(z, 1)
                # The weights of this row are constants of a model of its own.
                own = Of(
                    model,
                    lambda y, w=w: (w * (y[0].flatten(1) - y[0].flatten(1).mean(1, keepdim=True))).sum(1),
                )
                result = DeepLift(own, x[:2], rule="rescale").attribute(x[row : row + 1], r[row : row + 1])
                one = result.hypothetical[0]
                contributions[row] += one.flip(-1, -2) if turned else one
                output[row] += (w * z).sum()
    strands = 2 if "--rc-average" in options else 1
    np.testing.assert_allclose(found["shap/seq"], contributions / strands, rtol=0, atol=5e-6)
    np.testing.assert_allclose(found["qc/output"], output / strands, rtol=1e-5)
    assert np.abs(found["qc/completeness_error"]).max() < 1e-4
    assert deeplift("verify", "a.h5", "-m", "heads.pt").code == 0


class TwoRows(Heads):
    """It takes batches of exactly two rows."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.relu(self.conv(x)).reshape(2, 6, 24)
        return 3 * self.profile(h), self.counts(h.mean(-1))


@pytest.mark.parametrize("precision", ["float32", "float64", "bfloat16"])
def test_fixed_weights_of_a_last_batch_that_is_not_full_and_in_any_precision(precision: str) -> None:
    given = ("--target", "profile-fixed-weights", "--precision", precision, "--rule", "rescale", *FEW)
    score("-m", scripted(TwoRows(), "two.pt"), "-o", "a.h5", *given)
    score("-m", scripted(Heads()), "-o", "b.h5", *given[:2], *given[4:])
    tolerance = {"float32": 1e-5, "float64": 1e-4, "bfloat16": 0.15}[precision]
    one, other = (scored(name)["shap/seq"] for name in ("a.h5", "b.h5"))
    np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * np.abs(other).max())


def test_heads_are_found_by_shape_whatever_their_order() -> None:
    score("-m", scripted(CountsFirst()), "-o", "{target}.h5", "--target", "counts,profile", *FEW,
          "--save-references", "refs.h5")  # fmt: skip
    same("counts.h5", by_hand(Of(CountsFirst(), lambda y: y[0][:, 0])))
    same("profile.h5", by_hand(Of(CountsFirst(), lambda y: profile_of(y[1]))))
    assert scored("counts.h5")["@output"] == 0


def test_what_is_unclear_is_said_with_output() -> None:
    given = ("-m", scripted(Unclear()), "-o", "a.h5", "--target", "profile", *FEW)
    outcome = deeplift("score", *given)
    assert outcome.code == 2
    for part in (f"0 [N, 2, {LENGTH}], 1 [N, 2, {LENGTH}], 2 [N, 2]", "--output"):
        assert part in outcome.err
    score(*given, "--output", 1, "--save-references", "refs.h5")
    same("a.h5", by_hand(Of(Unclear(), lambda y: profile_of(y[1].flatten(1)))))
    outcome = deeplift("score", *given, "--target", "counts", "--output", 1, "--overwrite")
    assert outcome.code == 2
    assert f"does not go with output 1 [N, 2, {LENGTH}]" in outcome.err
    assert deeplift("score", *given, "--output", 3, "--overwrite").code == 1


def test_names_of_outputs_tell_heads() -> None:
    class Named(Heads):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            h = torch.relu(self.conv(x))
            return {
                "other": self.profile(h),
                "profile": 2 * self.profile(h),
                "logcounts": self.counts(h.mean(-1)),
            }

    score("-m", scripted(Named()), "-o", "{target}.h5", "--target", "counts,profile", *FEW,
          "--save-references", "refs.h5")  # fmt: skip
    same("profile.h5", by_hand(Of(Named(), lambda y: profile_of(y["profile"].flatten(1)))))
    same("counts.h5", by_hand(Of(Named(), lambda y: y["logcounts"].mean(1))))
    assert scored("profile.h5")["@output"] == "profile"


def test_fixed_weights_are_scored_alone_and_of_logits() -> None:
    given = ("-m", scripted(Heads()), "-o", "{target}.h5", *FEW)
    outcome = deeplift("score", *given, "--target", "profile-fixed-weights,counts")
    assert outcome.code == 2
    assert "in a run of their own" in outcome.err
    outcome = deeplift("score", "-m", torchscript("Softmax"), *given[2:], "--target", "profile-fixed-weights")
    assert outcome.code == 1
    assert "a profile of logits" in outcome.err


def test_a_chrombpnet_with_its_bias_inside_gets_a_warning() -> None:
    class WithBias(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bias, self.accessibility = Heads(1), Heads(1)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            a, b = self.accessibility(x), self.bias(x)
            return a[0] + b[0], torch.logsumexp(torch.cat([a[1], b[1]], 1), 1, keepdim=True)

    outcome = score("-m", scripted(WithBias()), "-o", "a.h5", "--target", "counts", *FEW)
    assert "warning: this ChromBPNet has its bias branch inside" in outcome.err
    assert "chrombpnet_nobias" in outcome.err
    assert "warning" not in score("-m", scripted(Heads()), "-o", "b.h5", "--target", "counts", *FEW).err
    assert with_bias_inside(ModelFile(nn.Sequential(nn.Linear(1, 1)), "torchscript", Path("a"), "")) == ""


# ---- the rest of a run


def test_a_run_resumes_and_shards_merge_whatever_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    given = [
        "-m",
        scripted(Heads()),
        "--target",
        "profile,counts",
        "--batch-size",
        1,
        "--compile",
        "off",
        *FEW,
    ]
    score(*given, "-o", "whole_{target}.h5")
    kept = Checkpoint.add
    calls = list[int]()

    def add(self: Checkpoint, *rest: object) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        kept(self, *rest)

    monkeypatch.setattr(Checkpoint, "add", add)
    assert deeplift("score", *given, "-o", "a_{target}.h5").code == 1
    other = deeplift("score", *given, "--output", 0, "-o", "a_{target}.h5")
    assert other.code == 2  # counts are no profile
    outcome = score(*given, "-o", "a_{target}.h5")
    assert "resumed" in outcome.out
    for number in (1, 2):
        score(*given, "-o", "part_{target}.{shard}.h5", "--shard", f"{number}/2")
    for target in ("profile", "counts"):
        assert datasets(f"a_{target}.h5") == datasets(f"whole_{target}.h5")
        parts = [f"part_{target}.{number}-of-2.h5" for number in (1, 2)]
        assert deeplift("merge", *parts, "-o", f"merged_{target}.h5").code == 0
        assert datasets(f"merged_{target}.h5") == datasets(f"whole_{target}.h5")
    mixed = deeplift("merge", "part_profile.1-of-2.h5", "part_counts.2-of-2.h5", "-o", "mixed.h5")
    assert mixed.code == 1
    assert "the target" in mixed.err


@pytest.mark.compiles
def test_compiled_scores_of_heads_are_the_same() -> None:
    given = ("-m", scripted(Heads()), "--target", "profile,counts", "--batch-size", 4, *FEW)
    for compile_ in ("on", "off"):
        score(*given, "-o", f"{compile_}_{{target}}.h5", "--compile", compile_)
    for target in ("profile", "counts"):
        one, other = (scored(f"{compile_}_{target}.h5")["shap/seq"] for compile_ in ("on", "off"))
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * np.abs(other).max())
    score(*given[:2], "--target", "profile-fixed-weights", *FEW, "-o", "a.h5", "--compile", "on")
    score(*given[:2], "--target", "profile-fixed-weights", *FEW, "-o", "b.h5", "--compile", "off")
    one, other = (scored(name)["shap/seq"] for name in ("a.h5", "b.h5"))
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * np.abs(other).max())


def test_names_of_another_content_are_another_job(monkeypatch: pytest.MonkeyPatch) -> None:
    given = ["-m", torchscript("Net"), "--target", "plus", "--labels", "two", "--batch-size", 1, *FEW]
    kept = Checkpoint.add
    calls = list[int]()

    def add(self: Checkpoint, *rest: object) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        kept(self, *rest)

    monkeypatch.setattr(Checkpoint, "add", add)
    assert deeplift("score", *given, "-o", "a.h5").code == 1
    Path("two").write_text("plus\nminus\n")
    outcome = deeplift("score", *given, "-o", "a.h5")
    assert outcome.code == 1
    assert "the file of labels" in outcome.err


def test_the_summary_says_what_was_scored_and_how() -> None:
    outcome = score("-m", torchscript("Net"), "-o", "a.h5", *FEW)
    for line in (
        "target              0; the first of 2: --target chooses\n", "rule                genomics-default\n",
        "reference           dinucleotide, 3 for each sequence\n", f"window              {LENGTH} bp\n",
    ):  # fmt: skip
        assert line in outcome.out
    outcome = score("-m", torchscript("Softmax"), "-o", "b.h5", "--target", "1", "--rule", "rescale",
                    "-f", "in.fa", "--reference", "zeros", "--layer-rule", "*=rescale")  # fmt: skip
    assert "1, before the final sigmoid or softmax, less the mean over its classes (axis 1)\n" in outcome.out
    assert "rule                rescale, and 1 of layers\n" in outcome.out
    assert "reference           zeros, 1 for each sequence\n" in outcome.out
    assert "log-odds" not in outcome.out
    two = scripted(nn.Sequential(MODELS["Net"](), nn.Softmax(1)), "two.pt")
    outcome = score("-m", two, "-o", "d.h5", *FEW)
    assert (
        "less the mean over its classes (axis 1): half the log-odds of two classes; the first" in outcome.out
    )
    outcome = score("-m", torchscript("TwoOutputs"), "-o", "c.h5", "--output", 1, *FEW)
    assert "target              0 of output 1; the first of 2: --target chooses\n" in outcome.out
    outcome = score("-m", torchscript("Net"), "-o", "e.h5", "--target", 0, *FEW)
    assert "target              0\n" in outcome.out


def test_inspect_takes_the_same_targets() -> None:
    for target, stored in (
        ("counts", "counts"), ("profile-fixed-weights", "profile-fixed-weights"), ("mean(0,:)", "mean(0,:)"),
        ("(1,3)", [1, 3]),
    ):  # fmt: skip
        outcome = deeplift(
            "inspect", "-m", scripted(Heads()), "--target", target, "--json", "--length", LENGTH
        )
        assert outcome.code == 0, outcome.err
        found = json.loads(outcome.out)
        assert [item["target"] for item in found["self_check"]] == [stored, stored]
        assert found["explained"]["output"] == (1 if target == "counts" else 0)
        assert "target" in deeplift("inspect", "-m", "heads.pt", "--target", target, "--length", LENGTH).out
    outcome = deeplift("inspect", "-m", scripted(Unclear()), "--target", "profile", "--length", LENGTH)
    assert outcome.code == 2
    assert "--output" in outcome.err
    outcome = deeplift("inspect", "-m", torchscript("Profile"), "--target", "(b,1)", "--labels", "three")
    assert outcome.code == 2
