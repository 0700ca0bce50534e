"""A recording is compared with its model: a forward that computes something else is refused by module."""

import copy
import ctypes
import io
import pickle
import random
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from deeplift_core import CaptureError, DeepLift, UnsupportedOpsError
from deeplift_core.capture import assert_same_function, borrowed, record, record_model, verify
from deeplift_core.capture.agreement import relative_error
from deeplift_core.capture.other_rows import other_rows
from deeplift_core.capture.rounding import from_moved_numbers

K, L = 6, 12
Function = Callable[[Tensor], Tensor]


def one_hot(rows: int = K, length: int = L, letters: int = 4) -> Tensor:
    drawn = torch.randint(letters, (rows, length), generator=torch.Generator().manual_seed(3))
    return nn.functional.one_hot(drawn, letters).transpose(1, 2).float()


class Layer(nn.Module):
    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def model_with(function: Function) -> nn.Module:
    """Features, then ``function`` of them in the module "1", then a head."""
    torch.manual_seed(0)
    convolution = nn.Conv1d(4, 5, 3)
    return nn.Sequential(convolution, Layer(function), nn.Tanh(), nn.Flatten(), nn.Linear(5 * (L - 2), 2))


def scored(model: nn.Module, x: Tensor, **options: Any) -> DeepLift:
    return DeepLift(model, x, logits=False, **options)


# ---- values that leave the recorder's sight


def in_a_thread(h: Tensor) -> Tensor:
    with ThreadPoolExecutor(1) as pool:
        return h + pool.submit(lambda: h.sum(2, keepdim=True)).result()


def pickled(h: Tensor) -> Tensor:
    return h + pickle.loads(pickle.dumps(h)).sum(2, keepdim=True)


def saved_and_loaded(h: Tensor) -> Tensor:
    file = io.BytesIO()
    torch.save(h, file)
    file.seek(0)
    return h + torch.load(file).sum(2, keepdim=True)


def from_an_address(h: Tensor) -> Tensor:
    whole = h.contiguous()
    numbers = (ctypes.c_float * whole.numel()).from_address(whole.data_ptr())
    return h + torch.frombuffer(bytearray(numbers), dtype=torch.float32).reshape(h.shape).mean(
        2, keepdim=True
    )


def from_storage(h: Tensor) -> Tensor:
    numbers = torch.tensor(h.contiguous().untyped_storage().tolist(), dtype=torch.uint8)
    return h + numbers.float().mean() / 1000


def formatted_and_read(h: Tensor) -> Tensor:
    return h + float(f"{h.detach().storage()[0]:.6f}")


