"""Published architectures score exactly: every head, from PyTorch, through ONNX, and by the command line.

Where a test itself runs a model that torch.compile has wrapped, the test runs the model without compiling
(`as_written`), which would take minutes. The explainer gets the model as the user has it.
"""

import contextlib
import io
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from promised import PROMISED
from published import ARCHITECTURES, Architecture, Head
from torch import Tensor, nn

from deeplift_cli.main import run as deeplift
from deeplift_cli.models import read
from deeplift_core import DeepLift
from deeplift_core.accuracy.completeness import relative_error

D = torch.float64
RULES = ["rescale", "genomics-default"]
ROWS, K, COUNT = 3, 2, 2  # three rows in batches of two: the last one needs padding
# Exports by the current exporter take seconds each; Borzoi is written by no other.
BY_CURRENT = ["borzoi", *(pytest.param(name, marks=pytest.mark.long) for name in ("bpnet", "spliceai"))]

QC = ("completeness_error", "output", "reference_output")

HEADS = [(name, head.name) for name, found in ARCHITECTURES.items() for head in found.heads]
IN_ONNX = [name for name, found in ARCHITECTURES.items() if found.not_in_onnx is None]


pytestmark = pytest.mark.usefixtures("one_thread")


@cache
def built(name: str) -> tuple[Architecture, nn.Module]:
    """The architecture and its model, made once: nothing here may change it."""
    architecture = ARCHITECTURES[name]
    if architecture.missing:
        pytest.skip(architecture.missing)
    return architecture, architecture.make()


def the_head(name: str, head: str) -> Head:
    return next(found for found in ARCHITECTURES[name].heads if found.name == head)


def as_written() -> Any:
    """Context in which modules that torch.compile has wrapped run without being compiled."""
    return torch.compiler.set_stance("force_eager")


def unpacked(values: tuple[Tensor, ...]) -> Any:
    return values if len(values) > 1 else values[0]


def each(value: Any) -> list[Tensor]:
    return list(value) if isinstance(value, tuple) else [value]


def explainer(model: nn.Module, x: tuple[Tensor, ...], output: int | str, dtype: torch.dtype) -> DeepLift:
    return DeepLift(model, unpacked(tuple(value[:K] for value in x)), output=output, dtype=dtype)


def by_each_rule(explained: DeepLift, head: Head, x: Any, references: Any) -> Iterator[tuple[str, Any]]:
    for rule in RULES:
        found = explained.with_rule(rule)
        yield rule, found.attribute(unpacked(x), unpacked(references), head.target, per_reference=True)


def assert_exact(result: Any, dtype: torch.dtype) -> None:
    assert all(values.isfinite().all() for values in each(result.contributions))
    error = relative_error(result.completeness_error, result.output, result.reference_output)
    assert error.max() <= PROMISED[dtype], error
    total = sum(values.flatten(2).sum(2, dtype=D) for values in each(result.contributions))
    delta = result.output[:, None].to(D) - result.reference_output.to(D)
    scale = delta.abs().max()
    assert scale > 1e-4  # there was something to explain
    torch.testing.assert_close((total - delta) / scale, torch.zeros_like(total), rtol=0, atol=1e-3)


