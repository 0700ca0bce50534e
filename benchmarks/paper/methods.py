"""The attribution methods that the experiments compare, behind one interface, and what each of them costs."""

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from statistics import median
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from deeplift_core import DeepLift

_ROWS = 256  # in one backward pass
_RELUS = (torch.relu, torch.nn.functional.relu, Tensor.relu)


class Network(Protocol):
    """A network that can be asked for its outputs before the sigmoid or softmax."""

    def logits(self, x: Tensor) -> Tensor:
        """Return [N, outputs]."""
        ...


class Subject:
    """A trained network with the recording that all rules share.

    Parameters
    ----------
    network : torch.nn.Module
        A network with a method `logits`, see `Network`.
    example : Tensor [K, ...]
        The batch on which the network is recorded.
    """

    def __init__(self, network: nn.Module, example: Tensor) -> None:
        self.network: Any = network
        self._explainers = {"rescale": DeepLift(network, example, rule="rescale")}

    def explainer(self, rule: str = "rescale") -> DeepLift:
        """Return the recording under this rule."""
        if rule not in self._explainers:
            self._explainers[rule] = self._explainers["rescale"].with_rule(rule)
        return self._explainers[rule]


Scores = Callable[[Subject, Tensor, Tensor, Sequence[int]], Tensor]


@dataclass(frozen=True)
class Method:
    """An attribution method.

    Attributes
    ----------
    name : str
        The name in tables and figures.
    scores : function
        (subject, x [N, ...], references [R, ...] or [N, R, ...], T targets) -> scores [T, N, ...].
    forward, backward : str
        Passes through the network for one sequence, one target and R references.
    """

    name: str
    scores: Scores
    forward: str
    backward: str


def by_rule(rule: str) -> Scores:
    """Return contributions under a rule of this package."""

    def scores(subject: Subject, x: Tensor, references: Tensor, targets: Sequence[int]) -> Tensor:
        found = subject.explainer(rule).attribute_targets(x, references, targets)
        contributions: list[Tensor] = [result.contributions for result in found]
        return torch.stack(contributions)

    return scores


class _Guided(torch.autograd.Function):
    """ReLU whose backward pass lets only positive gradients through, and only where the unit is active."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.clamp(x, min=0)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return gradients[0].clamp(min=0) * (x > 0)


class _GuidedReLUs(TorchFunctionMode):
    """Replaces every ReLU that runs inside, whether a module or a function calls it."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _RELUS:
            return _Guided.apply(args[0])
        return func(*args, **(kwargs or {}))


def gradients(network: Network, x: Tensor, targets: Sequence[int], *, guided: bool = False) -> Tensor:
    """Return the gradients [T, N, ...] of logits by torch's own backward pass.

    Parameters
    ----------
    network : Network
    x : Tensor [N, ...]
    targets : sequence of T int
    guided : bool
        True for guided backpropagation (Springenberg et al. 2014).
    """
    found = []
    for rows in x.split(_ROWS):
        point = rows.clone().requires_grad_()
        with _GuidedReLUs() if guided else nullcontext():
            logits = network.logits(point)
        of_targets = [
            torch.autograd.grad(logits[:, target].sum(), point, retain_graph=True)[0] for target in targets
        ]
        found.append(torch.stack(of_targets))
    return torch.cat(found, dim=1)


def _plain(*, guided: bool, times_difference: bool) -> Scores:
    """Return gradients, times the difference-from-reference where that is wanted."""

    def scores(subject: Subject, x: Tensor, references: Tensor, targets: Sequence[int]) -> Tensor:
        found = gradients(subject.network, x, targets, guided=guided)
        if not times_difference:
            return found
        # The gradient does not depend on the reference, so that the mean reference is enough.
        return found * (x - references.mean(dim=references.dim() - x.dim()))

    return scores


