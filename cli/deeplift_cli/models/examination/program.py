"""Examination of the text of an exported program before torch makes a graph of it.

torch turns names into Python code that it runs, passes expressions to ``eval``, imports modules that a
structure names, and looks up functions by dotted names. This module requires that every name is an
identifier, every expression is arithmetic, every structure consists of plain containers, and every function
is an operator of torch on tensors. Parts that the program does not need (guards, which are code, and notes of
the exporter) are left out.
"""

import json
import re
from typing import Any

from deeplift_cli.models.examination.expressions import is_arithmetic
from deeplift_cli.models.examination.operators import reason_against

_NAME = re.compile(r"([A-Za-z_]\w*)?", re.ASCII)
_DOTTED = re.compile(r"[\w.@]*", re.ASCII)
# Names with two underscores are attributes of Python itself, and never those of a weight or module.
_SPECIAL = re.compile(r"(^|\.)__\w*__(\.|$)", re.ASCII)
_LABEL = re.compile(r"[^'\"\\\x00-\x1f]*")  # a key of an output, which is never part of code
_TEXT = re.compile(r"[\x20-\x7e]*", re.ASCII)
_VERSION = re.compile(r"[\w.+-]*", re.ASCII)
# An entry of the module stack: key, path and class of a module.
_STACK_ENTRY = re.compile(r"[\w.@\[\]()'\" ]*,[\w.@]*,[\w.<>\[\], ]*", re.ASCII)

_OPERATOR = re.compile(r"torch\.ops\.(\w+)\.(\w+)(\.\w+)?", re.ASCII)
_ON_NUMBERS = re.compile(
    r"_operator\.(eq|ne|le|ge|lt|gt|neg|pos|mul|add|sub|floordiv|truediv|mod|pow|and_|or_|lshift|rshift|getitem)"
    r"|math\.(trunc|ceil|floor)|torch\.(sym_\w+|_sym_\w+)",
    re.ASCII,
)
_HIGHER_ORDER = {
    *("cond", "while_loop", "map_impl", "scan", "associative_scan"),
    *("wrap_with_set_grad_enabled", "wrap_with_autocast"),
}
_CONTAINERS = {"builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict"}
# Fields whose text becomes a name in Python code.
_NAMES = {"name", "as_name", "forward_arg_names"}
# Mappings whose keys become such names.
_BY_NAME = {"tensor_values", "sym_int_values", "sym_bool_values", "sym_float_values", "custom_obj_values"}
# Notes of the exporter, of which only the modules of operators are used.
_NOTES = {"metadata", "treespec_namedtuple_fields"}
_DEEPEST = 100


class UnsafeError(Exception):
    """The program is not safe; the text says why, as the end of a sentence that begins with the file."""


def examined(text: bytes) -> bytes:
    """Return the text of a program, or of a table of weights, that torch may read.

    Parameters
    ----------
    text : bytes
        The text as JSON.

    Returns
    -------
    bytes
        The same program as JSON, without the parts that it does not need.

    Raises
    ------
    UnsafeError
        If a part of the program could make torch run other code than operators on tensors.
    """
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnsafeError("is damaged or truncated: its program is no JSON") from error
    return json.dumps(_examined(parsed, "", _DEEPEST)).encode()


def _examined(value: Any, field: str, depth: int) -> Any:
    if depth == 0:
        raise UnsafeError(f"is damaged: its program is nested more than {_DEEPEST} deep")
    if isinstance(value, dict):
        if field in _NOTES:
            value = {key: text for key, text in value.items() if key == "nn_module_stack"}
        return {
            _checked_key(key, field): _examined(item, key, depth - 1)
            for key, item in value.items()
            if key != "guards_code"
        }
    if isinstance(value, list):
        return [_examined(item, field, depth - 1) for item in value]
    if isinstance(value, str):
        _check_text(value, field)
    return value


def _checked_key(key: str, field: str) -> str:
    pattern = _NAME if field in _BY_NAME else _DOTTED
    if not pattern.fullmatch(key) or _SPECIAL.search(key):
        raise UnsafeError(f"has the name {_shown(key)}, which is none in Python")
    return key


def _check_text(text: str, field: str) -> None:
    """Check a text by the field that holds it."""
    if field == "expr_str":
        if not is_arithmetic(text):
            raise UnsafeError(f"has a size that is no arithmetic expression: {_shown(text)}")
    elif field in ("in_spec", "out_spec"):
        _check_structure(text, _NAME if field == "in_spec" else _LABEL)
    elif field in ("target", "as_operator"):
        _check_operator(text, higher_order=field == "target")
    elif field == "nn_module_stack":
        if not all(map(_STACK_ENTRY.fullmatch, text.split(";"))):
            raise UnsafeError(f"has a module of the name {_shown(text)}, which is none in Python")
    else:
        text_of_field = {"as_string": _TEXT, "as_strings": _TEXT, "torch_version": _VERSION}
        pattern = text_of_field.get(field, _NAME if field in _NAMES else _DOTTED)
        if not pattern.fullmatch(text) or (pattern is not _TEXT and _SPECIAL.search(text)):
            raise UnsafeError(f"has the name {_shown(text)}, which is none in Python")


def _check_operator(name: str, *, higher_order: bool) -> None:
    found = _OPERATOR.fullmatch(name)
    if found is None:
        if not _ON_NUMBERS.fullmatch(name):
            raise UnsafeError(f"calls {_shown(name)}, which is no operator of torch")
        return
    namespace, operator = found[1], found[2]
    if namespace == "higher_order" and higher_order and operator in _HIGHER_ORDER:
        return
    reason = reason_against(namespace, operator)
    if reason:
        raise UnsafeError(f"cannot be trusted: {reason}")


def _check_structure(text: str, keys: re.Pattern[str]) -> None:
    """Check the description of how inputs or outputs are nested, which is a JSON text inside the JSON."""
    try:
        _protocol, structure = json.loads(text)
        _check_container(structure, keys, _DEEPEST)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UnsafeError("is damaged: the structure of its inputs or outputs is no JSON") from error


def _check_container(structure: dict[str, Any], keys: re.Pattern[str], depth: int) -> None:
    if depth == 0:
        raise UnsafeError(f"is damaged: its inputs are nested more than {_DEEPEST} deep")
    kind, context = structure["type"], structure["context"]
    if kind is not None:
        if kind not in _CONTAINERS:
            raise UnsafeError(
                f"takes or returns {_shown(str(kind))}: only tensors, tuples, lists and dictionaries are read"
            )
        names = json.loads(context) if isinstance(context, str) else context
        if names is not None and not (
            isinstance(names, list)
            and all(isinstance(key, int) or (isinstance(key, str) and keys.fullmatch(key)) for key in names)
        ):
            raise UnsafeError(f"has inputs or outputs of odd names: {_shown(str(names))}")
    for child in structure["children_spec"]:
        _check_container(child, keys, depth - 1)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