class Counts:
    """Keeps a number from one call to the next."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, h: Tensor) -> Tensor:
        self.calls += 1
        return h * self.calls


class Remembers:
    """Keeps what it saw first."""

    def __init__(self) -> None:
        self.first: Tensor | None = None

    def __call__(self, h: Tensor) -> Tensor:
        if self.first is None:
            self.first = h
        return h + self.first.mean(2, keepdim=True)


LOST: dict[str, Callable[[], Function]] = {
    "thread": lambda: in_a_thread,
    "copy": lambda: lambda h: h + copy.copy(h).sum(2, keepdim=True),
    "deepcopy": lambda: lambda h: h + copy.deepcopy(h.detach()).sum(2, keepdim=True),
    "pickle": lambda: pickled,
    "save": lambda: saved_and_loaded,
    "parameter": lambda: lambda h: h + nn.Parameter(h).sum(2, keepdim=True),
    "dlpack": lambda: lambda h: h + torch.from_dlpack(torch.utils.dlpack.to_dlpack(h)).sum(2, keepdim=True),
    "storage": lambda: from_storage,
    "address": lambda: from_an_address,
    "format": lambda: formatted_and_read,
    "random": lambda: lambda h: h * random.random(),
    "numpy random": lambda: lambda h: h * float(np.random.rand()),
    "counter": Counts,
    "memory": Remembers,
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("rows", [1, 2, K])
@pytest.mark.parametrize("name", LOST)
def test_what_leaves_the_recorders_sight_is_refused_by_module(name: str, rows: int) -> None:
    with pytest.raises(CaptureError) as raised:
        scored(model_with(LOST[name]()), one_hot(rows))
    message = str(raised.value)
    assert "module '1'" in message
    assert "test_core_verification.py:" in message


@pytest.mark.parametrize("rows", [1, 2, K, 40])
@pytest.mark.parametrize("name", ["thread", "copy", "pickle", "parameter"])
def test_what_the_output_does_not_show_is_refused_alike(name: str, rows: int) -> None:
    """Behind a saturated sigmoid, or where all is 0 for other rows: the logit is explained all the same."""
    for end in (lambda h: torch.sigmoid(h.abs() * 1e3 + 1e3), lambda h: torch.relu(h - 1e3)):
        lossy = LOST[name]()
        model = model_with(lambda h, lossy=lossy, end=end: end(lossy(h)))
        with pytest.raises(CaptureError, match=r"left torch's sight .*module '1'"):
            scored(model, one_hot(rows))


@pytest.mark.parametrize("name", ["thread", "copy", "pickle", "parameter"])
def test_small_differences_beside_a_large_constant_are_not_rounding(name: str) -> None:
    """Without the names of constants: a graph that has others is compared by values alone."""
    lossy = LOST[name]()
    model = model_with(lambda h: lossy(h)).eval()
    model[4].bias.data += 1e3
    x = one_hot()
    with borrowed(model, x.dtype, x.device):
        graph, outputs, _ = record_model(model, [x])
        with pytest.raises(CaptureError, match="for other rows than the example's"), torch.no_grad():
            verify(lambda rows: [model(*rows)], graph, outputs, [x])


def test_what_was_lost_says_what_to_do() -> None:
    with pytest.raises(
        CaptureError,
        match=r"left torch's sight before aten\.add.*thread.*with tensor operations on the calling",
    ):
        scored(model_with(in_a_thread), one_hot())


RIGHT: dict[str, Function] = {
    "thread": lambda h: h + h.sum(2, keepdim=True),
    "copy": lambda h: h + h.clone().sum(2, keepdim=True),
    "constant random numbers": lambda h: h * torch.linspace(0, 1, h.shape[2]),
    "positions": lambda h: h + torch.sin(torch.arange(h.shape[2]) / 3),
    "dropout": nn.Dropout(0.5),
    "softmax within a row": lambda h: h.softmax(2),
    "mean within a row": lambda h: h - h.mean(2, keepdim=True),
    "products within a row": lambda h: (h @ h.mT) @ h,
    "one thread that works on constants": lambda h: h + ThreadPoolExecutor(1).submit(torch.ones, 1).result(),
    "deep copies of weights": lambda h: h * copy.deepcopy(nn.Parameter(torch.ones(1))),
    "rows one by one": lambda h: torch.stack([row.tanh() for row in h]),
    "all positions as one batch": lambda h: (
        h.transpose(1, 2).reshape(-1, 5).tanh().reshape(-1, L - 2, 5).transpose(1, 2)
    ),
}


@pytest.mark.parametrize("rows", [1, 2, K])
@pytest.mark.parametrize("name", RIGHT)
def test_right_forwards_are_recorded(name: str, rows: int) -> None:
    model, x = model_with(RIGHT[name]).eval(), one_hot(rows)
    result = scored(model, x, rule="rescale").attribute(x.flip(2), x)
    with torch.no_grad():
        expected = model(x.flip(2))[:, 0]
    torch.testing.assert_close(result.prediction, expected, rtol=1e-4, atol=1e-5)


# ---- rows that mix

MIXED: dict[str, tuple[Function, str]] = {
    "roll": (lambda h: h.roll(1, 0), "aten."),
    "flip": (lambda h: h + h.flip(0), "aten.flip"),
    "mean": (lambda h: h - h.mean(0), "aten.sub"),
    "softmax": (lambda h: h.softmax(0), "aten._softmax"),
    "products": (lambda h: ((h.flatten(1) @ h.flatten(1).T).softmax(1) @ h.flatten(1)).view_as(h), "aten.mm"),
    "first row": (lambda h: h + h[0], "aten.add"),
    "last row": (lambda h: h * h[-1:], "aten.mul"),
    "sorted": (lambda h: h.sort(0).values, ""),
    "sums so far": (lambda h: h.cumsum(0), "aten.cumsum"),
    "neighbours": (lambda h: h + h.reshape(-1, 2, *h.shape[1:]).flip(1).reshape(h.shape), ""),
    "a place in the batch": (lambda h: h + torch.arange(len(h)).view(-1, 1, 1), "aten.add"),
}


@pytest.mark.parametrize("rows", [2, K, 7])
@pytest.mark.parametrize("name", MIXED)
def test_rows_that_mix_are_refused_by_module(name: str, rows: int) -> None:
    function, operation = MIXED[name]
    if name == "neighbours" and rows % 2:
        pytest.skip("pairs of rows")
    with pytest.raises(CaptureError, match="rows of one batch mix") as raised:
        scored(model_with(function), one_hot(rows), rule="gradient")
    assert operation in str(raised.value)
    assert "module '1'" in str(raised.value)
    assert "test_core_verification.py:" in str(raised.value)


@pytest.mark.parametrize("rows", [2, 3, K, 40])
def test_rows_that_mix_only_where_another_row_has_n_are_refused(rows: int) -> None:
    """The example has a base at every position, and both batches of other rows have positions without one."""
    features = model_with(lambda h: h)
    model = Layer(lambda x: features(x) + (x.sum(1) == 0).any().float())
    with pytest.raises(CaptureError, match=r"rows of one batch mix in aten\.add"):
        scored(model, one_hot(rows))


def test_a_batch_of_one_row_has_nothing_to_mix() -> None:
    for function, _ in (MIXED["softmax"], MIXED["first row"]):
        assert scored(model_with(function), one_hot(1), rule="gradient").batch_size == 1


def test_batch_norm_in_training_mode_keeps_its_message() -> None:
    function = lambda h: nn.functional.batch_norm(h, None, None, training=True)  # noqa: E731
    with pytest.raises(CaptureError, match="batch norm without running statistics"):
        scored(model_with(function), one_hot())


def test_other_outputs_may_mix_rows_but_must_be_what_the_model_gives() -> None:
    class Two(nn.Module):
        def __init__(self, other: Function) -> None:
            super().__init__()
            self.other = Layer(other)
            self.head = nn.Linear(4 * L, 2)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return self.head(x.flatten(1)), self.other(x)

    x = one_hot()
    for function in (lambda h: h - h.mean(0), lambda h: h.sum()):
        assert scored(Two(function), x).batch_size == K
    with pytest.raises(CaptureError, match=r"left torch's sight .*module 'other'"):
        scored(Two(in_a_thread), x)


# ---- operations of the user's own

_LIBRARY = torch.library.Library("mylib", "FRAGMENT")
_LIBRARY.define("var(Tensor x) -> Tensor")
_LIBRARY.impl("var", lambda x: x * x.exp() + 3, "CompositeExplicitAutograd")
_LIBRARY.define("sum_of_squares(Tensor x) -> Tensor")
_LIBRARY.impl("sum_of_squares", lambda x: (x * x).sum(2, keepdim=True), "CompositeImplicitAutograd")


def test_an_operation_of_another_library_is_not_taken_for_atens() -> None:
    with pytest.raises(UnsupportedOpsError, match=r"mylib\.var\.default in module '1'"):
        scored(model_with(torch.ops.mylib.var), one_hot())
    explainer = scored(model_with(torch.ops.mylib.var), one_hot(), rule="gradient")
    assert "mylib.var.default" in [node.op for node in explainer.nodes]
    composite = model_with(lambda h: h + torch.ops.mylib.sum_of_squares(h))
    x = one_hot()
    assert scored(composite, x, rule="rescale").attribute(x, x.flip(2)).completeness_error.abs().max() < 1e-4


# ---- models that the comparison must not refuse


class Several(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4 * L, 3), nn.Linear(2, 3)

    def forward(self, x: Tensor, y: Tensor) -> dict[str, Any]:
        h = self.a(x.flatten(1)) * self.b(y)
        return {"y": h, "constant": torch.ones(3), "words": "done", "sum": h.sum(1)}


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(7, 3), nn.Linear(3, 2)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.table(ids.long()).mean(1))


def recurrent(kind: type[nn.Module]) -> nn.Module:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.head = kind(4, 5, batch_first=True), nn.Linear(5, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.layer(x.transpose(1, 2))[0][:, -1])

    return Last()


def attention() -> nn.Module:
    layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
    return nn.Sequential(Layer(lambda x: x.transpose(1, 2)), layer, nn.Flatten(), nn.Linear(4 * L, 2))


def attention_along_the_first_axis() -> nn.Module:
    layer = nn.TransformerEncoderLayer(4, 2, 8)
    turned, back = Layer(lambda x: x.permute(2, 0, 1)), Layer(lambda h: h.transpose(0, 1))
    return nn.Sequential(turned, layer, back, nn.Flatten(), nn.Linear(4 * L, 2))


def untrained_but_deep() -> nn.Module:
    blocks = [nn.Sequential(nn.Conv1d(8, 8, 3, padding=1), nn.ReLU()) for _ in range(30)]
    return nn.Sequential(nn.Conv1d(4, 8, 3), *blocks, nn.Flatten(), nn.Linear(8 * (L - 2), 2))


MODELS: dict[str, Callable[[], nn.Module]] = {
    "LSTM": lambda: recurrent(nn.LSTM),
    "GRU": lambda: recurrent(nn.GRU),
    "attention": attention,
    "attention along the first axis": attention_along_the_first_axis,
    "deep": untrained_but_deep,
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("rows", [1, 3, L])  # L: as many rows as positions
@pytest.mark.parametrize("name", MODELS)
def test_models_that_are_right_are_recorded_in_any_precision(
    name: str, rows: int, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    explainer = scored(MODELS[name]().eval(), one_hot(rows), dtype=dtype, rule="gradient")
    assert explainer.dtype == dtype


def test_several_inputs_and_token_ids() -> None:
    x = one_hot()
    model = Several()
    assert scored(model, (x, torch.randn(K, 2)), output="y").output_shape == (3,)
    ids = torch.randint(7, (K, L))
    assert scored(Tokens(), ids, rule="gradient").output_shape == (2,)


@pytest.mark.filterwarnings("ignore")
def test_a_size_of_batch_that_is_baked_in() -> None:
    class Baked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(4 * L, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(x.reshape(K, 4 * L))

    explainer = scored(torch.jit.trace(Baked(), one_hot()), one_hot())
    assert explainer.batch_size == K
    assert explainer._explainer.recording.few_rows is None


def test_chance_is_not_taken_for_rounding_in_an_ill_conditioned_model() -> None:
    """Differences grow 1e5 times, so that float32 kernels differ by more than the usual tolerance."""
    cancels = lambda h: ((h * 1e-6 + 1) - 1) * 1e6  # noqa: E731
    assert scored(model_with(cancels), one_hot(), rule="gradient").batch_size == K
    for wrong in (in_a_thread, lambda h: h - h.mean(0)):
        with pytest.raises(CaptureError):
            scored(model_with(lambda h, wrong=wrong: cancels(wrong(h))), one_hot(), rule="gradient")


def test_nan_is_nan() -> None:
    model = model_with(lambda h: torch.where(h > 100, h, torch.nan))
    assert scored(model, one_hot(), rule="gradient").batch_size == K


@pytest.mark.parametrize("error", [ValueError("rows"), IndexError("beyond")])
def test_a_model_that_fails_on_other_rows_says_so(error: Exception) -> None:
    class Once:
        calls = 0

        def __call__(self, h: Tensor) -> Tensor:
            self.calls += 1
            if self.calls > 1:
                raise error
            return h

    with pytest.raises(CaptureError, match=f"not on other rows of its shape: {error}"):
        scored(model_with(Once()), one_hot())


# ---- outputs that are small differences of large numbers


def numbers(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def two_orders(h: Tensor, seed: int) -> Tensor:
    a, w = numbers(seed + 1, 30, 30).to(h), numbers(seed + 2, 30).to(h)
    return (h @ a) @ w - h @ (a @ w)


def two_sums(h: Tensor, seed: int) -> Tensor:
    w = numbers(seed + 1, 30).to(h)
    return h @ w - (h * w).sum(1)


def two_sums_beside_another(h: Tensor, seed: int) -> Tensor:
    return two_sums(h, seed) + 1e-4 * h.tanh().sum(1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("function", [two_orders, two_sums, two_sums_beside_another])
def test_outputs_that_cancel_are_recorded(function: Callable[..., Tensor], dtype: torch.dtype) -> None:
    """The order of a sum depends on a row's place in the batch, and nothing but its rounding may be left."""
    for seed in range(8):
        for rows in (2, 5):
            model = Layer(lambda h, seed=seed: function(h, seed))
            explainer = scored(model, numbers(seed, rows, 30), dtype=dtype, rule="gradient")
            assert explainer.batch_size == rows


