"""Hypothetical contributions of single positions, computed by hand."""

import torch

from deeplift_core.engine.hypothetical import hypothetical_contributions

M = torch.tensor([1.0, -2.0, 4.0, 0.5])
A, G, N = torch.tensor([1.0, 0, 0, 0]), torch.tensor([0, 0, 1.0, 0]), torch.zeros(4)
MIXED = torch.tensor([0.25, 0.25, 0.5, 0.0])


def test_only_a_position_without_a_base_on_both_sides_has_none() -> None:
    sides = [(A, G), (A, A), (N, G), (A, N), (N, N), (N, MIXED)]
    x, reference = (torch.stack([pair[side] for pair in sides], 1)[None] for side in (0, 1))
    found = hypothetical_contributions(M[None, :, None].expand(1, 4, len(sides)), x, reference, 1)
    assert found is not None
    expected = [M - 4, M - 1, M - 4, M, N, M - 1.75]
    torch.testing.assert_close(found, torch.stack(expected, 1)[None])
