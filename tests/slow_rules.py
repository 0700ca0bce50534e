"""A second, slow reading of the rules: loops over elements, one example at a time, plain float64 numbers.

Written from the paper and the definitions of the rules, not from the core: the two share no code, so that a
mistake has to be made twice to go unseen. A net is a list of `Layer`; `scores` explains it, and `TorchNet`
is the same net for torch.
"""

import math
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

EPS = 8 * np.finfo(np.float64).eps


@dataclass
class Layer:
    """One operation: its name, its kind, the names of the layers that it reads, and its constants."""

    name: str
    kind: str
    inputs: list[str]
    args: dict[str, Any] = field(default_factory=dict)
    known: dict[tuple[int, ...], Any] = field(default_factory=dict)  # matrices, by the input's shape


# ---- activations: value, derivative, derivative from the right, and how torch calls them


def _phi(v: float) -> float:
    return math.exp(-v * v / 2) / math.sqrt(2 * math.pi)


def _cdf(v: float) -> float:
    return (1 + math.erf(v / math.sqrt(2))) / 2


def _sigmoid(v: float) -> float:
    return 1 / (1 + math.exp(-v))


ACTIVATIONS: dict[str, tuple[Any, Any, Any, Any]] = {
    "relu": (lambda v: max(v, 0.0), lambda v: float(v > 0), lambda v: float(v >= 0), F.relu),
    "leaky": (
        lambda v: v if v >= 0 else 0.2 * v,
        lambda v: 1.0 if v > 0 else 0.2,
        lambda v: 1.0 if v >= 0 else 0.2,
        lambda v: F.leaky_relu(v, 0.2),
    ),
    "elu": (
        lambda v: v if v > 0 else math.expm1(v),
        lambda v: 1.0 if v > 0 else math.exp(v),
        lambda v: 1.0 if v > 0 else math.exp(v),
        F.elu,
    ),
    "sigmoid": (
        _sigmoid,
        lambda v: _sigmoid(v) * (1 - _sigmoid(v)),
        lambda v: _sigmoid(v) * (1 - _sigmoid(v)),
        torch.sigmoid,
    ),
    "tanh": (math.tanh, lambda v: 1 - math.tanh(v) ** 2, lambda v: 1 - math.tanh(v) ** 2, torch.tanh),
    "softplus": (lambda v: math.log1p(math.exp(v)), _sigmoid, _sigmoid, F.softplus),
    "gelu": (
        lambda v: v * _cdf(v),
        lambda v: _cdf(v) + v * _phi(v),
        lambda v: _cdf(v) + v * _phi(v),
        F.gelu,
    ),
    "silu": (
        lambda v: v * _sigmoid(v),
        lambda v: _sigmoid(v) * (1 + v * (1 - _sigmoid(v))),
        lambda v: _sigmoid(v) * (1 + v * (1 - _sigmoid(v))),
        F.silu,
    ),
    "negative_relu": (
        lambda v: -max(v, 0.0),
        lambda v: -float(v > 0),
        lambda v: -float(v >= 0),
        lambda v: torch.where(v > 0, -v, torch.zeros_like(v)),
    ),
    "exp": (math.exp, math.exp, math.exp, torch.exp),
    "square": (lambda v: v * v, lambda v: 2 * v, lambda v: 2 * v, torch.square),
}
ALWAYS_RESCALE = {"exp", "square"}


# ---- maxima: multipliers of the values of one window


def _argmax(values: list[float]) -> int:
    """The first of the values within 8 eps of the largest."""
    largest = max(values)
    return next(j for j, value in enumerate(values) if value >= largest - EPS * abs(largest))


def switch(x: list[float], r: list[float]) -> list[float]:
    """A rise goes to the input's argmax, a fall to the reference's; no change goes to a shared argmax."""
    best, old = _argmax(x), _argmax(r)
    if delta(r[best], r[old]) == 0:
        old = best
    change = float(delta(max(x), max(r)))
    shares = [0.0] * len(x)
    if change > 0:
        shares[best] = change / (x[best] - r[best])
    elif change < 0:
        shares[old] = change / (x[old] - r[old])
    elif best == old:
        shares[best] = 1.0
    return shares


