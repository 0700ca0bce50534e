"""Recurrent classifiers: DanQ and the LSTM of the Deep Motif Dashboard."""

from torch import Tensor, nn
from zoo.entry import Net

from published.architecture import Head, published


@published(
    "danq", (4, 200), paper="Quang and Xie 2016, Nucleic Acids Research 44:e107",
    source="selene, models/danQ.py", heads=(Head("first task", 0, 0),),
)  # fmt: skip
def danq() -> nn.Module:
    """A convolution, a bidirectional LSTM over what its pool leaves, two dense layers."""

    def forward(s: Net, x: Tensor) -> Tensor:
        # Time goes first, as in the source.
        steps, _ = s.lstm(s.convolution(x).permute(2, 0, 1))
        return s.classifier(steps.transpose(0, 1))

    return Net(
        forward,
        convolution=nn.Sequential(nn.Conv1d(4, 10, 26), nn.ReLU(inplace=True), nn.MaxPool1d(13, 13)),
        lstm=nn.LSTM(10, 6, bidirectional=True),
        classifier=nn.Sequential(
            nn.Dropout(0.5), nn.Flatten(), nn.Linear(12 * 13, 16), nn.ReLU(inplace=True), nn.Linear(16, 5),
            nn.Sigmoid(),
        ),
    )  # fmt: skip


@published(
    "lstm_classifier", (4, 30), paper="Lanchantin et al. 2017 (Deep Motif Dashboard), PSB 22:254",
    source="DeepMotif, model.lua", heads=(Head("bound", 0, 1),),
)  # fmt: skip
def lstm_classifier() -> nn.Module:
    """A bidirectional LSTM straight on the bases, the mean of its states, two classes."""

    def forward(s: Net, x: Tensor) -> Tensor:
        states, _ = s.lstm(x.transpose(1, 2))
        return s.last(states.mean(1))

    return Net(
        forward,
        lstm=nn.LSTM(4, 6, batch_first=True, bidirectional=True),
        last=nn.Sequential(nn.Linear(12, 2), nn.Softmax(-1)),
    )
