"""What README's table says of other programs, on small networks: each cell is what the program gives here.

The cells are read from README. Other programs are called as their documentation says, with the same
references.
"""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from zoo.entry import Net

from deeplift_core import DeepLift

README = Path(__file__).resolve().parents[1] / "README.md"
D = torch.float64
LENGTH = 24
WIDTH = LENGTH - 4  # behind a convolution of width 5

Peer = Callable[[nn.Module, Tensor, Tensor], Tensor]


# ---- the programs: contributions [N, 4, L] of sequences [N, 4, L], each against its own reference [N, 4, L]


def ours(model: nn.Module, x: Tensor, references: Tensor) -> Tensor:
    found = DeepLift(model, rule="rescale").attribute(x, references[:, None]).contributions
    assert isinstance(found, Tensor)
    return found


def tangermeme(model: nn.Module, x: Tensor, references: Tensor) -> Tensor:
    score = pytest.importorskip("tangermeme.deep_lift_shap").deep_lift_shap
    found: Tensor = score(
        model, x, references=references[:, None], device="cpu", dtype=D, warning_threshold=1e9
    )
    return found


def captum(model: nn.Module, x: Tensor, references: Tensor) -> Tensor:
    deep_lift = pytest.importorskip("captum.attr").DeepLift
    found: Tensor = deep_lift(model).attribute(x, references, target=0)
    return found.detach()


def shap(model: nn.Module, x: Tensor, references: Tensor) -> Tensor:
    """An explainer for each sequence: an explainer compares all sequences with all of its references."""
    explainer = pytest.importorskip("shap").DeepExplainer
    pairs = zip(x[:, None], references[:, None], strict=True)
    found = [explainer(model, reference).shap_values(one, check_additivity=False) for one, reference in pairs]
    return torch.cat([torch.from_numpy(values[..., 0]) for values in found])


# Each program's column in README's table.
PEERS: dict[str, Peer] = {
    "deeplift": ours,
    "tangermeme 1.6": tangermeme,
    "captum 0.9": captum,
    "shap 0.51": shap,
}


# ---- the networks


class Dense(nn.Module):
    """Dense layers and a ReLU, each of them a module."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.relu, self.last = nn.Linear(4 * LENGTH, 6), nn.ReLU(), nn.Linear(6, 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.last(self.relu(self.first(x.flatten(1))))
        return hidden


class Functional(Dense):
    """The same network with the ReLU as a function."""

    def forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.last(torch.relu(self.first(x.flatten(1))))
        return hidden


def twice(self: nn.Module, x: Tensor) -> Tensor:
    found: Tensor = self.head(self.relu(self.second(self.relu(self.first(x)))))
    return found


def residual(self: nn.Module, x: Tensor) -> Tensor:
    hidden = self.relu(self.first(x))
    found: Tensor = self.head(hidden + self.other(self.dilated(hidden)))
    return found


def product(self: nn.Module, x: Tensor) -> Tensor:
    found: Tensor = self.head(self.first(x) * self.gate(self.second(x)))
    return found


def attention(self: nn.Module, x: Tensor) -> Tensor:
    hidden = self.first(x).mT
    weights = self.softmax(self.query(hidden) @ self.key(hidden).mT / 6**0.5)
    found: Tensor = self.head((weights @ self.value(hidden)).mT)
    return found


def lstm(self: nn.Module, x: Tensor) -> Tensor:
    found: Tensor = self.head(self.lstm(x.mT)[0][:, -1])
    return found


class ChannelsLast(nn.Module):
    """Applies a module to the channels of [N, C, L]."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.inner(x.mT).mT
        return found


def convolution(inputs: int = 4, **options: int) -> nn.Module:
    return nn.Conv1d(inputs, 6, 5, **options)


def head(width: int = WIDTH) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(6 * width, 1))


def chain(*middle: nn.Module, width: int = WIDTH) -> nn.Module:
    """A convolution, layers, and a dense head with a ReLU."""
    dense = (nn.Linear(6 * width, 8), nn.ReLU(), nn.Linear(8, 1))
    return nn.Sequential(convolution(), *middle, nn.Flatten(), *dense)