@pytest.mark.parametrize("wrong", [lambda h: h - h.mean(0), lambda h: copy.copy(h) + 0 * h])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_outputs_that_cancel_are_compared_all_the_same(wrong: Function, dtype: torch.dtype) -> None:
    for seed in range(4):
        model = Layer(lambda h, seed=seed: two_sums_beside_another(wrong(h), seed))
        with pytest.raises(CaptureError, match=r"rows of one batch mix|left torch's sight"):
            scored(model, numbers(seed, 5, 30), dtype=dtype, rule="gradient")


def test_rounding_errors_are_estimated_in_the_values_unit() -> None:
    """A number moves by one or two units of its last place; whole numbers stay, and views move nothing."""
    x = torch.tensor([[3.0, 1.5, 0.0, torch.inf]])

    def estimated(function: Function) -> float:
        graph, outputs, _ = record_model(Layer(function), [x])
        return from_moved_numbers(graph, outputs[0], [x])

    unit = torch.finfo(torch.float32).eps
    assert estimated(lambda h: (h[:, :1] * 2 + 4).view(1)) == 0
    assert 0 < estimated(lambda h: h[:, 1:2].reshape(1)) <= 2 * unit
    assert 20 * unit < estimated(lambda h: 1000 * (h * 1.1)) < 1e4 * unit
    assert estimated(lambda h: (h[:, 1:2] * 1e-6 + 1) - 1) >= unit


