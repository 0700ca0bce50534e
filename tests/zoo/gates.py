"""Products and quotients of quantities that both depend on the sequence."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.entry import BASES, Net, entry


@entry("glu")
def glu() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(4, 12, 5), nn.GLU(1), nn.Conv1d(6, 8, 3), nn.GLU(1), nn.Flatten(), nn.Linear(72, 2)
    )


@entry("glu_written_out", spelling_of="glu")
def glu_written_out() -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        for conv in (s.first, s.second):
            a, b = conv(x).chunk(2, 1)
            x = a * torch.sigmoid(b)
        return s.last(x.flatten(1))

    return Net(forward, first=nn.Conv1d(4, 12, 5), second=nn.Conv1d(6, 8, 3), last=nn.Linear(72, 2))


@entry("wavenet")
def wavenet() -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        h = s.stem(x)
        for a, b in zip(s.filters, s.gates, strict=True):
            h = h + torch.tanh(a(h)) * torch.sigmoid(b(h))
        return s.last(h.mean(-1))

    def convs() -> nn.ModuleList:
        return nn.ModuleList(nn.Conv1d(5, 5, 3, padding=d, dilation=d) for d in (1, 2))

    return Net(forward, stem=nn.Conv1d(4, 5, 3), filters=convs(), gates=convs(), last=nn.Linear(5, 2))


@entry("squeeze_excite")
def squeeze_excite() -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        h = F.silu(s.conv(x))
        scale = torch.sigmoid(s.up(F.silu(s.down(h.mean(-1)))))
        return s.last((h * scale.unsqueeze(-1)).mean(-1))

    return Net(
        forward, conv=nn.Conv1d(4, 6, 5), down=nn.Linear(6, 3), up=nn.Linear(3, 6), last=nn.Linear(6, 2)
    )


@entry("highway")
def highway() -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        h = torch.relu(s.conv(x)).amax(-1)
        gate = torch.sigmoid(s.gate(h))
        return s.last(gate * torch.relu(s.plain(h)) + (1 - gate) * h)

    return Net(
        forward, conv=nn.Conv1d(4, 6, 5), gate=nn.Linear(6, 6), plain=nn.Linear(6, 6), last=nn.Linear(6, 2)
    )


@entry("swiglu")
def swiglu() -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        h = s.conv(x).transpose(1, 2)
        return s.last((F.silu(s.a(h)) * s.b(h)).mean(1))

    return Net(forward, conv=nn.Conv1d(4, 6, 5), a=nn.Linear(6, 5), b=nn.Linear(6, 5), last=nn.Linear(5, 2))


@entry("film", BASES, (3,))
def film() -> nn.Module:
    """A second input scales and shifts the features of the sequence (cell type, for instance)."""

    def forward(s: Net, x: Tensor, condition: Tensor) -> Tensor:
        h = torch.relu(s.conv(x))
        scale, shift = s.condition(condition).chunk(2, -1)
        return s.last((h * scale.unsqueeze(-1) + shift.unsqueeze(-1)).mean(-1))

    return Net(forward, conv=nn.Conv1d(4, 6, 5), condition=nn.Linear(3, 12), last=nn.Linear(6, 2))


@entry("quotient")
def quotient() -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        a, b = s.conv(x).chunk(2, 1)
        return s.last((a / (1 + F.softplus(b))).mean(-1))

    return Net(forward, conv=nn.Conv1d(4, 6, 5), last=nn.Linear(3, 2))


@entry("share_of_total")
def share_of_total() -> nn.Module:
    """Normalised to sum 1, without softmax."""

    def forward(s: Net, x: Tensor) -> Tensor:
        h = F.softplus(s.conv(x)).mean(-1)
        return h / h.sum(-1, keepdim=True)

    return Net(forward, conv=nn.Conv1d(4, 3, 5))


@entry("thermodynamic")
def thermodynamic() -> nn.Module:
    """Occupancy of a binding site, as MPRA and promoter models have it: products over sums of weights."""

    def forward(s: Net, x: Tensor) -> Tensor:
        weights = torch.exp(s.energy(x)).sum(-1)
        a, b = weights[:, :1], weights[:, 1:2]
        both = a * b * torch.exp(s.interaction)
        return torch.log((a + both) / (1 + a + b + both))

    return Net(forward, energy=nn.Conv1d(4, 2, 6), interaction=nn.Parameter(torch.tensor(0.7)))


@entry("factorisation_machine")
def factorisation_machine() -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        h = s.factors(x.flatten(1))
        return s.linear(x.flatten(1)) + 0.5 * (h.sum(-1, keepdim=True).square() - h.square().sum(-1, True))

    return Net(forward, factors=nn.Linear(96, 5, bias=False), linear=nn.Linear(96, 1))


@entry("outer_product")
def outer_product() -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        h = torch.relu(s.conv(x)).mean(-1)
        pairs = torch.einsum("ni,nj->nij", h, torch.tanh(s.other(h)))
        return s.last(pairs.flatten(1))

    return Net(forward, conv=nn.Conv1d(4, 6, 5), other=nn.Linear(6, 4), last=nn.Linear(24, 2))


@entry("power_of_two_quantities")
def power() -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        a, b = (F.softplus(value) + 0.1 for value in s.conv(x).chunk(2, 1))
        return s.last((a**b).mean(-1))

    return Net(forward, conv=nn.Conv1d(4, 6, 5), last=nn.Linear(3, 2))


@entry("angle_of_two_quantities")
def angle() -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        a, b = s.conv(x).chunk(2, 1)
        return s.last((torch.atan2(a, b.exp()) + torch.hypot(a, b)).mean(-1))

    return Net(forward, conv=nn.Conv1d(4, 6, 5), last=nn.Linear(3, 2))


@entry("two_quantities_logaddexp")
def log_add_exp() -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        a, b = s.conv(x).chunk(2, 1)
        return s.last(torch.logaddexp(a, b).mean(-1))

    return Net(forward, conv=nn.Conv1d(4, 6, 5), last=nn.Linear(3, 2))


@entry("two_quantities_logaddexp_written_out", spelling_of="two_quantities_logaddexp")
def log_add_exp_written_out() -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        a, b = s.conv(x).chunk(2, 1)
        return s.last((a.exp() + b.exp()).log().mean(-1))

    return Net(forward, conv=nn.Conv1d(4, 6, 5), last=nn.Linear(3, 2))


@entry("two_quantities_larger_of_views")
def larger_of_views() -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        h = s.conv(x)
        return s.last(torch.where(h[:, :3] > h[:, 3:], h[:, :3], h[:, 3:]).mean(-1))

    return Net(forward, conv=nn.Conv1d(4, 6, 5), last=nn.Linear(3, 2))


@entry("two_quantities_larger_of_named_views", spelling_of="two_quantities_larger_of_views")
def larger_of_named_views() -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        a, b = s.conv(x).split(3, 1)
        return s.last(torch.maximum(a, b).mean(-1))

    return Net(forward, conv=nn.Conv1d(4, 6, 5), last=nn.Linear(3, 2))


@entry("cubed_product_of_three")
def product_of_three() -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        a, b, c = s.conv(x).chunk(3, 1)
        return s.last((torch.tanh(a) * torch.relu(b) * c).mean(-1))

    return Net(forward, conv=nn.Conv1d(4, 6, 5), last=nn.Linear(2, 2))


@entry("addcmul_addcdiv")
def fused_arithmetic() -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        a, b, c = s.conv(x).chunk(3, 1)
        h = torch.addcmul(a, torch.relu(b), c, value=0.5)
        return s.last(torch.addcdiv(h, c, 1 + b.exp(), value=2.0).mean(-1))

    return Net(forward, conv=nn.Conv1d(4, 6, 5), last=nn.Linear(2, 2))


@entry("lerp_of_two")
def lerp() -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        a, b, c = s.conv(x).chunk(3, 1)
        return s.last(torch.lerp(torch.relu(a), b, torch.sigmoid(c)).mean(-1))

    return Net(forward, conv=nn.Conv1d(4, 6, 5), last=nn.Linear(2, 2))
