"""The exceptions of this package; all are ValueErrors whose message is one line for the user."""


class ReferenceSpecError(ValueError):
    """The kind of reference, its argument or one of its settings is not valid."""


class ReferenceDataError(ValueError):
    """A kind of reference cannot make references for the given sequences."""


class NoReferencesError(ReferenceDataError):
    """Some of the given sequences have no references, so that they cannot be scored.

    Parameters
    ----------
    reasons : dict of int to str
        The reason for each such row of the sequences: a phrase that follows the record's name, such as "has
        no references in REFS.h5".
    """

    def __init__(self, reasons: dict[int, str]) -> None:
        super().__init__("; ".join(f"sequence {row + 1} {reason}" for row, reason in reasons.items()))
        self.reasons = reasons
