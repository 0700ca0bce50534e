"""Layouts and alphabets of models' inputs."""

import itertools
import re
import signal
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deeplift_cli.errors import UserError
from deeplift_cli.models import ModelFile, TensorSpec
from deeplift_cli.models.input_layout import find_batch_size, find_layout
from deeplift_cli.models.layouts import FLAT, LAYOUTS, Layout
from deeplift_cli.models.token_ids import with_token_ids
from deeplift_cli.process.signals import Stopped


def one_hot(rows: int, length: int) -> Tensor:
    letters = torch.randint(4, (rows, length), generator=torch.Generator().manual_seed(0))
    return F.one_hot(letters, 4).transpose(1, 2).float()


def model(module: nn.Module | None = None, *shapes, dtype: str | None = "float32") -> ModelFile:
    """A model file that declares inputs a, b, ... of these shapes."""
    specs = tuple(TensorSpec(chr(ord("a") + i), shape, dtype) for i, shape in enumerate(shapes))
    return ModelFile(module or nn.Identity(), "test", Path("net.pt"), "", specs)


def message(*args, **kwargs) -> str:
    with pytest.raises(UserError) as caught:
        find_layout(*args, **kwargs)
    text = str(caught.value)
    assert "\n" not in text
    assert "net.pt" in text
    return text


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("alphabet", ["ACGT", "AGCT", "TGCA", "acgu", "ANCGT"])
@pytest.mark.parametrize("leading", [(3,), (3, 2)])
def test_there_and_back(name: str, alphabet: str, leading: tuple[int, ...]) -> None:
    layout = Layout(name, alphabet)
    x = torch.randn(*leading, 4, 7)
    unknown = torch.rand(3, *(1 for _ in leading[1:]), 7) < 0.3
    x.masked_fill_(unknown.unsqueeze(-2), 0)
    there = layout.to_model(x, unknown)
    assert torch.equal(layout.from_model(there), x)
    assert not (layout.from_model(there + 1, unknown).movedim(-2, 0) * unknown).any()
    axis = layout.channel_axis + len(leading) - 1
    assert there.shape[axis] == len(alphabet)
    for channel, letter in enumerate(alphabet.upper().replace("U", "T")):
        base = unknown.expand(*leading, 7).float() if letter == "N" else x[..., "ACGT".index(letter), :]
        assert torch.equal(there.select(axis, channel).reshape(base.shape), base)


def test_shapes_in_the_models_layout() -> None:
    shapes = {name: Layout(name).row_shape(9) for name in LAYOUTS}
    assert shapes == {
        "ncl": (4, 9), "nlc": (9, 4), "nc1l": (4, 1, 9), "ncl1": (4, 9, 1), "n1cl": (1, 4, 9),
        "n1lc": (1, 9, 4), "nl1c": (9, 1, 4), "nlc1": (9, 4, 1), "flat-cl": (36,), "flat-lc": (36,),
        "ids": (9,),
    }  # fmt: skip
    for name in set(LAYOUTS) - {*FLAT, "ids"}:
        assert tuple(Layout(name).to_model(one_hot(2, 9)).shape) == (2, *shapes[name])


def test_a_quarter_of_each_base_stands_for_n() -> None:
    layout = Layout("nlc", encode_n="uniform")
    x = one_hot(2, 9)
    x[0, :, 3] = 0
    unknown = layout.unknown(x)
    assert unknown is not None
    there = layout.to_model(x, unknown)
    assert (there[0, 3] == 0.25).all()
    assert torch.equal(layout.from_model(there, unknown), x)
    assert Layout("nlc").unknown(x) is None


@pytest.mark.parametrize("alphabet", ["ACG", "AACG", "ACGN", "ACGTNN", "ACGTX", ""])
def test_bad_alphabet(alphabet: str) -> None:
    with pytest.raises(UserError, match="alphabet"):
        Layout("ncl", alphabet)


def test_unknown_layout() -> None:
    with pytest.raises(UserError, match="--layout takes auto, ncl, nlc, nc1l, ncl1"):
        find_layout(model(None, (None, 4, 9)), layout="lcn", length=None)