def aumann_shapley(x: list[float], r: list[float]) -> list[float]:
    """Share of t from 0 to 1 in which each is the first of the largest of r + t (x - r), in exact fractions.

    All points where two lines cross cut [0, 1] into pieces; each piece has one largest line at its middle.
    """
    start, end = [Fraction(v) for v in r], [Fraction(v) for v in x]
    cuts = {Fraction(0), Fraction(1)}
    for j, k in combinations(range(len(x)), 2):
        gap, gap_at_end = start[j] - start[k], end[j] - end[k]
        if gap != gap_at_end and 0 < (t := gap / (gap - gap_at_end)) < 1:
            cuts.add(t)
    shares = [Fraction(0)] * len(x)
    for left, right in pairwise(sorted(cuts)):
        t = (left + right) / 2
        values = [a + t * (b - a) for a, b in zip(start, end, strict=True)]
        shares[values.index(max(values))] += right - left
    return [float(share) for share in shares]


MAXIMA = {"switch": switch, "aumann-shapley": aumann_shapley}


# ---- the values of every layer


def _windows_1d(layer: Layer, length: int) -> list[list[int]]:
    """Positions that each window of a pooling layer covers, padding left out."""
    if layer.kind.startswith("adaptive"):
        size = layer.args["size"]
        return [
            list(range(math.floor(i * length / size), math.ceil((i + 1) * length / size)))
            for i in range(size)
        ]
    kernel, stride = layer.args["kernel"], layer.args.get("stride", layer.args["kernel"])
    pad = layer.args.get("padding", 0)
    count = (length + 2 * pad - kernel) // stride + 1
    return [
        [p for p in range(w * stride - pad, w * stride - pad + kernel) if 0 <= p < length]
        for w in range(count)
    ]


