"""Tiny models and sequences, and the command run on them inside this process."""

import atexit
import contextlib
import functools
import io
import shutil
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from deeplift_cli.main import run

LENGTH = 24
BASES = "ACGT"


# ---- the command


@dataclass(frozen=True)
class Outcome:
    """Exit code, stdout and stderr of one run."""

    code: int
    out: str
    err: str


def deeplift(*arguments: object) -> Outcome:
    """Run `deeplift` in this process, on one thread unless told otherwise."""
    words = [str(argument) for argument in arguments]
    if words[:1] == ["score"] and "--threads" not in words:
        words += ["--threads", "1"]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(words)
    return Outcome(code, out.getvalue(), err.getvalue())


def score(*arguments: object) -> Outcome:
    """`deeplift score`, which has to succeed."""
    outcome = deeplift("score", *arguments)
    assert outcome.code == 0, outcome.err
    return outcome


# ---- sequences


def random_letters(seed: int, length: int = LENGTH) -> str:
    return "".join(np.random.default_rng(seed).choice(list(BASES), length))


def write_fasta(path: Path, records: Mapping[str, str] | Sequence[str]) -> Path:
    named = records if isinstance(records, Mapping) else {f"s{i}": text for i, text in enumerate(records)}
    path.write_text("".join(f">{name}\n{letters}\n" for name, letters in named.items()))
    return path


def encode(letters: str) -> np.ndarray:
    """One-hot [4, L], written another way than the program's."""
    return np.array([[letter == base for letter in letters.upper()] for base in BASES], np.int8)


def reverse_complement(letters: str) -> str:
    return letters[::-1].translate(str.maketrans("ACGTacgt", "TGCAtgca"))


# ---- models


class Net(nn.Module):
    """A convolution and two dense layers: Rescale and RevealCancel both have work to do."""

    def __init__(self, outputs: int = 2, length: int = LENGTH) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.conv = nn.Conv1d(4, 6, 5)
        self.first = nn.ReLU()
        self.hidden = nn.Linear(6 * (length - 4), 8)
        self.second = nn.ReLU()
        self.last = nn.Linear(8, outputs)

    def logits(self, x: Tensor) -> Tensor:
        h = self.first(self.conv(x)).flatten(1)
        return self.last(self.second(self.hidden(h)))

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x)


class Sigmoid(Net):
    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.logits(x))


class Softmax(Net):
    def __init__(self) -> None:
        super().__init__(outputs=3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(self.logits(x), dim=1)


class Scalar(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x)[:, 0]


class Profile(Net):
    """Output [N, 3, 2]."""

    def __init__(self) -> None:
        super().__init__(outputs=6)

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x).reshape(-1, 3, 2)


class TwoOutputs(Net):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.logits(x), 2 * self.logits(x) + 1


class AnyLength(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(8)
        self.conv = nn.Conv1d(4, 6, 5)
        self.last = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.conv(x)).mean(-1))


class ChannelsTGCA(Net):
    """Its channels are T, G, C, A."""

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x.flip(1))


class ChannelsLast(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x.transpose(1, 2))


class UnitThird(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x.squeeze(2))


class UnitLast(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x.squeeze(3))


class BatchOfOne(Net):
    def forward(self, x: Tensor) -> Tensor:
        h = self.first(self.conv(x)).reshape(1, 120)
        return self.last(self.second(self.hidden(h)))


class DependsOnBatch(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x - 0.5 * x.mean(0, keepdim=True))


class GivesNan(Net):
    """NaN where the sequence begins with A."""

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x) + (torch.log(0.5 - x[:, 0, 0]) * 0).unsqueeze(1)


class Indifferent(Net):
    """Its output does not change with the input."""

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x) * 0.0 + 1.5


class Constant(Net):
    """Its output does not even come from the input."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.ones(x.shape[0], 2)


class OddOperations(Net):
    def forward(self, x: Tensor) -> Tensor:
        return torch.logcumsumexp(torch.linalg.pinv(self.logits(x).unsqueeze(1)).flatten(1), dim=1)


MODELS: dict[str, type[nn.Module]] = {
    kind.__name__: kind
    for kind in (
        Net, Sigmoid, Softmax, Scalar, Profile, TwoOutputs, AnyLength, ChannelsTGCA, ChannelsLast, UnitThird,
        UnitLast, BatchOfOne, DependsOnBatch, GivesNan, Indifferent, Constant, OddOperations,
    )
}  # fmt: skip


@functools.cache
def _folder() -> Path:
    path = Path(tempfile.mkdtemp(prefix="deeplift-models-"))
    atexit.register(shutil.rmtree, path)
    return path


@functools.cache
def torchscript(name: str) -> Path:
    """TorchScript file of one of `MODELS`."""
    path = _folder() / f"{name}.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces TorchScript's end
        torch.jit.script(MODELS[name]().eval()).save(str(path))
    return path


@functools.cache
def pickled() -> Path:
    path = _folder() / "pickled.pt"
    torch.save(Net().eval(), path)
    return path


@functools.cache
def onnx_file() -> Path:
    """`Sigmoid` as ONNX, without an exporter; its outputs are called logit and probability."""
    net = Sigmoid()
    weights = {name: value.detach().numpy() for name, value in net.state_dict().items()}
    nodes = [
        helper.make_node("Conv", ["sequence", "conv.weight", "conv.bias"], ["c"], kernel_shape=[5]),
        helper.make_node("Relu", ["c"], ["a"]),
        helper.make_node("Flatten", ["a"], ["f"], axis=1),
        helper.make_node("Gemm", ["f", "hidden.weight", "hidden.bias"], ["h"], transB=1),
        helper.make_node("Relu", ["h"], ["b"]),
        helper.make_node("Gemm", ["b", "last.weight", "last.bias"], ["logit"], transB=1),
        helper.make_node("Sigmoid", ["logit"], ["probability"]),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("sequence", TensorProto.FLOAT, ["N", 4, LENGTH])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 2])
            for name in ("logit", "probability")
        ],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    path = _folder() / "small.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path
