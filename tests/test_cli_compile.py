"""`--compile`: when a job is compiled, what is said about it, and what happens where it cannot be."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from small_models import Outcome, random_letters, score, torchscript, write_fasta

from deeplift_cli.models import compilation

SAID = "the model's scoring was compiled in"
SCORES = "shap/seq"


@pytest.fixture(autouse=True)
def input_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_fasta(Path("in.fa"), [random_letters(seed) for seed in range(8)])


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A C++ compiler to be found, and what is given to torch.compile, which would take seconds."""
    given: list[Any] = []

    def as_it_is(step: Any, **_: Any) -> Any:
        given.append(step)
        return step

    monkeypatch.setattr(torch, "compile", as_it_is)
    program = tmp_path / "c++"
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    return given


def run(out: str, *options: object) -> Outcome:
    files = "-m", torchscript("Net"), "-f", "in.fa", "-o", out
    return score(*files, "--n-references", 2, "--batch-size", 2, *options)


def scores(out: str) -> Any:
    with h5py.File(out) as file:
        return file[SCORES][:]


def pairs_take(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilation, "_seconds_per_pair", lambda *_: seconds)


@pytest.mark.compiles
def test_on_compiles_and_scores_are_the_same() -> None:
    assert SAID in run("on.h5", "--compile", "on").err
    assert SAID not in run("off.h5", "--compile", "off").err
    np.testing.assert_allclose(scores("on.h5"), scores("off.h5"), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("seconds", "compiles"), [(1e-6, False), (1e6, True)])
def test_auto_compiles_long_jobs(
    seconds: float, compiles: bool, compiler: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs_take(seconds, monkeypatch)
    assert (SAID in run("scores.h5").err) == compiles
    assert bool(compiler) == compiles


def test_auto_does_not_compile_without_a_compiler(
    compiler: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    pairs_take(1e6, monkeypatch)
    assert SAID not in run("scores.h5").err
    assert not compiler


def test_auto_leaves_shards_alike_and_says_so(compiler: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    pairs_take(1e6, monkeypatch)
    assert "not compiled, although this shard is long enough" in run("one.h5", "--shard", "1/2").err
    assert not compiler
    assert SAID in run("two.h5", "--shard", "2/2", "--compile", "on").err
    assert SAID in run("whole.h5", "--shard", "1/1").err


def test_short_shards_say_nothing(compiler: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    pairs_take(1e-6, monkeypatch)
    assert "compiled" not in run("one.h5", "--shard", "1/2").err
    assert not compiler


def test_what_cannot_be_compiled_is_scored_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no working C++ compiler\nand more")

    run("off.h5", "--compile", "off")
    monkeypatch.setattr(torch, "compile", broken)
    said = run("on.h5", "--compile", "on").err
    (line,) = [line for line in said.splitlines() if "compile" in line]
    assert line.startswith("deeplift: the model's scoring is not compiled: ")
    assert line.endswith("no working C++ compiler")
    np.testing.assert_array_equal(scores("on.h5"), scores("off.h5"))
