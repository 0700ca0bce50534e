"""A model of token ids as a model of one-hot rows."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from deeplift_core.tokens.mode import TokenMode


class OneHotTokens(nn.Module):
    """A model of token ids [N, L], as a model of one-hot rows [N, letters, L].

    For one-hot rows the model computes what it computes for the ids. A column of zeros stands for no token:
    what is looked up there is 0. For other rows, as those of average base frequencies, a look-up gives the
    average of the letters' rows of the table.

    The modules keep the names that they have in the model of ids.

    Parameters
    ----------
    model : torch.nn.Module
        The model of ids; further inputs are passed on.
    token_ids : sequence of int
        The id of each letter, in the order of the rows' axis 1.
    dtype : torch.dtype
        The integer type of the ids.
    """

    def __init__(self, model: nn.Module, token_ids: Sequence[int], dtype: torch.dtype = torch.int64) -> None:
        super().__init__()
        self.model = model
        self.token_ids = tuple(token_ids)
        self.dtype = dtype
        self.training = False

    def ids_of(self, x: Tensor) -> Tensor:
        """Return the ids [N, L] of one-hot rows [N, letters, L] without columns of zeros."""
        table = torch.tensor(self.token_ids, dtype=self.dtype, device=x.device)
        return table[x.argmax(1)]

    def forward(self, x: Tensor, *further: Tensor) -> Any:
        """Run the model on the letters of one-hot rows.

        Raises
        ------
        CaptureError
            If the model computes something else from the ids than look-ups in tables.
        """
        mode = TokenMode(x, self.token_ids, self.dtype)
        try:
            with mode, mode.leaving_torch():
                result = self.model(mode.ids, *further)
            return mode.explicit(result)
        except RuntimeError:
            if mode.refusal is None:
                raise
            raise mode.refusal from None

    def named_modules(
        self, memo: set[nn.Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Module]]:
        """Yield this module, and the model's modules under the names that they have in the model."""
        yield prefix, self
        yield from self.model.named_modules(memo, prefix, remove_duplicate)
