"""Every command and every Python block of README and docs is run, on small stand-ins for a user's files.

A page is one session of bash (`docs_session.py`), in a folder with files of the names that the page uses
(`docs_standins.py`). Pages whose results are compared with what the pages say have tests of their own, which
`OWN_COMMANDS` and `OWN_PYTHON` name. What no test can run has its reason in `NOT_RUN`.
"""

import ast
import contextlib
import io
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import docs_standins
import h5py
import numpy as np
import pytest
from docs_session import FAKES, PROGRAMS, Session
from documented import PAGES, ROOT, lines_of, shell_blocks, simple_commands, text_of

# Pages with tests that run all of their commands.
OWN_COMMANDS = {
    "docs/export-onnx.md": "tests/test_docs_tutorial.py",
    "docs/models.md": "tests/test_docs_models.py",
    "docs/plot.md": "tests/test_plot.py",
    "docs/tutorial.md": "tests/test_docs_tutorial.py",
    "docs/variants.md": "tests/test_docs_variants.py",
}
# Pages with tests that run all of their Python, and the number of blocks that these tests know.
OWN_PYTHON = {
    "docs/choosing.md": (1, "tests/test_docs_tutorial.py"),
    "docs/export-onnx.md": (1, "tests/test_docs_tutorial.py"),
    "docs/extending.md": (5, "tests/test_extending.py"),
    "docs/models.md": (3, "tests/test_docs_models.py"),
    "docs/onnx-operators.md": (2, "tests/test_onnx_preparation.py"),
    "docs/plot.md": (1, "tests/test_plot.py"),
    "docs/python.md": (14, "tests/test_docs_python.py"),
    "docs/references.md": (2, "tests/test_docs_extending.py"),
    "docs/rules.md": (3, "tests/test_docs_extending.py"),
    "docs/seqlets.md": (1, "tests/test_seqlets.py"),
    "docs/sums.md": (2, "tests/test_docs_tutorial.py"),
    "docs/variants.md": (1, "tests/test_docs_variants.py"),
}
# How the commands begin that no test of this module runs, and why. Their options are parsed by
# tests/test_docs_commands.py where they are deeplift's.
NOT_RUN = {
    "deeplift browser -o browser --serve": "serves until Ctrl-C; tests/test_browser.py starts and stops it",
    "modisco ": "another program; tests/test_downstream.py runs it by the commands of the page",
    "finemo ": "another program; tests/test_downstream.py runs it by the commands of the page",
    "snakemake ": "takes minutes; tests/test_workflow.py and tests/test_slurm.py run the workflow",
    "python examples/train.py": "trains for minutes; tests/test_example_files.py tests the trained model",
    ".venv/bin/pytest ": "would run these tests inside themselves",
    ".venv/bin/python tests/onnx_operators.py": "tests/test_onnx_operators.py compares the page",
}
# What stands in a command for something that a test has no time or no device for.
REPLACED = {
    "README.md": {"--compile on": "--compile off", "--shard 3/20": "--shard 1/1"},
    "docs/browser.md": {"chr8:128750000-128750300": "chr8:2400-2700"},
    "docs/hpc.md": {
        "--compile on": "--compile off",
        "--device cuda:0": "--device cpu",
        "--threads 4": "--threads 1",
        "SHARDS=100": "SHARDS=2",
        "-of-100": "-of-2",
        "SHARDS=20": "SHARDS=2",
        "--array=1-20": "--array=1-2",
        "-of-20": "-of-2",
    },
}


def commands(page: str) -> list[str]:
    """The lines of the blocks of commands of a page; a command that is continued is one line."""
    return [line for block in shell_blocks(text_of(page)) for line in lines_of(block)]


def skipped(line: str) -> bool:
    return line.startswith(tuple(NOT_RUN))


