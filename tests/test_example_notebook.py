"""examples/python_tour.ipynb runs without an error, and is committed with what it shows."""

import base64
from pathlib import Path
from typing import Any

import pytest

nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
for package in ("captum", "ipykernel", "matplotlib", "xarray"):
    pytest.importorskip(package, reason=f"{package} is not installed")

PATH = Path(__file__).parents[1] / "examples" / "python_tour.ipynb"


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(cell: Any) -> str:
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def images(cell: Any) -> int:
    return sum("image/png" in output.get("data", {}) for output in cell.outputs)


@pytest.fixture(scope="module")
def committed() -> Any:
    return nbformat.read(PATH, as_version=4)


def test_it_is_committed_with_modest_results(committed: Any) -> None:
    nbformat.validate(committed)
    assert PATH.stat().st_size < 200_000
    assert sum(map(images, code_cells(committed))) == 2
    shown = "".join(map(printed, code_cells(committed)))
    assert "Traceback" not in shown
    for image in (o.data["image/png"] for c in code_cells(committed) for o in c.outputs if images(c)):
        assert base64.b64decode(image).startswith(b"\x89PNG")


def test_it_runs(committed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each cell ends without an exception, the cells' own asserts included, and shows as much as before."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    fresh = nbformat.read(PATH, as_version=4)
    for cell in code_cells(fresh):
        cell.outputs = []
    folder = {"metadata": {"path": str(PATH.parent)}}
    nbclient.NotebookClient(fresh, timeout=300, kernel_name="python3", resources=folder).execute()
    for found, expected in zip(code_cells(fresh), code_cells(committed), strict=True):
        assert [output.output_type for output in found.outputs] == [
            output.output_type for output in expected.outputs
        ], found.source
        assert images(found) == images(expected)
        assert len(printed(found).splitlines()) == len(printed(expected).splitlines())
        assert "Warning" not in printed(found)
