"""The name of this program's distribution for pip, and its version.

The distribution `deeplift` on PyPI is the original implementation of the paper, which pip would uninstall to
install another distribution of the same name.
"""

from importlib.metadata import version

DISTRIBUTION = "deeplift-genomics"  # the name in pyproject.toml


def deeplift_version() -> str:
    """Return the version of the installed program, such as "0.1.0"."""
    return version(DISTRIBUTION)
