"""Values that depend on one letter of the sequence each, and their products with one-hot rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# The place of an element that no letter decides, such as that of a special token.
NO_LETTER = -1


class PlacesDifferError(Exception):
    """An element would depend on letters at two places."""


@dataclass(frozen=True)
class Letterwise:
    """A tensor of which each element depends on the letter at one place of its sequence.

    Attributes
    ----------
    values : tuple of Tensor [...]
        One tensor for each letter: the values if that letter were at every place.
    places : Tensor of int64 [...]
        The place of each element's letter, row x L + position; `NO_LETTER` where the element is the same for
        all letters. It has the shape of the values.
    """

    values: tuple[Tensor, ...]
    places: Tensor

    @property
    def is_floating(self) -> bool:
        return self.values[0].is_floating_point()

    @property
    def is_constant(self) -> bool:
        """True if the values are the same for all letters."""
        first, *others = self.values
        return all(torch.equal(first, other) for other in others)

    def single_values(self) -> list[Tensor] | None:
        """Return the one value (0-dim) that each letter has at all places; None where places differ.

        The result is also None if some elements depend on no letter.
        """
        if bool((self.places == NO_LETTER).any()):
            return None
        first = [value.flatten()[0] for value in self.values]
        same = all(bool((value == one).all()) for value, one in zip(self.values, first, strict=True))
        return first if same else None


def common_places(tensors: Sequence[Letterwise], shape: torch.Size) -> Tensor:
    """Return the places of the elements of a result that was computed element by element.

    Parameters
    ----------
    tensors : sequence of Letterwise
        The arguments, whose shapes can be broadcast to the result's.
    shape : torch.Size
        The shape of the result.

    Raises
    ------
    PlacesDifferError
        If an element of the result depends on letters at two places.
    """
    places = tensors[0].places.expand(shape)
    for other in tensors[1:]:
        further = other.places.expand(shape)
        both = (places != NO_LETTER) & (further != NO_LETTER)
        if bool((both & (places != further)).any()):
            raise PlacesDifferError
        places = torch.where(places == NO_LETTER, further, places)
    return places


class OneHotRows:
    """The letters of a batch as one-hot rows, which other rows are taken from.

    Parameters
    ----------
    x : Tensor [N, letters, L]
        One-hot along axis 1. All that is computed from this tensor here uses operations that move values, and
        matrix products.
    """

    def __init__(self, x: Tensor) -> None:
        self.rows, self.letters, self.length = x.shape
        self._rows = x.transpose(1, 2)

    def places(self, device: torch.device) -> Tensor:
        """Return the places [N, L] of the ids themselves."""
        return torch.arange(self.rows * self.length, device=device).view(self.rows, self.length)

    def at(self, places: Tensor) -> Tensor:
        """Return the one-hot rows [..., letters] at these places [...]; zeros where there is no letter."""
        in_row = self._in_row(places)
        if in_row is not None:
            found = _chosen(self._rows, 1, in_row.flatten(), self.length)
        else:
            every = self._rows.reshape(self.rows * self.length, self.letters)
            found = _chosen(every, 0, places.flatten(), len(every))
        return found.reshape(*places.shape, self.letters)

    def product(self, tensor: Letterwise, dtype: torch.dtype) -> Tensor:
        """Return the values [...] of a tensor as a product of one-hot rows with a table of its values.

        Elements that depend on no letter are added as constants.
        """
        shape = tensor.places.shape
        alike = [axis for axis in range(len(shape)) if _is_alike_along(tensor.places, axis)]
        along = [axis for axis in range(len(shape)) if axis not in alike]
        order = along + alike
        places = tensor.places.permute(order)
        for _ in alike:
            places = places[..., 0]
        values = torch.stack([value.permute(order) for value in tensor.values]).to(dtype)
        # From here on places are [P...], and values are [letters, P..., table...].
        rows = self.at(places).to(dtype)
        product = _with_one_table(rows, values, places)
        if product is None:
            each = rows.movedim(-1, 0).reshape(len(values), *places.shape, *(1 for _ in alike))
            product = (each * values).sum(0)
        fixed = (places == NO_LETTER).reshape(*places.shape, *(1 for _ in alike))
        if bool(fixed.any()):
            product = product + values[0].masked_fill(~fixed, 0)
        back = sorted(range(len(order)), key=order.__getitem__)
        return product.permute(back)

    def _in_row(self, places: Tensor) -> Tensor | None:
        """Return the positions [...] of places [N, ...] if they are the same in each row; else None."""
        if places.dim() == 0 or len(places) != self.rows:
            return None
        starts = torch.arange(self.rows, device=places.device) * self.length
        positions = places - starts.reshape(-1, *(1 for _ in places.shape[1:]))
        positions = positions.masked_fill(places == NO_LETTER, NO_LETTER)
        inside = (positions >= 0) & (positions < self.length) | (places == NO_LETTER)
        same = bool(inside.all()) and torch.equal(positions, positions[:1].expand_as(positions))
        return positions[0] if same else None


def _chosen(rows: Tensor, axis: int, wanted: Tensor, count: int) -> Tensor:
    """Return rows by their places along an axis of `count`; a row of zeros for `NO_LETTER`."""
    if torch.equal(wanted, torch.arange(count, device=wanted.device)):
        return rows
    if bool((wanted == NO_LETTER).any()):
        rows = torch.constant_pad_nd(rows, (0, 0, 0, 1))
        wanted = wanted.masked_fill(wanted == NO_LETTER, count)
    return rows.index_select(axis, wanted)


def _is_alike_along(places: Tensor, axis: int) -> bool:
    return places.shape[axis] > 1 and torch.equal(places, places.narrow(axis, 0, 1).expand_as(places))


def _with_one_table(rows: Tensor, values: Tensor, places: Tensor) -> Tensor | None:
    """Return rows [P..., letters] @ table; None where values [letters, P..., table...] are no one table."""
    used = (places != NO_LETTER).flatten()
    table_shape = values.shape[1 + places.dim() :]
    flat = values.reshape(len(values), len(used), table_shape.numel())[:, used]
    if not flat.shape[1]:
        return rows.new_zeros(()).expand(*places.shape, *table_shape)
    table = flat[:, 0]
    if not torch.equal(flat, table[:, None].expand_as(flat)):
        return None
    return (rows @ table).reshape(*places.shape, *table_shape)
