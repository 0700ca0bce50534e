"""`deeplift inspect`: what it says is held against the core, files, and models made for it."""

import hashlib
import inspect
import json
import math
import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from small_models import (
    LENGTH,
    MODELS,
    Outcome,
    deeplift,
    onnx_file,
    pickled,
    random_letters,
    torchscript,
    write_fasta,
)
from torch import Tensor, nn

from deeplift_cli.inspection import cost
from deeplift_cli.inspection.module_names import collapse
from deeplift_cli.models import Layout, read
from deeplift_cli.models.probing import one_hot
from deeplift_core import DeepLift, UnsupportedOpsError
from deeplift_core.assignment.names import PRESETS
from deeplift_core.rules.linear import MatrixProduct

# ---- models that small_models has no need of


class Head(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(16, 2)

    def forward(self, h: Tensor) -> Tensor:
        square = h[:, :, :8].reshape(-1, 4, 4) + 9 * torch.eye(4)
        return self.last(torch.linalg.inv(square).flatten(1))  # the line without a rule


class WithoutRule(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.conv = nn.Conv1d(4, 2, 5)
        self.head = Head()

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.conv(x)))


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.of_sequence, self.of_signal = nn.Linear(4 * LENGTH, 3), nn.Linear(7, 2)
        self.last = nn.Linear(5, 2)

    def forward(self, sequence: Tensor, signal: Tensor) -> Tensor:
        both = [self.of_sequence(sequence.flatten(1)), self.of_signal(signal)]
        return self.last(torch.cat(both, 1).relu())


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, 2, 5)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv(x).mean(-1)
        return h if h.sum() > 0 else -h


