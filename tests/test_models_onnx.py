"""ONNX files of many small architectures, from each exporter, against torch and onnxruntime."""

import itertools
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deeplift_cli.models import read

LENGTH = 48
pytestmark = pytest.mark.filterwarnings("ignore")  # the exporters' own


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Many tiny ops: on a busy machine, threads would wait for each other most of the time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Call(nn.Module):
    """A module from a function of its submodules and the input."""

    def __init__(self, function, **parts: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x: Tensor):
        return self.function(self, x)


def dense() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(4 * LENGTH, 16), nn.ReLU(), nn.Dropout(), nn.Linear(16, 3))


def conv_pool() -> nn.Module:
    convs = (nn.Conv1d(4, 8, 7, padding=3), nn.BatchNorm1d(8), nn.ReLU(), nn.MaxPool1d(3), nn.Conv1d(8, 6, 4))
    head = (nn.ReLU(), nn.MaxPool1d(2, ceil_mode=True), nn.Flatten(), nn.Linear(42, 2), nn.Sigmoid())
    return nn.Sequential(*convs, *head)


def norm_after_relu() -> nn.Module:
    convs = (nn.Conv1d(4, 6, 5), nn.ReLU(), nn.BatchNorm1d(6), nn.Conv1d(6, 6, 3, bias=False), nn.ELU(0.7))
    return nn.Sequential(*convs, nn.Flatten(), nn.BatchNorm1d(252), nn.Linear(252, 2), nn.Softmax(1))


def residual() -> nn.Module:
    def forward(m, x):
        h = F.relu(m.first(x))
        for conv in (m.a, m.b, m.c):
            h = h + F.relu(conv(h))
        profile = m.profile(h)[:, :, 4:-4]
        return profile.squeeze(1), m.count(h.mean(-1))

    dilated = {k: nn.Conv1d(8, 8, 3, padding=d, dilation=d) for k, d in (("a", 2), ("b", 4), ("c", 8))}
    heads = {"profile": nn.Conv1d(8, 1, 9), "count": nn.Linear(8, 1)}
    return Call(forward, first=nn.Conv1d(4, 8, 11, padding="same"), **dilated, **heads)


def inception() -> nn.Module:
    def forward(m, x):
        branches = [m.one(x), m.four(x), m.nine(x), F.max_pool1d(x, 3, 1, 1), F.avg_pool1d(x, 3, 1, 1)]
        h = torch.cat([F.leaky_relu(b, 0.2) for b in branches], 1)
        return m.out(F.max_pool1d(h, 4).flatten(1))

    convs = {k: nn.Conv1d(4, 5, n, padding="same") for k, n in (("one", 1), ("four", 4), ("nine", 9))}
    return Call(forward, **convs, out=nn.Linear(23 * 12, 2))


def activations() -> nn.Module:
    kinds = [nn.GELU(), nn.GELU("tanh"), nn.SiLU(), nn.ELU(), nn.PReLU(6), nn.PReLU(), nn.LeakyReLU(0.3)]
    kinds += [
        nn.Softplus(),
        nn.SELU(),
        nn.CELU(0.6),
        nn.Mish(),
        nn.Hardtanh(-0.4, 0.9),
        nn.Tanh(),
        nn.ReLU6(),
    ]
    kinds += [nn.Hardsigmoid(), nn.Softsign(), nn.LogSigmoid(), nn.Sigmoid(), nn.Softplus(2)]
    layers = itertools.chain.from_iterable((nn.Conv1d(6, 6, 1), kind) for kind in kinds)
    return nn.Sequential(nn.Conv1d(4, 6, 3), *layers, nn.Flatten(), nn.PReLU(276), nn.Linear(276, 1))


def global_pools() -> nn.Module:
    def forward(m, x):
        h = m.conv(x)
        pools = [h.amax(-1), h.mean(-1), h.max(-1).values, h.sum(-1), h.amin((-1,)), torch.logsumexp(h, -1)]
        adaptive = [F.adaptive_max_pool1d(h, 1).squeeze(-1), F.adaptive_avg_pool1d(h, 1).squeeze(-1)]
        return m.out(torch.cat(pools + adaptive, 1))

    return Call(forward, conv=nn.Conv1d(4, 5, 5), out=nn.Linear(40, 2))


