"""The kinds of reference that read a file; importing this package registers them.

Each kind has a module of its own. Kinds that need no file are in `deeplift_references`.
"""

from deeplift_cli.reference_kinds import background, saved

__all__ = ["background", "saved"]
