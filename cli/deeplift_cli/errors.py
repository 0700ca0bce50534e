"""The exceptions that the command line turns into a line of text and an exit code."""


class UserError(Exception):
    """A problem with a file, model, record or option that the user can solve.

    Parameters
    ----------
    message : str
        One line: what is wrong, where (file, record, line), and what to do.
    """

    exit_code = 1


class OptionsError(UserError):
    """Options that cannot be meant, as is found out only once a file is read; the command ends with 2."""


class OutOfMemoryError(UserError):
    """There is not enough memory for the job that the options describe."""
