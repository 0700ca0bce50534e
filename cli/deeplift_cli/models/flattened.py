"""A model of flattened sequences, as a model of sequences with an axis of bases."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn


class Flattened(nn.Module):
    """A model of rows [N, values], whose input has more axes and is flattened first.

    The modules keep the names that they have in the model.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.training = False

    def forward(self, x: Tensor, *further: Tensor) -> Any:
        """Flatten x [N, ...], and run the model."""
        return self.model(x.flatten(1), *further)

    def named_modules(
        self, memo: set[nn.Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Module]]:
        """Yield this module, and the model's modules under the names that they have in the model."""
        yield prefix, self
        yield from self.model.named_modules(memo, prefix, remove_duplicate)
