"""References for DeepLIFT on DNA: the sequences with which an input is compared."""

from deeplift_references.base import Reference, SharedReference
from deeplift_references.encoding import blank_missing, check_one_hot
from deeplift_references.errors import NoReferencesError, ReferenceDataError, ReferenceSpecError
from deeplift_references.registry import (
    Factory,
    Kind,
    Settings,
    import_generators,
    kinds,
    load_kinds_of_other_packages,
    make,
    parse_spec,
    register,
)

__all__ = [
    "Factory",
    "Kind",
    "NoReferencesError",
    "Reference",
    "ReferenceDataError",
    "ReferenceSpecError",
    "Settings",
    "SharedReference",
    "blank_missing",
    "check_one_hot",
    "kinds",
    "load_kinds_of_other_packages",
    "make",
    "parse_spec",
    "register",
]

import_generators()
