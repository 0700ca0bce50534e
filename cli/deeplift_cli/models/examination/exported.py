"""Archives of exported programs (.pt2): torch reads only content that was examined."""

import json
import re
from pathlib import Path
from typing import Any, BinaryIO

from deeplift_cli.errors import UserError
from deeplift_cli.models.examination.archive import Archive, is_version, put_together, require_memory
from deeplift_cli.models.examination.pickles import saved_again
from deeplift_cli.models.examination.program import UnsafeError, examined

_REMEDY = (
    "save the model again with torch.export.save, with tensors alone as weights, constants and example "
    "inputs, or give --allow-pickle if you trust where the file comes from"
)
_COMPILED = re.compile(r"(^|/)(aotinductor|executorch|mtia)/|\.(so|o|a|dll|dylib|pyd|cubin|cpp|pyc|py)$")
_PROGRAM = "models/model.json"
_INPUTS = "data/sample_inputs/model.pt"
_FOLDERS = {"data/weights/": "weights", "data/constants/": "constants"}
_VERSIONS = ("archive_format", "archive_version", "byteorder", ".data/version", "version")
# The layout of torch 2.7 and earlier.
_OLD_PROGRAM = "serialized_exported_program.json"
_OLD_PICKLES = {
    "serialized_state_dict.pt": "weights",
    "serialized_constants.pt": "constants",
    "serialized_state_dict.json": "weights",
    "serialized_constants.json": "constants",
}
_OLD_INPUTS = "serialized_example_inputs.pt"
_LARGEST_ELEMENT = 16


def refuse_compiled_code(path: Path) -> None:
    """Refuse an archive with compiled code.

    Raises
    ------
    UserError
        If a member of the archive is compiled code.
    """
    with Archive(path, str(path)) as archive:
        compiled = next((name for name in archive.names if _COMPILED.search(name)), None)
    if compiled is not None:
        raise UserError(
            f"model file {path} has compiled code in it ({compiled}), which deeplift does not run: save the "
            "program with torch.export.save, not as a package of AOTInductor"
        )


def examined_archive(path: Path) -> BinaryIO:
    """Return an archive of the same program that loads without running code.

    Example inputs are checked and left out, since torch would generate code from guards if there were any.

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
        If the file could run code, is damaged, or needs more memory than there is.
    """
    with Archive(path, str(path)) as archive:
        try:
            if _OLD_PROGRAM in archive.names:
                return put_together(_old_members(archive), top="")
            return put_together(_members(archive))
        except UnsafeError as error:
            raise UserError(f"model file {path} {error}; {_REMEDY}") from error


def _members(archive: Archive) -> dict[str, bytes]:
    members = _versions(archive)
    members[_PROGRAM] = examined(archive.read(_PROGRAM))
    members[_INPUTS] = _no_inputs(archive, _INPUTS)
    for folder, kind in _FOLDERS.items():
        whole = f"{folder}model.pt"
        if whole in archive.names:
            members[whole] = _tensors(archive, whole, kind)
        else:
            members.update(_payload(archive, folder, kind))
    return members


def _payload(archive: Archive, folder: str, kind: str) -> dict[str, bytes]:
    """Return the table of weights or constants, and the members that it names."""
    name = f"{folder}model_{kind}_config.json"
    text = examined(archive.read(name))
    members = {name: text}
    table = json.loads(text)
    entries = table.get("config") if isinstance(table, dict) else None
    if not isinstance(entries, dict):
        raise UnsafeError(f"is damaged: {name} is no table of {kind}")
    for entry in entries.values():
        file, pickled, meta = entry.get("path_name"), entry.get("use_pickle"), entry.get("tensor_meta")
        if not isinstance(file, str) or file.startswith(("custom_obj", "opaque_obj")):
            raise UnsafeError(f"has objects among its {kind} that are no tensors ({file})")
        member = f"{folder}{file}"
        if pickled:
            members[member] = _tensors(archive, member, kind)
        else:
            _check_size(archive.label, meta)
            members[member] = archive.read(member)
    return members


def _check_size(label: str, meta: Any) -> None:
    """Refuse a tensor with strides of 0 or the like that takes few bytes in the file but too much memory."""
    count = 1
    try:
        for size in meta["sizes"]:
            count *= int(size["as_int"])
    except (KeyError, TypeError, ValueError) as error:
        raise UnsafeError("is damaged: a weight has no size in numbers") from error
    require_memory(label, count * _LARGEST_ELEMENT)


def _tensors(archive: Archive, member: str, kind: str) -> bytes:
    try:
        return saved_again(f"{archive.label}: the member {member} ({kind})", archive.read(member))
    except UserError as error:
        raise UserError(f"{error}: {_REMEDY}") from error


def _no_inputs(archive: Archive, member: str) -> bytes:
    """Check the example inputs, and return empty content in their place."""
    if archive.size(member):
        _tensors(archive, member, "example inputs")
    return b""


def _old_members(archive: Archive) -> dict[str, bytes]:
    members = _versions(archive)
    members[_OLD_PROGRAM] = examined(archive.read(_OLD_PROGRAM))
    members[_OLD_INPUTS] = _no_inputs(archive, _OLD_INPUTS)
    for name, kind in _OLD_PICKLES.items():
        if name in archive.names:
            content = archive.read(name)
            members[name] = _tensors(archive, name, kind) if content else content
    return members


def _versions(archive: Archive) -> dict[str, bytes]:
    """Return the small members with the version of the program and the format of the archive."""
    found = {name: archive.read(name) for name in _VERSIONS if name in archive.names}
    for name, content in found.items():
        if not is_version(content):
            raise UnsafeError(f"is damaged: its member {name} is no version")
    return found
