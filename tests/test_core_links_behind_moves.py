"""A final link is left out through operations that only move values, in the order in which they move them."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from deeplift_core import DeepLift

MOVES: dict[str, Callable[[Tensor], Tensor]] = {
    "transpose, then reshape": lambda y: y.reshape(-1, 2, 3).transpose(1, 2).reshape(-1, 3, 2),
    "flip, then slice": lambda y: y.flip(1)[:, 1:5],
    "slice, then flip": lambda y: y[:, 1:5].flip(1),
    "unsqueeze, permute, squeeze": lambda y: y.unsqueeze(2).permute(0, 2, 1).squeeze(1),
    "select, then unsqueeze": lambda y: y.reshape(-1, 2, 3)[:, 1].unsqueeze(1),
}
LINKS: dict[str, Callable[[Tensor], Tensor]] = {"sigmoid": torch.sigmoid, "softmax": lambda z: z.softmax(1)}


class Model(nn.Module):
    def __init__(self, link: Callable[[Tensor], Tensor], move: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.hidden, self.last = nn.Linear(5, 7), nn.Linear(7, 6)
        self.link, self.move = link, move
        self.double()

    def logits(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(self.hidden(x)))

    def forward(self, x: Tensor) -> Tensor:
        return self.move(self.link(self.logits(x)))


@pytest.mark.parametrize("name", LINKS)
@pytest.mark.parametrize("moves", MOVES)
def test_the_logit_of_every_element_is_found_behind_several_moves(moves: str, name: str) -> None:
    model = Model(LINKS[name], MOVES[moves])
    x, r = torch.randn(2, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    explainer = DeepLift(model, x)
    with torch.no_grad():
        z = model.logits(x)
        centred = z if name == "sigmoid" else z - z.mean(1, keepdim=True)
        outputs, predictions = model.move(centred), model(x)
    assert explainer.output_shape == outputs.shape[1:]
    for place in torch.cartesian_prod(*map(torch.arange, outputs.shape[1:])).reshape(-1, outputs.dim() - 1):
        index = tuple(place.tolist())
        result = explainer.attribute(x, r[:, None], index)
        torch.testing.assert_close(result.output, outputs[:, *index], rtol=0, atol=1e-12)
        torch.testing.assert_close(result.prediction, predictions[:, *index], rtol=0, atol=1e-12)
        assert result.completeness_error.abs().max() < 1e-12
