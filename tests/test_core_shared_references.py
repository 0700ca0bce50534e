"""References that all rows share: what is kept of one reference is never taken for another."""

import torch
from torch import Tensor, nn

from deeplift_core import DeepLift

N, K, D = 5, 2, torch.float64


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.last = nn.Linear(4, 6), nn.Linear(3, 6), nn.Linear(6, 1)

    def forward(self, x: Tensor, signal: Tensor) -> Tensor:
        return self.last(torch.tanh(self.first(x) * self.second(signal)))


def test_references_that_differ_in_one_of_several_inputs_are_told_apart() -> None:
    """The first input has the same reference throughout, or the second has, or neither."""
    generator = torch.Generator().manual_seed(1)
    x, signal = (torch.randn(N, size, dtype=D, generator=generator) for size in (4, 3))
    first, second = (torch.randn(3, size, dtype=D, generator=generator) for size in (4, 3))
    for rows, others in (([0, 0, 0], [0, 1, 2]), ([0, 1, 2], [0, 0, 0]), ([0, 1, 1], [0, 1, 0])):
        shared = first[rows], second[others]
        explainer = DeepLift(Two().double(), (x[:K], signal[:K]))
        found = explainer.attribute((x, signal), shared, per_reference=True)
        each = tuple(values.expand(N, *values.shape) for values in shared)
        expected = explainer.attribute((x, signal), each, per_reference=True)
        for one, other in zip(found.contributions, expected.contributions, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-12)
        torch.testing.assert_close(found.reference_output, expected.reference_output, rtol=0, atol=1e-12)
