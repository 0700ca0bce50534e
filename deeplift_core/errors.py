"""The exceptions of the core, each of which says where the problem is and what to do."""


class DeepLiftError(Exception):
    """Base of every error that this package raises on purpose."""


class CaptureError(DeepLiftError):
    """The model could not be recorded as a graph (value-dependent branch, no tensor output, ...)."""


class ForwardError(CaptureError):
    """The model's own forward failed on the example; the cause is the model's exception."""


class CompileError(DeepLiftError):
    """torch cannot compile the scoring of this model; the model can be scored without compilation."""


class UnsupportedOpsError(DeepLiftError):
    """The model contains operations for which there is no rule.

    Parameters
    ----------
    places : list of str
        One line for each operation: its ATen name, the module that ran it and the source line.
    advice : list of str
        What the user can do about these operations.
    """

    def __init__(self, places: list[str], advice: list[str]) -> None:
        self.places = list(places)
        count = f"{len(places)} operation{'s' if len(places) > 1 else ''}"
        lines = [f"no DeepLIFT rule for {count} of this model:", *(f"  {place}" for place in places), *advice]
        super().__init__("\n".join(lines))


class TargetError(DeepLiftError, ValueError):
    """The target does not name a scalar of the model's output."""


class OptionError(DeepLiftError, ValueError):
    """An argument (rule, layer pattern, shape of a reference, ...) is not usable."""