def python(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", text_of(page), re.MULTILINE | re.DOTALL)


# What pictures, motifs and the imports of benchmarks need.
PACKAGES = ("bpnetlite", "matplotlib", "memelite", "tangermeme")
COMMANDS = {page: lines for page in PAGES if (lines := commands(page))}
RUN = [
    page
    for page in COMMANDS
    if page not in OWN_COMMANDS and not all(map(skipped, COMMANDS[page]))
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make_files(page: str) -> None:
    docs_standins.MAKE.get(page, docs_standins.ordinary)()


def session(page: str, folder: Path) -> Session:
    """The session of a page, whose commands have run."""
    for package in PACKAGES:
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed; `make test` installs it")
    script = "\n".join(line for line in COMMANDS[page] if not skipped(line))
    for shown, instead in REPLACED.get(page, {}).items():
        assert shown in script, f"{page} has no {shown} any more"
        script = script.replace(shown, instead)
    made = Session(folder)
    made.run(script)
    return made


@pytest.mark.parametrize("page", [page for page in RUN if page not in ("README.md", "docs/hpc.md")])
def test_the_commands_of_a_page_run(page: str, folder: Path) -> None:
    """Each command of deeplift succeeds, and all files that are named as outputs are there."""
    make_files(page)
    for ran in session(page, folder).ran:
        for option, name in zip(ran.words, ran.words[1:], strict=False):
            if option in ("-o", "--out") and "{" not in name:
                assert Path(name).exists(), ran.words


def test_the_commands_of_the_readme(folder: Path) -> None:
    """The worked example gives a picture, motifs and a page; folds are averaged."""
    make_files("README.md")
    ran = [one.words[1] for one in session("README.md", folder).ran]
    assert ran[:7] == ["inspect", "score", "show", "plot", "seqlets", "browser", "report"]
    assert Path("peak1.png").read_bytes().startswith(b"\x89PNG")
    assert Path("seqlets.bed").read_text().count("\n") > 1
    assert Path("browser/index.html").is_file()
    with h5py.File("mean.h5") as file:
        assert "fold_sd/seq" in file


def test_the_commands_for_large_jobs(folder: Path) -> None:
    """Arrays, folds and GPUs by hand all end with merged score files of all peaks."""
    make_files("docs/hpc.md")
    made = session("docs/hpc.md", folder)
    assert sum(one.words[1] == "score" for one in made.ran) == 2 + 5 * 2 + 2
    for name in ("peaks", "mean", *(f"fold{fold}" for fold in range(5))):
        with h5py.File(f"scores/{name}.h5") as file:
            assert len(file["shap/seq"]) == len(docs_standins.PLACES)


def test_what_is_not_run_is_still_there() -> None:
    """Entries of the tables above that no page needs any more are to be removed."""
    everywhere = [line for lines in COMMANDS.values() for line in lines]
    for start in NOT_RUN:
        assert any(line.startswith(start) for line in everywhere), f"no page has {start}"
    assert set(OWN_COMMANDS) <= set(COMMANDS)
    for page, (blocks, _) in OWN_PYTHON.items():
        assert len(python(page)) == blocks, f"the tests of {page} do not know all of its Python"
    modules = [(page, module) for page, (_, module) in OWN_PYTHON.items()]
    for page, module in (*OWN_COMMANDS.items(), *modules):
        source = (ROOT / module).read_text()
        assert page.removeprefix("docs/") in source, f"{module} does not name {page}"
    assert set(docs_standins.MAKE) <= {*RUN, *PYTHON}


def test_every_program_is_known() -> None:
    """A program that is neither run here nor in `NOT_RUN` could be one that bash has by accident."""
    known = {*PROGRAMS, *FAKES, "export", "for", "wait", "seq", "wc"}
    for page in RUN:
        for line in COMMANDS[page]:
            plain = re.sub(r"\$\(\(.*?\)\)", "1", line)  # arithmetic is no command
            for words in [] if skipped(line) else simple_commands(plain):
                first = [word for word in words if not re.fullmatch(r"\w+=.*", word)][:1]
                assert not first or first[0] in known, (page, line)


def test_a_failing_command_is_noticed(folder: Path) -> None:
    docs_standins.ordinary()
    for script in (
        "deeplift show missing.h5",
        "deeplift show missing.h5 & wait",
        "false",
        "python benchmarks/speed.py --unknown",
        "make no-such-target",
        "pip install 'deeplift-genomics[nothing]'",
    ):
        with pytest.raises(AssertionError):
            Session(folder).run(script)


# ---- Python

PYTHON = [page for page in PAGES if python(page) and page not in OWN_PYTHON and page != "docs/testing.md"]


@pytest.mark.parametrize("page", PYTHON)
def test_the_python_of_a_page_runs(page: str, folder: Path) -> None:
    """All blocks in order, with the names that a reader has."""
    make_files(page)
    names: dict[str, Any] = docs_standins.session_names()
    for block in python(page):
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(block, page, "exec"), names)


def test_contributions_sum_as_the_page_on_score_files_says(folder: Path) -> None:
    make_files("docs/score-file.md")
    names: dict[str, Any] = {}
    exec(python("docs/score-file.md")[0], names)
    assert np.abs(names["delta"]).max() > 1e-2
    np.testing.assert_allclose(names["total"], names["delta"], atol=1e-5)


def test_the_cases_that_the_page_of_the_tests_shows() -> None:
    """They are those of the corpus, to the letter."""
    sources = [path.read_text() for path in (ROOT / "tests/hostile").glob("*.py")]
    calls = {
        ast.unparse(node)
        for source in sources
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
    }
    (block,) = python("docs/testing.md")
    shown = [ast.unparse(statement) for statement in ast.parse(block).body]
    assert len(shown) == 2
    assert set(shown) <= calls