# ---- what a model keeps from one call to the next


class Keeps(nn.Module):
    """Counts its calls in some way, and gives another output after many calls."""

    calls: int
    seen: list[int]

    def __init__(self, after: int = 40) -> None:
        super().__init__()
        self.calls = 0
        self.after = after
        self.register_buffer("count", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * 2 if self.calls > self.after else x


class KeepsInBuffer(Keeps):
    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        return x * 2 if int(self.count) > self.after else x


class KeepsInData(Keeps):
    def forward(self, x: Tensor) -> Tensor:
        self.count.data += 1
        return x


class KeepsInLargeBuffer(Keeps):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(5000))

    def forward(self, x: Tensor) -> Tensor:
        self.mean.mul_(0.9).add_(0.1)
        return x


class KeepsInList(Keeps):
    def __init__(self) -> None:
        super().__init__()
        self.seen = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(len(x))
        return x


class KeepsInObject(Keeps):
    def __init__(self) -> None:
        super().__init__()
        self.counter = Counts()

    def forward(self, x: Tensor) -> Tensor:
        self.counter(x)
        return x


class Harmless(Keeps):
    """Caches what the first call computed, and remembers the last call's values."""

    def __init__(self) -> None:
        super().__init__()
        self.cache: dict[int, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2] not in self.cache:
            self.cache[x.shape[2]] = torch.linspace(0, 1, x.shape[2])
        self.last = x.detach().mean()
        self.rows = len(x)
        return x * self.cache[x.shape[2]]


