"""LSTM, GRU and RNN with all of ONNX's options.

A layer that torch's own modules can compute runs in these modules, with the weights put in torch's order.
Peepholes, other activations, clipping, sequence lengths and the like run step by step.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from onnx import NodeProto
from torch import Tensor, nn

from deeplift_cli.models.onnx.graph import Graph, attributes
from deeplift_cli.models.onnx.registry import Conversion, operator

Function = Callable[[Tensor], Tensor]
_DEFAULTS = {"LSTM": ("sigmoid", "tanh", "tanh"), "GRU": ("sigmoid", "tanh"), "RNN": ("tanh",)}
# torch's order of the gates, as places in ONNX's.
_TORCH_ORDER = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}
_PLAIN: dict[str, Function] = {
    "relu": F.relu,
    "sigmoid": torch.sigmoid,
    "softplus": F.softplus,
    "softsign": F.softsign,
    "tanh": torch.tanh,
}
_WITH_NUMBERS: dict[str, tuple[tuple[float, ...], Callable[..., Tensor]]] = {
    "affine": ((1.0, 0.0), lambda x, a, b: a * x + b),
    "elu": ((1.0,), F.elu),
    "hardsigmoid": ((0.2, 0.5), lambda x, a, b: (a * x + b).clamp(0.0, 1.0)),
    "leakyrelu": ((0.01,), F.leaky_relu),
    "scaledtanh": ((1.0, 1.0), lambda x, a, b: a * torch.tanh(b * x)),
    "thresholdedrelu": ((1.0,), lambda x, a: F.threshold(x, a, 0.0)),
}


@operator("LSTM", "GRU", "RNN")
def recurrent(node: NodeProto, graph: Graph) -> Conversion:
    """A layer whose weights are constant; its lengths and first states may be constant or not."""
    attrs = {name: value for name, value in attributes(node).items() if value != []}
    constants = [graph.tensor(name) if name in graph.constants else None for name in node.input]
    given = [place for place, name in enumerate(node.input) if name and name not in graph.constants]
    used = [bool(name) for name in node.output]
    module = Recurrent(node.op_type, attrs, constants[1:], given, used)
    return Conversion(module, tuple(node.input[place] for place in given))


@dataclass(frozen=True)
class Settings:
    """The attributes of a recurrent node, with ONNX's defaults.

    Attributes
    ----------
    kind : str
        "LSTM", "GRU" or "RNN".
    directions : tuple of bool
        Whether each direction runs backwards.
    activations : tuple of str
        The names in lower case, for all directions.
    """

    kind: str
    hidden: int
    directions: tuple[bool, ...]
    activations: tuple[str, ...]
    numbers: tuple[tuple[float, ...], tuple[float, ...]]
    clip: float | None
    rows_first: bool
    linear_before_reset: bool
    input_forget: bool

    @classmethod
    def of(cls, kind: str, attrs: dict[str, Any], hidden: int) -> "Settings":
        """Read a node's attributes."""
        directions = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
        chosen = directions[attrs.get("direction", "forward")]
        names = attrs.get("activations") or list(_DEFAULTS[kind]) * len(chosen)
        return cls(
            kind=kind,
            hidden=hidden,
            directions=chosen,
            activations=tuple(name.lower() for name in names),
            numbers=(tuple(attrs.get("activation_alpha", ())), tuple(attrs.get("activation_beta", ()))),
            clip=attrs.get("clip"),
            rows_first=bool(attrs.get("layout", 0)),
            linear_before_reset=bool(attrs.get("linear_before_reset", 0)),
            input_forget=bool(attrs.get("input_forget", 0)),
        )

    def is_torchs(self) -> bool:
        """Return whether torch's modules compute this."""
        usual = _DEFAULTS[self.kind] * len(self.directions)
        relus = ("relu",) * len(self.directions) if self.kind == "RNN" else usual
        order = self.kind != "GRU" or self.linear_before_reset
        return self.activations in (usual, relus) and self.clip is None and not self.input_forget and order

    def functions(self) -> list[Function]:
        """Return the activations, each with its own numbers; numbers are used up in order."""
        alphas, betas = iter(self.numbers[0]), iter(self.numbers[1])
        return [_activation(name, alphas, betas) for name in self.activations]


def _activation(name: str, alphas: Iterator[float], betas: Iterator[float]) -> Function:
    if name in _PLAIN:
        return _PLAIN[name]
    defaults, function = _WITH_NUMBERS[name]
    sources = zip(defaults, (alphas, betas), strict=False)
    numbers = [next(source, default) for default, source in sources]
    return lambda x: function(x, *numbers)


