"""From a model to a proved recording of it.

Scoring calls :func:`record`. :func:`record_function` appends a function of a recorded value to a graph,
:func:`assert_same_function` compares a graph with a rewritten one, and :func:`borrowed` puts a model into
another precision and mode as long as a context lasts.
"""

from deeplift_core.capture.borrowing import borrowed
from deeplift_core.capture.functions import record_proved_function
from deeplift_core.capture.one_precision import one_precision
from deeplift_core.capture.record import Recording, record
from deeplift_core.capture.recorded_run import record_function, record_model
from deeplift_core.capture.verification import assert_same_function, verify

__all__ = [
    "Recording",
    "assert_same_function",
    "borrowed",
    "one_precision",
    "record",
    "record_function",
    "record_model",
    "record_proved_function",
    "verify",
]