class Crops(nn.Module):
    """Nothing is left of sequences up to 600 bp."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, 2, 5, padding=2)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"profile": self.conv(x)[:, :, 300:-300], "counts": self.conv(x).mean(-1)}


class Sleeps(nn.Module):
    SECONDS = 0.04

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(4 * LENGTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        time.sleep(self.SECONDS)
        return self.last(x.flatten(1))


def saved(folder: Path, model: nn.Module) -> tuple[str, ...]:
    """Options for a pickled model."""
    path = folder / f"{type(model).__name__}.pt"
    torch.save(model.eval(), path)
    return ("-m", str(path), "--allow-pickle")


def exported(folder: Path, model: nn.Module, *inputs: Tensor) -> tuple[str, ...]:
    path = folder / f"{type(model).__name__}.pt2"
    rows = torch.export.Dim("rows")
    shapes = tuple({0: rows} for _ in inputs)
    torch.export.save(torch.export.export(model.eval(), inputs, dynamic_shapes=shapes), path)
    return ("-m", str(path))


# ---- the command


def run(*arguments: object) -> Outcome:
    return deeplift("inspect", "--threads", 1, *arguments)


def run_json(*arguments: object, code: int = 0) -> dict[str, Any]:
    outcome = run("--json", *arguments)
    assert outcome.code == code, outcome.err
    return json.loads(outcome.out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


@dataclass
class Case:
    options: tuple[str, ...]
    path: Path


@pytest.fixture(scope="module", params=["onnx", "torchscript", "exported", "pickled"])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """One model file of each format."""
    folder = tmp_path_factory.mktemp("inspected")
    options = {
        "onnx": lambda: ("-m", str(onnx_file())),
        "torchscript": lambda: ("-m", str(torchscript("Net"))),
        "exported": lambda: exported(folder, MODELS["Net"](), torch.zeros(2, 4, LENGTH)),
        "pickled": lambda: ("-m", str(pickled()), "--allow-pickle"),
    }[request.param]()
    return Case(options, Path(options[1]))


@pytest.fixture(scope="module")
def report(case: Case) -> dict[str, Any]:
    return run_json(*case.options)


def recorded(case: Case, rows: int = 2, **options: Any) -> DeepLift:
    model = read(case.path, allow_pickle=True)
    return DeepLift(model.module, one_hot(rows, LENGTH), **options)


# ---- what it says of each format


@pytest.mark.parametrize("preset", PRESETS)
def test_operations_and_rules_are_the_cores(case: Case, report: dict[str, Any], preset: str) -> None:
    nodes = [node for node in recorded(case, rule=preset).nodes if node.op != "input"]
    assert len(nodes) > 5
    found = [
        (item["name"], item["op"], item["module"], item["source"], item["rules"][preset])
        for item in report["operations"]
    ]
    assert found == [(node.name, node.op, node.module, node.source, node.rule) for node in nodes]


def test_file_and_tensors(case: Case, report: dict[str, Any]) -> None:
    assert report["model"]["sha256"] == hashlib.sha256(case.path.read_bytes()).hexdigest()
    assert report["model"]["parameters"] == sum(p.numel() for p in MODELS["Net"]().parameters())
    assert [item["shape"] for item in report["inputs"]] == [[None, 4, LENGTH]]
    assert {tuple(item["shape"]) for item in report["outputs"]} == {(None, 2)}
    assert report["layout"]["name"] == "ncl"
    assert (report["length"]["used"], report["length"]["takes_any_length"]) == (LENGTH, False)
    assert (report["can_be_scored"], report["problems"], report["unsupported"]) == (True, [], [])


def test_memory_is_that_of_the_recording(case: Case, report: dict[str, Any]) -> None:
    found = report["cost"]
    assert found["bytes_per_sequence"] == recorded(case).bytes_per_row
    assert found["batch_size"] == 256
    assert found["scoring_seconds"] == pytest.approx(found["fixed_seconds"] + 20 * found["reference_seconds"])
    assert found["threads"] == 1


def test_mutagenesis_costs_a_forward_pass_for_each_mutant(case: Case, report: dict[str, Any]) -> None:
    seconds = (1 + 3 * LENGTH) * report["cost"]["forward_seconds"]
    assert report["cost"]["mutagenesis_seconds"] == pytest.approx(seconds)
    assert f"with --rule ism: {1 + 3 * LENGTH} forward passes" in run(*case.options).out


def test_self_check_of_both_presets(report: dict[str, Any]) -> None:
    assert [item["rule"] for item in report["self_check"]] == ["genomics-default", "rescale"]
    for item in report["self_check"]:
        assert item["holds"]
        assert 0 < item["worst_relative_error"] <= item["tolerance"] == 1e-4
        assert item["largest_difference"] > 0.01


def test_every_preset_takes_the_layer_rules() -> None:
    for options, expected in ([], "rescale"), (["--layer-rule", "Relu=revealcancel"], "revealcancel"):
        report = run_json("-m", onnx_file(), *options)
        first = next(item for item in report["operations"] if item["op"] == "aten.relu.default")
        assert first["rules"]["genomics-default"] == first["rules"]["rescale"] == expected, first


def test_float64_has_its_own_tolerance() -> None:
    report = run_json("-m", onnx_file(), "--precision", "float64", "--batch-size", 5)
    assert [item["tolerance"] for item in report["self_check"]] == [1e-9, 1e-9]
    assert [item["worst_relative_error"] < 1e-9 for item in report["self_check"]] == [True, True]
    assert (report["cost"]["batch_size"], report["cost"]["precision"]) == (5, "float64")
    assert [item["sequences"] for item in report["self_check"]] == [5, 5]


def test_outputs_targets_and_logits() -> None:
    chosen = run_json("-m", onnx_file(), "--output", "probability", "--target", "0,1")
    assert chosen["explained"] == {"output": "probability", "shape": [2], "is_logit": True, "notes": []}
    assert [item["target"] for item in chosen["self_check"]] == [0, 1, 0, 1]
    kept = run_json("-m", onnx_file(), "--output", 1, "--no-logits")
    assert not kept["explained"]["is_logit"]
    assert kept["operations"][-1]["rules"]["rescale"] == "rescale"  # the sigmoid
    profile = run_json("-m", torchscript("Profile"))
    assert [item["target"] for item in profile["self_check"]] == [[0, 0], [0, 0]]


# ---- layout and length


@pytest.mark.parametrize(
    ("name", "layout", "shape"),
    [("Net", "ncl", (4, LENGTH)), ("ChannelsLast", "nlc", (LENGTH, 4)),
     ("UnitLast", "ncl1", (4, LENGTH, 1))],
)  # fmt: skip
def test_layout_and_length_are_found_by_running(name: str, layout: str, shape: tuple[int, ...]) -> None:
    report = run_json("-m", torchscript(name))
    assert report["layout"]["name"] == layout
    assert "runs on random sequences" in report["layout"]["reason"]
    assert report["inputs"][0]["shape"] == [None, *shape]
    assert report["length"]["used"] == LENGTH


def test_layout_of_a_declared_shape_and_one_that_is_given() -> None:
    assert "declared shape" in run_json("-m", onnx_file())["layout"]["reason"]
    given = run_json("-m", onnx_file(), "--layout", "ncl", "--alphabet", "tgca")["layout"]
    assert given == {"name": "ncl", "alphabet": "TGCA", "reason": "as --layout says"}


def test_several_layouts_are_named_and_one_can_be_chosen(tmp_path: Path) -> None:
    outcome = run("-m", torchscript("Constant"))
    assert outcome.code == 1
    assert "--layout (ncl or nlc)" in " ".join(outcome.out.split())
    assert "sha256" in outcome.out
    assert run_json("-m", torchscript("UnitThird"), "--layout", "nc1l")["layout"]["name"] == "nc1l"
    chosen = run("-m", torchscript("Constant"), "--layout", "ncl", "--length", LENGTH)
    assert chosen.code == 1
    assert "depends on its input" in " ".join(chosen.out.split())


def test_length_of_a_model_that_takes_any(tmp_path: Path) -> None:
    model = ("-m", torchscript("AnyLength"))
    tried = run_json(*model)
    assert tried["length"]["takes_any_length"]
    assert "--length" in tried["length"]["reason"]
    assert tried["inputs"][0]["shape"] == [None, 4, None]
    given = run_json(*model, "--length", 100)
    assert given["length"]["used"] == 100
    explainer = DeepLift(read(torchscript("AnyLength")).module, one_hot(2, 100))
    assert given["cost"]["bytes_per_sequence"] == explainer.bytes_per_row
    assert tried["cost"]["bytes_per_sequence"] > 5 * explainer.bytes_per_row


def test_a_length_that_leaves_an_output_empty_is_not_taken(tmp_path: Path) -> None:
    report = run_json(*saved(tmp_path, Crops()))
    assert report["length"]["used"] > 600
    assert {item["name"]: item["shape"] for item in report["outputs"]} == {
        "profile": [None, 2, report["length"]["used"] - 600], "counts": [None, 2]
    }  # fmt: skip


@pytest.mark.parametrize("path", [onnx_file(), torchscript("Net")])
def test_a_length_that_does_not_fit(path: Path) -> None:
    report = run_json("-m", path, "--length", LENGTH + 1, code=1)
    assert f"it takes {LENGTH} bp" in report["problems"][0]
    assert report["inputs"][0]["name"] in ("sequence", "x")


def test_batch_size_that_is_baked_in() -> None:
    model = ("-m", torchscript("BatchOfOne"), "--length", LENGTH)
    report = run_json(*model)
    assert report["cost"]["batch_size"] == 1
    assert report["self_check"][0]["sequences"] >= 4
    assert "--batch-size" in run_json(*model, "--batch-size", 3, code=1)["problems"][0]


# ---- what cannot be scored


def test_unsupported_operations_are_listed_in_a_whole_report(tmp_path: Path) -> None:
    model = saved(tmp_path, WithoutRule())
    lines, first = inspect.getsourcelines(Head.forward)
    line = first + next(place for place, text in enumerate(lines) if "without a rule" in text)
    report = run_json(*model, code=1)
    nodes = DeepLift(WithoutRule().eval(), one_hot(2, 512), rule="gradient").nodes_under("rescale")
    assert [item["name"] for item in report["operations"]] == [n.name for n in nodes if n.op != "input"]
    (missing,) = report["unsupported"]
    found = next(item for item in report["operations"] if item["name"] == missing)
    assert (found["op"], found["module"]) == ("aten.linalg_inv_ex.default", "head")
    assert found["source"] == f"{Path(__file__)}:{line}"
    assert set(found["rules"].values()) == {"none"}
    assert found["problem"]
    assert {item["op"]: item["rules"]["rescale"] for item in report["operations"] if not item["problem"]}[
        "aten.convolution.default"
    ] == "linear"
    assert report["cost"]["forward_seconds"] > 0
    assert report["cost"]["bytes_per_sequence"] is None
    assert report["self_check"] == []


def test_unsupported_operations_in_words(tmp_path: Path) -> None:
    outcome = run(*saved(tmp_path, WithoutRule()))
    assert outcome.code == 1
    text = " ".join(outcome.out.split())
    for said in ("unsupported aten.linalg_inv_ex.default in module 'head'", f"{Path(__file__).name}:",
                 "docs/rules.md", "--rule gradient", "convolution", "forward"):  # fmt: skip
        assert said in text
    assert len(outcome.err.splitlines()) == 1
    assert "1 operation has no DeepLIFT rule" in outcome.err


def test_a_model_that_cannot_be_recorded_is_still_described(tmp_path: Path) -> None:
    report = run_json(*saved(tmp_path, Branches()), code=1)
    assert "must not depend on the sequence" in report["problems"][0]
    assert Path(__file__).name in report["problems"][0]
    assert (report["layout"]["name"], report["operations"]) == ("ncl", None)


def test_several_inputs_of_declared_shape_are_recorded(tmp_path: Path) -> None:
    inputs = torch.zeros(2, 4, LENGTH), torch.zeros(2, 7)
    report = run_json(*exported(tmp_path, TwoInputs(), *inputs), code=1)
    assert [item["shape"] for item in report["inputs"]] == [[None, 4, LENGTH], [None, 7]]
    assert "takes 2 inputs: sequence [N, 4, 24] and signal [N, 7]" in report["problems"][0]
    assert "add --input signal=zeros" in report["problems"][0]
    nodes = DeepLift(TwoInputs().eval(), inputs).nodes
    wanted = [(node.op, node.rule) for node in nodes if node.op != "input"]
    assert [(i["op"], i["rules"]["genomics-default"]) for i in report["operations"]] == wanted


def test_several_inputs_of_unknown_shape(tmp_path: Path) -> None:
    report = run_json(*saved(tmp_path, TwoInputs()), code=1)
    assert [item["name"] for item in report["inputs"]] == ["sequence", "signal"]
    assert "does not declare the shape of input 'sequence'" in report["problems"][1]
    assert report["operations"] is None


def test_scores_that_are_not_finite() -> None:
    report = run_json("-m", torchscript("GivesNan"), code=1)
    assert [item["worst_relative_error"] for item in report["self_check"]] == [None, None]
    assert not any(item["holds"] for item in report["self_check"])
    assert "NaN" in report["problems"][0]


def test_a_broken_sum_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = MatrixProduct.transpose
    monkeypatch.setattr(
        MatrixProduct, "transpose", lambda self, *args, **kwargs: 1.1 * right(self, *args, **kwargs)
    )
    report = run_json("-m", onnx_file(), code=1)
    # Two dense layers: contributions sum to 1.1^2 times what they should.
    for item in report["self_check"]:
        assert not item["holds"]
        assert item["worst_relative_error"] == pytest.approx(0.21, abs=0.01)
    assert "summation-to-delta is off" in report["problems"][0]


def test_a_model_that_says_the_same_of_everything() -> None:
    outcome = run("-m", torchscript("Indifferent"))
    assert outcome.code == 0
    assert "the output is the same for all of them" in outcome.out


@pytest.mark.parametrize(
    ("options", "said"),
    [(["--target", 2], "0 to 1"), (["--output", 7], "0 to 1"), (["--output", "x"], "logit, probability"),
     (["--layer-rule", "foo*=rescale"], "foo*"), (["--layout", "nlc"], "nlc")],
)  # fmt: skip
def test_options_that_do_not_fit_the_model(options: list[Any], said: str) -> None:
    report = run_json("-m", onnx_file(), *options, code=1)
    assert said in report["problems"][0]
    assert [item["name"] for item in report["outputs"]] == ["logit", "probability"]


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [(["-m", "none.onnx"], 1, "none.onnx does not exist"), (["-m", "words.txt"], 1, "not a model"),
     (["-m", str(pickled())], 1, "--allow-pickle"),
     (["-m", str(onnx_file()), "--device", "cuda:9999999999"], 1, "cuda:9"),
     ([], 2, "--model"), (["-m", "x", "--length", 0], 2, "--length"),
     (["-m", "x", "--target", "(0"], 2, "'(0'"), (["-m", "x", "--rule", "rescale"], 2, "--rule"),
     (["-m", "x", "--layer-rule", "a=gradient"], 2, "gradient")],
)  # fmt: skip
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_errors_before_there_is_a_report(
    options: list[Any], code: int, said: str, form: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("words.txt").write_text("hello\n")
    outcome = run(*form, *options)
    assert (outcome.code, outcome.out) == (code, "")
    assert said in outcome.err
    assert "Traceback" not in outcome.err
    assert code == 2 or len(outcome.err.splitlines()) == 1


# ---- the text


def test_text_groups_operations_and_full_lists_each(case: Case, report: dict[str, Any]) -> None:
    grouped, full = run(*case.options), run(*case.options, "--full")
    assert grouped.code == full.code == 0
    tables = grouped.out[grouped.out.index("rules that") : grouped.out.index("unsupported")].splitlines()
    counts = [int(row[1]) for row in map(str.split, tables) if len(row) > 2 and row[1].isdecimal()]
    assert sum(counts) == len(report["operations"])
    assert f"{len(report['operations'])} operations were recorded" in grouped.out
    for item in report["operations"]:
        assert sum(line.split()[:1] == [item["name"]] for line in full.out.splitlines()) == 1
    assert "revealcancel      rescale  revealcancel  positive-first" in grouped.out
    assert "revealcancel | rescale | revealcancel | positive-first" in full.out


def test_text_tells_the_same_numbers(case: Case, report: dict[str, Any]) -> None:
    text = run(*case.options).out
    assert report["model"]["sha256"] in text
    kilobytes = report["cost"]["bytes_per_sequence"] / 1000
    assert f"{kilobytes:.3g} kB" in text
    assert text.count("within the tolerance of 1e-04") == 2
    assert "--layout overrides it" in " ".join(text.split())
    assert "--alphabet overrides it" in text


def test_a_pipe_gets_plain_text() -> None:
    command = [
        sys.executable,
        "-c",
        "from deeplift_cli.main import main; main()",
        "inspect",
        "-m",
        onnx_file(),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "FORCE_COLOR": "1", "COLUMNS": "50"}
    done = subprocess.run([*command], capture_output=True, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\x1b" not in done.stdout
    lines = done.stdout.decode().splitlines()
    assert lines[-3].startswith("can be scored")
    assert not any(line != line.rstrip() for line in lines)


def test_names_cannot_command_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "odd\x1b[31m\nname.onnx"
    path.write_bytes(onnx_file().read_bytes())
    outcome = run("-m", path)
    assert outcome.code == 0
    assert "\x1b" not in outcome.out
    assert "odd\\x1b[31m\\nname.onnx" in outcome.out


def test_help_does_not_wait_for_torch() -> None:
    check = (
        "import sys; from deeplift_cli.main import run; code = run(['inspect', '--help']);"
        "sys.exit(code or ('torch' in sys.modules) * 9)"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert done.returncode == 0
    assert "--json" in done.stdout


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], []),
        (["layers.0.conv", "layers.1.conv", "layers.2.conv"], ["layers.0-2.conv"]),
        (["a.3", "a.0", "a.1"], ["a.0-1,3"]),
        (["a.0.b.0", "a.0.b.1", "a.1.b.0", "a.1.b.1"], ["a.0-1.b.0-1"]),
        (["conv", "(the model)", "conv"], ["conv", "(the model)"]),
        (["x01", "x02"], ["x01", "x02"]),
    ],
)
def test_names_of_modules_collapse(names: list[str], expected: list[str]) -> None:
    assert collapse(names) == expected


def test_collapsed_names_stand_for_those_that_were_there_and_no_others() -> None:
    def expanded(text: str) -> list[str]:
        """Names that "a.0-1,3.b" stands for."""
        parts = []
        for place, part in enumerate(text.split(".")):
            spans = [span.split("-") for span in part.split(",")] if place % 2 else []
            numbers = [str(n) for span in spans for n in range(int(span[0]), int(span[-1]) + 1)]
            parts.append(numbers if place % 2 else [part])
        return [".".join(chosen) for chosen in product(*parts)]

    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        numbers = torch.randint(4, (7, 3), generator=generator).tolist()
        names = {f"a.{i}.b.{j}.c.{k}" for i, j, k in numbers}
        found = [name for text in collapse(names) for name in expanded(text)]
        assert sorted(found) == sorted(names)


# ---- time


def test_forward_time_is_that_of_the_module(tmp_path: Path) -> None:
    report = run_json(*saved(tmp_path, Sleeps()), "--batch-size", 2, "--layout", "ncl", "--length", LENGTH)
    assert Sleeps.SECONDS <= 2 * report["cost"]["forward_seconds"] < 2 * Sleeps.SECONDS


def test_scoring_time_tells_the_sequence_from_its_references() -> None:
    own, each, rows = 0.02, 0.03, 2

    class Timed:
        device = torch.device("cpu")

        def attribute(self, x: tuple[Tensor], references: tuple[Tensor], target: int) -> None:
            time.sleep(own + each * references[0].shape[1])

    x = torch.zeros(rows, 4, LENGTH)
    found = cost.scoring_seconds(Timed(), (x,), (torch.zeros(rows, 3, 4, LENGTH),), 0)  # type: ignore[arg-type]
    assert found[0] == pytest.approx(own / rows, abs=0.005)
    assert found[1] == pytest.approx(each / rows, rel=0.2)


# ---- one recording, several rules


def test_one_recording_serves_every_rule() -> None:
    model = MODELS["Net"]()
    x, references = one_hot(6, LENGTH), one_hot(12, LENGTH, seed=1).reshape(6, 2, 4, LENGTH)
    calls = []
    model.register_forward_hook(lambda *_: calls.append(1))
    once = DeepLift(model, x[:3], rule="gradient")
    recorded = len(calls)
    for rule in (*PRESETS, "gradient", "integrated-gradients:3"):
        found = once.with_rule(rule).attribute(x, references, target=1)
        assert len(calls) == recorded
        fresh = DeepLift(MODELS["Net"](), x[:3], rule=rule).attribute(x, references, target=1)
        assert torch.equal(found.contributions, fresh.contributions)
    with_layers = once.with_rule("rescale", {"first": "revealcancel"})
    assert with_layers.nodes == once.nodes_under("rescale", {"first": "revealcancel"})
    assert with_layers.nodes == DeepLift(model, x[:3], "rescale", {"first": "revealcancel"}).nodes
    assert {node.rule for node in once.nodes} == {"gradient"}


def test_operations_without_a_rule_are_told_one_by_one() -> None:
    once = DeepLift(WithoutRule().eval(), one_hot(2, 20), rule="gradient")
    problems = {node.op: node.problem for node in once.nodes_under("rescale") if node.problem}
    assert "aten.linalg_inv_ex.default" in problems
    assert not any(node.problem for node in once.nodes_under("gradient"))
    with pytest.raises(UnsupportedOpsError, match=r"linalg_inv_ex.* in module 'head'"):
        once.with_rule("rescale")


def test_layouts_reach_the_self_check() -> None:
    """A channels-last model is checked on channels-last input: a wrong layout would not even run."""
    report = run_json("-m", torchscript("ChannelsLast"), "--layout", "nlc", "--length", LENGTH)
    explainer = DeepLift(
        read(torchscript("ChannelsLast")).module, Layout("nlc").to_model(one_hot(2, LENGTH)), channel_axis=2
    )
    assert report["cost"]["bytes_per_sequence"] == explainer.bytes_per_row
    assert all(item["holds"] and math.isfinite(item["largest_difference"]) for item in report["self_check"])


def test_a_network_dense_from_end_to_end_is_noted_by_inspect_and_score(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(4 * LENGTH, 5), nn.ReLU(), nn.Linear(5, 1))
    path = tmp_path / "dense.pt"
    torch.jit.trace(model, one_hot(2, LENGTH)).save(str(path))
    note = "RevealCancel follows a dense layer that reads the input itself"
    given = ("-m", path, "--layout", "ncl")
    explained = json.loads(deeplift("inspect", *given, "--length", LENGTH, "--json").out)["explained"]
    assert [line.startswith(note) for line in explained["notes"]] == [True]
    assert f"notes       {note}" in deeplift("inspect", *given, "--length", LENGTH).out
    fasta = write_fasta(tmp_path / "x.fa", [random_letters(0)])
    scored = ("score", *given, "-f", fasta, "-o", tmp_path / "x.h5", "--n-references", 2)
    assert note in deeplift(*scored).err
    assert note not in deeplift(*scored, "--rule", "rescale", "--overwrite").err


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("Net", [], ["--target", "0"]),
        ("Scalar", [], []),
        ("Profile", ["--target", "mean(:,1)"], ["--target", "mean(:,1)"]),
        ("Softmax", ["--target", "1", "--no-logits"], ["--target", "1", "--no-logits"]),
        ("Net", ["--layer-rule", "*=rescale", "--precision", "float64"], [
            "--target", "0", "--precision", "float64", "--layer-rule", "*=rescale",
        ]),
    ],
)  # fmt: skip
def test_the_command_that_is_shown_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, options: list[str], expected: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = deeplift("inspect", "-m", torchscript(name), *options)
    line = outcome.out.splitlines()[-1]
    words = shlex.split(line)
    assert line == f"  {shlex.join(words)}"
    assert words[:8] == ["deeplift", "score", "-m", str(torchscript(name)), *words[4:8]]
    assert words[4:8] == ["-f", "SEQUENCES.fa", "-o", "SCORES.h5"]
    assert words[8:] == expected
    write_fasta(Path("SEQUENCES.fa"), [random_letters(1), random_letters(2)])
    assert deeplift(*words[1:]).code == 0
    assert (
        json.loads(deeplift("inspect", "-m", torchscript(name), *options, "--json").out)["command"]
        == line.strip()
    )


def test_no_command_is_shown_for_what_cannot_be_scored() -> None:
    outcome = deeplift("inspect", "-m", torchscript("GivesNan"))
    assert outcome.code == 1
    assert "deeplift score -m" not in outcome.out