class Recurrent(nn.Module):
    """A recurrent node: all steps, last hidden state (and cell) as ONNX returns them.

    Parameters
    ----------
    kind : str
        "LSTM", "GRU" or "RNN".
    attrs : dict
        The node's attributes.
    parameters : sequence of (Tensor or None)
        The node's inputs from the second on, where they are constant.
    given : sequence of int
        Places (0 for X) of the inputs that are not constant: `forward` gets these.
    outputs : sequence of bool
        Which outputs of the node are used.
    """

    def __init__(
        self,
        kind: str,
        attrs: dict[str, Any],
        parameters: Sequence[Tensor | None],
        given: Sequence[int],
        outputs: Sequence[bool],
    ) -> None:
        super().__init__()
        weight, recurrent, bias, lengths, hidden, cell, peepholes = [*parameters, *[None] * 7][:7]
        if weight is None or recurrent is None:
            raise NotImplementedError(f"{kind} whose weights are not constant")
        if 0 not in given:
            raise NotImplementedError(f"{kind} on a constant, with a first state that is not")
        self.settings, self.given = Settings.of(kind, attrs, recurrent.shape[-1]), tuple(given)
        self.outputs = tuple(outputs)
        self.register_buffer("hidden", _one_row(hidden, self.settings.rows_first))
        self.register_buffer("cell", _one_row(cell, self.settings.rows_first))
        self.hidden: Tensor | None
        self.cell: Tensor | None
        self.register_buffer("lengths", lengths)
        self.lengths: Tensor | None
        if self.settings.is_torchs() and peepholes is None and lengths is None and 4 not in self.given:
            self.layer: nn.Module = _torchs(self.settings, weight, recurrent, bias)
        else:
            self.layer = Stepwise(self.settings, weight, recurrent, bias, peepholes)

    def forward(self, *inputs: Tensor) -> Any:
        """Run; the inputs are those that are not constant, in ONNX's order."""
        named = dict(zip(self.given, inputs, strict=True))
        rows_first = self.settings.rows_first
        x = named[0].transpose(0, 1) if rows_first else named[0]
        count = 2 if self.settings.kind == "LSTM" else 1
        states = [named.get(5, self.hidden), named.get(6, self.cell)][:count]
        states = [state if state is None or not rows_first else state.transpose(0, 1) for state in states]
        starts = [self._start(state, x) for state in states]
        if isinstance(self.layer, Stepwise):
            steps, ends = self.layer(x, starts, named.get(4, self.lengths))
        else:
            steps, ends = self._by_torch(x, starts)
        if rows_first:  # [N, L, directions, H]
            steps, ends = steps.permute(2, 0, 1, 3), [end.transpose(0, 1) for end in ends]
        results = [steps, *ends][: len(self.outputs)]
        return tuple(results) if len(self.outputs) > 1 else results[0]

    def _start(self, state: Tensor | None, x: Tensor) -> Tensor:
        """The initial state [directions, N, H]: zeros where none is given; one row stands for all."""
        shape = (len(self.settings.directions), x.shape[1], self.settings.hidden)
        return x.new_zeros(shape) if state is None else state.expand(shape)

    def _by_torch(self, x: Tensor, starts: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        backwards = self.settings.directions == (True,)
        x = x.flip(0) if backwards else x
        given = tuple(starts) if len(starts) > 1 else starts[0]
        out, ends = self.layer(x, given)
        out = out.flip(0) if backwards else out
        steps = out.reshape(*out.shape[:2], len(self.settings.directions), -1).permute(0, 2, 1, 3)
        return steps, list(ends) if isinstance(ends, tuple) else [ends]


def _one_row(state: Tensor | None, rows_first: bool) -> Tensor | None:
    """One row of a constant initial state where all rows are the same: then it fits any number of them."""
    if state is None:
        return None
    rows = 0 if rows_first else 1
    first = state.narrow(rows, 0, 1)
    return first.clone() if torch.equal(first.expand_as(state), state) else state


def _torchs(settings: Settings, weight: Tensor, recurrent: Tensor, bias: Tensor | None) -> nn.Module:
    """Torch's own module with the weights in its order."""
    kinds: dict[str, Any] = {"LSTM": nn.LSTM, "GRU": nn.GRU, "RNN": nn.RNN}
    extra = {"nonlinearity": settings.activations[0]} if settings.kind == "RNN" else {}
    both = len(settings.directions) == 2
    layer: nn.Module = kinds[settings.kind](
        weight.shape[-1], settings.hidden, bidirectional=both, bias=bias is not None, **extra
    )
    parts = {"weight_ih": weight, "weight_hh": recurrent}
    if bias is not None:
        parts["bias_ih"], parts["bias_hh"] = bias.chunk(2, 1)
    for name, values in parts.items():
        for value, suffix in zip(values, ("", "_reverse"), strict=False):
            gates = value.chunk(len(_TORCH_ORDER[settings.kind]), 0)
            ordered = torch.cat([gates[place] for place in _TORCH_ORDER[settings.kind]])
            setattr(layer, f"{name}_l0{suffix}", nn.Parameter(ordered.float(), requires_grad=False))
    return layer


class Stepwise(nn.Module):
    """A recurrent layer one step after the other."""

    def __init__(
        self,
        settings: Settings,
        weight: Tensor,
        recurrent: Tensor,
        bias: Tensor | None,
        peepholes: Tensor | None,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.weight = nn.Parameter(weight.float(), requires_grad=False)
        self.recurrent = nn.Parameter(recurrent.float(), requires_grad=False)
        bias = torch.zeros(weight.shape[0], 2 * weight.shape[1]) if bias is None else bias
        self.bias = nn.Parameter(bias.float(), requires_grad=False)
        self.peepholes = None if peepholes is None else nn.Parameter(peepholes.float(), requires_grad=False)
        self.activations = settings.functions()

    def forward(self, x: Tensor, starts: list[Tensor], lengths: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """Return the steps [L, directions, N, H] and the last states, each [directions, N, H]."""
        results = [
            self._direction(place, x, [start[place] for start in starts], lengths)
            for place in range(len(self.settings.directions))
        ]
        steps = torch.stack([steps for steps, _ in results], 1)
        return steps, [torch.stack(column) for column in zip(*(ends for _, ends in results), strict=True)]

    def _direction(
        self, place: int, x: Tensor, states: list[Tensor], lengths: Tensor | None
    ) -> tuple[Tensor, list[Tensor]]:
        backwards = self.settings.directions[place]
        x = _turned(x, lengths) if backwards else x
        cell = {"LSTM": self._lstm, "GRU": self._gru, "RNN": self._rnn}[self.settings.kind]
        outputs = []
        for step, row in enumerate(x.unbind(0)):
            new = cell(place, row, states)
            if lengths is None:
                states, output = new, new[0]
            else:  # rows that have ended keep their state and give 0
                going = (lengths > step)[:, None]
                states = [torch.where(going, a, b) for a, b in zip(new, states, strict=True)]
                output = torch.where(going, new[0], torch.zeros_like(new[0]))
            outputs.append(output)
        steps = torch.stack(outputs)
        return (_turned(steps, lengths) if backwards else steps), states

    def _sums(self, place: int, x: Tensor, hidden: Tensor) -> Tensor:
        ours, theirs = self.bias[place].chunk(2)
        return F.linear(x, self.weight[place], ours) + F.linear(hidden, self.recurrent[place], theirs)

    def _clipped(self, x: Tensor) -> Tensor:
        return x if self.settings.clip is None else x.clamp(-self.settings.clip, self.settings.clip)

    def _functions(self, place: int) -> list[Function]:
        count = len(_DEFAULTS[self.settings.kind])
        return self.activations[place * count : (place + 1) * count]

    def _rnn(self, place: int, x: Tensor, states: list[Tensor]) -> list[Tensor]:
        (f,) = self._functions(place)
        return [f(self._clipped(self._sums(place, x, states[0])))]

    def _lstm(self, place: int, x: Tensor, states: list[Tensor]) -> list[Tensor]:
        f, g, h = self._functions(place)
        hidden, cell = states
        i, o, forget, c = self._sums(place, x, hidden).chunk(4, -1)
        peep = None if self.peepholes is None else self.peepholes[place].chunk(3)
        if peep is not None:
            i, forget = i + peep[0] * cell, forget + peep[2] * cell
        i = f(self._clipped(i))
        keep = 1 - i if self.settings.input_forget else f(self._clipped(forget))
        cell = keep * cell + i * g(self._clipped(c))
        o = o if peep is None else o + peep[1] * cell
        return [f(self._clipped(o)) * h(cell), cell]

    def _gru(self, place: int, x: Tensor, states: list[Tensor]) -> list[Tensor]:
        f, g = self._functions(place)
        hidden, size = states[0], self.settings.hidden
        ours, theirs = self.bias[place].chunk(2)
        weights, recurrent = self.weight[place], self.recurrent[place]
        mine = F.linear(x, weights, ours)
        gates = mine[:, : 2 * size] + F.linear(hidden, recurrent[: 2 * size], theirs[: 2 * size])
        z, r = f(self._clipped(gates)).chunk(2, -1)
        if self.settings.linear_before_reset:
            past = r * F.linear(hidden, recurrent[2 * size :], theirs[2 * size :])
        else:
            past = F.linear(r * hidden, recurrent[2 * size :], theirs[2 * size :])
        new = g(self._clipped(mine[:, 2 * size :] + past))
        return [(1 - z) * new + z * hidden]


def _turned(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Turn the steps of x [L, N, F] round, of each row only as many as it has."""
    if lengths is None:
        return x.flip(0)
    steps, ends = torch.arange(x.shape[0], device=x.device)[:, None], lengths.to(torch.int64)
    source = torch.where(steps < ends, ends - 1 - steps, steps)
    return torch.gather(x, 0, source.unsqueeze(-1).expand(x.shape))