# The row of README's table, and the network. All is written in plain PyTorch, as users write models.
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "a ReLU called as a function, not a module": Functional,
    "one ReLU module used twice": lambda: Net(
        twice, first=convolution(), second=convolution(6), relu=nn.ReLU(), head=head(WIDTH - 4)
    ),
    "a residual sum around a dilated convolution": lambda: Net(
        residual,
        first=convolution(),
        relu=nn.ReLU(),
        dilated=convolution(6, dilation=2, padding=4),
        other=nn.ReLU(),
        head=head(),
    ),
    "a convolution, ReLU and max pool": lambda: chain(nn.ReLU(), nn.MaxPool1d(4), width=5),
    "max pools that overlap": lambda: chain(nn.ReLU(), nn.MaxPool1d(4, 2), width=9),
    "batch norm, tanh and average pool": lambda: chain(
        nn.BatchNorm1d(6), nn.Tanh(), nn.AvgPool1d(4), width=5
    ),
    "GELU": lambda: chain(nn.GELU()),
    "layer norm": lambda: chain(ChannelsLast(nn.LayerNorm(6)), nn.ReLU()),
    "softmax inside the model": lambda: chain(nn.Softmax(1)),
    "a product of two features": lambda: Net(
        product, first=convolution(), second=convolution(), gate=nn.Sigmoid(), head=head()
    ),
    "attention": lambda: Net(
        attention,
        first=convolution(),
        query=nn.Linear(6, 6),
        key=nn.Linear(6, 6),
        value=nn.Linear(6, 6),
        softmax=nn.Softmax(-1),
        head=head(),
    ),
    "LSTM": lambda: Net(lstm, lstm=nn.LSTM(4, 6, batch_first=True), head=nn.Linear(6, 1)),
}


def sequences(n: int = 16) -> tuple[Tensor, Tensor]:
    """Random sequences [N, 4, L], and as many references."""
    letters = torch.randint(4, (2, n, LENGTH), generator=torch.Generator().manual_seed(0))
    x, references = nn.functional.one_hot(letters, 4).mT.to(D)
    return x, references


def made(network: str | Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    make = NETWORKS[network] if isinstance(network, str) else network
    return make().to(D).eval()


@pytest.fixture(autouse=True)
def _own_warnings() -> Iterator[None]:
    """captum and shap warn that they set hooks, and of modules that they do not know."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def outcome(peer: Peer, network: str) -> str:
    """A cell of the table.

    "exact": sums hold, and the contribution of every position is ours; "sums only": sums hold, and
    contributions are others; "sums missed": by more than 5 % of a difference in output; "fails": an error.
    """
    model, (x, references) = made(network), sequences()
    try:
        found = peer(model, x, references).sum(1)
    except RuntimeError:
        return "fails"
    with torch.no_grad():
        delta = (model(x) - model(references))[:, 0]
    missed = float(((found.sum(1) - delta).abs() / delta.abs()).max())
    if missed > 0.05:
        return "sums missed"
    assert missed < 1e-6
    # By position: tangermeme gives the whole contribution of a position to its observed base.
    expected = ours(made(network), x, references).sum(1)
    distance = float((found - expected).abs().max() / expected.abs().max())
    if distance > 1e-3:
        return "sums only"
    assert distance < 1e-6
    return "exact"


def table() -> dict[str, dict[str, str]]:
    """README's table: cells by row (without links) and column."""
    text = README.read_text().split("## Compared with other programs")[1].split("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"
    ]
    columns = rows[0][1:]
    return {row[0].split(" (")[0]: dict(zip(columns, row[1:], strict=True)) for row in rows[2:]}


@pytest.mark.parametrize("program", PEERS)
@pytest.mark.parametrize("network", NETWORKS)
def test_the_cell_in_readme_is_what_the_program_gives(network: str, program: str) -> None:
    assert table()[network][program] == outcome(PEERS[program], network)


# ---- what is not about one network


@pytest.mark.parametrize("peer", [captum, tangermeme, shap])
def test_all_agree_on_dense_layers(peer: Peer) -> None:
    x, references = sequences()
    found, expected = (one(made(Dense), x, references).sum(1) for one in (peer, ours))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-9)


