"""A dispatch mode under which token ids are the letters of one-hot rows.

A model computes three kinds of things from token ids: other integers, element by element (masks of special
tokens, a map to complements); moves (flips, slices, special tokens in front); and look-ups (an embedding,
``one_hot``). The mode computes the first two for each letter by itself, as if this letter were at every
place, and keeps the place in the sequence of each element (:mod:`deeplift_core.tokens.letterwise`). A look-up
becomes the product of the one-hot rows at these places with the values of the letters, and a recorder sees
this product. A result that is the same for every letter is a constant. All other calls on ids are refused.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from deeplift_core.capture.exits import Exits
from deeplift_core.capture.places import source_line
from deeplift_core.errors import CaptureError
from deeplift_core.graph import op_name, tensors_in
from deeplift_core.tokens.letterwise import (
    NO_LETTER,
    Letterwise,
    OneHotRows,
    PlacesDifferError,
    common_places,
)

# These move elements, or copy them.
_MOVES = {
    "alias", "cat", "clone", "constant_pad_nd", "detach", "diagonal", "expand", "flip", "index",
    "index_select", "lift_fresh", "permute", "_reshape_alias", "repeat", "roll", "select", "slice", "split",
    "split_with_sizes", "squeeze", "stack", "t", "transpose", "unbind", "unfold", "unsqueeze", "_unsafe_view",
    "view",
}  # fmt: skip
# These are elementwise, although torch does not tag them so.
_ELEMENTWISE = {"_to_copy", "masked_fill"}
# These operations keep or replace elements, so that they make no function of a floating value.
_SELECTIONS = {"_to_copy", "masked_fill", "where"}
# These operations look up rows of a table. Each has the places of the table and of the indices among the
# arguments.
_LOOK_UPS = {"embedding": (0, 1), "index_select": (0, 2), "index": (0, 1)}
# These operations look up elements, each by itself.
_ELEMENT_LOOK_UPS = {"gather": 2, "take": 1}
_READS_SHAPE = {
    "zeros_like", "ones_like", "full_like", "empty_like", "rand_like", "randn_like", "new_zeros", "new_ones",
    "new_full", "new_empty",
}  # fmt: skip
_EXTREMES = {"min", "max", "amin", "amax", "aminmax"}


class TokenMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Replaces calls on token ids by calls on one-hot rows.

    The mode has to be entered inside a recorder's mode, which then sees these calls.

    Parameters
    ----------
    x : Tensor [N, letters, L]
        One-hot rows of the letters.
    token_ids : sequence of int
        The id of each letter.
    dtype : torch.dtype
        The integer type in which the model takes ids.

    Attributes
    ----------
    ids : Tensor [N, L]
        What the model is to be given: its values are those of the first letter, whatever the sequence is.
    refusal : CaptureError or None
        The error that was raised; TorchScript replaces it by an error of its own.
    """

    def __init__(self, x: Tensor, token_ids: Sequence[int], dtype: torch.dtype) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._rows = OneHotRows(x)
        self._known: dict[int, tuple[Tensor, Letterwise]] = {}
        self._like = x.dtype
        self.refusal: CaptureError | None = None
        places = self._rows.places(x.device)
        values = tuple(torch.full_like(places, number, dtype=dtype) for number in token_ids)
        self.ids = self._track(Letterwise(values, places))

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return False. Torch's own answer, True, would import all of dynamo, which takes over a second."""
        return False

    def leaving_torch(self) -> TorchFunctionMode:
        """Return a mode that refuses to hand ids to Python or numpy."""

        def refuse(call: str) -> NoReturn:
            self._refuse(f"hands token ids to Python or numpy ({call})")

        return Exits(self._is_known, refuse)

    def explicit(self, result: Any) -> Any:
        """Return a model's result, in which the tensors computed from ids are products with one-hot rows."""
        return tree_map(lambda leaf: self._product(leaf) if self._is_known(leaf) else leaf, result)

    def __torch_dispatch__(
        self, func: OpOverload, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run a call; with token ids among its arguments, for each letter."""
        kwargs = dict(kwargs or {})
        given = tensors_in((args, kwargs))
        found = [self._of(tensor) for tensor in given if self._is_known(tensor)]
        if not found:
            return func(*args, **kwargs)
        try:
            result = self._run(func, args, kwargs, found)
        except PlacesDifferError:
            self._refuse(f"combines token ids at different positions ({func})")
        if result is NotImplemented:
            self._refuse(f"computes with token ids in a way that is no look-up ({func})")
        return result

    # ---- the kinds of calls

    def _run(
        self, func: OpOverload, args: Sequence[Any], kwargs: dict[str, Any], found: list[Letterwise]
    ) -> Any:
        name = op_name(func)
        if name in _READS_SHAPE:
            return func(*args, **kwargs)
        if func._schema.is_mutable:
            return self._write(func, args, kwargs, found)
        if name in _LOOK_UPS and (result := self._look_up(func, args, kwargs)) is not NotImplemented:
            return result
        if name in _ELEMENT_LOOK_UPS and self._is_only_argument(args, kwargs, _ELEMENT_LOOK_UPS[name]):
            return self._of_elements(func, args, kwargs, found, lazily=False)
        if name in _MOVES and not self._mixes(name, args):
            return self._move(func, args, kwargs)
        if name == "scatter" and self._is_one_hot(args, kwargs):
            return self._of_elements(func, args, kwargs, found)
        if name in _EXTREMES and len(args) == 1 and not kwargs and not found[0].is_floating:
            # The call checks a range, and the check holds for every sequence if it holds for all letters.
            return func(torch.stack(found[0].values))
        if torch.Tag.pointwise in func.tags or name in _ELEMENTWISE:
            if self._is_of_numbers(name, args, kwargs):
                return self._of_elements(func, args, kwargs, found)
            return self._with_products(func, args, kwargs)
        if all(one.is_floating for one in found):
            return self._with_products(func, args, kwargs)
        return NotImplemented

    def _of_elements(
        self,
        func: OpOverload,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        found: list[Letterwise],
        *,
        lazily: bool = True,
    ) -> Any:
        """Run a call that acts on each element by itself."""
        results = [self._run_for(letter, func, args, kwargs) for letter in range(len(found[0].values))]
        if not all(isinstance(result, Tensor) for result in results):
            return NotImplemented
        result = Letterwise(tuple(results), common_places(found, results[0].shape))
        if result.is_constant:
            return results[0]
        return self._track(result) if lazily or not result.is_floating else self._product_of(result)

    def _move(self, func: OpOverload, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Run a call that moves elements, on values and places alike."""
        letters = len(next(self._of(one) for one in tensors_in(args) if self._is_known(one)).values)
        results = [self._run_for(letter, func, args, kwargs) for letter in range(letters)]
        joins = op_name(func) in ("cat", "stack")

        def to_places(item: Any) -> Any:
            if not isinstance(item, Tensor):
                return item
            if self._is_known(item):
                return self._of(item).places
            return torch.full_like(item, NO_LETTER, dtype=torch.int64) if joins else item

        moved = tuple(tree_map(to_places, tuple(args)))
        if op_name(func) == "constant_pad_nd":
            moved = (*moved[:2], NO_LETTER)
        places = func(*moved, **tree_map(to_places, kwargs))
        if isinstance(places, Tensor):
            return self._track(Letterwise(tuple(results), places))
        each = [
            self._track(Letterwise(tuple(part), place)) for *part, place in zip(*results, places, strict=True)
        ]
        return type(places)(each)

    def _look_up(self, func: OpOverload, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Look up rows of a table: the product of one-hot rows with the letters' rows of the table."""
        table_at, index_at = _LOOK_UPS[op_name(func)]
        if len(args) <= index_at or not self._is_only_argument(args, kwargs, index_at):
            return NotImplemented
        axis = args[1] if op_name(func) == "index_select" else 0
        index = args[index_at]
        if op_name(func) == "index":
            (axis,) = (place for place, item in enumerate(index) if item is not None)
            index = index[axis]
        axis %= max(1, args[table_at].dim())
        ids = self._of(index)
        if ids.values[0].dtype == torch.bool:
            return NotImplemented
        single = ids.single_values()
        if single is None or not args[table_at].is_floating_point():
            values = [self._run_for(letter, func, args, kwargs) for letter in range(len(ids.values))]
            places = _spread(ids.places, axis, values[0].dim())
            result = Letterwise(tuple(values), places.expand(values[0].shape))
            return self._product_of(result) if result.is_floating else self._track(result)
        letters = torch.stack(single)
        replaced = [*args]
        replaced[index_at] = [*(None for _ in range(axis)), letters] if op_name(func) == "index" else letters
        table = func(*replaced, **kwargs).movedim(axis, 0)  # [letters, ...]
        rows = self._rows.at(ids.places).to(table.dtype)
        product = (rows @ table.flatten(1)).reshape(*ids.places.shape, *table.shape[1:])
        axes = range(ids.places.dim())
        return product.movedim(tuple(axes), tuple(axis + place for place in axes))

    def _write(
        self, func: OpOverload, args: Sequence[Any], kwargs: dict[str, Any], found: list[Letterwise]
    ) -> Any:
        """Run a call that writes to its first argument, element by element."""
        name, target = op_name(func), args[0]
        if not name.endswith("_") or not isinstance(target, Tensor):
            return NotImplemented
        if name == "scatter_" and not self._is_known(target) and self._is_one_hot(args, kwargs):
            others = [target.clone() for _ in found[0].values[1:]]
            before = Letterwise((target, *others), torch.full_like(target, NO_LETTER, dtype=torch.int64))
            self._track(before)
            found = [before, *found]
        elif not self._is_known(target) or not self._writes_elements(func, args, kwargs):
            return NotImplemented
        written = self._of(target)
        places = common_places(found if name != "index_put_" else [written], target.shape)
        if name != "scatter_" and not torch.equal(places, written.places):
            return NotImplemented  # other views of the target's memory would keep the places from before
        for letter in range(len(written.values)):
            self._run_for(letter, func, args, kwargs)
        self._known[id(target)] = target, Letterwise(written.values, places)
        return target

    def _writes_elements(self, func: OpOverload, args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
        name = op_name(func).removesuffix("_")
        if name == "index_put":  # x[mask] = number
            indices, value = args[1], args[2]
            mask = indices[0]
            is_mask = len(indices) == 1 and self._is_known(mask) and mask.dtype == torch.bool
            if not is_mask or self._is_known(value) or value.numel() != 1:
                return False
            written, places = self._of(args[0]), self._of(mask).places
            spread = places.reshape(*places.shape, *(1 for _ in range(args[0].dim() - places.dim())))
            return torch.equal(written.places, spread.expand(args[0].shape))
        elementwise = torch.Tag.pointwise in func.tags or name in _ELEMENTWISE
        return elementwise and self._is_of_numbers(name, args, kwargs)

    def _with_products(self, func: OpOverload, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Run a call with floating products in place of the tensors computed from ids."""
        floating = next((t for t in tensors_in((args, kwargs)) if t.is_floating_point()), None)
        if floating is None or op_name(func) in _SELECTIONS:
            return NotImplemented

        def convert(item: Any) -> Any:
            return self._product(item, floating.dtype) if self._is_known(item) else item

        return func(*tree_map(convert, tuple(args)), **tree_map(convert, kwargs))

    # ---- conditions

    def _is_of_numbers(self, name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
        """Return whether an elementwise call computes integers of ids, or selects values.

        A function of floating values is left to the recorder: it is not the same for rows that are no one-hot
        rows, such as references of frequencies.
        """
        floating = [tensor for tensor in tensors_in((args, kwargs)) if tensor.is_floating_point()]
        if any(tensor.dim() and not self._is_known(tensor) for tensor in floating):
            return False
        return name in _SELECTIONS or not any(map(self._is_known, floating))

    def _mixes(self, name: str, args: Sequence[Any]) -> bool:
        """Return whether a move has floating values of ids beside others, or ids among its indices."""
        if name in ("cat", "stack"):
            return any(t.is_floating_point() and not self._is_known(t) for t in tensors_in(args))
        return not self._is_only_argument(args, {}, 0)

    def _is_only_argument(self, args: Sequence[Any], kwargs: dict[str, Any], place: int) -> bool:
        """Return whether the argument at this place holds one tensor of ids, and no other argument one."""
        others = [*args[:place], *args[place + 1 :], *kwargs.values()]
        here = [one for one in tensors_in(args[place : place + 1]) if one is not None]
        return len(here) == 1 and self._is_known(here[0]) and not any(map(self._is_known, tensors_in(others)))

    def _is_one_hot(self, args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
        """Return whether a scatter writes numbers at ids along an axis, one for each other place."""
        if len(args) < 4 or not self._is_only_argument(args, kwargs, 2):
            return False
        base, axis, index, value = args[:4]
        if kwargs or (isinstance(value, Tensor) and value.numel() != 1):
            return False
        expected = list(base.shape)
        expected[axis] = 1
        return list(index.shape) == expected

    # ---- values

    def _is_known(self, item: Any) -> bool:
        return isinstance(item, Tensor) and id(item) in self._known

    def _of(self, tensor: Tensor) -> Letterwise:
        return self._known[id(tensor)][1]

    def _track(self, tensor: Letterwise) -> Tensor:
        """Note what a tensor stands for; return the tensor that the model sees, that of the first letter."""
        shown = tensor.values[0]
        self._known[id(shown)] = shown, tensor
        return shown

    def _run_for(self, letter: int, func: OpOverload, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        def convert(item: Any) -> Any:
            return self._of(item).values[letter] if self._is_known(item) else item

        return func(*tree_map(convert, tuple(args)), **tree_map(convert, kwargs))

    def _product(self, tensor: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        return self._product_of(self._of(tensor), None if tensor.is_floating_point() else dtype)

    def _product_of(self, tensor: Letterwise, dtype: torch.dtype | None = None) -> Tensor:
        own = tensor.values[0].dtype if tensor.is_floating else self._like
        return self._rows.product(tensor, dtype or own)

    def _refuse(self, what: str) -> NoReturn:
        place = source_line()
        self.refusal = CaptureError(
            f"the model{place and f' ({place})'} {what}: token ids may be looked up in tables, compared with "
            "numbers, mapped and moved; wrap the model in a module that takes one-hot rows"
        )
        raise self.refusal


def _spread(places: Tensor, axis: int, dim: int) -> Tensor:
    """Return the places of rows looked up along an axis of a table; the table's other axes have size 1."""
    behind = dim - axis - places.dim()
    return places.reshape(*(1 for _ in range(axis)), *places.shape, *(1 for _ in range(behind)))