KEPT = {
    Keeps: "attribute 'calls'",
    KeepsInBuffer: "buffer 'count'",
    KeepsInData: "buffer 'count'",
    KeepsInLargeBuffer: "buffer 'mean'",
    KeepsInList: "attribute 'seen' (its length)",
    KeepsInObject: "attribute 'counter'.calls",
}


@pytest.mark.parametrize("rows", [1, 9])
@pytest.mark.parametrize("kind", KEPT)
def test_a_model_that_counts_its_calls_is_refused(kind: type[nn.Module], rows: int) -> None:
    model = nn.Sequential(nn.Conv1d(4, 3, 3), kind(), nn.Flatten(), nn.Linear(3 * (L - 2), 1)).eval()
    with pytest.raises(CaptureError, match=f"module '1' keeps .*{re.escape(KEPT[kind])} changes"):
        scored(model, one_hot(rows))


@pytest.mark.filterwarnings("ignore:.*(deprecated):Warning")
@pytest.mark.parametrize("kind", [Keeps, KeepsInBuffer])
def test_torchscript_that_counts_its_calls_is_refused(kind: type[nn.Module]) -> None:
    model = nn.Sequential(nn.Conv1d(4, 3, 3), kind(), nn.Flatten(), nn.Linear(3 * (L - 2), 1)).eval()
    with pytest.raises(CaptureError, match=f"module '1' keeps .*{re.escape(KEPT[kind])} changes"):
        scored(torch.jit.script(model), one_hot())