def mutagenesis(explainer: DeepLift, x: Tensor, targets: Sequence[int]) -> Tensor:
    """Return the hypothetical scores of in-silico mutagenesis.

    The score of base b at position i is f(x with b at i) less the mean of this value over the four bases,
    with f the explained logit.

    Parameters
    ----------
    x : Tensor [N, 4, L]
        One-hot sequences without gaps.
    targets : sequence of T int

    Returns
    -------
    Tensor [T, N, 4, L]
    """
    length = x.shape[2]
    observed = x.argmax(dim=1)
    # The three other bases of each position: the observed base's index plus 1, 2 and 3, modulo 4.
    shifts = torch.arange(1, 4)
    scores = []
    for one_hot, bases in zip(x, observed, strict=True):
        others = (bases[:, None] + shifts) % 4  # [L, 3]
        mutants = one_hot.repeat(length, 3, 1, 1)  # [L, 3, 4, L]
        places = torch.arange(length)[:, None].expand(length, 3)
        kinds = shifts.expand(length, 3) - 1
        mutants[places, kinds, :, places] = torch.nn.functional.one_hot(others, 4).to(x.dtype)
        found = explainer.outputs(torch.cat([one_hot[None], mutants.flatten(0, 1)]), targets)
        outputs = torch.stack([result.output for result in found])  # [T, 1 + 3 L]
        # The observed base has the sequence's own output at every position.
        values = outputs[:, :1, None].repeat(1, 4, length)
        values[:, others, places] = outputs[:, 1:].unflatten(1, (length, 3))
        scores.append(values - values.mean(dim=1, keepdim=True))
    return torch.stack(scores, dim=1)


def _mutagenesis(subject: Subject, x: Tensor, _: Tensor, targets: Sequence[int]) -> Tensor:
    return mutagenesis(subject.explainer(), x, targets) * x


def _deeplift(name: str, rule: str) -> Method:
    return Method(name, by_rule(rule), "1 + R", "R")


GRADIENT = Method("gradient x input", _plain(guided=False, times_difference=True), "1", "1")
GUIDED = Method("guided backprop", _plain(guided=True, times_difference=False), "1", "1")
GUIDED_TIMES_INPUT = Method("guided backprop x input", _plain(guided=True, times_difference=True), "1", "1")
RESCALE = _deeplift("Rescale", "rescale")
REVEAL_CANCEL = _deeplift("RevealCancel", "revealcancel")
POSITIVE_FIRST = _deeplift("RevealCancel, positive first", "revealcancel-positive-first")
# The paper's "fc-RC-conv-RS".
DEFAULT = _deeplift("Rescale on convolutions, RevealCancel on dense", "genomics-default")
MUTAGENESIS = Method("in-silico mutagenesis", _mutagenesis, "1 + 3 L", "0")


def integrated(steps: int) -> Method:
    """Return integrated gradients by the midpoint rule."""
    name = f"integrated gradients {steps}"
    return Method(name, by_rule(f"integrated-gradients:{steps}"), f"{steps} R", f"{steps} R")


@dataclass(frozen=True)
class Cost:
    """The measured cost of a method.

    Attributes
    ----------
    method : str
    forward, backward : str
        Passes, see `Method`.
    seconds : float
        Median processor time for one sequence and one target.
    relative : float
        Median ratio to gradient x input, which ran directly before.
    """

    method: str
    forward: str
    backward: str
    seconds: float
    relative: float


def costs(
    methods: Sequence[Method], subject: Subject, x: Tensor, references: Tensor, *, repeats: int
) -> list[Cost]:
    """Measure each method on the same N sequences for one target.

    Each run of a method follows a run of gradient x input, and the ratio is taken within such a pair, so that
    neither the load of the machine nor its clock decides. The time is processor time of all threads.
    """
    found = []
    for method in methods:
        method.scores(subject, x, references, [0])  # prepares what later calls keep
        pairs = [
            (_seconds(GRADIENT, subject, x, references), _seconds(method, subject, x, references))
            for _ in range(repeats)
        ]
        seconds = median(own for _, own in pairs) / len(x)
        relative = median(own / gradient for gradient, own in pairs)
        found.append(Cost(method.name, method.forward, method.backward, seconds, relative))
    return found


def _seconds(method: Method, subject: Subject, x: Tensor, references: Tensor) -> float:
    started = time.process_time()
    method.scores(subject, x, references, [0])
    return time.process_time() - started
