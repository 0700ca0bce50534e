"""The audience of an inspection: who is told what is known, and what is being done."""

from contextlib import AbstractContextManager
from typing import Protocol

from deeplift_cli.inspection.findings import Inspection


class Watch(Protocol):
    """What an inspection calls while it runs."""

    def known(self, found: Inspection) -> None:
        """Take note that something more is known; the inspection goes on after the call."""

    def doing(self, what: str) -> AbstractContextManager[None]:
        """Return a context in which something is done that may take seconds."""