@pytest.mark.parametrize(
    ("shape", "name", "length"),
    [
        ((None, 4, 200), "ncl", 200),
        ((1, 4, None), "ncl", None),
        ((None, 200, 4), "nlc", 200),
        ((None, None, 4), "nlc", None),
        ((None, 4, 1, 50), "nc1l", 50),
        ((None, 4, 50, 1), "ncl1", 50),
        ((None, 4, 1, None), "nc1l", None),
        ((None, 1, 4, 50), "n1cl", 50),
        ((None, 1, 50, 4), "n1lc", 50),
        ((None, 50, 1, 4), "nl1c", 50),
        ((None, None, 4, 1), "nlc1", None),
    ],
)
def test_declared_shapes(shape, name: str, length: int | None) -> None:
    assert find_layout(model(None, shape), length=None) == (Layout(name), length)


def test_length_four_is_settled_by_running() -> None:
    conv = nn.Conv2d(4, 2, (1, 3))
    assert find_layout(model(conv, (None, 4, None, None)), length=9)[0].name == "nc1l"
    both = model(nn.Conv1d(4, 2, 1), (None, 4, 4))
    assert "--layout (ncl or nlc)" in message(both, length=4)
    assert find_layout(both, layout="nlc", length=4) == (Layout("nlc"), 4)


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ((None, 5, 200), "input a (?, 5, 200) of net.pt has no axis of 4"),
        ((None, 801), "input a (?, 801) of net.pt has no axis of 4"),
        ((None, 5, 200), "of 5: give their order, as in --alphabet ACGTN"),
        ((None, 2, 4, 200), "input a (?, 2, 4, 200) of net.pt has a layout that deeplift does not know"),
        ((None, 2, 4, 200), "it knows [N, 4, L], [N, L, 4], [N, 4, 1, L]"),
    ],
)
def test_declared_shapes_that_are_no_sequence(shape, text: str) -> None:
    assert text in message(model(None, shape), length=200)


def test_layout_that_contradicts_the_file() -> None:
    assert "--layout nlc does not fit input a (?, 4, 200)" in message(
        model(None, (None, 4, 200)), layout="nlc", length=200
    )


def test_several_inputs() -> None:
    text = message(model(None, (None, 4, 200), (None, 3)), length=200)
    assert "net.pt takes 2 inputs: a [N, 4, 200] and b [N, 3]" in text
    assert "to explain a, add --input b=zeros" in text


def test_integer_input() -> None:
    assert "holds int64 values" in message(model(None, (None, 4, 200), dtype="int64"), length=200)


