"""A web server on this machine for a browser's folder, with byte ranges.

The server of Python's library gives whole files only, while igv.js reads parts of files that may have
gigabytes. The server of this module answers requests for the files that the folder lists, and only to
programs on this machine.
"""

import json
import os
import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from deeplift_cli.browser.contents import FILES, PAGE
from deeplift_cli.errors import UserError

HOST = "127.0.0.1"
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".bed": "text/plain; charset=utf-8",
    ".fai": "text/plain; charset=utf-8",
    ".json": "application/json",
    ".xml": "application/xml",
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # as `names.file_names` makes them
_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)
_PIECE = 2**18
_FORMAT = "deeplift-browser"


def files_of(folder: Path) -> list[str]:
    """Return the names of the files in a folder that `deeplift browser` made.

    Raises
    ------
    UserError
        If the folder was not made by `deeplift browser`.
    """
    path = folder / FILES
    try:
        found = json.loads(path.read_bytes())
        names = found["files"]
        if found["format"] == _FORMAT and all(map(_NAME.fullmatch, names)):
            return list(names)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise UserError(f"{folder} is not a folder that deeplift browser made: it has no usable {FILES}")


def list_of_files(names: list[str]) -> bytes:
    """Return the content of the file that lists a folder's files."""
    return json.dumps({"format": _FORMAT, "files": names}, indent=2).encode() + b"\n"


def open_server(folder: Path, port: int) -> ThreadingHTTPServer:
    """Open a server for a folder that `deeplift browser` made.

    Parameters
    ----------
    folder : Path
        The folder.
    port : int
        The port on 127.0.0.1; 0 takes one that is free.

    Raises
    ------
    UserError
        If the folder was not made by `deeplift browser`, or the port cannot be used.
    """
    files = {f"/{name}": folder / name for name in files_of(folder)}
    files["/"] = folder / PAGE
    try:
        return _Server((HOST, port), type("Handler", (_Handler,), {"files": files}))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"port {port} of {HOST} cannot be used: {reason}; give another to --serve") from error


def serve(server: ThreadingHTTPServer, say: Callable[[str], None]) -> None:
    """Serve until the program is stopped; `say` is called with the address once the server answers."""
    with server:
        say(f"http://{HOST}:{server.server_address[1]}/")
        server.serve_forever()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent about a browser that closes a connection early, which browsers do all the time."""


class _Handler(BaseHTTPRequestHandler):
    """Answers to requests for `files`, by the path of the request."""

    files: Mapping[str, Path]  # set by a class of its own for each server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(with_content=True)

    def do_HEAD(self) -> None:
        self._answer(with_content=False)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the library's
        pass

    def _answer(self, *, with_content: bool) -> None:
        # A page of another host whose name was made to lead to this machine must not read the files.
        host = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
        if host not in (HOST, "localhost"):
            self._refuse(HTTPStatus.FORBIDDEN)
            return
        path = self.files.get(unquote(urlsplit(self.path).path))
        # The folder has no links; one that came from elsewhere may lead to a file of the user.
        if path is None or path.is_symlink():
            self._refuse(HTTPStatus.NOT_FOUND)
            return
        try:
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                part = _part(self.headers.get("Range"), size)
                if part is None:
                    self._refuse(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, size)
                    return
                start, end = part
                self._head(path, start, end, size)
                if with_content:
                    file.seek(start)
                    self._send(file, end - start)
        except FileNotFoundError:
            self._refuse(HTTPStatus.NOT_FOUND)

    def _head(self, path: Path, start: int, end: int, size: int) -> None:
        whole = self.headers.get("Range") is None
        self.send_response(HTTPStatus.OK if whole else HTTPStatus.PARTIAL_CONTENT)
        self.send_header("Content-Type", _KINDS.get(path.suffix, "application/octet-stream"))
        self.send_header("Content-Length", str(end - start))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Cache-Control", "no-store")  # the next folder may be served at the same port
        self.send_header("X-Content-Type-Options", "nosniff")
        if not whole:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        self.end_headers()

    def _send(self, file: Any, count: int) -> None:
        while count and (piece := file.read(min(count, _PIECE))):
            self.wfile.write(piece)
            count -= len(piece)
        if count:  # the file became shorter: the promised length cannot be kept
            self.close_connection = True

    def _refuse(self, status: HTTPStatus, size: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        if size is not None:
            self.send_header("Content-Range", f"bytes */{size}")
        self.end_headers()


def _part(header: str | None, size: int) -> tuple[int, int] | None:
    """Return the first byte and the byte after the last that a Range header asks for; None if there is none.

    Several ranges in one header, which igv.js never sends, are not supported.
    """
    if header is None:
        return 0, size
    match = _RANGE.fullmatch(header.strip())
    if match is None or match[0] == "bytes=-":
        return None
    if not match[1]:  # the last bytes of the file
        start, end = max(size - int(match[2]), 0), size
    else:
        start, end = int(match[1]), min(int(match[2]) + 1 if match[2] else size, size)
    return (start, end) if start < end else None
