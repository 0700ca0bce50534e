"""The one exception that the command line turns into a line of text and an exit code."""


class UserError(Exception):
    """Something about a file, model, record or option that the user can mend.

    Parameters
    ----------
    message : str
        One line: what is wrong, where (file, record, line), and what to do.
    """

    exit_code = 1


class FutileError(UserError):
    """One after which the same command would fail in the same place again, so that nothing is kept for it."""
