"""Other ways to write some operations, chosen so that fewer rules are needed; one module for each kind.

Each function gets ``varies`` (does this tensor depend on the input?), the operation and its arguments,
and returns the same result by other calls, or NotImplemented to leave the operation as it is.
"""

from collections.abc import Callable
from typing import Any

from deeplift_core.capture.normal_forms import arithmetic, choices, norms, products, softmax, views

NORMAL_FORMS: dict[str, Callable[..., Any]] = {
    **arithmetic.FORMS,
    **choices.FORMS,
    **norms.FORMS,
    **products.FORMS,
    **softmax.FORMS,
    **views.FORMS,
}
