"""The recorded operations as tables."""

from collections.abc import Iterable
from io import StringIO
from pathlib import PurePath

from rich.console import Console
from rich.table import Table
from rich.text import Text

from deeplift_cli.inspection.findings import Operation, Recording
from deeplift_cli.inspection.module_names import collapse
from deeplift_cli.process.terminal_text import printable
from deeplift_core.assignment.presets import preset_names

# Short names for rules whose names are too long for a table.
_SHORT = {"revealcancel-positive-first": "positive-first"}
_SHOWN = 3
_UNBROKEN = 10_000
_SAME = "the same under every preset"
_LEGEND = {
    "positive-first": "revealcancel-positive-first",
    "part of another": "explained with a later operation, by its rule",
    "not used": "the explained output does not depend on it",
}


def grouped_operations(recording: Recording, width: int) -> list[str]:
    """Return a table with one line for all operations of one kind with the same rules.

    Operations whose rule depends on the preset are in a table of their own.
    """
    groups: dict[tuple[str, ...], list[Operation]] = {}
    for item in recording.operations:
        groups.setdefault((item.op, *item.rules.values()), []).append(item)
    same = [items for items in groups.values() if len(set(items[0].rules.values())) == 1]
    other = [items for items in groups.values() if len(set(items[0].rules.values())) > 1]
    lines = [f"{len(recording.operations)} operations were recorded; --full lists each of them"]
    if same:
        rows = [[*_kind(items), _short(items[0].rules[preset_names()[0]]), *_places(items)] for items in same]
        headings = ["operation", "count", "rule", "modules", "source"]
        lines += ["", f"rules that are {_SAME}", *_table(headings, rows, width)]
    if other:
        rows = [[*_kind(items), *map(_short, items[0].rules.values()), *_places(items)] for items in other]
        headings = ["operation", "count", *map(_short, preset_names()), "modules", "source"]
        lines += ["", "rules that the preset chooses (--rule)", *_table(headings, rows, width)]
    return lines + _legend(recording)


def every_operation(recording: Recording) -> list[str]:
    """Return a table of every operation in the order in which they run, each on one line of any length."""
    rows = []
    for item in recording.operations:
        rules = list(dict.fromkeys(item.rules.values()))
        shown = rules if len(rules) == 1 else list(item.rules.values())
        rows.append([item.name, " | ".join(map(_short, shown)), item.module or "(the model)", item.source])
    presets = " | ".join(map(_short, preset_names()))
    lines = [f"{len(rows)} operations were recorded", f"rules under {presets}; one where it is {_SAME}", ""]
    headings = ["operation", "rule", "module", "source"]
    return lines + _table(headings, rows, _UNBROKEN) + _legend(recording)


def short_op(op: str) -> str:
    """Return an operation's name without its usual prefix and suffix: "aten.relu.default" becomes "relu"."""
    return op.removeprefix("aten.").removesuffix(".default")


def _kind(items: list[Operation]) -> list[str]:
    return [short_op(items[0].op), str(len(items))]


def _places(items: list[Operation]) -> list[str]:
    modules = collapse(item.module or "(the model)" for item in items)
    sources = dict.fromkeys(PurePath(item.source).name for item in items if item.source)
    return [_some(modules), _some(list(sources))]


def _some(names: list[str]) -> str:
    """Return the first few names, and the number of further names."""
    further = len(names) - _SHOWN
    return ", ".join(names) if further <= 0 else f"{', '.join(names[:_SHOWN])} and {further} more"


def _short(rule: str) -> str:
    return _SHORT.get(rule, rule)


def _legend(recording: Recording) -> list[str]:
    """Return explanations of the names in the tables that need one."""
    shown = {_short(rule) for item in recording.operations for rule in item.rules.values()}
    lines = [f"  {name}: {text}" for name, text in _LEGEND.items() if name in shown]
    return ["", *lines] if lines else []


def _table(headings: list[str], rows: Iterable[list[str]], width: int) -> list[str]:
    """Return the lines of a table without colours or frames; empty columns are left out."""
    listed = list(rows)
    filled = [place for place in range(len(headings)) if any(row[place] for row in listed)]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for place in filled:
        number = headings[place] == "count"
        table.add_column(
            headings[place], justify="right" if number else "left", no_wrap=number, overflow="fold"
        )
    for row in listed:
        table.add_row(*(Text(printable(row[place])) for place in filled))
    text = StringIO()
    Console(file=text, width=max(40, width - 2), color_system=None, force_terminal=False).print(table)
    return [f"  {line}".rstrip() for line in text.getvalue().splitlines()]
