"""Examination of sizes in exported programs, which are texts that torch passes to Python's ``eval``.

Only arithmetic on symbols and numbers is allowed, and no arithmetic that takes long or needs much memory.
"""

import ast
import re

_TEXT = re.compile(r"[A-Za-z0-9_ ,.+\-*/%()<>=&|~']*", re.ASCII)
_SYMBOL = re.compile(r"[a-z]{1,6}\d{1,9}", re.ASCII)
_NUMBER = re.compile(r"[-+]?\d{1,40}(\.\d{0,40})?(e[-+]?\d{1,3})?", re.ASCII)
_LONGEST = 10_000
_DEEPEST = 60
_LARGEST = 1 << 64
_LARGEST_POWER = 8

# Functions of symbols; `_POWERS` has those that raise to a power.
_FUNCTIONS = {
    *("Add", "Mul", "Mod", "Max", "Min", "Abs", "floor", "ceiling", "Rational", "Integer"),
    *("Equality", "Unequality", "StrictLessThan", "StrictGreaterThan", "LessThan", "GreaterThan"),
    *("Eq", "Ne", "Lt", "Le", "Gt", "Ge", "And", "Or", "Not", "Piecewise", "ExprCondPair", "Tuple"),
    *("FloorDiv", "ModularIndexing", "Where", "PythonMod", "CleanDiv", "CeilToInt", "FloorToInt", "CeilDiv"),
    *("FloatTrueDiv", "IntTrueDiv", "IsNonOverlappingAndDenseIndicator", "TruncToFloat", "TruncToInt"),
    *("RoundToInt", "RoundDecimal", "ToFloat", "Identity", "OpaqueUnaryFn_sqrt"),
}
_POWERS = {"Pow", "PowByNatural", "FloatPow", "LShift", "RShift"}
_CONSTANTS = {"true", "false", "oo", "int_oo", "nan", "zoo"}
_ASSUMPTIONS = {"integer", "positive", "nonnegative", "real", "negative", "nonpositive", "zero", "finite"}
_PLAIN = (
    *(ast.BinOp, ast.UnaryOp, ast.Compare, ast.BoolOp, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv),
    *(ast.Mod, ast.USub, ast.UAdd, ast.Not, ast.Invert, ast.BitAnd, ast.BitOr, ast.And, ast.Or, ast.Eq),
    *(ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Tuple, ast.Load),
)


def is_arithmetic(text: str) -> bool:
    """Return whether an expression is only arithmetic on symbols and numbers."""
    if len(text) > _LONGEST or not _TEXT.fullmatch(text):
        return False
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return _allowed(tree, _DEEPEST, powers=True)


def _allowed(node: ast.AST, depth: int, *, powers: bool) -> bool:
    """Return whether a part of an expression is allowed; `powers` says whether it may raise to a power."""
    if depth == 0:
        return False
    if isinstance(node, ast.Constant):
        return isinstance(node.value, bool | int | float) and abs(node.value) <= _LARGEST
    if isinstance(node, ast.Name):
        return node.id in _CONSTANTS or _SYMBOL.fullmatch(node.id) is not None
    if isinstance(node, ast.Call):
        return _call_allowed(node, depth, powers=powers)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        return powers and _power_allowed(node.left, node.right, depth)
    return isinstance(node, _PLAIN) and all(
        _allowed(part, depth - 1, powers=powers) for part in ast.iter_child_nodes(node)
    )


def _call_allowed(node: ast.Call, depth: int, *, powers: bool) -> bool:
    if not isinstance(node.func, ast.Name):
        return False
    name = node.func.id
    if name in ("Symbol", "Float"):
        return _leaf_allowed(node, name)
    if node.keywords:
        return False
    if name in _POWERS:
        return powers and len(node.args) == 2 and _power_allowed(node.args[0], node.args[1], depth)
    return name in _FUNCTIONS and all(_allowed(part, depth - 1, powers=powers) for part in node.args)


def _leaf_allowed(node: ast.Call, name: str) -> bool:
    """Return whether a symbol or a number is written as sympy writes it: ``Symbol('s0', integer=True)``."""
    if len(node.args) != 1 or not isinstance(node.args[0], ast.Constant):
        return False
    text = node.args[0].value
    pattern = _SYMBOL if name == "Symbol" else _NUMBER
    if not isinstance(text, str) or not pattern.fullmatch(text):
        return False
    keywords = _ASSUMPTIONS if name == "Symbol" else {"precision"}
    return all(
        word.arg in keywords
        and isinstance(word.value, ast.Constant)
        and isinstance(word.value.value, int)
        and 0 <= word.value.value <= 1000
        for word in node.keywords
    )


def _power_allowed(base: ast.AST, exponent: ast.AST, depth: int) -> bool:
    """Return whether a power stays small: its exponent is a small number, and its base has no power."""
    number = exponent
    if isinstance(number, ast.Call) and isinstance(number.func, ast.Name) and number.func.id == "Integer":
        number = number.args[0] if len(number.args) == 1 and not number.keywords else number
    if isinstance(number, ast.UnaryOp) and isinstance(number.op, ast.USub):
        number = number.operand
    small = (
        isinstance(number, ast.Constant)
        and isinstance(number.value, int | float)
        and abs(number.value) <= _LARGEST_POWER
    )
    return small and _allowed(base, depth - 1, powers=False)
