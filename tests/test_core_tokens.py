"""Models of token ids as models of one-hot rows: the same outputs, and DeepLIFT on one-hot @ table."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deeplift_core import CaptureError, DeepLift
from deeplift_core.tokens import OneHotTokens

LENGTH, WIDTH, WORDS = 12, 5, 14
IDS = (7, 8, 9, 10)
N_ID = 11


def letters(*shape: int, seed: int = 0, kinds: int = 4) -> Tensor:
    return torch.randint(kinds, shape, generator=torch.Generator().manual_seed(seed))


def one_hot(places: Tensor, kinds: int = 4) -> Tensor:
    """Letters [..., L] as rows [..., kinds, L]."""
    return F.one_hot(places, kinds).transpose(-1, -2).float()


class Head(nn.Module):
    """What follows the look-up: features [N, L, C] to [N, 2]."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.conv, self.dense = nn.Conv1d(width, 6, 3), nn.Linear(6 * (LENGTH - 2), 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(F.gelu(self.conv(x.transpose(1, 2)[..., :LENGTH])).flatten(1))


class OfIds(nn.Module):
    """A look-up of ids and a head behind it."""

    def __init__(self, look_up: Callable[["OfIds", Tensor], Tensor], width: int = WIDTH) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.table = nn.Embedding(WORDS, WIDTH)
        self.register_buffer("complement", torch.tensor([*range(7), 10, 9, 8, 7, 11, 12, 13]))
        self.head = Head(width)
        self.look_up = look_up
        self.eval()

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.look_up(self, ids))


class OfRows(nn.Module):
    """The same, with features made from one-hot rows [N, 4 or 5, L] by other operations."""

    def __init__(self, model: OfIds, features: Callable[[OfIds, Tensor], Tensor]) -> None:
        super().__init__()
        self.model, self.features = model, features
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.model.head(self.features(self.model, x))


def embedded(model: OfIds, x: Tensor) -> Tensor:
    rows = torch.tensor([*IDS, N_ID][: x.shape[1]])
    return x.transpose(1, 2) @ model.table.weight[rows]


def columns(model: OfIds, x: Tensor) -> Tensor:
    """The one-hot rows in the columns of their ids, [N, L, WORDS]."""
    found = x.new_zeros(len(x), x.shape[2], WORDS)
    parts = [x[:, IDS.index(word)] if word in IDS else found[..., word] for word in range(WORDS)]
    return torch.stack(parts, 2)


def both_strands(model: OfIds, x: Tensor) -> Tensor:
    return embedded(model, x) + embedded(model, x.flip(1, 2)).flip(1)


def complemented(model: OfIds, ids: Tensor) -> Tensor:
    """Caduceus: the reverse complement of ids by a table of complements, looked up and turned back."""
    turned = torch.gather(model.complement[None].expand(len(ids), -1), 1, ids.flip(-1))
    return model.table(ids) + model.table(turned).flip(-2)


def complemented_by_vmap(model: OfIds, ids: Tensor) -> Tensor:
    turned = torch.vmap(lambda row: model.complement[row])(ids.flip(-1))
    return model.table(ids) + model.table(turned).flip(-2)


def with_special(model: OfIds, ids: Tensor) -> Tensor:
    """A token before the sequence and two behind."""
    first = torch.full((len(ids), 1), 1)
    return model.table(F.pad(torch.cat([first, ids], 1), (0, 2), value=4))


def special_rows(model: OfIds, x: Tensor) -> Tensor:
    first, last = (model.table.weight[word].expand(len(x), n, WIDTH) for word, n in ((1, 1), (4, 2)))
    return torch.cat([first, embedded(model, x), last], 1)


def by_scatter(model: OfIds, ids: Tensor) -> Tensor:
    return torch.zeros(len(ids), WORDS, LENGTH).scatter_(1, ids[:, None], 1.0).transpose(1, 2)


