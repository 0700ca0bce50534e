"""Models that take token ids, as models of one-hot rows.

A token id has no difference from a reference. What a model computes from ids of letters, however, is a
product of the one-hot rows of these letters with a table: the rows of an embedding, or the columns of
``one_hot``. :class:`OneHotTokens` runs a model of ids with these products in the place of the look-ups, so
that the model is recorded as a function of one-hot rows.
"""

from deeplift_core.tokens.module import OneHotTokens

__all__ = ["OneHotTokens"]
