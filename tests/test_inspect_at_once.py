"""`deeplift inspect` answers what it knows at once, and names classes and heads."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from small_models import LENGTH, Outcome, deeplift, onnx_file, random_letters, score, torchscript, write_fasta
from terminals import read_to_end
from test_cli_inspect import WithoutRule, saved
from torch import Tensor, nn

from deeplift_cli.inspection import examine


def run(*arguments: object) -> Outcome:
    return deeplift("inspect", "--threads", 1, *arguments)


def flat(text: str) -> str:
    return " ".join(text.split())


# ---- at once


def printed_before(monkeypatch: pytest.MonkeyPatch, step: str, *arguments: object) -> tuple[str, str]:
    """What is on stdout when a step begins, and what is there in the end."""
    before: list[str] = []
    whole = getattr(examine, step)

    def watched(*given: Any, **named: Any) -> Any:
        sys.stdout.flush()
        before.append(sys.stdout.getvalue())  # type: ignore[attr-defined]
        return whole(*given, **named)

    monkeypatch.setattr(examine, step, watched)
    outcome = run(*arguments)
    assert outcome.out.startswith(before[0])
    return before[0], outcome.out


STEPS = {
    "find_form": ("model", ["inputs", "outputs"]),
    "_record": ("length", ["outputs", "operations were recorded", "self-check"]),
    "_check": ("unsupported", ["self-check", "cost of one sequence"]),
    "scoring_seconds": ("self-check", ["cost of one sequence", "can be scored"]),
    "forward_seconds": ("self-check", ["cost of one sequence", "can be scored"]),
}


@pytest.mark.parametrize("step", STEPS)
def test_what_is_known_is_printed_before_the_next_step(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    there, later = STEPS[step]
    before, whole = printed_before(monkeypatch, step, "-m", onnx_file())
    assert there in before
    for part in later:
        assert part not in before
        assert part in whole
    assert whole.splitlines()[-1].startswith("  deeplift score -m ")


def test_json_is_printed_once_and_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    before, whole = printed_before(monkeypatch, "forward_seconds", "-m", onnx_file(), "--json")
    assert before == ""
    assert json.loads(whole)["can_be_scored"]


def test_a_model_that_cannot_be_scored_still_shows_what_is_known(tmp_path: Path) -> None:
    outcome = run(*saved(tmp_path, WithoutRule()))
    assert outcome.code == 1
    order = ["sha256", "inputs", "layout", "outputs", "operations were recorded"]
    places = [outcome.out.index(part) for part in (*order, "cost of one sequence", "cannot be scored:")]
    assert places == sorted(places)


def test_progress_is_on_a_terminals_stderr_only() -> None:
    """Stdout is a pipe and stderr a terminal: no step is named on stdout, and each one on stderr."""
    ours, theirs = pty.openpty()
    script = "from deeplift_cli.main import main; main()"
    done = subprocess.Popen(
        [sys.executable, "-c", script, "inspect", "-m", str(onnx_file())],
        stdout=subprocess.PIPE, stderr=theirs,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "100", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    os.close(theirs)
    written = read_to_end(ours)
    assert done.stdout is not None
    out = done.stdout.read()
    assert done.wait() == 0
    done.stdout.close()
    assert b"\x1b" not in out
    assert out.startswith(b"model ")
    for step in (
        b"reading /",
        b"recording the operations",
        b"checking summation-to-delta",
        b"measuring the time",
    ):
        assert step in written
        assert step not in out
    assert b"sha256" not in written


# ---- names


def named(folder: Path, names: list[str]) -> Path:
    """The ONNX file of two outputs with two classes each, with names in its metadata."""
    model = onnx.load(onnx_file())
    model.metadata_props.add(key="class_names", value=json.dumps(names))
    path = folder / "named.onnx"
    onnx.save(model, path)
    return path


def test_classes_are_named_by_the_metadata_or_by_the_user(tmp_path: Path) -> None:
    model = named(tmp_path, ["GM12878", "K562"])
    assert "classes 0 GM12878, 1 K562; --target takes these names" in flat(run("-m", model).out)
    found = json.loads(run("-m", model, "--json").out)["classes"]
    assert found == {"names": ["GM12878", "K562"], "source": str(model), "axes": [0]}
    labels = tmp_path / "labels.txt"
    labels.write_text("open\nclosed\n")
    theirs = json.loads(run("-m", model, "--labels", labels, "--json").out)
    assert theirs["classes"] == {"names": ["open", "closed"], "source": str(labels), "axes": [0]}
    assert f"--labels {labels}" in theirs["command"]
    assert json.loads(run("-m", onnx_file(), "--json").out)["classes"] is None
    assert "classes" not in run("-m", onnx_file()).out


def test_a_shown_name_is_a_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_fasta(Path("in.fa"), [random_letters(1)])
    named(tmp_path, ["GM12878", "K562"])
    outcome = score("-m", "named.onnx", "-f", "in.fa", "-o", "a.h5", "--target", "K562", "--n-references", 2)
    assert 'target              "K562"' in outcome.out


def test_names_without_an_axis_of_their_number_are_no_targets(tmp_path: Path) -> None:
    for names, said in (["a", "b", "c"], "output logit has no axis of 3 elements, as many as "), (
        [f"c{i}" for i in range(30)], "9 c9, and 20 more, which --full lists",
    ):  # fmt: skip
        text = flat(run("-m", named(tmp_path, names)).out)
        assert said in text
        assert "--target takes no names" in text
    assert "29 c29" in flat(run("-m", named(tmp_path, names), "--full").out)


class Square(nn.Module):
    """Two axes of two elements."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.last = nn.Linear(4 * LENGTH, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(x.flatten(1)).reshape(-1, 2, 2)


def test_names_that_fit_two_axes_are_no_targets(tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("a\nb\n")
    options = ("--labels", labels, "--layout", "ncl", "--length", LENGTH)
    outcome = run(*saved(tmp_path, Square()), *options)
    assert "output 0 has 2 axes of 2 elements, as many as " in flat(outcome.out)


def test_an_unreadable_file_of_labels_is_a_problem(tmp_path: Path) -> None:
    outcome = run("-m", onnx_file(), "--labels", tmp_path / "none.txt")
    assert outcome.code == 1
    assert "none.txt" in outcome.err


class Bpnet(nn.Module):
    """Outputs of BPNet: a profile of two tracks, and the logarithm of counts."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.profile, self.counts = nn.Conv1d(4, 3, 5), nn.Conv1d(3, 2, 1), nn.Linear(3, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.relu(self.conv(x))
        return self.profile(h), self.counts(h.mean(-1))


def test_heads_are_words_for_the_outputs_of_bpnet(tmp_path: Path) -> None:
    model = saved(tmp_path, Bpnet())
    assert "heads counts of output 1, profile of output 0; --target takes these words" in flat(
        run(*model).out
    )
    assert json.loads(run(*model, "--json").out)["heads"] == {"counts": "1", "profile": "0"}
    assert json.loads(run("-m", torchscript("TwoOutputs"), "--json").out)["heads"] == {}