def offset_by_position(model: OfIds, ids: Tensor) -> Tensor:
    """Another table at odd positions: the words are shifted by 1 there."""
    return model.table(ids + torch.arange(LENGTH) % 2)


def offset_rows(model: OfIds, x: Tensor) -> Tensor:
    even, odd = (x.transpose(1, 2) @ model.table.weight[torch.tensor(IDS) + n] for n in (0, 1))
    return torch.where((torch.arange(LENGTH) % 2 == 0)[:, None], even, odd)


def masked(model: OfIds, ids: Tensor) -> Tensor:
    """Padding is asked for, and there is none; then everything but G is silenced."""
    found = model.table(ids)
    if (ids == 4).any() or ids.max() >= WORDS:
        found = found * 0
    padding = (ids != 4).float().sum(1, keepdim=True)
    return found * (ids == 9)[..., None] / padding[..., None] + (ids.clamp(max=9) - 7)[..., None]


def masked_rows(model: OfIds, x: Tensor) -> Tensor:
    number = x.transpose(1, 2) @ torch.tensor([0.0, 1, 2, 2])
    return embedded(model, x) * x[:, 2, :, None] / LENGTH + number[..., None]


def remapped(model: OfIds, ids: Tensor) -> Tensor:
    """Ids are mapped to others by comparisons and writes in place, and looked up in a flat list."""
    ids = torch.where(ids == 7, 10, torch.where(ids == 10, 7, ids))
    ids = ids.clone()
    ids.masked_fill_(ids == 8, 9)
    ids += 1
    return model.table.weight.index_select(0, ids.reshape(-1)).view(*ids.shape, -1)


def remapped_rows(model: OfIds, x: Tensor) -> Tensor:
    return x.transpose(1, 2) @ model.table.weight[torch.tensor([11, 10, 10, 8])]


CASES: dict[str, tuple[Callable, Callable, int]] = {
    "embedding": (lambda model, ids: model.table(ids), embedded, WIDTH),
    "index": (lambda model, ids: model.table.weight[ids], embedded, WIDTH),
    "index of an axis": (lambda model, ids: model.table.weight.T[:, ids].permute(1, 2, 0), embedded, WIDTH),
    "take": (
        lambda model, ids: torch.stack([torch.take(model.table.weight[:, i], ids) for i in range(WIDTH)], 2),
        embedded, WIDTH,
    ),
    "one_hot": (lambda model, ids: F.one_hot(ids, WORDS).float(), columns, WORDS),
    "one_hot that is turned": (
        lambda model, ids: F.one_hot(ids, WORDS).permute(0, 2, 1).float().transpose(1, 2), columns, WORDS,
    ),
    "equal": (lambda model, ids: (ids[..., None] == torch.arange(WORDS)).float(), columns, WORDS),
    "scatter": (by_scatter, columns, WORDS),
    "complement": (complemented, both_strands, WIDTH),
    "complement by vmap": (complemented_by_vmap, both_strands, WIDTH),
    "special tokens": (with_special, special_rows, WIDTH),
    "position": (offset_by_position, offset_rows, WIDTH),
    "masks": (masked, masked_rows, WIDTH),
    "other ids": (remapped, remapped_rows, WIDTH),
    "some positions": (
        lambda model, ids: F.pad(model.table(ids[:, 2:-1].roll(1, 1)), (0, 0, 0, 3)),
        lambda model, x: F.pad(embedded(model, x)[:, 2:-1].roll(1, 1), (0, 0, 0, 3)), WIDTH,
    ),
}  # fmt: skip


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[OfIds, OneHotTokens, OfRows]:
    look_up, features, width = CASES[request.param]
    model = OfIds(look_up, width)
    return model, OneHotTokens(model, IDS), OfRows(model, features)


