"""The final link of a model, in every spelling: which of the four, and of which logits."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from deeplift_core.capture import record_function
from deeplift_core.capture.links import Link, final_link
from deeplift_core.graph import Graph
from deeplift_core.graph.builder import GraphBuilder

Function = Callable[[Tensor], Tensor]
SHAPE = (3, 5, 2)


def recorded(function: Function) -> tuple[Graph, int, Tensor]:
    """The graph of a function of one input, the node of its result, and the input."""
    builder = GraphBuilder(torch.device("cpu"))
    x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    builder.add_input(x)
    return *record_function(builder.graph(), 0, x, function), x


def normalised(e: Tensor) -> Tensor:
    return e / e.sum(1, keepdim=True)


def stable_log_sum(z: Tensor, axis: int) -> Tensor:
    top = z.max(axis, keepdim=True)[0]
    return top + (z - top).exp().sum(axis, keepdim=True).log()


SPELLINGS: dict[str, dict[str, Function]] = {
    "sigmoid": {
        "torch": torch.sigmoid,
        "quotient": lambda z: 1 / (1 + torch.exp(-z)),
        "quotient of tensors": lambda z: torch.ones_like(z) / (torch.ones_like(z) + torch.exp(-z)),
        "reciprocal": lambda z: (torch.exp(z * -1) + 1).reciprocal(),
        "power": lambda z: (1 + torch.exp(-z)) ** -1,
        "exponentials": lambda z: z.exp() / (z.exp() + 1),
        "tanh": lambda z: 0.5 * (1 + torch.tanh(0.5 * z)),
        "tanh of a half": lambda z: (torch.tanh(z / 2) + 1) / 2,
    },
    "log-sigmoid": {
        "torch": F.logsigmoid,
        "log": lambda z: torch.log(torch.sigmoid(z)),
        "log, written out": lambda z: torch.log(1 / (1 + torch.exp(-z))),
        "softplus": lambda z: -F.softplus(-z),
        "softplus, written out": lambda z: -torch.log(1 + torch.exp(-z)),
        "log1p": lambda z: -torch.log1p(torch.exp(-z)),
        "logaddexp": lambda z: -torch.logaddexp(-z, torch.zeros_like(z)),
        "difference": lambda z: z - torch.logaddexp(z, torch.zeros(())),
        "other order": lambda z: z - torch.logaddexp(torch.zeros_like(z), z),
        "difference of softplus": lambda z: z - F.softplus(z),
    },
    "softmax": {
        "torch": lambda z: torch.softmax(z, 1),
        "axis from the end": lambda z: torch.softmax(z, -2),
        "written out": lambda z: z.exp() / z.exp().sum(1, keepdim=True),
        "largest taken off": lambda z: normalised((z - z.amax(1, keepdim=True)).exp()),
        "largest of max": lambda z: torch.softmax(z - z.max(1, keepdim=True).values, 1),
        "largest, detached": lambda z: torch.softmax(z - z.detach().amax(1, keepdim=True), 1),
    },
    "log-softmax": {
        "torch": lambda z: F.log_softmax(z, 1),
        "log": lambda z: torch.softmax(z, 1).log(),
        "log, written out": lambda z: torch.log(z.exp() / z.exp().sum(1, keepdim=True)),
        "logsumexp": lambda z: z - torch.logsumexp(z, 1, keepdim=True),
        "logsumexp, written out": lambda z: z - z.exp().sum(1, keepdim=True).log(),
        "logsumexp, an axis put in": lambda z: z - torch.logsumexp(z, 1).unsqueeze(1),
        "largest taken off": lambda z: (lambda s: s - s.logsumexp(-2, True))(z - z.amax(1, keepdim=True)),
        "largest put back": lambda z: z - stable_log_sum(z, 1),
    },
}  # fmt: skip
CASES = [(kind, name) for kind, spellings in SPELLINGS.items() for name in spellings]


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_every_spelling(kind: str, name: str) -> None:
    graph, output, _ = recorded(SPELLINGS[kind][name])
    axis = 1 if kind.endswith("softmax") else None
    assert final_link(graph, graph.nodes[output]) == Link(kind, 0, axis)  # type: ignore[arg-type]


VALUES: dict[str, Callable[[Tensor, int | None], Tensor]] = {
    "sigmoid": lambda z, _: 1 / (1 + (-z).exp()),
    "log-sigmoid": lambda z, _: -(1 + (-z).exp()).log(),
    "softmax": lambda z, axis: z.exp() / z.exp().sum(axis, keepdim=True),
    "log-softmax": lambda z, axis: (z.exp() / z.exp().sum(axis, keepdim=True)).log(),
}


def check(function: Function) -> list[Link]:
    """Each node of a graph that is taken for a link holds that function of these logits."""
    graph, _, x = recorded(function)
    values = graph.run([x], range(len(graph.nodes)), range(len(graph.nodes)))
    found = []
    for node in graph.nodes[1:]:
        link = final_link(graph, node)
        if link is not None:
            expected = VALUES[link.kind](link.sign * values[link.source], link.axis)
            torch.testing.assert_close(values[node.index], expected)
            found.append(link)
    return found


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_links_on_the_way_hold_what_they_are_taken_for(kind: str, name: str) -> None:
    assert check(SPELLINGS[kind][name])


@pytest.mark.parametrize(
    ("kind", "function"),
    [
        ("sigmoid", lambda z: 1 / (1 + torch.exp(3 - z))),
        ("sigmoid", lambda z: 1 / (1 + torch.exp(z))),
        ("sigmoid", lambda z: 1 / (1 + torch.exp(-2 * z))),
        ("log-sigmoid", lambda z: -F.softplus(z)),
        ("log-sigmoid", lambda z: -F.softplus(1 - z)),
    ],
)
def test_negatives_of_logits(kind: str, function: Function) -> None:
    """Where no node holds the logits, one that holds their negatives is named, with the sign -1."""
    assert (kind, -1) in [(link.kind, link.sign) for link in check(function)]


@pytest.mark.parametrize(
    "function",
    [
        lambda z: 1 / (2 + torch.exp(-z)),
        lambda z: 2 / (1 + torch.exp(-z)),
        lambda z: torch.tensor([1.0, 2.0]) / (1 + torch.exp(-z)),
        lambda z: torch.add(1, torch.exp(-z), alpha=2).reciprocal(),
        lambda z: z.exp() / (1 + (2 * z).exp()),
        lambda z: 0.5 * (1 + torch.tanh(z)),
        lambda z: F.softplus(-z),
        lambda z: -F.softplus(-z, beta=2),
        lambda z: -torch.logaddexp(-z, torch.ones(())),
        lambda z: 2 * z - torch.logaddexp(z, torch.zeros(())),
        lambda z: torch.sub(z, F.softplus(z), alpha=2),
        lambda z: z - torch.logsumexp(z, (1, 2), keepdim=True),
        lambda z: 2 * z - torch.logsumexp(z, 1, keepdim=True),
        lambda z: z[:, :, :, None] - torch.logsumexp(z, 1)[:, None, :, None],
        lambda z: z - torch.logsumexp(z[:, :2], 1).unsqueeze(1),
        lambda z: z[:, :2] - torch.logsumexp(z, 2).unsqueeze(2)[:, :2],
        lambda z: torch.log1p(torch.exp(z)),
        lambda z: z.exp() / z.exp().sum((1, 2), keepdim=True),
        lambda z: torch.softmax(z, 1) + 1,
    ],
)
def test_other_functions_are_no_link(function: Function) -> None:
    graph, output, _ = recorded(function)
    assert final_link(graph, graph.nodes[output]) is None
    check(function)


@pytest.mark.parametrize(
    "shift",
    [
        lambda z: z.amax(2, keepdim=True),
        lambda z: z.amin(1, keepdim=True),
        lambda z: z.mean(1, keepdim=True),
        lambda z: (2 * z).amax(1, keepdim=True),
        lambda z: z.max(1, keepdim=True)[1],
    ],
)
def test_only_the_largest_logit_is_taken_for_a_shift(shift: Function) -> None:
    """A shift that a model computes for another purpose stays a part of the logits."""
    graph, output, _ = recorded(lambda z: torch.softmax(z - shift(z), 1))
    link = final_link(graph, graph.nodes[output])
    assert link is not None
    assert graph.nodes[link.source].op is torch.ops.aten.sub.Tensor
