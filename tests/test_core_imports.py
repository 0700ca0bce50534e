"""The direction of imports: data flows one way through the core, and no stage imports a later one."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import deeplift_core

CORE = Path(deeplift_core.__file__).parent
SOURCES = sorted(CORE.rglob("*.py"))

# What each part of the core (a folder, or a module beside the folders) may import of the core besides itself.
ALLOWED = {
    "errors": set(),
    "rule_names": set(),
    "advice": set(),
    "graph": {"errors"},
    "rules": {"errors", "graph", "rule_names"},
    "results": set(),
    "capture": {"errors", "advice", "graph", "rules"},
    "tokens": {"errors", "graph", "capture"},
    "assignment": {"errors", "rule_names", "advice", "results", "graph", "rules"},
    "engine": {"errors", "results", "graph", "rules", "capture", "assignment"},
    "passes": {"errors", "graph", "rules", "assignment"},
    "accuracy": {"rules", "engine"},
    "arguments": {"errors", "accuracy"},
    "compile": {"errors", "graph", "rules", "assignment", "engine", "passes"},
}
# The face of the core puts the stages together, in this order.
FACE = ("planner", "explainer", "model_source", "recorded_model", "attribution")
STANDARD = {*sys.stdlib_module_names, "torch"}


def part(module: str) -> str:
    """The part of the core that a module belongs to: "rules" for deeplift_core.rules.linear."""
    return module.split(".")[1] if "." in module else ""


def module_of(source: Path) -> str:
    """The dotted name of a source file."""
    parts = source.relative_to(CORE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(source: Path) -> Iterator[str]:
    """Dotted names of all modules that a file imports anywhere, in functions and for type checkers, too."""
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source}: relative imports hide their direction"
            assert node.module is not None
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            # `from deeplift_core import attribution` imports a module, and most others import a name of one.
            yield from names if node.module == "deeplift_core" else [node.module]


def of_the_core(source: Path) -> set[str]:
    return {part(name) for name in imported(source) if name.startswith("deeplift_core.")}


def test_every_part_of_the_core_is_known_here() -> None:
    parts = {part(module_of(source)) for source in SOURCES} - {""}
    assert parts == {*ALLOWED, *FACE}


def test_the_core_imports_torch_and_the_standard_library_only() -> None:
    found = {name.split(".")[0] for source in SOURCES for name in imported(source)}
    assert found <= {*STANDARD, "deeplift_core"}


@pytest.mark.parametrize("name", ALLOWED)
def test_no_stage_imports_a_later_one(name: str) -> None:
    sources = [source for source in SOURCES if part(module_of(source)) == name]
    assert sources
    for source in sources:
        further = of_the_core(source) - ALLOWED[name] - {name}
        assert not further, f"{module_of(source)} imports {', '.join(sorted(further))}"


def test_no_module_of_the_face_imports_a_later_one() -> None:
    for place, name in enumerate(FACE):
        later = of_the_core(CORE / f"{name}.py") & set(FACE[place:])
        assert not later, f"{name} imports {', '.join(later)}"


def test_parts_can_be_put_in_an_order() -> None:
    """No circle of parts: each is allowed to import parts that come before it only."""
    before: set[str] = set()
    for name, allowed in ALLOWED.items():
        assert allowed <= before
        before.add(name)


def test_an_import_that_breaks_the_direction_is_seen(tmp_path: Path) -> None:
    """Also inside of functions, of a package, and for type checkers."""
    source = tmp_path / "module.py"
    source.write_text(
        "from typing import TYPE_CHECKING\n"
        "import deeplift_core.engine.forward\n"
        "if TYPE_CHECKING:\n    from deeplift_core.passes import registry\n"
        "def f():\n    from deeplift_core import explainer\n    import deeplift_cli\n"
    )
    assert of_the_core(source) == {"engine", "passes", "explainer"}
    assert "deeplift_cli" in set(imported(source))


WITHOUT_TORCH = [
    "deeplift_core",
    "deeplift_core.assignment.presets",
    "deeplift_core.assignment.names",
    "deeplift_core.rule_names",
    "deeplift_core.errors",
]


def test_names_of_rules_and_presets_are_there_without_torch() -> None:
    """A command line lists them in its help text."""
    script = (
        f"import sys, importlib\nfor name in {WITHOUT_TORCH}:\n    importlib.import_module(name)\n"
        "from deeplift_core.assignment.names import check_layer_rule, parse_rule\n"
        "parse_rule('integrated-gradients:7'); check_layer_rule('aumann-shapley')\n"
        "print('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