def _linear_map(layer: Layer, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """Matrix [outputs, inputs], bias [outputs] and output shape of a dense layer or a convolution."""
    if shape not in layer.known:
        layer.known[shape] = _make_linear_map(layer, shape)
    return layer.known[shape]


def _make_linear_map(layer: Layer, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    weight = layer.args["weight"]
    bias = layer.args.get("bias")
    if layer.kind == "dense":
        return weight, np.zeros(len(weight)) if bias is None else bias, (len(weight),)
    spatial = len(shape) - 1
    stride, pad, dilation = (
        [layer.args.get(key, default)] * spatial
        for key, default in (("stride", 1), ("padding", 0), ("dilation", 1))
    )
    groups = layer.args.get("groups", 1)
    kernel = weight.shape[2:]
    out_spatial = [
        (shape[1 + d] + 2 * pad[d] - dilation[d] * (kernel[d] - 1) - 1) // stride[d] + 1
        for d in range(spatial)
    ]
    out_shape = (weight.shape[0], *out_spatial)
    matrix = np.zeros((math.prod(out_shape), math.prod(shape)))
    per_group_out, per_group_in = weight.shape[0] // groups, weight.shape[1]
    for row, place in enumerate(np.ndindex(*out_shape)):
        group = place[0] // per_group_out
        for channel in range(per_group_in):
            for tap in np.ndindex(*kernel):
                at = [place[1 + d] * stride[d] - pad[d] + tap[d] * dilation[d] for d in range(spatial)]
                if all(0 <= at[d] < shape[1 + d] for d in range(spatial)):
                    column = np.ravel_multi_index((group * per_group_in + channel, *at), shape)
                    matrix[row, column] += weight[(place[0], channel, *tap)]
    flat_bias = np.zeros(math.prod(out_shape))
    if bias is not None:
        for row, place in enumerate(np.ndindex(*out_shape)):
            flat_bias[row] = bias[place[0]]
    return matrix, flat_bias, out_shape


def _average_map(layer: Layer, shape: tuple[int, ...]) -> tuple[np.ndarray, tuple[int, ...]]:
    """Matrix of an average pooling layer (padding counts), a global mean or a sum."""
    channels, length = shape
    if layer.kind == "global_mean":
        windows, sizes, out_shape = [list(range(length))], [length], (channels,)
    else:
        windows = _windows_1d(layer, length)
        fixed = layer.args.get("kernel")
        sizes = [fixed or len(window) for window in windows]
        out_shape = (channels, len(windows))
    matrix = np.zeros((channels * len(windows), channels * length))
    for channel in range(channels):
        for w, (window, size) in enumerate(zip(windows, sizes, strict=True)):
            for position in window:
                matrix[channel * len(windows) + w, channel * length + position] = 1 / size
    return matrix, out_shape


def _batch_norm(layer: Layer, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    scale, shift = np.zeros(shape), np.zeros(shape)
    for place in np.ndindex(*shape):
        c = place[0]
        scale[place] = layer.args["gamma"][c] / math.sqrt(layer.args["var"][c] + 1e-5)
        shift[place] = layer.args["beta"][c] - layer.args["mean"][c] * scale[place]
    return scale, shift


def forward(layers: list[Layer], x: np.ndarray) -> dict[str, np.ndarray]:
    """Value of every layer for one example."""
    seen = {"input": x}
    for layer in layers:
        given = [seen[name] for name in layer.inputs]
        seen[layer.name] = _value(layer, given)
    return seen


def _value(layer: Layer, given: list[np.ndarray]) -> np.ndarray:
    v = given[0]
    match layer.kind:
        case "dense" | "conv":
            matrix, bias, shape = _linear_map(layer, v.shape)
            return (matrix @ v.ravel() + bias).reshape(shape)
        case "batch_norm":
            scale, shift = _batch_norm(layer, v.shape)
            return v * scale + shift
        case "act":
            f = ACTIVATIONS[layer.args["f"]][0]
            return np.array([f(float(item)) for item in v.ravel()]).reshape(v.shape)
        case "add":
            return given[0] + given[1]
        case "subtract":
            return given[0] - given[1]
        case "product":
            return given[0] * given[1]
        case "concat":
            return np.concatenate(given, 0)
        case "flatten":
            return v.ravel()
        case "crop":
            return v[:, layer.args["start"] : layer.args["stop"]]
        case "average_pool" | "adaptive_average_pool" | "global_mean":
            matrix, shape = _average_map(layer, v.shape)
            return (matrix @ v.ravel()).reshape(shape)
        case "max_pool" | "adaptive_max_pool":
            windows = _windows_1d(layer, v.shape[1])
            return np.array([[max(row[p] for p in window) for window in windows] for row in v])
        case "global_max":
            return v.max(1)
        case "softmax" | "log_softmax":
            p = np.exp(v - v.max())
            p = p / p.sum()
            return p if layer.kind == "softmax" else np.log(p)
        case "logsumexp":
            return np.array([math.log(sum(math.exp(float(item)) for item in v))])
    raise AssertionError(layer.kind)


# ---- differences, parts and multipliers


def delta(x: np.ndarray, r: np.ndarray) -> np.ndarray:
    d = x - r
    return np.where(np.abs(d) <= EPS * np.maximum(np.abs(x), np.abs(r)), 0.0, d)


def _fresh(d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.where(d > 0, d, 0.0), np.where(d < 0, d, 0.0)


class _Pair:
    """One example against one reference."""

    def __init__(self, layers: list[Layer], x: np.ndarray, r: np.ndarray, rules: dict[str, str]) -> None:
        self.layers = layers
        self.rules = rules
        self.x, self.r = forward(layers, x), forward(layers, r)
        self.parts = {"input": _fresh(delta(x, r))}
        self.responses: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for layer in layers:
            self.parts[layer.name] = self._parts(layer)

    def _parts(self, layer: Layer) -> tuple[np.ndarray, np.ndarray]:
        """P and Q of a layer's output."""
        given = [self.parts[name] for name in layer.inputs]
        (p, q), source = given[0], layer.inputs[0]
        match layer.kind:
            case "dense" | "conv":
                matrix, _, shape = _linear_map(layer, self.x[source].shape)
                d = delta(self.x[source], self.r[source]).ravel()
                rise, fall = np.zeros(len(matrix)), np.zeros(len(matrix))
                for i, j in zip(*np.nonzero(matrix), strict=True):
                    term = matrix[i, j] * d[j]
                    if term > 0:
                        rise[i] += term
                    else:
                        fall[i] += term
                return rise.reshape(shape), fall.reshape(shape)
            case "batch_norm":
                scale, _ = _batch_norm(layer, p.shape)
                return np.where(scale >= 0, scale * p, scale * q), np.where(scale >= 0, scale * q, scale * p)
            case "act":
                return self._activation_parts(layer)
            case "add":
                return p + given[1][0], q + given[1][1]
            case "subtract":
                return p - given[1][1], q - given[1][0]
            case "concat":
                return np.concatenate([g[0] for g in given]), np.concatenate([g[1] for g in given])
            case "flatten":
                return p.ravel(), q.ravel()
            case "crop":
                at = slice(layer.args["start"], layer.args["stop"])
                return p[:, at], q[:, at]
            case "average_pool" | "adaptive_average_pool" | "global_mean":
                matrix, shape = _average_map(layer, p.shape)
                return (matrix @ p.ravel()).reshape(shape), (matrix @ q.ravel()).reshape(shape)
        return _fresh(delta(self.x[layer.name], self.r[layer.name]))

    def _activation_parts(self, layer: Layer) -> tuple[np.ndarray, np.ndarray]:
        """Work out the multipliers of both parts, element by element, and what the parts turn into."""
        source = layer.inputs[0]
        p, q = self.parts[source]
        x, r = self.x[source], self.r[source]
        f, slope, right, _ = ACTIVATIONS[layer.args["f"]]
        rule = "rescale" if layer.args["f"] in ALWAYS_RESCALE else self.rules[layer.name]
        rise, fall = np.zeros(x.shape), np.zeros(x.shape)
        up, down = np.zeros(x.shape), np.zeros(x.shape)
        d = delta(x, r)
        for at in np.ndindex(*x.shape):
            x1, x0, a, b = float(x[at]), float(r[at]), float(p[at]), float(q[at])
            if rule == "rescale":
                m = slope(x0) if d[at] == 0 else (f(x1) - f(x0)) / d[at]
                up[at] = down[at] = m
                rise[at], fall[at] = (m * a, m * b) if m >= 0 else (m * b, m * a)
                continue
            tiny = EPS * max(abs(x1), abs(x0), abs(x0 + a), abs(x0 + b))
            if rule == "revealcancel":
                gain = ((f(x0 + a) - f(x0)) + (f(x0 + a + b) - f(x0 + b))) / 2
                loss = ((f(x0 + b) - f(x0)) + (f(x0 + a + b) - f(x0 + a))) / 2
                gain_limit, loss_limit = (right(x0) + right(x0 + b)) / 2, (right(x0) + right(x0 + a)) / 2
            else:
                gain, loss = f(x0 + a) - f(x0), f(x0 + a + b) - f(x0 + a)
                gain_limit, loss_limit = right(x0), right(x0 + a)
            up[at] = gain / a if abs(a) > tiny else gain_limit
            down[at] = loss / b if abs(b) > tiny else loss_limit
            for change in (up[at] * a, down[at] * b):
                if change > 0:
                    rise[at] += change
                else:
                    fall[at] += change
        self.responses[layer.name] = up, down
        return rise, fall

    def multipliers(self, target: str, seed: np.ndarray) -> np.ndarray:
        """Multipliers of the input for the sum of ``seed`` times the target layer's output."""
        zero = {name: np.zeros(value.shape) for name, value in self.x.items()}
        self.up, self.down = dict(zero), {name: value.copy() for name, value in zero.items()}
        self.up[target], self.down[target] = self.up[target] + seed, self.down[target] + seed
        for layer in reversed(self.layers):
            self._backward(layer)
        d = delta(self.x["input"], self.r["input"])
        up, down = self.up["input"], self.down["input"]
        return np.where(d > 0, up, np.where(d < 0, down, (up + down) / 2))

    def _send(self, name: str, up: np.ndarray, down: np.ndarray) -> None:
        self.up[name] = self.up[name] + up.reshape(self.up[name].shape)
        self.down[name] = self.down[name] + down.reshape(self.down[name].shape)

    def _merged(self, name: str) -> np.ndarray:
        """One multiplier for operations that start afresh."""
        d = delta(self.x[name], self.r[name])
        up, down = self.up[name], self.down[name]
        return np.where(d > 0, up, np.where(d < 0, down, (up + down) / 2))

    def _backward(self, layer: Layer) -> None:
        up, down = self.up[layer.name], self.down[layer.name]
        source = layer.inputs[0]
        shape = self.x[source].shape
        match layer.kind:
            case "dense" | "conv":
                matrix, _, _ = _linear_map(layer, shape)
                d = delta(self.x[source], self.r[source]).ravel()
                sent = np.zeros(len(d))
                for i, j in zip(*np.nonzero(matrix), strict=True):
                    w, plus, minus = matrix[i, j], up.ravel()[i], down.ravel()[i]
                    if d[j] == 0:
                        sent[j] += w * (plus + minus) / 2
                    else:  # a rising term belongs to P, a falling one to Q
                        sent[j] += w * (plus if w * d[j] > 0 else minus)
                self._send(source, sent, sent)
            case "batch_norm":
                scale, _ = _batch_norm(layer, shape)
                self._send(
                    source, scale * np.where(scale >= 0, up, down), scale * np.where(scale >= 0, down, up)
                )
            case "act":
                rise, fall = self.responses.get(layer.name, (None, None))
                if rise is None:
                    rise = fall = self._rescale(layer)
                self._send(source, rise * np.where(rise >= 0, up, down), fall * np.where(fall >= 0, down, up))
            case "add":
                for name in layer.inputs:
                    self._send(name, up, down)
            case "subtract":
                self._send(layer.inputs[0], up, down)
                self._send(layer.inputs[1], -down, -up)
            case "product":
                m = self._merged(layer.name)
                for name, other in (layer.inputs, reversed(layer.inputs)):
                    sent = m * (self.x[other] + self.r[other]) / 2
                    self._send(name, sent, sent)
            case "concat":
                start = 0
                for name in layer.inputs:
                    stop = start + len(self.x[name])
                    self._send(name, up[start:stop], down[start:stop])
                    start = stop
            case "flatten":
                self._send(source, up, down)
            case "crop":
                wide_up, wide_down = np.zeros(shape), np.zeros(shape)
                wide_up[:, layer.args["start"] : layer.args["stop"]] = up
                wide_down[:, layer.args["start"] : layer.args["stop"]] = down
                self._send(source, wide_up, wide_down)
            case "average_pool" | "adaptive_average_pool" | "global_mean":
                matrix, _ = _average_map(layer, shape)
                self._send(source, matrix.T @ up.ravel(), matrix.T @ down.ravel())
            case "max_pool" | "adaptive_max_pool" | "global_max":
                sent = self._maximum(layer, self._merged(layer.name))
                self._send(source, sent, sent)
            case "softmax" | "log_softmax" | "logsumexp":
                sent = self._softmax(layer, self._merged(layer.name))
                self._send(source, sent, sent)

    def _rescale(self, layer: Layer) -> np.ndarray:
        source = layer.inputs[0]
        x, r = self.x[source], self.r[source]
        f, slope, _, _ = ACTIVATIONS[layer.args["f"]]
        d, m = delta(x, r), np.zeros(x.shape)
        for at in np.ndindex(*x.shape):
            m[at] = slope(float(r[at])) if d[at] == 0 else (f(float(x[at])) - f(float(r[at]))) / d[at]
        return m

    def _maximum(self, layer: Layer, m: np.ndarray) -> np.ndarray:
        source = layer.inputs[0]
        x, r = self.x[source], self.r[source]
        channels, length = x.shape
        everything = [list(range(length))]
        windows = everything if layer.kind == "global_max" else _windows_1d(layer, length)
        m = m.reshape(channels, len(windows))
        shares_of = MAXIMA[self.rules.get(layer.name, "switch")]
        sent = np.zeros(x.shape)
        for c in range(channels):
            for w, window in enumerate(windows):
                shares = shares_of([float(x[c, p]) for p in window], [float(r[c, p]) for p in window])
                for p, share in zip(window, shares, strict=True):
                    sent[c, p] += m[c, w] * share
        return sent

    def _softmax(self, layer: Layer, m: np.ndarray) -> np.ndarray:
        source = layer.inputs[0]
        probabilities = []
        for z in (self.x[source], self.r[source]):
            e = np.exp(z - z.max())
            probabilities.append(e / e.sum())
        means = []
        for p, p0 in zip(*probabilities, strict=True):
            # where the two are close, the quotient loses digits that its limit does not
            near = abs(p - p0) <= 1e-7 * p
            means.append(math.sqrt(p * p0) if near else (p - p0) / (math.log(p) - math.log(p0)))
        total = sum(means)
        sent = np.zeros(len(means))
        for k, mean in enumerate(means):
            if layer.kind == "logsumexp":
                sent[k] = m.ravel()[0] * mean / total
                continue
            for i, weight in enumerate(means):
                factor = weight if layer.kind == "softmax" else 1.0
                sent[k] += m[i] * factor * ((i == k) - mean / total)
        return sent


def scores(
    layers: list[Layer], x: np.ndarray, r: np.ndarray, index: int, rules: dict[str, str]
) -> tuple[np.ndarray, np.ndarray]:
    """Multipliers and contributions of one example against one reference; the last layer is explained."""
    pair = _Pair(layers, x, r, rules)
    last = layers[-1].name
    seed = np.zeros(pair.x[last].shape)
    seed[index] = 1.0
    m = pair.multipliers(last, seed)
    return m, m * (x - r)


# ---- the same net in torch


class TorchNet(nn.Module):
    """A list of `Layer` run by torch; activations and maxima are modules, which layer rules can name."""

    def __init__(self, layers: list[Layer]) -> None:
        super().__init__()
        self.layers = layers
        for layer in layers:
            if layer.kind == "act":
                self.add_module(layer.name, _Function(ACTIVATIONS[layer.args["f"]][3]))
            elif layer.kind == "max_pool":
                settings = layer.args.get("stride"), layer.args.get("padding", 0)
                self.add_module(layer.name, nn.MaxPool1d(layer.args["kernel"], *settings))
            elif layer.kind == "adaptive_max_pool":
                self.add_module(layer.name, nn.AdaptiveMaxPool1d(layer.args["size"]))
            elif layer.kind == "global_max":
                self.add_module(layer.name, _Function(partial(torch.amax, dim=2)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = {"input": x}
        for layer in self.layers:
            seen[layer.name] = self._run(layer, [seen[name] for name in layer.inputs])
        return seen[self.layers[-1].name]

    def _run(self, layer: Layer, given: list[torch.Tensor]) -> torch.Tensor:
        v = given[0]
        a = {
            k: torch.as_tensor(c, dtype=v.dtype) if isinstance(c, np.ndarray) else c
            for k, c in layer.args.items()
        }
        pool = {"stride": a.get("stride"), "padding": a.get("padding", 0)}
        match layer.kind:
            case "dense":
                return F.linear(v, a["weight"], a.get("bias"))
            case "conv":
                settings = [a.get("stride", 1), a.get("padding", 0), a.get("dilation", 1), a.get("groups", 1)]
                convolve = F.conv1d if v.dim() == 3 else F.conv2d
                return convolve(v, a["weight"], a.get("bias"), *settings)
            case "batch_norm":
                return F.batch_norm(v, a["mean"], a["var"], a["gamma"], a["beta"])
            case "act" | "max_pool" | "adaptive_max_pool" | "global_max":
                return getattr(self, layer.name)(v)
            case "add":
                return given[0] + given[1]
            case "subtract":
                return given[0] - given[1]
            case "product":
                return given[0] * given[1]
            case "concat":
                return torch.cat(given, 1)
            case "flatten":
                return v.flatten(1)
            case "crop":
                return v[:, :, a["start"] : a["stop"]]
            case "average_pool":
                return F.avg_pool1d(v, a["kernel"], **pool)
            case "adaptive_average_pool":
                return F.adaptive_avg_pool1d(v, a["size"])
            case "global_mean":
                return v.mean(2)
            case "softmax":
                return v.softmax(1)
            case "log_softmax":
                return v.log_softmax(1)
            case "logsumexp":
                return v.logsumexp(1, keepdim=True)
        raise AssertionError(layer.kind)


class _Function(nn.Module):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)
