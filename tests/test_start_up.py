"""What is imported, and when: packages that take a second stay away until something of them is used."""

import subprocess
import sys
from pathlib import Path

import pytest
from small_models import random_letters, torchscript, write_fasta

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "tal1_gata.onnx"


def python(script: str, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


SCORE = """
import sys
from deeplift_cli.main import run
files = ["-m", sys.argv[1], "-f", "in.fa", "-o", "a.h5"]
code = run(["score", "-q", *files, "--compile", "off", "--n-references", "2"])
print(code, *(name for name in ("torchvision", "torch._dynamo", "sympy", "pyfaidx") if name in sys.modules))
"""


@pytest.mark.parametrize("kind", ["onnx", "torchscript"])
def test_scoring_imports_neither_torchvision_nor_dynamo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_fasta(Path("in.fa"), [random_letters(1, 200 if kind == "onnx" else 24)])
    assert python(SCORE, EXAMPLE if kind == "onnx" else torchscript("Net")) == "0\n"


@pytest.mark.parametrize(
    "command", ["", "score", "export", "inspect", "merge", "show", "prepare", "plot", "report"]
)
def test_help_imports_nothing_large(command: str) -> None:
    script = """
import sys
from deeplift_cli.main import run
code = run([*sys.argv[1:], "--help"])
large = ("torch", "h5py", "onnx", "pyfaidx", "Bio", "matplotlib")
print(code, *(name for name in large if name in sys.modules))
"""
    assert python(script, *command.split()).endswith("\n0\n")


# Neither operator can be scored by itself, so that they are converted here as onnx2torch does.
DETECTION = """
import sys
import torch
from onnx import TensorProto, helper
from deeplift_cli.models import onnx
from onnx2torch import convert
assert "torchvision" not in sys.modules
def module(node, *names):
    inputs = [helper.make_tensor_value_info(*name) for name in names]
    output = helper.make_tensor_value_info("o", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "g", inputs, [output], [helper.make_tensor("m", 7, [1], [3])])
    return convert(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)]))
if sys.argv[1] == "RoiAlign":
    node = helper.make_node("RoiAlign", ["x", "r", "i"], ["o"], output_height=2, output_width=2)
    align = module(node, ("x", 1, [1, 1, 8, 8]), ("r", 1, [1, 4]), ("i", 7, [1]))
    print(align(torch.ones(1, 1, 8, 8), torch.tensor([[0.0, 0, 4, 4]]), torch.tensor([0])).tolist())
else:
    node = helper.make_node("NonMaxSuppression", ["b", "s", "m"], ["o"])
    suppress = module(node, ("b", 1, [1, 2, 4]), ("s", 1, [1, 1, 2]))
    print(suppress(torch.tensor([[[0.0, 0, 1, 1], [4, 4, 5, 5]]]), torch.tensor([[[0.9, 0.8]]])).tolist())
print("torchvision" in sys.modules, type(sys.modules["torchvision"]).__name__)
"""


@pytest.mark.parametrize(
    ("operator", "expected"),
    [("RoiAlign", "[[[[1.0, 1.0], [1.0, 1.0]]]]"), ("NonMaxSuppression", "[[0, 0, 0], [0, 0, 1]]")],
)
def test_operators_that_need_torchvision_find_it(operator: str, expected: str) -> None:
    assert python(DETECTION, operator) == f"{expected}\nTrue module\n"


def test_garbage_is_collected_again_after_importing() -> None:
    script = """
import gc
from deeplift_cli.process.fast_imports import without_garbage_collection
with without_garbage_collection():
    assert not gc.isenabled()
print(gc.isenabled(), gc.get_freeze_count() > 0)
"""
    assert python(script) == "True True\n"


def test_torchs_threads_sleep_while_they_wait_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pipeline's other threads need the cores; main sets it before torch is imported."""
    script = """
import os, sys
from deeplift_cli import main
sys.argv = ["deeplift", "--version"]
try:
    main.main()
except SystemExit:
    print(os.environ["OMP_WAIT_POLICY"], "torch" in sys.modules)
"""
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    assert python(script).endswith("PASSIVE False\n")
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert python(script).endswith("ACTIVE False\n")
