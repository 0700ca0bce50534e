"""TorchScript archives: torch reads only content that was examined.

To load an archive, torch compiles its code, computes default arguments, and calls `__setstate__` methods. The
code may call any operator of torch, also operators that write files. This module therefore examines the code
first, as text. TorchScript uses a part of Python's grammar. Only tokens that both languages read alike are
allowed, so that torch compiles exactly the code that was examined.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from deeplift_cli.errors import UserError
from deeplift_cli.models.examination.archive import Archive, is_version, put_together
from deeplift_cli.models.examination.operators import REACHING_OUT, reason_against
from deeplift_cli.models.examination.pickles import check_tensors

if TYPE_CHECKING:
    import torch

_REMEDY = (
    "export the model without that, for instance to ONNX, or give --allow-pickle if you trust where the file "
    "comes from"
)
_SMALL = ("version", "byteorder", ".data/version", ".format_version")
_STRING = re.compile(r""""([^"\\\n]|\\[^\n])*"|'([^'\\\n]|\\[^\n])*'""")
_CODE = re.compile(r"code/[\w./]+\.py", re.ASCII)
# Classes in C++ that only hold weights.
_CLASSES = re.compile(r"__torch__\.torch\.classes\.(quantized|sparse|xnnpack)\.\w+", re.ASCII)
_ALL_CLASSES = "__torch__.torch.classes"
# Functions that default arguments may call; torch computes default arguments when it loads the file.
_IN_DEFAULTS = {"annotate", "float", "int", "torch.device"}
_DEEPEST = 200


def examined_archive(path: Path) -> BinaryIO:
    """Return an archive of the same TorchScript that torch can load without any effect outside the archive.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    binary file
        The archive in memory, at its start.

    Raises
    ------
    UserError
        If the code calls an operator that reads or writes files or is not torch's own, or the file is damaged
        or needs more memory than there is.
    """
    with Archive(path, str(path)) as archive:
        members: dict[str, bytes] = {}
        for name in archive.names:
            if name.startswith("code/") and name.endswith(".py"):
                members[name] = _examined_code(path, name, archive.read(name))
            elif name in _SMALL or name.startswith(("data/", "constants/")):
                members[name] = archive.read(name)
                if name in _SMALL and not is_version(members[name]):
                    raise UserError(f"model file {path} is damaged: its member {name} is no version")
        for pickled in ("data", "constants"):
            found = check_tensors(archive, f"{pickled}.pkl", f"{pickled}/")
            for name in sorted(found):
                _check_class(path, f"{pickled}.pkl", name)
            members[f"{pickled}.pkl"] = archive.read(f"{pickled}.pkl")
        return put_together(members)


def check_graph(path: Path, graph: "torch.Graph") -> None:
    """Check the operators of a graph that torch compiled, before it runs.

    Parameters
    ----------
    path : pathlib.Path
    graph : torch.Graph
        The graph, in which all called functions are inlined.

    Raises
    ------
    UserError
        If an operator reads or writes files or is not torch's own.
    """
    for node in _nodes(graph):
        namespace, _, name = node.kind().partition("::")
        reason = reason_against(namespace, name)
        if reason:
            raise UserError(f"TorchScript file {path} cannot be trusted: {reason}; {_REMEDY}")


def _nodes(block: Any) -> Iterator[Any]:
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from _nodes(inner)


def _examined_code(path: Path, member: str, content: bytes) -> bytes:
    """Return the code of a member; raise UserError if the code uses anything but operators on tensors."""
    if not _CODE.fullmatch(member):
        raise UserError(f"TorchScript file {path} is damaged: a member has the name {member!r}")
    try:
        text = content.decode("ascii")
        _check_tokens(text)
        tree = ast.parse(text)
        _Calls().check(tree)
    except (UnicodeDecodeError, SyntaxError, tokenize.TokenError, ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error) or type(error).__name__
        raise UserError(
            f"TorchScript file {path} cannot be trusted: the code in {member} cannot be examined ({reason}); "
            f"{_REMEDY}"
        ) from error
    except _ReachesOutError as error:
        raise UserError(
            f"TorchScript file {path} cannot be trusted: {error} ({member}, line {error.line}); {_REMEDY}"
        ) from error
    return content


class _ReachesOutError(Exception):
    def __init__(self, node: ast.AST, reason: str) -> None:
        super().__init__(reason)
        self.line = getattr(node, "lineno", 0)


