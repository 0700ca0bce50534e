"""Layouts of a model's input: its axes, the order of its bases, and what stands for N.

A flattened input has no axis of bases, along which contributions of bases could be told apart. The model is
therefore explained with an input of three axes, which is flattened inside (:meth:`Layout.adapted`). A model
of token ids is likewise explained with one-hot rows (:mod:`deeplift_cli.models.token_ids`).
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from deeplift_cli.errors import UserError
from deeplift_cli.models.model_file import ModelFile

if TYPE_CHECKING:
    from torch import Tensor

BASES = "ACGT"
UNKNOWN = "N"
IDS = "ids"
# The layouts by the number of axes. A name lists the axes: n is rows, c is bases, l is positions, and 1 is an
# axis of size 1.
SEQUENCES = ("ncl", "nlc")
IMAGES = ("nc1l", "ncl1", "n1cl", "n1lc", "nl1c", "nlc1")
FLAT = ("flat-cl", "flat-lc")
LAYOUTS = (*SEQUENCES, *IMAGES, *FLAT, IDS)
ENCODINGS_OF_N = ("zeros", "uniform")
_WORDS = {"n": "batch", "c": "bases", "l": "positions", "1": "1"}
_SIGNS = {"n": "N", "c": "4", "l": "L", "1": "1"}
# The axes of the tensor that the model is explained with, where these are not the name's.
_EXPLAINED_AS = {"flat-cl": "ncl", "flat-lc": "nlc", IDS: "ncl"}


@dataclass(frozen=True)
class Layout:
    """The form of a model's input.

    Attributes
    ----------
    name : str
        One of `LAYOUTS`.
    alphabet : str
        The letter of each of the model's channels, in order: the four bases, and N where the model has a
        channel for it.
    encode_n : str
        What stands for N in the four channels: "zeros", or "uniform" for 1/4 each.

    Raises
    ------
    UserError
        If there is no such layout, or the letters are no alphabet.
    """

    name: str
    alphabet: str = BASES
    encode_n: str = "zeros"

    def __post_init__(self) -> None:
        if self.name not in LAYOUTS:
            raise UserError(f"unknown layout {self.name!r}; --layout takes auto, {', '.join(LAYOUTS)}")
        letters = self.alphabet.upper().replace("U", "T")
        if sorted(letters) not in (sorted(BASES), sorted(BASES + UNKNOWN)):
            raise UserError(
                f"alphabet {self.alphabet!r} is not the letters A, C, G and T in the model's order, with N "
                "where the model has a channel for N"
            )
        object.__setattr__(self, "alphabet", letters)

    @property
    def channels(self) -> int:
        """The number of the model's channels, 4 or 5."""
        return len(self.alphabet)

    @property
    def channel_axis(self) -> int:
        """The axis of the bases in the tensors [N, ...] that `to_model` returns."""
        return self._axes.index("c")

    @property
    def unit_axis(self) -> int | None:
        """The axis of size 1 in these tensors, if there is one."""
        return self._axes.index("1") if "1" in self._axes else None

    @property
    def shows_unknown(self) -> bool:
        """True if the model is shown something else than zeros where a sequence has no base."""
        return UNKNOWN in self.alphabet or self.encode_n == "uniform"

    @property
    def described(self) -> str:
        """The axes of the model's input in words, such as "[batch, bases, positions]"."""
        if self.name == IDS:
            return "[batch, positions], token ids"
        if self.name in FLAT:
            order = "positions of each base" if self.name == "flat-cl" else "bases of each position"
            return f"[batch, bases x positions], the {order} side by side"
        return f"[{', '.join(_WORDS[axis] for axis in self.name)}]"

    @property
    def shape(self) -> str:
        """The shape of the model's input in signs, such as "[N, 4, L]"."""
        if self.name == IDS:
            return "[N, L]"
        channels = str(self.channels)
        if self.name in FLAT:
            return f"[N, {channels}L]"
        return f"[{', '.join(_SIGNS[axis] for axis in self.name)}]".replace("4", channels)

    def row_shape(self, length: int | None) -> tuple[int | None, ...]:
        """Return the shape of one row of the model's input; None stands for an axis of any length."""
        if self.name == IDS:
            return (length,)
        if self.name in FLAT:
            return (None if length is None else length * self.channels,)
        sizes = {"c": self.channels, "l": length, "1": 1}
        return tuple(sizes[axis] for axis in self.name[1:])

    def unknown(self, x: "Tensor") -> "Tensor | None":
        """Return where sequences x [..., 4, L] have no base, [..., L]; None if the model is shown zeros."""
        return (x == 0).all(-2) if self.shows_unknown else None

    def to_model(self, x: "Tensor", unknown: "Tensor | None" = None) -> "Tensor":
        """Bring x [..., 4, L] in the order ACGT into the model's layout and channel order.

        Parameters
        ----------
        x : Tensor [..., 4, L]
            Sequences, or references of sequences.
        unknown : Tensor of bool [..., L], optional
            Where the sequences have no base. References get there what the sequences get.

        Returns
        -------
        Tensor
            The input of the model; for flattened inputs and ids, the tensor of three axes that `adapted`
            models take.
        """
        import torch

        if unknown is not None and self.encode_n == "uniform":
            x = torch.where(unknown.unsqueeze(-2), 1 / len(BASES), x)
        if UNKNOWN in self.alphabet:
            there = x.new_zeros(()) if unknown is None else unknown.to(x.dtype)
            x = torch.cat([x, there.expand(*x.shape[:-2], x.shape[-1]).unsqueeze(-2)], -2)
        if self.alphabet != BASES:
            x = x[..., [(BASES + UNKNOWN).index(letter) for letter in self.alphabet], :]
        if self._is_channels_last:
            x = x.transpose(-1, -2)
        return x if self.unit_axis is None else x.unsqueeze(self.unit_axis - 4)

    def from_model(self, x: "Tensor", unknown: "Tensor | None" = None) -> "Tensor":
        """Bring a tensor in the model's layout back to [..., 4, L] in the order ACGT.

        Where `unknown` [..., L] says that the sequences have no base, the result is 0.
        """
        if self.unit_axis is not None:
            x = x.squeeze(self.unit_axis - 4)
        if self._is_channels_last:
            x = x.transpose(-1, -2)
        if self.alphabet != BASES:
            x = x[..., [self.alphabet.index(letter) for letter in BASES], :]
        return x if unknown is None else x.masked_fill(unknown.unsqueeze(-2).to(x.device), 0)

    def adapted(self, model: ModelFile) -> ModelFile:
        """Return the model with an input of the form that `to_model` returns."""
        if self.name not in FLAT:
            return model
        from deeplift_cli.models.flattened import Flattened

        return (
            model if isinstance(model.module, Flattened) else replace(model, module=Flattened(model.module))
        )

    @property
    def _axes(self) -> str:
        return _EXPLAINED_AS.get(self.name, self.name)

    @property
    def _is_channels_last(self) -> bool:
        return self._axes.index("c") > self._axes.index("l")
