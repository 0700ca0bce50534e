"""The name under which pip knows this program, and its version.

The distribution `deeplift` on PyPI is the original implementation of the paper. Installing a program of the
same name would uninstall it.
"""

from importlib.metadata import version

DISTRIBUTION = "deeplift-genomics"  # of pyproject.toml


def deeplift_version() -> str:
    """Return the version of the installed program, such as "0.1.0"."""
    return version(DISTRIBUTION)