class LastAxis(nn.Module):
    """Channels last: a dense layer on each position."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x).mean(1)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (nn.Conv1d(4, 2, 5), "ncl"),
        (LastAxis(), "nlc"),
        (nn.Conv2d(4, 2, (1, 5)), "nc1l"),
        (nn.Conv2d(4, 2, (5, 1)), "ncl1"),
        (nn.Conv2d(1, 2, (4, 9)), "n1cl"),
        (nn.Conv2d(1, 2, (9, 4)), "n1lc"),
    ],
)
@pytest.mark.parametrize("length", [31, 60])
def test_undeclared_layout_is_found_by_running(module: nn.Module, name: str, length: int) -> None:
    assert find_layout(model(module, None), length=length) == (Layout(name), None)
    assert find_layout(model(module), length=length) == (Layout(name), None)


def fixed_length(positions: int) -> nn.Module:
    return nn.Sequential(nn.Conv1d(4, 3, 5), nn.MaxPool1d(2), nn.Flatten(), nn.Linear(3 * positions, 1))


def test_fixed_length_is_found_by_running() -> None:
    assert find_layout(model(fixed_length(18), None), length=40) == (Layout("ncl"), 40)


@pytest.mark.parametrize("length", [20, 39, 57, 1000])
def test_wrong_length_names_the_right_one(length: int) -> None:
    text = message(model(fixed_length(18), None), length=length)
    assert f"does not take sequences of {length:,} bp" in text
    assert text.endswith(("takes 40 bp: give --length 40", "takes 41 bp: give --length 41"))


def test_nothing_fits() -> None:
    text = message(model(nn.Conv1d(7, 2, 5), None), length=40)
    assert "40 bp in any layout tried" in text
    (said,) = re.findall(r"\((.*)\)", text)
    named = [name for part in said.split("; ") for name in part.split(": ")[0].split(", ")]
    assert named == [name for name in LAYOUTS if name != "ids"]
    assert len(text) < 1100


@pytest.mark.parametrize("shape", [(None, 160), (None, None), None])
def test_flattened_inputs(shape) -> None:
    """Whether the bases of a position are side by side, or the positions of a base, cannot be seen."""
    dense = model(nn.Linear(160, 2), shape)
    text = message(dense, length=40)
    assert "--layout (flat-cl: " in text
    assert " or flat-lc: " in text
    for name in FLAT:
        layout, length = find_layout(dense, layout=name, length=40)
        assert layout.name == name
        assert length == (None if shape == (None, None) else 40)
        assert find_batch_size(dense, layout, 40) is None
    rows = one_hot(3, 40)
    by_base, by_position = (Layout(name).adapted(dense).module(Layout(name).to_model(rows)) for name in FLAT)
    torch.testing.assert_close(by_base, dense.module(rows.flatten(1)))
    torch.testing.assert_close(by_position, dense.module(rows.transpose(1, 2).flatten(1)))


def test_ambiguous_layout_and_none_to_try() -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(160, 2))
    assert "say which with --layout" in message(model(flat, None), length=40)
    assert find_layout(model(flat, None), layout="nlc", length=40) == (Layout("nlc"), 40)
    assert "give --layout" in message(model(flat, None), length=None)


class Raises(nn.Module):
    """A model whose code raises, unless its input is laid out as `fits`."""

    def __init__(self, error: BaseException, fits: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.error, self.fits = error, fits

    def forward(self, x: Tensor) -> Tensor:
        if tuple(x.shape[1:]) != self.fits:
            raise self.error
        return x.sum((1, 2))[:, None]


class OfIds(nn.Module):
    """An embedding, and a dense layer for 40 positions."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.dense = nn.Embedding(6, 2), nn.Linear(80, 3)

    def forward(self, ids: Tensor) -> Tensor:
        return self.dense(self.table(ids).flatten(1))


@pytest.mark.parametrize("shape", [(None, 40), (None, None), None])
def test_token_ids(shape) -> None:
    found = with_token_ids(model(OfIds(), shape, dtype="int64"), (("A", 5), ("C", 1), ("G", 2), ("T", 3)))
    layout, length = find_layout(found, length=40)
    assert (layout.name, layout.alphabet) == ("ids", "ACGT")
    assert length == (None if shape == (None, None) else 40)
    assert find_batch_size(found, layout, 40) is None
    x = one_hot(3, 40)
    expected = found.module.model(torch.tensor([5, 1, 2, 3])[x.argmax(1)])
    torch.testing.assert_close(found.module(layout.to_model(x)), expected)
    if shape == (None, 40):
        assert find_layout(found, length=30) == (layout, 40)
        assert find_layout(found, length=None) == (layout, 40)
    else:
        assert "takes 40 bp" in message(found, length=30)


def test_token_ids_of_other_inputs() -> None:
    ids = (("A", 0), ("C", 1), ("G", 2), ("T", 3))
    for shape, dtype in (((None, 4, 40), "int64"), ((None, 40), "float32")):
        with pytest.raises(UserError, match="leave out --token-ids"):
            with_token_ids(model(None, shape, dtype=dtype), ids)
    with pytest.raises(UserError, match="--layout ids --token-ids A=7"):
        find_layout(model(OfIds(), None), layout="ids", length=40)
    assert "--layout ids --token-ids A=7" in message(model(OfIds(), None), length=40)
    assert "--layout ids --token-ids A=7" in message(model(OfIds(), (None, 40), dtype="int64"), length=40)


