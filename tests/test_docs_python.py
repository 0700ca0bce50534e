"""docs/python.md: its blocks are run in order as one session, and the comments of its lines are compared."""

import contextlib
import io
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_models import score

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "python.md"
SHAPE = re.compile(r"^(?:\w+ = )?(?P<shown>.+?)  # \[(?P<shape>\d+(?:, \d+)*)\]$")
PRINTED = re.compile(r"print\(error\)  # (.+)$", re.MULTILINE)


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


def shown_shapes(block: str, names: dict[str, Any]) -> int:
    """Compare the shape in each line's comment with that of what the line shows or assigns."""
    found = 0
    for line in block.splitlines():
        match = SHAPE.match(line)
        if match:
            name = line.split(" = ")[0] if re.match(r"\w+ = ", line) else match["shown"]
            assert str(list(np.shape(eval(name, names)))) == f"[{match['shape']}]", line
            found += 1
    return found


def test_the_page_is_a_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    score(
        "-m", "examples/tal1_gata.onnx", "-f", "examples/sequences.fa", "--n-references", 4, "-o", "scores.h5"
    )
    names: dict[str, Any] = {"__name__": "__main__"}
    monkeypatch.setitem(sys.modules, "__main__", type(sys)("__main__"))  # dataclasses look their module up
    shapes = 0
    for block in blocks():
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(block, str(PAGE), "exec"), names)
        shapes += shown_shapes(block, names)
        said = PRINTED.findall(block)
        assert not said or printed.getvalue().splitlines() == said
    assert shapes == sum(len(re.findall(r"# \[\d", block)) for block in blocks()) > 20
    both = names["both"]
    assert all(str(name).endswith("both") for name in both.region.values)