def test_caches_and_values_of_the_last_call_are_no_count() -> None:
    model = nn.Sequential(nn.Conv1d(4, 3, 3), Harmless(), nn.Flatten(), nn.Linear(3 * (L - 2), 1)).eval()
    assert scored(model, one_hot()).batch_size == K


# ---- a few rows


def test_the_recording_on_a_few_rows_shares_all_constants() -> None:
    model = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv1d(4, 5, 3)), nn.ReLU(), nn.Flatten())
    x = one_hot(9)
    recording = record(model.append(nn.Linear(5 * (L - 2), 1)).eval(), (x,), lambda _: 0)
    few = recording.few_rows
    assert few is not None
    assert few.batch_size == 4
    assert {id(tensor) for tensor in few.constants} == {id(tensor) for tensor in recording.graph.constants}
    out = recording.output
    expected = recording.graph.run([x], [out], ())[out]
    torch.testing.assert_close(few.run([x[:4]], [out], ())[out], expected[:4])
    assert record(model, (x[:4],), lambda _: 0).few_rows is None


@pytest.mark.parametrize("rows", [K, 9])
@pytest.mark.parametrize("function", [lambda h: h / len(h), lambda h: h * (2 if len(h) > 4 else 1)])
def test_a_model_that_counts_its_rows_is_refused(function: Function, rows: int) -> None:
    with pytest.raises(CaptureError, match=r"4 rows other values by themselves than in a batch of \d rows"):
        scored(model_with(function), one_hot(rows))


def test_a_model_that_makes_other_calls_on_fewer_rows_has_no_recording_on_them() -> None:
    model = model_with(lambda h: h.tanh() if len(h) > 4 else h.clone().tanh()).eval()
    assert record(model, (one_hot(),), lambda _: 0).few_rows is None


def test_the_model_does_not_run_while_scoring() -> None:
    """Not even where pairs are scored again in float64."""
    x = one_hot(8)
    model = model_with(lambda h: (h * 1e-7 + 1) * 1e3)
    explainer = DeepLift(model, x, rule="rescale")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(torch.nan)
    assert explainer.attribute(x, x.flip(2)).contributions.isfinite().all()


def a_mask_in_a_thread(x: Tensor) -> Tensor:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: (x.sum(1, keepdim=True) > 0).float()).result()


def a_mask_through_a_copy(x: Tensor) -> Tensor:
    return (copy.copy(x).sum(1, keepdim=True) > 0).float()


@pytest.mark.parametrize("mask", [a_mask_in_a_thread, a_mask_through_a_copy])
@pytest.mark.parametrize("rows", [1, 2, K])
def test_what_a_model_does_at_n_shows_although_the_example_has_none(mask: Function, rows: int) -> None:
    features = model_with(lambda h: h)
    model = Layer(lambda x: features(x * (2 - mask(x)) + 1 - mask(x)))
    with pytest.raises(CaptureError, match="left torch's sight"):
        scored(model, one_hot(rows))


