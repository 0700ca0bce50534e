"""What newcomers give by mistake: each wrong argument is an error of this package that says what is wrong."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import deeplift_references
from deeplift_core import DeepLift, DeepLiftError, OfOutput, TargetFunction

N, L = 6, 30


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.act, self.last = nn.Conv1d(4, 6, 5), nn.ReLU(), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.act(self.conv(x)).mean(-1))


MODEL = Net().eval()
LETTERS = torch.randint(4, (N, L), generator=torch.Generator().manual_seed(1))
X = nn.functional.one_hot(LETTERS, 4).mT.float()
R = X.flip(-1)[:, None].repeat(1, 3, 1, 1)


class Table:
    """As a pandas DataFrame or an xarray DataArray, without either."""

    def to_numpy(self) -> Any:
        return X.numpy()


@pytest.fixture(scope="module")
def explainer() -> DeepLift:
    return DeepLift(MODEL, X)


MODELS = {
    "a name": ("model.onnx", r"not an object of type str: deeplift_cli.models.load\('model.onnx'\) gives"),
    "a path": (Path("m.pt"), r"models.load\('m.pt'\) gives the module of a file"),
    "a class": (Net, r"model is the class Net itself: give an object of the class, Net\(...\)"),
    "a function": (torch.relu, "a function can be called in the forward method of a module"),
    "weights": (MODEL.state_dict(), "not an object of type OrderedDict: load weights into the network"),
    "None": (None, "model must be a torch.nn.Module, not an object of type NoneType$"),
    "a model file": (SimpleNamespace(module=MODEL), "its attribute 'module' is one"),
}


@pytest.mark.parametrize("case", MODELS)
def test_what_is_no_model(case: str) -> None:
    model, message = MODELS[case]
    with pytest.raises(DeepLiftError, match=message):
        DeepLift(model, X)


OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"rule": None}, "rule must be the name of a rule, such as 'rescale', not None"),
    ({"rule": nn.ReLU}, "rule must be the name of a rule"),
    ({"rule": "Rescale"}, "unknown rule 'Rescale'; choose from genomics-default, rescale, "),
    (
        {"layer_rules": "rescale"},
        r"mapping .* such as \{'conv\*': 'rescale'\}, not 'rescale'",
    ),
    ({"layer_rules": [("act", "rescale")]}, "layer_rules is a mapping"),
    ({"layer_rules": {"act": 3}}, "unknown rule 3 for a layer; choose from rescale, "),
    ({"layer_rules": {"zzz": "rescale"}}, "matches 'zzz'; such operations are in: 'act'"),
    ({"layer_rules": {nn.ReLU(): "rescale"}}, "this ReLU is no module of the model Net"),
    ({"output": 1}, "the model has no output 1"),
    ({"output": "probability"}, "no output named 'probability'"),
    ({"output": 0.5}, "output must be the place or the name of an output, not 0.5"),
    ({"dtype": "float64"}, "in 'float64'; choose from torch.bfloat16, "),
    ({"dtype": np.float64}, "choose from torch.bfloat16, "),
    ({"dtype": torch.int32}, "choose from torch.bfloat16, "),
    ({"device": "gpu"}, "device='gpu' cannot be used: "),
    ({"device": "cuda:99"}, "device='cuda:99' cannot be used: "),
    ({"device": 1.5}, "device=1.5 cannot be used: "),
    ({"channel_axis": "c"}, "channel_axis must be the number of an axis, not 'c'"),
    ({"channel_axis": 7}, "channel_axis=7 is no axis of an input with 3 axes"),
    ({"passes": None}, "passes must be 'auto' or a sequence of names"),
    ({"passes": "none"}, "unknown pass 'none'; choose from auto, "),
    ({"compile": "off"}, "compile must be True or False, not 'off'"),
    ({"logits": None}, "logits must be True or False, not None"),
    ({"centre": 2}, "centre must be True or False, not 2"),
    ({"example": "ACGT"}, "got str: letters have to be one-hot encoded"),
    ({"example": torch.zeros(0, 4, L)}, "a model is recorded on one row at least"),
    ({"example": torch.zeros(2, 5, L)}, "module 'conv' .* failed on an input of shape"),
]


@pytest.mark.parametrize(("options", "message"), OPTIONS, ids=[next(iter(one)) for one, _ in OPTIONS])
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DeepLiftError, match=message) as caught:
        DeepLift(MODEL, **{"example": X} | options)
    assert len(str(caught.value).splitlines()) == 1 or "example" in options


ARGUMENTS: dict[str, tuple[Callable[[], tuple[Any, ...]], str]] = {
    "a table": (lambda: (Table(), R), "got Table: give its .to_numpy()"),
    "letters": (lambda: (["ACGT"] * N, R), "got list: letters have to be one-hot encoded"),
    "a list of tensors": (lambda: (list(X), R), "got list: torch.stack makes one tensor of several"),
    "no x": (lambda: (None, R), "got NoneType$"),
    "a number as reference": (lambda: (X, 0), "got int$"),
    "a generator of references": (
        lambda: (X, deeplift_references.make("zeros")), "call it, and give what it returns",
    ),
    "texts": (lambda: (np.array([["A"]]), R), "an array of <U1 is not an array of numbers"),
    "complex numbers": (lambda: (X.to(torch.complex64), R), "are real numbers, not torch.complex64"),
    "a sparse tensor": (lambda: (X.to_sparse(), R), "give the sparse tensor's .to_dense()"),
    "references of a lower rank": (lambda: (X, R[0, 0]), r"references have shape \(4, 30\)"),
    "references of other sequences": (lambda: (X, R[:3]), r"references have shape \(3, 3, 4, 30\)"),
    "no references": (lambda: (X, R[:, :0]), r"must be \[N, R, ...\], or \[R, ...\]"),
    "channels last": (lambda: (X.mT, R.mT), r"x has shape \(6, 30, 4\); recorded was \[N, 4, 30\]"),
    "one sequence": (lambda: (X[0], R[0]), r"x has shape \(4, 30\); recorded was \[N, 4, 30\]"),
    "two inputs": (lambda: ((X, X), (R, R)), "the model has 1 input; got 2 for x"),
    "an index that is not there": (lambda: (X, R, 3), "target 3 is out of range: .* valid is 0 to 2"),
    "an index from the end": (lambda: (X, R, -1), "target -1 is out of range: .* valid is 0 to 2"),
    "a name": (lambda: (X, R, "both"), "target 'both' is neither an index, "),
    "no target": (lambda: (X, R, None), "target None is neither an index, "),
    "a real number": (lambda: (X, R, 1.0), "target 1.0 is neither an index, "),
    "a list": (lambda: (X, R, [0, 1]), r"target \[0, 1\] is neither an index, "),
    "two indices": (lambda: (X, R, (0, 1)), r"does not name one element of an output of shape \(3,\)"),
    "another module": (lambda: (X, R, ("nope", 0)), "no module 'nope' .* there are: act, conv, last"),
    "a module without index": (lambda: (X, R, ("conv",)), r"must be \(module name, index\)"),
    "a function of several": (lambda: (X, R, lambda y: y), "not one value a row"),
    "a function that fails": (lambda: (X, R, lambda y: y[:, 7]), "failed on an output .* IndexError"),
    "a class": (lambda: (X, R, TargetFunction), "TargetFunction"),
    "another output": (lambda: (X, R, OfOutput(3, 0)), "the model has no output 3"),
}  # fmt: skip


@pytest.mark.parametrize("case", ARGUMENTS)
def test_wrong_inputs_references_and_targets(explainer: DeepLift, case: str) -> None:
    given, message = ARGUMENTS[case]
    with pytest.raises(DeepLiftError, match=message):
        explainer.attribute(*given())


@pytest.mark.parametrize("targets", [0, "all", None])
def test_targets_are_a_list(explainer: DeepLift, targets: Any) -> None:
    with pytest.raises(DeepLiftError, match=r"targets is a list of targets, not .*; attribute\(\) takes one"):
        explainer.attribute_targets(X, R, targets)


@pytest.mark.parametrize("layer", [1, nn.ReLU(), "nope"])
def test_what_is_no_layer(explainer: DeepLift, layer: Any) -> None:
    with pytest.raises(DeepLiftError, match="no module"):
        explainer.attribute(X, R, layer=layer)


def test_references_of_no_kind() -> None:
    with pytest.raises(deeplift_references.ReferenceSpecError, match="such as 'dinucleotide', not None"):
        deeplift_references.make(None)  # type: ignore[arg-type]


def test_numpys_numbers_are_as_good_as_pythons() -> None:
    found = DeepLift(MODEL, X, output=np.int64(0), channel_axis=np.int8(1)).attribute(X, R, np.int32(2))
    assert torch.equal(found.contributions, DeepLift(MODEL, X).attribute(X, R, 2).contributions)
    assert DeepLift(MODEL, X, logits=np.True_, compile=0).explains_logit is False  # type: ignore[arg-type]
