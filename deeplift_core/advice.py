"""Advice to users about operations that have no rule."""

from collections.abc import Iterable

TOKENS = (
    "token ids have no differences from reference: give one-hot rows as the input, to "
    "deeplift_core.tokens.OneHotTokens(model, token_ids), or let the model multiply them with the table "
    "(one_hot @ embedding.weight)"
)
_POSITIONS = (
    "positions that depend on the input change in jumps, which no difference explains: choose another "
    "output, or the values at those positions (max, topk and sort give both)"
)
_OTHERS = (
    'write it with other operations, choose an output without it, or add a rule of your own; rule "gradient" '
    'or "integrated-gradients" needs none'
)
_BY_NAME = {"embedding": TOKENS} | dict.fromkeys(("argmax", "argmin", "argsort", "searchsorted"), _POSITIONS)


def advice_on(names: Iterable[str]) -> list[str]:
    """Return the advice on operations of these ATen names, without repetitions."""
    return list(dict.fromkeys(_BY_NAME.get(name, _OTHERS) for name in names))
