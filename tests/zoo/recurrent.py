"""Recurrent networks."""

import torch
from torch import Tensor, nn

from zoo.entry import Net, entry


def _after_conv(recurrent: nn.Module, features: int, last_step: bool = False) -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        h = torch.relu(s.conv(x)).transpose(1, 2)
        out, _ = s.recurrent(h)
        return s.last(out[:, -1] if last_step else out.mean(1))

    return Net(forward, conv=nn.Conv1d(4, 5, 5, stride=3), recurrent=recurrent, last=nn.Linear(features, 2))


entry("lstm")(lambda: _after_conv(nn.LSTM(5, 4, batch_first=True), 4, True))
entry("lstm_bidirectional")(lambda: _after_conv(nn.LSTM(5, 4, batch_first=True, bidirectional=True), 8))
entry("lstm_deep")(lambda: _after_conv(nn.LSTM(5, 3, 2, batch_first=True, bidirectional=True), 6))
entry("lstm_projected", not_in_onnx="the exporters write no projections")(
    lambda: _after_conv(nn.LSTM(5, 4, batch_first=True, proj_size=3), 3)
)
entry("gru")(lambda: _after_conv(nn.GRU(5, 4, batch_first=True), 4, True))
entry("gru_deep")(lambda: _after_conv(nn.GRU(5, 3, 2, batch_first=True, bidirectional=True), 6))
entry("rnn_tanh")(lambda: _after_conv(nn.RNN(5, 4, batch_first=True), 4, True))
entry("rnn_relu")(lambda: _after_conv(nn.RNN(5, 4, batch_first=True, nonlinearity="relu"), 4, True))


@entry("lstm_last_state")
def last_state() -> nn.Module:
    """An LSTM classifier straight on the bases, from its last hidden and cell states."""

    def forward(s: Net, x: Tensor) -> Tensor:
        _, (hidden, cell) = s.recurrent(x.permute(2, 0, 1)[:10])
        return s.last(torch.cat([hidden[0], cell[0]], -1))

    return Net(forward, recurrent=nn.LSTM(4, 5), last=nn.Linear(10, 2))


@entry("lstm_cell_by_hand", spelling_of="lstm_module_by_hand")
def cell_by_hand() -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        hidden = cell = x.new_zeros(x.shape[0], 4)
        for step in range(8):
            gates = x[:, :, step] @ s.recurrent.weight_ih_l0.T + s.recurrent.bias_ih_l0
            gates = gates + (hidden @ s.recurrent.weight_hh_l0.T + s.recurrent.bias_hh_l0)
            i, f, g, o = gates.chunk(4, 1)
            cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
            hidden = torch.sigmoid(o) * torch.tanh(cell)
        return s.last(hidden)

    return Net(forward, recurrent=nn.LSTM(4, 4, batch_first=True), last=nn.Linear(4, 2))


@entry("lstm_module_by_hand")
def module_by_hand() -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        return s.last(s.recurrent(x[:, :, :8].transpose(1, 2))[0][:, -1])

    return Net(forward, recurrent=nn.LSTM(4, 4, batch_first=True), last=nn.Linear(4, 2))


@entry("lstm_cells")
def cells() -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        state = None
        for step in torch.relu(s.conv(x)).unbind(-1):
            state = s.cell(step, state)
        return s.last(state[0])

    return Net(forward, conv=nn.Conv1d(4, 5, 5, stride=4), cell=nn.LSTMCell(5, 4), last=nn.Linear(4, 2))


@entry("gru_cells")
def gru_cells() -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        state = s.start.expand(x.shape[0], -1)
        for step in torch.relu(s.conv(x)).unbind(-1):
            state = s.cell(step, state)
        return s.last(state)

    return Net(
        forward, conv=nn.Conv1d(4, 5, 5, stride=4), cell=nn.GRUCell(5, 4), last=nn.Linear(4, 2),
        start=nn.Parameter(torch.randn(1, 4)),
    )  # fmt: skip


@entry("danq")
def danq() -> nn.Module:
    """Convolution, pool, LSTM in both directions, dense layers."""

    def forward(s: Net, x: Tensor) -> Tensor:
        h = s.pool(torch.relu(s.conv(x))).transpose(1, 2)
        h, _ = s.recurrent(h)
        return torch.sigmoid(s.last(torch.relu(s.hidden(h.flatten(1)))))

    return Net(
        forward, conv=nn.Conv1d(4, 6, 5), pool=nn.MaxPool1d(4), hidden=nn.Linear(40, 7), last=nn.Linear(7, 3),
        recurrent=nn.LSTM(6, 4, batch_first=True, bidirectional=True),
    )  # fmt: skip


@entry("state_space")
def state_space() -> nn.Module:
    """A selective scan (Mamba), step by step: decay and input depend on the sequence."""

    def forward(s: Net, x: Tensor) -> Tensor:
        u = torch.nn.functional.silu(s.conv(x))
        step = torch.nn.functional.softplus(s.step(u))
        state = u.new_zeros(u.shape[0], u.shape[1])
        states = []
        for place in range(u.shape[-1]):
            decay = torch.exp(-step[..., place] * s.rates.exp())
            state = decay * state + step[..., place] * u[..., place]
            states.append(state)
        return s.last((torch.stack(states, -1) * torch.sigmoid(s.gate(u))).mean(-1))

    return Net(
        forward, conv=nn.Conv1d(4, 5, 5, stride=3), step=nn.Conv1d(5, 5, 1), gate=nn.Conv1d(5, 5, 1),
        rates=nn.Parameter(torch.randn(5) / 3), last=nn.Linear(5, 2),
    )  # fmt: skip


@entry("cumulative_scan")
def cumulative_scan() -> nn.Module:
    """A linear recurrence by cumulative sums of logarithms."""

    def forward(s: Net, x: Tensor) -> Tensor:
        a, b = s.conv(x).chunk(2, 1)
        decay = torch.nn.functional.logsigmoid(a).cumsum(-1)
        return s.last((torch.exp(decay) * (torch.exp(-decay) * b).cumsum(-1)).mean(-1))

    return Net(forward, conv=nn.Conv1d(4, 6, 5, stride=3), last=nn.Linear(3, 2))
