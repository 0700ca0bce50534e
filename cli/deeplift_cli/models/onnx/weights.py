"""Weights inside the file and beside it: that their bytes are there, and as many as their shapes say."""

import math
from collections.abc import Iterator
from pathlib import Path

import onnx
from onnx import ModelProto, TensorProto, external_data_helper

from deeplift_cli.errors import UserError
from deeplift_cli.process.memory import in_words

# Elements that take less than a byte.
_BITS = {
    getattr(TensorProto, name): bits
    for name, bits in (("INT4", 4), ("UINT4", 4), ("FLOAT4E2M1", 4), ("INT2", 2), ("UINT2", 2))
    if hasattr(TensorProto, name)
}
# A number of more digits is no place in a file.
_MOST_DIGITS = 19


def load_external_data(path: Path, model: ModelProto, memory: int) -> list[Path]:
    """Read the weights that lie beside a file into its model.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    model : onnx.ModelProto
        Its model, which gets the weights.
    memory : int
        Bytes that weights may take.

    Returns
    -------
    list of pathlib.Path
        The files that hold weights.

    Raises
    ------
    UserError
        Where such a file is missing, no plain file, in another folder or too short, or weights are too large.
    """
    outside = [tensor for tensor in _tensors(model) if external_data_helper.uses_external_data(tensor)]
    files: dict[str, Path] = {}
    total = 0
    for tensor in outside:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        if location not in files:
            files[location] = _plain_file(path, tensor.name, location)
        total += _require_bytes(path, tensor, entries, files[location])
    if total > memory:
        raise UserError(
            f"the weights of {path} take {in_words(total)}, and there is memory for {in_words(memory)}"
        )
    external_data_helper.load_external_data_for_model(model, str(path.parent))
    return [files[location] for location in sorted(files)]


def _plain_file(path: Path, tensor: str, location: str) -> Path:
    where = f"{path} keeps weight {tensor} in"
    parts = Path(location).parts
    if not parts or Path(location).is_absolute() or ".." in parts or "\0" in location:
        raise UserError(
            f"{where} {location or 'a file without a name'!r}, which is no name inside the model's folder; "
            "save model and weights in one folder"
        )
    part = path.parent / location
    folders = [path.parent.joinpath(*parts[:count]) for count in range(1, len(parts) + 1)]
    if any(folder.is_symlink() for folder in folders):
        raise UserError(f"{where} {part}, which is a link; copy the file itself into the model's folder")
    if not part.exists():
        raise UserError(f"{where} {part}, which does not exist; keep both files together")
    if not part.is_file():
        raise UserError(f"{where} {part}, which is no plain file")
    return part


def _require_bytes(path: Path, tensor: TensorProto, entries: dict[str, str], part: Path) -> int:
    """Refuse a tensor whose part of a file is not there; return the number of its bytes."""
    size = part.stat().st_size
    start, length = (_number(path, tensor.name, entries, key) for key in ("offset", "length"))
    start = start or 0
    length = max(size - start, 0) if length is None else length
    if start + length > size or start > size:
        raise UserError(
            f"weight {tensor.name} of {path} lies at bytes {start:,} to {start + length:,} of {part}, which "
            f"has {size:,}: the file is cut short, or belongs to another model"
        )
    _require_length(path, tensor, length)
    return length


def _number(path: Path, tensor: str, entries: dict[str, str], key: str) -> int | None:
    text = entries.get(key)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        shown = text if len(text) <= 40 else text[:37] + "..."
        raise UserError(f"the {key} of weight {tensor} of {path} is {shown!r}, which is no number of bytes")
    return int(text)


def require_whole_weights(path: Path, model: ModelProto) -> None:
    """Refuse weights inside the file whose bytes are not as many as their shapes say.

    Raises
    ------
    UserError
    """
    for tensor in _tensors(model):
        if any(size < 0 for size in tensor.dims):
            raise UserError(f"weight {tensor.name} of {path} has the shape {list(tensor.dims)}")
        if tensor.HasField("raw_data"):
            _require_length(path, tensor, len(tensor.raw_data))


def _require_length(path: Path, tensor: TensorProto, length: int) -> None:
    bits = _bits(tensor.data_type)
    count = math.prod(tensor.dims)
    if bits is not None and length != -(-count * bits // 8):
        raise UserError(
            f"weight {tensor.name} of {path} has {length:,} bytes, but its shape {list(tensor.dims)} of type "
            f"{TensorProto.DataType.Name(tensor.data_type)} takes {-(-count * bits // 8):,}: the file is "
            "damaged"
        )


def _bits(number: int) -> int | None:
    if number in _BITS:
        return _BITS[number]
    try:
        return int(onnx.helper.tensor_dtype_to_np_dtype(number).itemsize) * 8
    except (KeyError, TypeError):
        return None  # strings, and types that ONNX itself refuses


def _tensors(model: ModelProto) -> Iterator[TensorProto]:
    """Every tensor of a model: weights, and values in the nodes' attributes."""
    yield from external_data_helper._get_all_tensors(model)
