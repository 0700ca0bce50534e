"""Small faults that are put into Python source, one at a time, to see whether a test notices each of them."""

import ast
import copy
import difflib
from collections.abc import Iterator
from dataclasses import dataclass

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitOr,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift,
}  # fmt: skip
_REMOVED = (ast.AugAssign, ast.Raise, ast.Continue, ast.Break, ast.Delete)


@dataclass(frozen=True)
class Mutant:
    """One fault in one file.

    Attributes
    ----------
    path : str
        The file, relative to the root of the repository.
    lines : tuple of int
        The first and the last line of what is changed, counted from 1.
    kind : str
        What was done.
    source : str
        The whole file with the fault in it.
    diff : str
        The change, as lines of a unified diff.
    """

    path: str
    lines: tuple[int, int]
    kind: str
    source: str
    diff: str


def mutants(path: str, source: str) -> list[Mutant]:
    """List every fault that can be put into a file, in the order of the file.

    Annotations, docstrings, f-strings (messages), decorators, imports and what only a type checker reads are
    left alone.

    Parameters
    ----------
    path : str
        The file, relative to the root of the repository.
    source : str
        Its content.

    Returns
    -------
    list of Mutant
    """
    found = []
    for old, new, kind in _changes(ast.parse(source)):
        changed = _replaced(source, old, new)
        compile(changed, path, "exec")
        last = old.end_lineno or old.lineno
        found.append(Mutant(path, (old.lineno, last), kind, changed, _diff(path, source, changed)))
    return found


def _changes(node: ast.AST) -> Iterator[tuple[ast.expr | ast.stmt, str, str]]:
    """Each node that can be changed at and below `node`, its new text, and what is done to it."""
    if isinstance(node, (ast.expr, ast.stmt)):
        for new, kind in _of_node(node):
            yield node, new, kind
    if isinstance(node, (ast.If, ast.While, ast.IfExp)) and isinstance(node.test, (ast.Name, ast.Call)):
        yield node.test, f"(not {ast.unparse(node.test)})", "condition"
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _is_left_alone(child):
                yield from _changes(child)


def _is_left_alone(node: ast.AST) -> bool:
    if isinstance(node, ast.If):
        return ast.unparse(node.test).endswith("TYPE_CHECKING")
    return isinstance(node, (ast.JoinedStr, ast.Import, ast.ImportFrom))


def _of_node(node: ast.expr | ast.stmt) -> Iterator[tuple[str, str]]:
    match node:
        case ast.Compare(ops=ops):
            for place, comparison in enumerate(ops):
                changed = copy.deepcopy(node)
                changed.ops[place] = _COMPARISONS[type(comparison)]()
                yield f"({ast.unparse(changed)})", "comparison"
        case ast.BinOp(op=operator) if type(operator) in _ARITHMETIC and not _joins_text(node):
            changed = copy.copy(node)
            changed.op = _ARITHMETIC[type(operator)]()
            yield f"({ast.unparse(changed)})", "arithmetic"
        case ast.BoolOp(op=operator):
            changed = copy.copy(node)
            changed.op = ast.Or() if isinstance(operator, ast.And) else ast.And()
            yield f"({ast.unparse(changed)})", "and/or"
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield f"({ast.unparse(operand)})", "sign or not"
        case ast.Constant(value=bool() as value):
            yield repr(not value), "constant"
        case ast.Constant(value=int() | float() as value):
            yield repr(value + 1), "constant"
        case ast.Return(value=ast.expr() as value) if not _is_none(value):
            yield "return None", "return None"
        case ast.Expr(value=ast.Call() | ast.Await()):
            yield "pass", "statement removed"
        case ast.Assign(targets=[ast.Subscript() | ast.Attribute()]):
            yield "pass", "statement removed"
        case ast.stmt() if isinstance(node, _REMOVED):
            yield "pass", "statement removed"


def _joins_text(node: ast.BinOp) -> bool:
    """Whether one side is text, where another operator fails in any test that comes along."""
    return any(
        isinstance(side, ast.JoinedStr) or (isinstance(side, ast.Constant) and isinstance(side.value, str))
        for side in (node.left, node.right)
    )


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _replaced(source: str, node: ast.expr | ast.stmt, new: str) -> str:
    lines = source.encode().splitlines(keepends=True)  # columns are counted in bytes
    first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
    before = b"".join(lines[:first]) + lines[first][: node.col_offset]
    after = lines[last][node.end_col_offset :] + b"".join(lines[last + 1 :])
    return (before + new.encode() + after).decode()


def _diff(path: str, old: str, new: str) -> str:
    return "\n".join(difflib.unified_diff(old.splitlines(), new.splitlines(), path, path, lineterm="", n=2))