def _check_tokens(text: str) -> None:
    """Refuse tokens that Python and TorchScript may read differently."""
    if "\\\n" in text or "\r" in text or "\f" in text or "\t" in text:
        raise ValueError("it has a continued line or a character that TorchScript never writes")
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT or token.string == ";":
            raise ValueError(f"line {token.start[0]} has a comment or two statements")
        if token.type == tokenize.STRING and not _STRING.fullmatch(token.string):
            raise ValueError(f"line {token.start[0]} has text in a form that is none of TorchScript's")


class _Calls:
    """Checks code, and raises an error at a name that is no operator of torch on tensors."""

    def check(self, node: ast.AST, depth: int = _DEEPEST) -> None:
        if depth == 0:
            raise ValueError("it is nested too deep")
        if isinstance(node, ast.Attribute):
            if self._own_name(node):
                return
            self._check_attribute(node, node.attr)
            if isinstance(node.value, ast.Attribute) and _is_name(node.value.value, "ops"):
                self._check_operator(node, node.value.attr, node.attr)
                return
        elif isinstance(node, ast.Name) and node.id in ("ops", *REACHING_OUT):
            raise _ReachesOutError(node, f"it takes {node.id} other than to call an operator")
        elif isinstance(node, ast.Call) and _is_name(node.func, "getattr"):
            self._check_getattr(node)
        elif isinstance(node, ast.FunctionDef):
            for value in (*node.args.defaults, *filter(None, node.args.kw_defaults)):
                self._check_value(value)
        elif isinstance(node, ast.ClassDef):
            for statement in node.body:
                if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
                    self._check_class_value(statement)
        elif isinstance(node, ast.Import | ast.ImportFrom | ast.Lambda | ast.AsyncFunctionDef | ast.Await):
            raise _ReachesOutError(node, f"it has a statement of Python ({type(node).__name__})")
        for child in ast.iter_child_nodes(node):
            self.check(child, depth - 1)

    def _own_name(self, node: ast.Attribute) -> bool:
        """Return whether this is a class or function of the archive, or a class in C++ that may be used."""
        name = _dotted(node)
        if name is None or not name.startswith("__torch__."):
            return False
        if f"{name}.".startswith(f"{_ALL_CLASSES}.") and not _CLASSES.match(name):
            raise _ReachesOutError(
                node, f"it uses {name.removeprefix('__torch__.')}, a class that is not in the file"
            )
        return True

    def _check_attribute(self, node: ast.AST, name: str) -> None:
        if name in REACHING_OUT:
            raise _ReachesOutError(node, f"it calls {name}, which reads or writes files")

    def _check_operator(self, node: ast.AST, namespace: str, name: str) -> None:
        reason = reason_against(namespace, name)
        if reason:
            raise _ReachesOutError(node, reason)

    def _check_getattr(self, node: ast.Call) -> None:
        name = node.args[1] if len(node.args) == 2 else None
        if not isinstance(name, ast.Constant) or not isinstance(name.value, str):
            raise _ReachesOutError(node, "it takes an attribute of a computed name")
        self._check_attribute(node, name.value)

    def _check_class_value(self, statement: ast.Assign | ast.AnnAssign) -> None:
        """Check a constant of a class; the annotation of a numbered attribute is a type."""
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        if isinstance(targets[0], ast.Subscript) and _is_name(targets[0].value, "__annotations__"):
            return
        if statement.value is not None:
            self._check_value(statement.value)

    def _check_value(self, node: ast.AST) -> None:
        """Check a value that is computed while the file is loaded: numbers, text, containers of these."""
        for part in ast.walk(node):
            if isinstance(part, ast.Call) and _dotted(part.func) not in _IN_DEFAULTS:
                raise _ReachesOutError(part, "it calls a function in a default argument or a constant")


def _check_class(path: Path, member: str, name: str) -> None:
    if name.startswith(f"{_ALL_CLASSES}.") and not _CLASSES.fullmatch(name):
        raise UserError(
            f"TorchScript file {path} cannot be trusted: {member} has an object of the class "
            f"{name.removeprefix('__torch__.')}; {_REMEDY}"
        )


def _is_name(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _dotted(node: ast.AST) -> str | None:
    """Return a dotted name as text; None if the node is no dotted name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        base = _dotted(node.value)
        return None if base is None else f"{base}.{node.attr}"
    return None