def test_the_outputs_are_those_of_the_ids(case: tuple[OfIds, OneHotTokens, OfRows]) -> None:
    model, of_rows, expected = case
    places = letters(5, LENGTH)
    x = one_hot(places)
    with torch.no_grad():
        of_ids = model(torch.tensor(IDS)[places])
        torch.testing.assert_close(of_rows(x), of_ids, rtol=0, atol=1e-6)
        torch.testing.assert_close(expected(x), of_ids, rtol=0, atol=1e-6)
    assert torch.equal(of_rows.ids_of(x), torch.tensor(IDS)[places])


@pytest.mark.parametrize("rule", ["genomics-default", "revealcancel"])
def test_the_scores_are_those_of_one_hot_rows_times_a_table(
    case: tuple[OfIds, OneHotTokens, OfRows], rule: str
) -> None:
    _, of_rows, expected = case
    x = one_hot(letters(3, LENGTH, seed=1))
    x[1, :, 4] = 0  # N
    references = one_hot(letters(3, 2, LENGTH, seed=2))
    references[1, :, :, 4] = 0
    references[2] = 0.25
    found, wanted = (
        DeepLift(model, x, rule=rule, channel_axis=1).attribute(x, references, 1)
        for model in (of_rows, expected)
    )
    assert found.hypothetical is not None
    assert wanted.hypothetical is not None
    assert found.completeness_error.abs().max() < 1e-5
    assert (found.hypothetical[1, :, 4] == 0).all()
    for name in ("hypothetical", "contributions", "multipliers", "output", "reference_output"):
        torch.testing.assert_close(getattr(found, name), getattr(wanted, name), rtol=1e-4, atol=1e-6)


def test_a_model_whose_ids_below_zero_are_no_base() -> None:
    """The code of an AlphaGenome port: one-hot rows, which are set to 0 where the id is negative."""

    def look_up(model: OfIds, ids: Tensor) -> Tensor:
        rows = F.one_hot(ids.clamp(min=0), num_classes=4).float()
        rows[ids < 0] = 0.0
        return rows

    model = OfIds(look_up, 4)
    places = letters(4, LENGTH, kinds=5)
    ids = torch.tensor([0, 1, 2, 3, -1])
    of_rows = OneHotTokens(model, ids.tolist())
    x = one_hot(places, 5)
    plain = OfRows(model, lambda _, x: x[:, :4].transpose(1, 2))
    with torch.no_grad():
        torch.testing.assert_close(of_rows(x), model(ids[places]))
    references = one_hot(letters(4, 3, LENGTH, seed=3), 5)
    found, wanted = (DeepLift(one, x, channel_axis=1).attribute(x, references) for one in (of_rows, plain))
    torch.testing.assert_close(found.hypothetical, wanted.hypothetical)


def test_a_token_for_n() -> None:
    model = OfIds(CASES["complement"][0])
    places = letters(4, LENGTH, kinds=5)
    of_rows = OneHotTokens(model, (*IDS, N_ID))
    with torch.no_grad():
        torch.testing.assert_close(of_rows(one_hot(places, 5)), model(torch.tensor([*IDS, N_ID])[places]))


def test_scripted_models() -> None:
    class Scripted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(2)
            self.table, self.head = nn.Embedding(WORDS, 3), nn.Linear(3 + WORDS, 2)

        def forward(self, ids: Tensor) -> Tensor:
            rows = F.one_hot(ids, 14).float()
            return self.head(torch.tanh(torch.cat([self.table(ids), rows], 2))).mean(1)

    model = Scripted().eval()
    places = letters(3, LENGTH)
    x, references = one_hot(places), one_hot(letters(3, 2, LENGTH, seed=4))
    of_script = OneHotTokens(torch.jit.script(model), IDS)
    with torch.no_grad():
        torch.testing.assert_close(of_script(x), model(torch.tensor(IDS)[places]))
    found, wanted = (
        DeepLift(one, x).attribute(x, references).hypothetical
        for one in (of_script, OneHotTokens(model, IDS))
    )
    torch.testing.assert_close(found, wanted)


