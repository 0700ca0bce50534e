"""Normal forms: some operations are recorded as other operations, so that fewer rules are needed.

There is one module for each kind of operation. The function of an operation gets ``varies`` (whether a tensor
depends on the model's input), the operation and its arguments. It returns the same result by calls of other
operations, or NotImplemented where the operation is to be recorded as it is.
"""

from collections.abc import Callable
from typing import Any

from deeplift_core.capture.normal_forms import arithmetic, choices, norms, products, random, softmax, views

NORMAL_FORMS: dict[str, Callable[..., Any]] = {
    **arithmetic.FORMS,
    **choices.FORMS,
    **norms.FORMS,
    **products.FORMS,
    **random.FORMS,
    **softmax.FORMS,
    **views.FORMS,
}

# The schemas of these operations say that they write to an argument, which they do not do at inference.
WRITE_NOTHING = frozenset(random.FORMS)
