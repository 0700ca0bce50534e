"""Both strands, twins, and models with several inputs."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.entry import BASES, LENGTH, Net, entry


def _trunk() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(4, 6, 5), nn.ReLU(), nn.MaxPool1d(4), nn.Flatten(), nn.Linear(30, 6), nn.ReLU(),
        nn.Linear(6, 2),
    )  # fmt: skip


@entry("strands_mean")
def strands_mean() -> nn.Module:
    return Net(lambda s, x: (s.trunk(x) + s.trunk(x.flip(1, 2))) / 2, trunk=_trunk())


@entry("strands_max")
def strands_max() -> nn.Module:
    return Net(lambda s, x: torch.maximum(s.trunk(x), s.trunk(torch.flip(x, (1, 2)))), trunk=_trunk())


@entry("strands_stacked", spelling_of="strands_mean")
def strands_stacked() -> nn.Module:
    """Both strands in one batch of twice the rows."""

    def forward(s: Net, x: Tensor) -> Tensor:
        return s.trunk(torch.cat([x, x.flip(1, 2)])).unflatten(0, (2, -1)).mean(0)

    return Net(forward, trunk=_trunk())


@entry("strands_by_index", spelling_of="strands_mean")
def strands_by_index() -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        turned = x[:, [3, 2, 1, 0]][:, :, torch.arange(LENGTH - 1, -1, -1)]
        return 0.5 * s.trunk(x) + 0.5 * s.trunk(turned)

    return Net(forward, trunk=_trunk())


@entry("strand_shared_filters")
def shared_filters() -> nn.Module:
    """Reverse-complement parameter sharing: each filter and its turned copy, then the larger of both."""

    def forward(s: Net, x: Tensor) -> Tensor:
        both = torch.cat([s.conv.weight, s.conv.weight.flip(1, 2)])
        h = F.relu(F.conv1d(x, both, torch.cat([s.conv.bias, s.conv.bias])))
        one, other = h.chunk(2, 1)
        return s.last(torch.maximum(one, other.flip(1)).amax(-1))

    return Net(forward, conv=nn.Conv1d(4, 6, 5), last=nn.Linear(6, 2))


@entry("siamese")
def siamese() -> nn.Module:
    """One trunk for both halves of a sequence, and their difference and product."""

    def forward(s: Net, x: Tensor) -> Tensor:
        a, b = s.trunk(x[..., : LENGTH // 2]), s.trunk(x[..., LENGTH // 2 :])
        return s.last(torch.cat([(a - b).abs(), a * b], -1))

    trunk = nn.Sequential(nn.Conv1d(4, 6, 5), nn.ReLU(), nn.Flatten(), nn.Linear(48, 5), nn.Tanh())
    return Net(forward, trunk=trunk, last=nn.Linear(10, 2))


@entry("twins", BASES, BASES)
def twins() -> nn.Module:
    """Effect of a variant: the same trunk on the reference and the alternative allele."""
    return Net(lambda s, ref, alt: s.trunk(alt) - s.trunk(ref), trunk=_trunk())


@entry("control_track", BASES, (2, LENGTH - 4))
def control_track() -> nn.Module:
    """BPNet's control tracks, joined with the features before the last convolution."""

    def forward(s: Net, x: Tensor, control: Tensor) -> Tensor:
        h = torch.relu(s.conv(x))
        profile = s.profile(torch.cat([h, control], 1))
        counts = s.counts(torch.cat([h.mean(-1), torch.log1p(control.abs().sum((1, 2)))[:, None]], 1))
        return torch.cat([counts, profile.mean(-1)], 1)

    return Net(forward, conv=nn.Conv1d(4, 6, 5), profile=nn.Conv1d(8, 1, 5), counts=nn.Linear(7, 1))


@entry("sequence_and_features", BASES, (5,))
def sequence_and_features() -> nn.Module:
    def forward(s: Net, x: Tensor, features: Tensor) -> Tensor:
        h = torch.relu(s.conv(x)).amax(-1)
        joined = torch.cat([h, torch.relu(s.features(features))], 1)
        return s.last(torch.relu(s.hidden(joined)))

    return Net(
        forward, conv=nn.Conv1d(4, 6, 5), features=nn.Linear(5, 4), hidden=nn.Linear(10, 6),
        last=nn.Linear(6, 2),
    )  # fmt: skip


@entry("several_outputs")
def several_outputs() -> nn.Module:
    def forward(s: Net, x: Tensor) -> dict[str, Tensor]:
        h = torch.relu(s.conv(x)).amax(-1)
        return {"chromatin": s.one(h), "expression": F.softplus(s.other(h))}

    return Net(forward, conv=nn.Conv1d(4, 6, 5), one=nn.Linear(6, 3), other=nn.Linear(6, 1))
