"""Models of token ids, as models of one-hot rows that were compared with them."""

from dataclasses import replace
from typing import TYPE_CHECKING

from deeplift_cli.errors import UserError
from deeplift_cli.models.layouts import UNKNOWN, Layout
from deeplift_cli.models.model_file import ModelFile
from deeplift_cli.options.token_ids import TokenIds

if TYPE_CHECKING:
    from torch import Tensor

# A model with a token for N is tried on sequences in which one position in so many has no base.
_SHARE_OF_UNKNOWN = 7


def with_token_ids(model: ModelFile, token_ids: TokenIds) -> ModelFile:
    """Return a model of token ids as a model of one-hot rows [N, letters, L].

    Parameters
    ----------
    model : ModelFile
        Its first input holds ids [N, L].
    token_ids : tuple of (str, int)
        The id of each letter; without N, a position without a base has no token, and what is looked up
        there is 0.

    Raises
    ------
    UserError
        If the file declares that the first input holds something else.
    """
    import torch

    from deeplift_core.tokens import OneHotTokens

    spec = model.inputs[0] if model.inputs else None
    declared = None if spec is None else spec.dtype
    if declared not in (None, "int64", "int32"):
        raise UserError(
            f"input {spec and spec.name} of {model.path} holds {declared} values and no token ids; leave out "
            "--token-ids"
        )
    if spec is not None and spec.shape is not None and len(spec.shape) != 2:
        raise UserError(f"input {spec} of {model.path} holds no token ids [N, L]; leave out --token-ids")
    letters, numbers = zip(*token_ids, strict=True)
    module = OneHotTokens(model.module, numbers, torch.int32 if declared == "int32" else torch.int64)
    return replace(model, module=module, token_letters="".join(letters))


def prove_token_ids(model: ModelFile, layout: Layout, length: int, rows: int) -> None:
    """Compare the model of one-hot rows with the model of ids, on random sequences and on one of As only.

    Nothing is done for models of other inputs.

    Raises
    ------
    UserError
        If the model does not run on these ids, or computes something from them that is no look-up.
    """
    if not model.token_letters:
        return
    from deeplift_cli.models.probing import TOLERANCE, brief, largest_difference, one_hot, outputs_of
    from deeplift_core.tokens import OneHotTokens

    module = model.module
    assert isinstance(module, OneHotTokens)
    only_a = one_hot(rows, length).zero_()
    only_a[:, 0] = 1
    for sequences in (one_hot(rows, length), only_a):
        x = _shown(sequences, layout)
        expected = outputs_of(module.model, module.ids_of(x))
        if isinstance(expected, str):
            numbers = ", ".join(map(str, module.token_ids))
            raise UserError(
                f"{model.path} does not run on the token ids {numbers} of {length} positions: "
                f"{brief(expected)}"
            )
        found = outputs_of(module, x)
        if isinstance(found, str):
            raise UserError(f"{model.path}: {brief(found)}")
        difference = largest_difference(found, expected)
        if not difference <= TOLERANCE:
            raise UserError(
                f"{model.path} computes something else from token ids than look-ups in tables: with one-hot "
                f"rows in place of the ids, its output differs by {difference:.1e} of its largest value"
            )


def _shown(sequences: "Tensor", layout: Layout) -> "Tensor":
    """Bring random sequences into the model's form, with some N where the model has a token for N."""
    if UNKNOWN in layout.alphabet:
        sequences[..., ::_SHARE_OF_UNKNOWN] = 0
    return layout.to_model(sequences, layout.unknown(sequences))