def test_who_says_that_a_sum_is_missed() -> None:
    x, references = sequences(4)
    network = "a ReLU called as a function, not a module"
    score = pytest.importorskip("tangermeme.deep_lift_shap").deep_lift_shap
    with pytest.warns(RuntimeWarning, match="Convergence deltas too high"):
        score(made(network), x, references=references[:, None], device="cpu", dtype=D)

    deep_lift = pytest.importorskip("captum.attr").DeepLift(made(network))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        deep_lift.attribute(x, references, target=0)
    assert not [one for one in said if "delta" in str(one.message).lower()]
    _, errors = deep_lift.attribute(x, references, target=0, return_convergence_delta=True)
    assert errors.abs().max() > 0.01

    # Here sums hold whatever the network, so that a rule is taken that does not promise them.
    result = DeepLift(made(network), rule="gradient").attribute(x, references[:, None])
    sums = result.contributions.sum((1, 2)) - (result.output - result.reference_output[:, 0])
    torch.testing.assert_close(result.completeness_error[:, 0], sums)
    assert sums.abs().max() > 0.01


@pytest.mark.parametrize(("largest", "fails"), [(0.0099, False), (0.0101, True)])
def test_shap_fails_where_a_sum_is_off_by_a_hundredth(largest: float, fails: bool) -> None:
    """The error is absolute: outputs of a smaller scale miss their sums silently."""
    explainer = pytest.importorskip("shap").DeepExplainer
    model, (x, references) = made("a ReLU called as a function, not a module"), sequences(4)
    found = explainer(model, references[:1]).shap_values(x, check_additivity=False)
    with torch.no_grad():
        delta = (model(x) - model(references[:1]))[:, 0]
        model.last.weight.mul_(largest / (torch.from_numpy(found).sum((1, 2, 3)) - delta).abs().max())
    if fails:
        with pytest.raises(AssertionError, match="do not sum up to the model's output"):
            explainer(model, references[:1]).shap_values(x)
    else:
        explainer(model, references[:1]).shap_values(x)


def test_shap_compares_all_sequences_with_all_references() -> None:
    x, references = sequences(4)
    found = pytest.importorskip("shap").DeepExplainer(made(Dense), references).shap_values(x)[..., 0]
    shared = DeepLift(made(Dense), rule="rescale").attribute(x, references).contributions
    torch.testing.assert_close(torch.from_numpy(found), shared, rtol=1e-6, atol=1e-12)
    assert (shared - ours(made(Dense), x, references)).abs().max() > 1e-2


def test_shap_has_no_contributions_of_bases_that_are_not_there() -> None:
    """Only bases of the sequence or of the reference get contributions, by multiplier times difference."""
    x, references = sequences(4)
    absent = (x == 0) & (references == 0)
    assert not shap(made(Dense), x, references)[absent].any()
    hypothetical = DeepLift(made(Dense), rule="rescale").attribute(x, references[:, None]).hypothetical
    assert (hypothetical[absent] != 0).float().mean() > 0.9


class Smaller(nn.Module):
    """The paper's min(a, b) = a - ReLU(a - b), of the first two bases of the first position."""

    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        a, b = x[:, 0, :1], x[:, 1, :1]
        return a - self.relu(a - b)


def test_shap_has_rescale_and_not_revealcancel() -> None:
    x, reference = torch.zeros(2, 1, 4, 1, dtype=D)
    x[0, 0], x[0, 1] = 3.0, 2.0
    found = shap(Smaller(), x, reference)
    by_rule = {
        rule: DeepLift(Smaller(), rule=rule, channel_axis=1).attribute(x, reference[:, None]).contributions
        for rule in ("rescale", "revealcancel")
    }
    torch.testing.assert_close(found, by_rule["rescale"])
    assert (
        found[0, 0, 0] == 0
    )  # all of the output is given to the smaller input, as the paper says of Rescale
    torch.testing.assert_close(by_rule["revealcancel"][0, :2, 0], torch.tensor([1.0, 1.0], dtype=D))
