"""The value of an input that is not the sequence, and the model with such values inside.

A sequence and its references have these values in common, so that they get no contributions. Values that all
records share are constants inside the module. Values that differ by record are further inputs of the module,
which `deeplift_core` takes for constants of each row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

Shape = tuple[int | None, ...]


@dataclass(frozen=True, eq=False)
class FurtherValue:
    """The value of one input.

    Attributes
    ----------
    shape : tuple of (int or None)
        The shape for one record; None is the length of the sequence.
    content : float or array
        A number that fills the shape, an array of this shape, or an array with a row of this shape for each
        record of the input file.
    by_record : bool
        True if the array has a row for each record.
    has_rows : bool
        The value is False for an input that has no axis of rows, such as a single number for the whole batch.
    dtype : torch.dtype or None
        The type that the model takes; None for the precision of the sequence.
    """

    shape: Shape
    content: float | npt.NDArray[Any]
    by_record: bool = False
    dtype: torch.dtype | None = None
    has_rows: bool = True

    @property
    def n_records(self) -> int:
        """The number of records for which there are values; 1 if all records share one."""
        return len(self.content) if self.by_record and isinstance(self.content, np.ndarray) else 1

    def rows(self, records: npt.NDArray[np.integer[Any]]) -> Tensor:
        """Return the rows of these records, for a value that differs by record."""
        assert isinstance(self.content, np.ndarray)
        return _tensor(self.content[records])

    def shared(self, x: Tensor) -> Tensor:
        """Return the value for every row of a batch of sequences: the first record's if records differ."""
        if isinstance(self.content, np.ndarray):
            value = _tensor(self.content[0] if self.by_record else self.content)
        else:
            shape = [positions(x) if n is None else n for n in self.shape]
            value = torch.full(shape, self.content, dtype=torch.float64)
        # A model may change its input in place, so that every call gets values of its own.
        value = value.to(x.device)
        return self.as_input((value.expand(len(x), *value.shape) if self.has_rows else value).clone(), x)

    def as_input(self, value: Tensor, x: Tensor) -> Tensor:
        """Return values in the type that the model takes."""
        if self.dtype is None or self.dtype.is_floating_point:
            return value.to(x.dtype if x.is_floating_point() else torch.get_default_dtype())
        return value.round().to(self.dtype) if value.is_floating_point() else value.to(self.dtype)


def positions(x: Tensor) -> int:
    """Return L of sequences in whatever layout: one-hot with axes of its own or flattened, or token ids."""
    if x.dim() == 2:
        return x.shape[1] // 4 if x.is_floating_point() else x.shape[1]
    return max(x.shape[1:])


class WithFurtherInputs(nn.Module):
    """A model of the sequence, with values for its other inputs.

    Its modules have the names that they have in the model, for layer rules and messages.

    Parameters
    ----------
    model : torch.nn.Module
    names : sequence of str
        The inputs in the order in which ``forward`` takes them.
    sequence : str
        The input that is the sequence.
    values : mapping of str to FurtherValue
        The other inputs.
    by_name : bool
        True if ``forward`` takes its inputs by name.
    """

    def __init__(
        self,
        model: nn.Module,
        names: Sequence[str],
        sequence: str,
        values: Mapping[str, FurtherValue],
        *,
        by_name: bool,
    ) -> None:
        super().__init__()
        self._model = [model]  # in a list, so that torch does not put its name before those of its modules
        self._names, self._sequence, self._values, self._by_name = tuple(names), sequence, values, by_name
        for name, module in model.named_children():
            self._modules[name] = module
        for name, parameter in model.named_parameters(recurse=False):
            self._parameters[name] = parameter
        for name, buffer in model.named_buffers(recurse=False):
            self._buffers[name] = buffer
        self.training = False  # modules of torch.export refuse eval()

    def forward(self, x: Tensor, *by_record: Tensor) -> Any:
        """Run the model; without values by record, every row has those of the first record."""
        rows = iter(by_record)
        inputs = {
            name: value.as_input(next(rows), x) if value.by_record and by_record else value.shared(x)
            for name, value in self._values.items()
        }
        inputs[self._sequence] = x
        (model,) = self._model
        if self._by_name:
            return model(**inputs)
        return model(*(inputs[name] for name in self._names))


def _tensor(values: npt.NDArray[Any]) -> Tensor:
    """Return values of a file as a tensor of a type that torch knows, in the byte order of this machine."""
    kind = {"b": np.dtype(bool), "f": np.dtype(np.float64 if values.dtype.itemsize > 4 else np.float32)}
    return torch.from_numpy(np.array(values, kind.get(values.dtype.kind, np.dtype(np.int64))))