# ---- the rows and the comparison


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 9),
    st.sampled_from([4, 5, 7]),
    st.sampled_from(["one-hot", "empty", "bits", "whole", "any"]),
)
def test_other_rows_are_of_the_examples_kind(rows: int, letters: int, kind: str) -> None:
    x = one_hot(rows, L, letters)
    if kind == "empty":
        x[:, :, 3] = 0
    elif kind == "bits":
        x = (torch.rand(x.shape, generator=torch.Generator().manual_seed(rows)) < 0.5).float()
        x[:, :, 0] = 1
    elif kind == "whole":
        x = x * 3 - 1
    elif kind == "any":
        x = x * 0.7 - 0.3
    drawn = other_rows([x])
    again = other_rows([x])
    for (first,), (second,) in ((drawn.first, drawn.second), (again.first, again.second)):
        assert torch.equal(first[drawn.in_first], second[drawn.in_second])
        for batch in (first, second):
            assert batch.shape == x.shape
            assert batch.dtype == x.dtype
            assert batch.min() >= x.min()
            assert batch.max() <= x.max()
            if kind == "one-hot" or (kind == "empty" and letters < 6):
                bases = batch.sum(1)
                # The last row and every second one before have some positions without a base.
                without = torch.arange(rows - 1, -1, -1) % 2 == 0 if letters == 4 else torch.zeros(rows) > 0
                assert batch is second or torch.equal((bases == 0).any(1), without)
                assert torch.equal(bases[bases != 0], torch.ones(int((bases != 0).sum())))
                assert (bases.sum(1) > 0).all()
            if kind in ("one-hot", "empty", "bits", "whole"):
                assert torch.equal(batch, batch.round())
    assert torch.equal(drawn.first[0], again.first[0])
    assert torch.equal(drawn.second[0][drawn.beside], x[drawn.in_example])
    assert len(drawn.beside) == (rows > 1)
    if rows > 1:
        assert int(drawn.beside) not in [int(drawn.in_example), *drawn.in_second.tolist()]
        assert len(drawn.in_first) == (rows + 1) // 2
        compositions = drawn.first[0].mean(2)
        assert len(compositions.unique(dim=0)) > 1


def test_relative_errors() -> None:
    nan, inf = torch.nan, torch.inf
    assert relative_error(torch.tensor([1.0, nan, inf]), torch.tensor([1.0, nan, inf])) == 0
    assert relative_error(torch.tensor([1.0, nan]), torch.tensor([1.0, 2.0])) == inf
    assert relative_error(torch.tensor([inf]), torch.tensor([-inf])) == inf
    assert relative_error(torch.tensor([4.0, 0.0]), torch.tensor([4.0, 1.0])) == 0.25
    assert relative_error(torch.tensor([0.0]), torch.tensor([0.0, 0.0])) == inf
    assert relative_error(torch.tensor([1j]), torch.tensor([1 + 0j])) == 1


def test_a_rewritten_graph_is_compared_with_the_graph() -> None:
    x = one_hot()
    model = model_with(torch.relu).eval()
    with borrowed(model, torch.float32, torch.device("cpu")):
        graph, outputs, _ = record_model(model, [x])
    assert_same_function(graph, graph, outputs, [x])
    relu = next(node for node in graph.nodes if node.op_name == "relu")
    nodes = list(graph.nodes)
    nodes[relu.index] = replace(relu, op=torch.ops.aten.abs.default)
    with pytest.raises(AssertionError, match=r"aten\.addmm"):
        assert_same_function(graph, replace(graph, nodes=tuple(nodes)), outputs, [x])


@pytest.fixture(autouse=True)
def _own_random_numbers() -> Iterator[None]:
    """Tests that draw from Python's and numpy's generators leave these as they were."""
    kept, of_numpy = random.getstate(), np.random.get_state()
    yield
    random.setstate(kept)
    np.random.set_state(of_numpy)