def state(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


# ---- from PyTorch


@pytest.mark.parametrize(("name", "head"), HEADS)
def test_every_head_scores_exactly(name: str, head: str) -> None:
    architecture, model = built(name)
    chosen = the_head(name, head)
    x = architecture.inputs(ROWS)
    references = architecture.references(x, COUNT)
    for dtype in (torch.float32, D):
        explained = explainer(model, x, chosen.output, dtype)
        for _, result in by_each_rule(explained, chosen, x, references):
            assert_exact(result, dtype)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_prediction_is_the_models_and_the_model_is_left_as_it_was(name: str) -> None:
    architecture, model = built(name)
    head = architecture.heads[0]
    x = architecture.inputs(ROWS)
    with torch.no_grad(), as_written():
        value = model(*x)
    expected = value[head.output] if isinstance(value, (tuple, list, dict)) else value
    before, modes = state(model), [module.training for module in model.modules()]
    result = explainer(model, x, head.output, D).attribute(
        unpacked(x), unpacked(architecture.references(x, 1)), head.target
    )
    place = head.target if isinstance(head.target, tuple) else (head.target,)
    torch.testing.assert_close(
        result.prediction.float(), expected[(slice(None), *place)], rtol=1e-3, atol=1e-5
    )
    after = state(model)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert modes == [module.training for module in model.modules()]
    with torch.no_grad(), as_written():
        again = model(*x)
    torch.testing.assert_close(again, value, rtol=0, atol=0)


# ---- through ONNX


class _InOrder(nn.Module):
    """Outputs by their place, as an ONNX file has them."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.eval()  # of which an exporter leaves all modules in the mode of the first

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        value = self.model(*inputs)
        values = value.values() if isinstance(value, dict) else value
        return tuple(values) if isinstance(value, (tuple, list, dict)) else (value,)


def export(model: nn.Module, inputs: tuple[Tensor, ...], path: Path, current: bool) -> None:
    settings: dict[str, Any] = {"dynamo": current, "opset_version": 18 if current else 17}
    settings["input_names"] = [f"x{place}" for place in range(len(inputs))]
    if current:
        settings |= {"external_data": False, "verbose": False}
        settings["dynamic_shapes"] = (tuple({0: torch.export.Dim("rows")} for _ in inputs),)
    else:
        settings["dynamic_axes"] = {name: {0: "rows"} for name in settings["input_names"]}
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(_InOrder(model), inputs, str(path), **settings)


def through_onnx(name: str, path: Path, current: bool) -> None:
    """The file computes what the model does, and its heads score exactly, and like those of the model."""
    architecture, model = built(name)
    export(model, architecture.inputs(K), path, current)
    found, ordered = read(path).module, _InOrder(model)
    x = architecture.inputs(ROWS, seed=5)
    references = architecture.references(x, COUNT)
    for place, head in enumerate(architecture.heads):
        for _, result in by_each_rule(explainer(found, x, place, torch.float32), head, x, references):
            assert_exact(result, torch.float32)
        scores, expected = (
            dict(by_each_rule(explainer(each_model, x, place, D), head, x, references))
            for each_model in (found, ordered)
        )
        for rule in RULES:
            assert_exact(scores[rule], D)
            assert_alike(scores[rule], expected[rule], 2e-6 if architecture.trained else 1e-6)


def assert_alike(result: Any, expected: Any, rounding: float = 1e-6) -> None:
    """Equal scores where the outputs are; exporters fold norms into convolutions, in float32.

    The channels of a trained model have norms of very different sizes: rounding of folded norms weighs more.
    """
    difference = (result.output - expected.output).abs().max() / expected.output.abs().max()
    assert difference < rounding
    for one, other in zip(each(result.contributions), each(expected.contributions), strict=True):
        scale = other.abs().max()
        tolerance = 1e-9 if difference < 1e-12 else 1e-5
        torch.testing.assert_close(one / scale, other / scale, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", IN_ONNX)
def test_through_onnx(name: str, tmp_path: Path) -> None:
    through_onnx(name, tmp_path / "model.onnx", current=False)


@pytest.mark.parametrize("name", BY_CURRENT)
def test_through_onnx_by_the_current_exporter(name: str, tmp_path: Path) -> None:
    through_onnx(name, tmp_path / "model.onnx", current=True)


# ---- by the command line


@pytest.mark.parametrize(
    ("name", "target"), [("spliceai", "(1,5)"), ("lstm_classifier", "1"), ("deepstarr", "0")]
)
def test_deeplift_score_writes_the_same_scores(name: str, target: str, tmp_path: Path) -> None:
    """Of a file, whose channels may be last, in genome orientation; and none beyond the tolerance."""
    architecture, model = built(name)
    head = architecture.heads[0]
    x = architecture.inputs(ROWS, seed=5)
    export(model, tuple(value[:K] for value in x), tmp_path / "model.onnx", current=False)
    channels = 1 + architecture.shapes[0].index(4)
    letters = np.array(list("ACGT"))[x[0].argmax(channels).numpy()]
    fasta = "".join(f">s{row}\n{''.join(line)}\n" for row, line in enumerate(letters))
    (tmp_path / "s.fa").write_text(fasta)
    command = ["score", "--model", str(tmp_path / "model.onnx"), "--fasta", str(tmp_path / "s.fa")]
    command += ["--out", str(tmp_path / "s.h5"), "--save-references", str(tmp_path / "r.h5"), "--quiet"]
    command += ["--n-references", str(COUNT), "--target", target, "--precision", "float64", "--threads", "1"]
    assert deeplift(command) == 0
    with h5py.File(tmp_path / "s.h5") as file, h5py.File(tmp_path / "r.h5") as saved:
        scores = torch.from_numpy(file["projected_shap/seq"][:])
        given = torch.from_numpy(saved["references"][:]).movedim(2, 1 + channels)
        errors = relative_error(*(torch.from_numpy(file[f"qc/{key}"][:]) for key in QC))
    assert errors.max() <= PROMISED[D]
    expected = explainer(model, x, head.output, D).attribute(x[0], given, head.target)
    observed = (expected.hypothetical * x[0]).movedim(channels, 1)
    torch.testing.assert_close(scores.double(), observed, rtol=1e-4, atol=1e-5 * float(observed.abs().max()))


# ---- the entries are what they say


def test_cherimoya_scores_like_its_twin_without_torch_compile() -> None:
    """The scores are those of the code that torch.compile has wrapped, bit for bit."""
    architecture, model = built("cherimoya")
    assert hasattr(model._forward_fn, "_torchdynamo_orig_callable")  # the package has called torch.compile
    twin = architecture.make()
    twin._forward_fn = twin._forward_impl
    x = architecture.inputs(ROWS)
    references = architecture.references(x, COUNT)
    for head in architecture.heads:
        scores, expected = (
            dict(by_each_rule(explainer(each_model, x, head.output, torch.float32), head, x, references))
            for each_model in (model, twin)
        )
        for rule in RULES:
            pairs = zip(each(scores[rule].contributions), each(expected[rule].contributions), strict=True)
            assert all(torch.equal(one, other) for one, other in pairs)


def test_the_trained_model_is_explained_at_what_its_package_predicts() -> None:
    """The package's own predictor, from letters to probabilities, agrees with the explained output."""
    architecture, model = built("tetss2")
    from tetss2 import TETSS2Predictor

    predictor = TETSS2Predictor(device="cpu")
    x = architecture.inputs(8, seed=3)
    result = explainer(model, x, 0, D).attribute(x[0], architecture.references(x, 1)[0], ())
    letters = np.array(list("ACGT"))[x[0].argmax(1).numpy()]
    expected = torch.tensor([predictor.predict_proba("".join(row)) for row in letters], dtype=D)
    assert expected.max() - expected.min() > 0.1  # trained weights tell random sequences apart
    torch.testing.assert_close(result.output.sigmoid(), expected, rtol=1e-4, atol=1e-7)


def test_the_mamba_block_computes_what_transformers_computes() -> None:
    """The block that is written out, against the published one in transformers, with the same weights."""
    pytest.importorskip("transformers")
    from published.language_models import Mamba
    from transformers.models.mamba.configuration_mamba import MambaConfig
    from transformers.models.mamba.modeling_mamba import MambaMixer

    torch.manual_seed(0)
    config = MambaConfig(hidden_size=6, state_size=3, time_step_rank=2, conv_kernel=4, expand=2)
    published_block, block = MambaMixer(config, layer_idx=0), Mamba(6, 12)
    block.load_state_dict(published_block.state_dict())
    x = torch.randn(2, 15, 6)
    with torch.no_grad():
        torch.testing.assert_close(block(x), published_block(x), rtol=1e-5, atol=1e-6)


def test_caduceus_treats_both_strands_alike() -> None:
    """Reverse-complemented sequences have reverse-complemented logits and contributions."""
    architecture, model = built("caduceus")
    x = architecture.inputs(K)
    references = architecture.references(x, COUNT)
    length = x[0].shape[-1]
    with torch.no_grad():
        torch.testing.assert_close(model(x[0].flip(1, 2)), model(x[0]).flip(1, 2))
    explained = explainer(model, x, 0, D)
    one = explained.attribute(x[0], references[0], (10, 1))
    other = explained.attribute(x[0].flip(1, 2), references[0].flip(2, 3), (length - 1 - 10, 2))
    torch.testing.assert_close(other.contributions.flip(1, 2), one.contributions, rtol=0, atol=1e-12)


@pytest.mark.parametrize("rule", [*RULES, "revealcancel"])
def test_hyenas_fourier_transforms_score_like_the_convolution_that_they_compute(rule: str) -> None:
    from published.language_models import Hyena, by_convolution

    architecture, model = built("hyenadna")
    direct = architecture.make()
    for module in direct.modules():
        if isinstance(module, Hyena):
            module.convolve = by_convolution
    x = architecture.inputs(ROWS)
    references = architecture.references(x, COUNT)
    found, expected = (
        explainer(each_model, x, 0, D).with_rule(rule).attribute(x[0], references[0], (90, 1))
        for each_model in (model, direct)
    )
    torch.testing.assert_close(found.output, expected.output, rtol=1e-12, atol=0)
    scale = expected.contributions.abs().max()
    torch.testing.assert_close(
        found.contributions / scale, expected.contributions / scale, rtol=0, atol=1e-10
    )
