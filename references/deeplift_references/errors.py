"""What this package raises; all are ValueErrors whose message is one line for the user."""


class ReferenceSpecError(ValueError):
    """The wanted kind of reference, its argument or a setting of it makes no sense."""


class ReferenceDataError(ValueError):
    """These sequences cannot be used with this kind of reference."""


class NoReferencesError(ReferenceDataError):
    """Some of the sequences have no references, so that these sequences cannot be scored.

    Parameters
    ----------
    reasons : dict of int to str
        For each such row of the sequences, why it has none: a phrase that follows the record's name, as in
        "has no references in REFS.h5".
    """

    def __init__(self, reasons: dict[int, str]) -> None:
        super().__init__("; ".join(f"sequence {row + 1} {reason}" for row, reason in reasons.items()))
        self.reasons = reasons
