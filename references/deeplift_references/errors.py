"""What this package raises; both are ValueErrors whose message is one line for the user."""


class ReferenceSpecError(ValueError):
    """The wanted kind of reference, its argument or a setting of it makes no sense."""


class ReferenceDataError(ValueError):
    """These sequences cannot be used with this kind of reference."""
