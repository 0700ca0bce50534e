"""Normal forms: some operations are recorded as other ones, so that fewer rules are needed.

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

# Operations whose schema says that they write to an argument, and which do not write at inference.
WRITE_NOTHING = frozenset(random.FORMS)