def adaptive_pools() -> nn.Module:
    def forward(m, x):
        h = m.conv(x)
        parts = [F.adaptive_avg_pool1d(h, 6), F.adaptive_max_pool1d(h, 6), F.avg_pool1d(h, 8, 8)]
        return m.out(torch.cat(parts, 1).flatten(1))

    return Call(forward, conv=nn.Conv1d(4, 5, 5, padding=2), out=nn.Linear(90, 2))


def strided_grouped() -> nn.Module:
    pools = (nn.AvgPool1d(3, 2, 1, count_include_pad=False), nn.AvgPool1d(3, 2, 1), nn.MaxPool1d(3, 2, 1))
    convs = (
        nn.Conv1d(4, 8, 5, stride=2, padding=1),
        nn.Conv1d(8, 8, 3, groups=4),
        nn.Conv1d(8, 8, 4, groups=8),
    )
    return nn.Sequential(*convs, *pools, nn.Flatten(), nn.Linear(24, 2))


def two_dimensional() -> nn.Module:
    convs = (nn.Unflatten(1, (1, 4)), nn.Conv2d(1, 8, (4, 7)), nn.ReLU(), nn.MaxPool2d((1, 3)))
    return nn.Sequential(*convs, nn.Conv2d(8, 6, (1, 3)), nn.ReLU(), nn.Flatten(), nn.Linear(72, 2))


def attention() -> nn.Module:
    def forward(m, x):
        h = m.conv(x).transpose(1, 2)
        q, k, v = m.qkv(m.norm(h)).chunk(3, dim=-1)
        h = h + torch.softmax(q @ k.transpose(1, 2) / 3, -1) @ v
        gate = torch.sigmoid(m.gate(h.mean(1)))
        return m.out((h * gate.unsqueeze(1)).amax(1))

    parts = {
        "norm": nn.LayerNorm(6),
        "qkv": nn.Linear(6, 18),
        "gate": nn.Linear(6, 6),
        "out": nn.Linear(6, 2),
    }
    return Call(forward, conv=nn.Conv1d(4, 6, 3, stride=2), **parts)


def shape_ops() -> nn.Module:
    def forward(m, x):
        both = torch.stack([x, x.flip(1, 2)], 1)  # both strands
        h = both.view(-1, 4, x.shape[-1])
        h = m.conv(F.pad(h, (2, 3))).view(x.shape[0], 2, 5, -1).mean(1)
        first, second = h.split([20, h.shape[-1] - 20], -1)
        h = torch.cat([first[..., ::2], second[:, :, :-3], h[:, [4, 0, 1, 3, 2], 1:3], h[:, :, -1:]], -1)
        gram = torch.einsum("ncl,ndl->ncd", h, h)
        return m.out(torch.cat([h.reshape(h.size(0), -1), gram[:, 2], h.permute(2, 0, 1)[3]], 1))

    return Call(forward, conv=nn.Conv1d(4, 5, 6), out=nn.Linear(200, 1))


def upsampling() -> nn.Module:
    def forward(m, x):
        h = F.relu(m.group(m.down(x)))
        h = torch.cat([F.relu(m.up(h)), F.interpolate(h, scale_factor=2, mode="nearest")], 1)
        return torch.log(F.softplus(m.out(h)) + 1).clamp(min=0.3).squeeze(1)

    convs = {
        "down": nn.Conv1d(4, 6, 4, 2, 1),
        "up": nn.ConvTranspose1d(6, 6, 4, 2, 1),
        "out": nn.Conv1d(12, 1, 1),
    }
    return Call(forward, **convs, group=nn.GroupNorm(3, 6))


def extremes() -> nn.Module:
    def forward(m, x):
        h = m.conv(x)
        a, b = h.chunk(2, 1)
        h = torch.maximum(a, b) + torch.minimum(a, b * 2).clamp(-1, 1) - torch.where(a > 0.1, a, -b)
        return m.out(h.abs().pow(2).flatten(1)) / 7

    return Call(forward, conv=nn.Conv1d(4, 8, 5), out=nn.Linear(176, 2))