def test_a_published_encoder_with_its_own_masks() -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=WORDS, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=12,
        max_position_embeddings=LENGTH, pad_token_id=4,
    )  # fmt: skip
    model = transformers.BertModel(config).eval()
    places = letters(2, LENGTH)
    x, references = one_hot(places), one_hot(letters(2, 2, LENGTH, seed=4))
    of_rows = OneHotTokens(model, IDS)
    with torch.no_grad():
        expected = model(torch.tensor(IDS)[places]).pooler_output
        torch.testing.assert_close(of_rows(x).pooler_output, expected, rtol=0, atol=1e-6)

    class Embedded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, x: Tensor) -> Tensor:
            rows = model.embeddings.word_embeddings.weight[torch.tensor(IDS)]
            return self.model(inputs_embeds=x.transpose(1, 2) @ rows)

    found, wanted = (
        DeepLift(one, x, output="pooler_output").attribute(x, references, 3).hypothetical
        for one in (of_rows, Embedded())
    )
    torch.testing.assert_close(found, wanted)


REFUSED: dict[str, tuple[Callable, str]] = {
    "tolist": (lambda model, ids: model.table(torch.tensor(ids.tolist())), "Tensor.tolist"),
    "numpy": (lambda model, ids: model.table(torch.from_numpy(ids.numpy())), "Tensor.numpy"),
    "a branch": (lambda model, ids: model.table(ids) * (2 if (ids == 7).any() else 1), "aten.any"),
    "item": (lambda model, ids: model.table(ids) * ids[0, 0].item(), "aten._local_scalar_dense"),
    "sum": (lambda model, ids: model.table(ids) * ids.sum(1)[:, None, None], "aten.sum"),
    "neighbours": (lambda model, ids: model.table((ids[:, 1:] + ids[:, :-1]) % WORDS), "different positions"),
    "special tokens written over": (
        lambda model, ids: model.table(
            torch.cat([ids, ids.new_full((len(ids), LENGTH), 1)], 1)[:, LENGTH:].add_(ids)
        ),
        "aten.add_",
    ),
    "sorted": (lambda model, ids: model.table(ids.sort(1)[0]), "aten.sort"),
    "written": (lambda model, ids: model.table(torch.ones_like(ids).copy_(ids)), "aten.copy_"),
    "a selection": (
        lambda model, ids: torch.where((ids == 7)[..., None], model.table(ids), model.table(ids).exp()),
        "aten.where",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_other_uses_of_ids_are_refused_by_name(name: str) -> None:
    look_up, word = REFUSED[name]
    of_rows = OneHotTokens(OfIds(look_up), IDS)
    x = one_hot(letters(2, LENGTH))
    with pytest.raises(CaptureError, match=rf"test_core_tokens.py:\d+\) .*{word}.*token ids may be"):
        of_rows(x)
    with pytest.raises(CaptureError, match=word):
        DeepLift(of_rows, x)


def test_modules_keep_their_names() -> None:
    model = OfIds(CASES["embedding"][0])
    of_rows = OneHotTokens(model, IDS)
    x = one_hot(letters(2, LENGTH))
    assert dict(of_rows.named_parameters()).keys() == dict(model.named_parameters()).keys()
    modules = {node.module for node in DeepLift(of_rows, x).nodes}
    assert {"table", "head.conv", "head.dense"} <= modules
    explainer = DeepLift(of_rows, x, layer_rules={"head": "rescale"})
    inner = explainer.attribute(x, one_hot(letters(2, 2, LENGTH, seed=3)), layer="head.conv")
    assert inner.contributions.shape == (2, 6, LENGTH - 2)


def test_nothing_is_kept_between_runs() -> None:
    of_rows = OneHotTokens(OfIds(CASES["scatter"][0], WORDS), IDS)
    first, second = one_hot(letters(2, LENGTH)), one_hot(letters(2, LENGTH, seed=9))
    with torch.no_grad():
        expected = of_rows(first)
        of_rows(second)
        assert torch.equal(of_rows(first), expected)