class CustomError(Exception):
    """What a model's own code may raise."""


class SilentError(Exception):
    """Fails to say what is wrong."""

    def __str__(self) -> str:
        raise ValueError("no words")


class Interruption(BaseException):
    """Is no `Exception`, as those of asynchronous code."""


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (KeyError("bias"), "KeyError: 'bias'"),
        (AttributeError("no such part"), "AttributeError: no such part"),
        (ZeroDivisionError(), "ZeroDivisionError"),
        (torch.jit.Error("Error: of the script"), "Error: of the script"),
        (CustomError("wrong way round"), "CustomError: wrong way round"),
        (NotImplementedError("no kernel"), "no kernel"),
        (RecursionError("too deep"), "too deep"),
        (SystemExit(3), "the model's code ends the process"),
        (SilentError(), "SilentError"),
        (Interruption("cancelled"), "Interruption: cancelled"),
        (GeneratorExit(), "GeneratorExit"),
        (RuntimeError("first line\nsecond line"), "first line"),
        (RuntimeError(""), "RuntimeError"),
        (RuntimeError("x" * 9999), "x" * 90),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_a_trial_raises_is_a_misfit(error: BaseException, text: str) -> None:
    said = message(model(Raises(error), None), length=40)
    assert f"nlc1, flat-cl, flat-lc: {text}" in said
    assert len(said) < 400
    assert find_layout(model(Raises(error, (40, 4)), None), length=40) == (Layout("nlc"), 40)
    with pytest.raises(UserError, match=re.escape(text)):
        find_batch_size(model(Raises(error), None), Layout("ncl"), 40)


@pytest.mark.parametrize(
    "error",
    [
        KeyboardInterrupt(), Stopped(signal.SIGTERM), MemoryError(), torch.OutOfMemoryError(),
        RuntimeError("can't allocate memory"),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_signals_and_full_memory_are_no_misfit(error: BaseException) -> None:
    with pytest.raises(type(error)):
        find_layout(model(Raises(error), None), length=40)


class Half(nn.Module):
    """Casts to half precision, and has been given weights in float32, as every model file has."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv1d(4, 3, 5), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.conv(x.half())).mean(-1)).float()


def test_a_model_that_casts_to_half_precision_has_a_layout() -> None:
    half = model(Half(), None)
    assert find_layout(half, length=40) == (Layout("ncl"), None)
    assert find_batch_size(half, Layout("ncl"), 40) is None


class Rows(nn.Module):
    """Takes batches of one size only."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.rows = rows

    def forward(self, x: Tensor) -> Tensor:
        return F.conv1d(x, torch.ones(1, 4, 3)).view(self.rows, -1)


@pytest.mark.parametrize("rows", [1, 2, 16])
def test_baked_in_batch_size_is_found(rows: int) -> None:
    found = model(Rows(rows), None)
    layout, _ = find_layout(found, length=30)
    assert layout.name == "ncl"
    assert find_batch_size(found, layout, 30) == rows


def test_free_batch_size() -> None:
    assert find_batch_size(model(nn.Conv1d(4, 2, 5), None), Layout("ncl"), 30) is None
    assert find_batch_size(model(None, (8, 4, 30)), Layout("ncl"), 30) == 8


class AcrossRows(nn.Module):
    """Each row's result depends on the others: no batch but of one row is right."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sum((1, 2)) + x.mean()


def test_rows_that_depend_on_each_other() -> None:
    mixed = nn.Sequential(nn.Conv1d(4, 2, 3), AcrossRows())
    assert find_batch_size(model(mixed, None), Layout("ncl"), 30) == 1


def test_alphabet_reaches_the_layout() -> None:
    for letters in itertools.islice(itertools.permutations("ACGT"), 5):
        alphabet = "".join(letters)
        assert find_layout(model(None, (None, 4, 9)), alphabet=alphabet, length=None)[0].alphabet == alphabet
