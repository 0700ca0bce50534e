"""Places in the user's source code, for messages."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import torch

_OWN_FOLDERS = (str(Path(torch.__file__).parent), str(Path(__file__).parents[1]))


def run_user_code(function: Callable[..., Any], *args: Any) -> Any:
    """Call ``function``. This frame marks where the model's own frames begin.

    Raises
    ------
    RuntimeError
        If the code ends the process (``sys.exit``), which a model must not do.
    Exception
        Any other exception of the code.
    """
    try:
        return function(*args)
    except SystemExit as error:
        raise RuntimeError(f"the model's code ends the process: SystemExit: {error}") from error


def source_line() -> str:
    """Return ``file:line`` of the innermost frame of the model's own code; "" if all frames are torch's."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code is not run_user_code.__code__:
        if _of_the_model(frame):
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


def source_of(traceback: TracebackType | None) -> str:
    """Return ``file:line`` of the innermost frame of the model's own code in an exception's traceback."""
    place = ""
    while traceback is not None:
        if _of_the_model(traceback.tb_frame):
            place = f"{traceback.tb_frame.f_code.co_filename}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return place


def _of_the_model(frame: FrameType) -> bool:
    file = frame.f_code.co_filename
    return not file.startswith(_OWN_FOLDERS) and not file.startswith("<")