ZOO = (
    dense,
    conv_pool,
    norm_after_relu,
    residual,
    inception,
    activations,
    global_pools,
    adaptive_pools,
    strided_grouped,
    two_dimensional,
    attention,
    shape_ops,
    upsampling,
    extremes,
)


def build(make) -> nn.Module:
    """Return the model with random weights and batch-norm statistics that are not 0 and 1."""
    torch.manual_seed(1)
    model = make()
    for part in model.modules():
        if isinstance(part, nn.BatchNorm1d):
            nn.init.uniform_(part.running_mean, -1, 1)
            nn.init.uniform_(part.running_var, 0.5, 2)
            nn.init.uniform_(part.weight, -1, 1)
    return model.eval()


def one_hot(rows: int, length: int = LENGTH) -> Tensor:
    letters = torch.randint(4, (rows, length), generator=torch.Generator().manual_seed(rows))
    return F.one_hot(letters, 4).transpose(1, 2).float()


def outputs(result) -> list[np.ndarray]:
    results = result if isinstance(result, list | tuple) else [result]
    return [np.asarray(r) for r in results]


def assert_close(found, expected, tolerance: float = 1e-5) -> None:
    found, expected = outputs(found), outputs(expected)
    assert [f.shape for f in found] == [e.shape for e in expected]
    for f, e in zip(found, expected, strict=True):
        np.testing.assert_allclose(f, e, rtol=tolerance, atol=tolerance * max(1.0, np.abs(e).max()))


def run_onnxruntime(path: Path, x: Tensor) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x.numpy()})


@torch.no_grad()
def check(path: Path, original: nn.Module) -> None:
    """The file loads, with any number of rows, and equals torch and onnxruntime."""
    model = read(path)
    assert model.batch_size is None
    assert not model.module.training
    for rows in (1, 5):
        x = one_hot(rows)
        assert_close(model.module(x), original(x))
    declared = onnxruntime.InferenceSession(str(path)).get_inputs()[0].shape[0]
    x = one_hot(declared if isinstance(declared, int) else 3)
    assert_close(model.module(x), run_onnxruntime(path, x))


# The exporter has no unflatten and no einsum for operator set 11, and no mish or hard activations.
LEGACY = [(make, opset) for make in ZOO for opset in (11, 13, 17, 20)]
LEGACY = [pair for pair in LEGACY if pair[1] > 11 or pair[0] not in (activations, two_dimensional, shape_ops)]


@pytest.mark.parametrize(("make", "opset"), LEGACY, ids=lambda value: getattr(value, "__name__", value))
def test_legacy_exporter(make, opset: int, tmp_path: Path) -> None:
    # a free batch from one operator set, a baked-in batch of 1 from the next
    model, path = build(make), tmp_path / "model.onnx"
    free = {"dynamic_axes": {"x": {0: "n"}}} if opset in (13, 20) else {}
    torch.onnx.export(model, one_hot(1), path, dynamo=False, opset_version=opset, input_names=["x"], **free)
    check(path, model)


class Together(nn.Module):
    """Several architectures in one file: the current exporter takes seconds for each file."""

    def __init__(self, makes) -> None:
        super().__init__()
        self.parts = nn.ModuleDict({make.__name__: build(make) for make in makes})

    def forward(self, x: Tensor) -> list[Tensor]:
        results = [part(x) for part in self.parts.values()]
        return [t for r in results for t in (r if isinstance(r, tuple) else (r,))]


@pytest.mark.parametrize(
    ("opset", "free", "makes"),
    [(18, True, ZOO), (None, False, ZOO), (23, False, (conv_pool, global_pools, shape_ops))],
    ids=["18", "default", "23"],
)
def test_current_exporter(opset: int | None, free: bool, makes, tmp_path: Path) -> None:
    model, path = Together(makes).eval(), tmp_path / "model.onnx"
    shapes = {"dynamic_shapes": ({0: torch.export.Dim("n")},)} if free else {}
    example = (one_hot(2 if free else 1),)
    torch.onnx.export(model, example, path, dynamo=True, opset_version=opset, verbose=False, **shapes)
    check(path, model)
