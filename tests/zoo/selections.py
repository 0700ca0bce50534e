"""Choices between quantities: maxout, where, masks, sorting, bounds."""

import torch
from torch import Tensor, nn

from zoo.entry import Net, entry


def _of_two(choose: object) -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        a, b = s.conv(x).chunk(2, 1)
        return s.last(choose(a, b).flatten(1))

    return Net(forward, conv=nn.Conv1d(4, 6, 5), last=nn.Linear(60, 2))


_CHOICES = {
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "fmax": torch.fmax,
    "max_of_two": torch.max,
    "where_greater": lambda a, b: torch.where(a > b, a, b),
    "relu_of_difference": lambda a, b: b + torch.relu(a - b),
    "stacked_max": lambda a, b: torch.stack([a, b]).amax(0),
    "where_other": lambda a, b: torch.where(a > 0, b, 0.2 * b),
    "where_constant": lambda a, b: torch.where(a + b > 0, b, torch.ones_like(b)),
    "mask_of_other": lambda a, b: (a > 0.1) * b,
    "mask_as_float": lambda a, b: (a > b).to(a.dtype) * (a + 1),
    "masked_fill": lambda a, b: b.masked_fill(a < 0, 0.3),
    "clamp_between": lambda a, b: (a + b).clamp(-b.abs(), a.abs() + 0.1),
    "clamp_min_of_other": lambda a, b: torch.clamp(a, min=b),
    "both_masks": lambda a, b: torch.where((a > 0) & (b > 0), a * b, a + b),
    "floor_and_rest": lambda a, b: torch.floor(2 * a) + torch.round(3 * b) + torch.remainder(a, 1.0),
}
_SPELLINGS = {"fmax": "maximum", "max_of_two": "maximum"}
for _name, _choose in _CHOICES.items():
    _first = _SPELLINGS.get(_name)
    entry(f"select_{_name}", spelling_of=f"select_{_first}" if _first else None)(lambda c=_choose: _of_two(c))


@entry("maxout")
def maxout() -> nn.Module:
    """DeepSEA's kin: the larger of two dense layers' outputs."""

    def forward(s: Net, x: Tensor) -> Tensor:
        h = torch.relu(s.conv(x)).amax(-1)
        return s.last(s.pieces(h).unflatten(1, (5, 3)).max(-1).values)

    return Net(forward, conv=nn.Conv1d(4, 6, 5), pieces=nn.Linear(6, 15), last=nn.Linear(5, 2))


@entry("sorted_features")
def sorted_features() -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        return s.last(s.conv(x).sort(-1).values.flatten(1))

    return Net(forward, conv=nn.Conv1d(4, 6, 5), last=nn.Linear(120, 2))


@entry("mask_of_bases")
def mask_of_bases() -> nn.Module:
    """A mask from the one-hot itself: positions without a base are left out of the mean."""

    def forward(s: Net, x: Tensor) -> Tensor:
        there = x.sum(1, keepdim=True) > 0
        h = torch.relu(s.conv(x)) * there
        return s.last(h.sum(-1) / there.sum(-1).clamp(min=1))

    return Net(forward, conv=nn.Conv1d(4, 6, 5, padding=2), last=nn.Linear(6, 2))


@entry("hard_attention")
def hard_attention() -> nn.Module:
    """One-hot of the largest, as a straight-through layer has it at inference."""

    def forward(s: Net, x: Tensor) -> Tensor:
        score, value = s.conv(x).chunk(2, 1)
        chosen = (score == score.amax(-1, keepdim=True)).to(x.dtype)
        return s.last((chosen * value).sum(-1))

    return Net(forward, conv=nn.Conv1d(4, 6, 5), last=nn.Linear(3, 2))
