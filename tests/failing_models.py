"""Modules to be pickled that fail, or are odd, in ways of their own.

They are not in the package `hostile`, which takes long to import: a run that unpickles one of them imports
this module.
"""

from typing import Any

import numpy as np
import torch
from small_models import Net


class Raises(Net):
    error: type[BaseException] = RuntimeError

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise self.error("of its own")


class RaisesKeyError(Raises):
    error = KeyError


class RaisesStopIteration(Raises):
    error = StopIteration


class RaisesOwn(Raises):
    class OwnError(Exception):
        pass

    error = OwnError


class RaisesTwoLines(Raises):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise ValueError("one\ntwo\x1b[31m\n\nthree")


class RaisesNothing(Raises):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise ValueError


class RaisesMemoryError(Raises):
    error = MemoryError


class RaisesOSError(Raises):
    error = OSError


class Exits(Raises):
    error = SystemExit


class NeverReturns(Net):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.forward(x)


class WarnsAndPrints(Net):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        import warnings

        warnings.warn("of its own", stacklevel=1)
        return self.logits(x)


class BadState(Net):
    def __setstate__(self, state: Any) -> None:
        raise RuntimeError("does not come back")


class PythonRandom(Net):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        import random

        return self.logits(x) * random.random()


class PythonCounts(Net):
    calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return self.logits(x) + float(self.calls)


class Numpy(Net):
    """Leaves torch: contributions cannot be followed."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(np.tanh(self.logits(x).detach().numpy()))


class ReturnsWhatever(Net):
    value: Any = None

    def forward(self, x: torch.Tensor) -> Any:
        return self.value


class ReturnsObject(ReturnsWhatever):
    value = object


class ReturnsList(ReturnsWhatever):
    value = ("a", 1)


class TakesKeywords(Net):
    def forward(self, *, sequence: torch.Tensor) -> torch.Tensor:
        return self.logits(sequence)


class Half(Net):
    """Computes in half precision, whatever its weights are."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.logits(x.half().float()).half()


class HalfInside(Net):
    """Its last layer is cast to half precision and back."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.second(self.hidden(self.first(self.conv(x)).flatten(1)))
        return torch.nn.functional.linear(
            hidden.half(), self.last.weight.half(), self.last.bias.half()
        ).float()


class Bfloat16Inside(Net):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.logits(x.bfloat16().float()).bfloat16().float()


class DoubleInside(Net):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.logits(x).double().float()
