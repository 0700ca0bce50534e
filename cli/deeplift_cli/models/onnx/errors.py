"""What goes wrong in converting a file, as one line that names the file and the node.

The libraries that read, infer, evaluate and convert ONNX files raise whatever a damaged or hostile file makes
them run into. The exceptions of these libraries are caught in one place, `conversion_errors`; `about` says
which node an exception is about.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from onnx import NodeProto

from deeplift_cli.errors import UserError
from deeplift_cli.models.probing import message_of
from deeplift_cli.process.failures import is_about_memory
from deeplift_cli.process.terminal_text import printable

_LONGEST = 300  # characters of a message that a library raised


@contextmanager
def about(node: NodeProto) -> Iterator[None]:
    """Note on any exception which node it is about; the innermost node counts.

    Parameters
    ----------
    node : onnx.NodeProto
    """
    try:
        yield
    except Exception as error:
        if not getattr(error, "__notes__", ()):
            error.add_note(f"node {node.name or '(without a name)'} ({node.op_type})")
        raise


@contextmanager
def conversion_errors(path: Path) -> Iterator[None]:
    """Turn whatever exception a file causes into one line about this file.

    Parameters
    ----------
    path : pathlib.Path

    Raises
    ------
    UserError
    """
    try:
        yield
    except UserError as error:
        said = str(error) if str(path) in str(error) else f"{path}: {error}{_node(error)}"
        raise UserError(printable(said)) from error
    except RecursionError as error:
        raise UserError(
            printable(f"{path} cannot be converted: it is nested too deeply{_node(error)}")
        ) from error
    except Exception as error:
        if is_about_memory(error):
            said = f"there is not enough memory to convert {path}{_node(error)}"
        else:
            said = f"{path} cannot be converted: {brief(error)}{_node(error)}"
        raise UserError(printable(said)) from error


def brief(error: BaseException) -> str:
    """Return an exception's message as one line that is not too long."""
    text = " ".join(message_of(error).split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _node(error: BaseException) -> str:
    notes = getattr(error, "__notes__", ())
    return f", in {notes[0]}" if notes else ""
