"""The direction of imports of the command line: packages can be put in an order, and data flows one way."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import deeplift_cli

ROOT = Path(deeplift_cli.__file__).parent
SOURCES = sorted(ROOT.rglob("*.py"))

# What each part of the command line (a folder, or a module beside the folders) may import besides itself.
ALLOWED = {
    "errors": set(),
    "file_kinds": set(),
    "folds": set(),
    "distribution": set(),
    "process": {"errors", "distribution"},
    "threads": set(),
    "extensions": {"errors"},
    "markup": set(),
    "options": set(),
    "sequences": {"errors", "file_kinds", "distribution", "process", "options"},
    "models": {
        "errors", "file_kinds", "folds", "distribution", "process", "extensions", "options", "sequences",
    },
    "outputs": {"errors", "file_kinds", "process", "threads", "extensions", "options", "sequences"},
    "reference_kinds": {"errors", "process", "sequences", "outputs"},
    "run": {
        "errors", "distribution", "process", "threads", "extensions", "options", "sequences", "models",
        "outputs", "reference_kinds",
    },
    "show": {"errors", "process", "sequences", "outputs"},
    "report": {"errors", "distribution", "markup", "process", "sequences", "outputs", "show"},
    "figures": {"errors", "process", "options", "sequences", "models", "outputs", "show"},
    "browser": {"errors", "file_kinds", "markup", "process", "sequences", "outputs"},
    "scores": {"errors", "distribution", "options", "sequences", "outputs"},
    "motifs": {"errors", "distribution", "process", "sequences", "outputs"},
    "inspection": {"errors", "distribution", "process", "options", "models", "run"},
    "variants": {
        "errors", "folds", "process", "threads", "options", "sequences", "models", "outputs",
        "reference_kinds", "run", "motifs", "inspection",
    },
    "merge": {"errors", "folds", "process", "options", "sequences", "outputs", "run", "variants"},
    "verify": {"errors", "process", "options", "sequences", "models", "outputs", "reference_kinds", "run"},
    "trust": {"errors", "process", "options", "models", "outputs", "run", "verify"},
    "commands": {
        "errors", "distribution", "process", "options", "sequences", "models", "outputs", "reference_kinds",
        "run", "show", "report", "figures", "browser", "motifs", "inspection", "variants", "merge", "verify",
        "trust",
    },
    "command_line": {"errors", "distribution", "extensions", "commands"},
    "main": {"process", "command_line"},
    "__main__": {"main"},
}  # fmt: skip
# Within `run`, from the reader to the loop: no stage calls back an earlier one.
STAGES = (
    "fingerprint", "output_paths", "length", "batches", "references", "skipped_tables", "setup",
    "finished_batches", "checkpoint", "plan", "summary", "finite_scores", "loop", "batch_loop", "scoring_run",
)  # fmt: skip


def imported(source: Path) -> Iterator[list[str]]:
    """The dotted names below `deeplift_cli` of what a file imports anywhere, split at the dots."""
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source}: relative imports hide their direction"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name.split(".")[1:] for name in names if name.startswith("deeplift_cli."))


def part(source: Path) -> str:
    return source.relative_to(ROOT).parts[0].removesuffix(".py")


def test_every_part_of_the_command_line_is_known_here() -> None:
    assert {part(source) for source in SOURCES} - {"__init__"} == set(ALLOWED)


def test_parts_can_be_put_in_an_order() -> None:
    before: set[str] = set()
    for name, allowed in ALLOWED.items():
        assert allowed <= before, name
        before.add(name)


@pytest.mark.parametrize("name", ALLOWED)
def test_no_part_imports_a_later_one(name: str) -> None:
    for source in SOURCES:
        if part(source) == name:
            further = {module[0] for module in imported(source)} - ALLOWED[name] - {name}
            assert not further, f"{source.relative_to(ROOT)} imports {', '.join(sorted(further))}"


def test_no_stage_of_a_run_imports_a_later_one() -> None:
    assert {path.stem for path in (ROOT / "run").glob("*.py")} - {"__init__"} == set(STAGES)
    for place, stage in enumerate(STAGES):
        found = {module[1] for module in imported(ROOT / "run" / f"{stage}.py") if module[0] == "run"}
        assert found <= set(STAGES[:place]), stage
