"""The kinds of reference, one module each; the registry imports every module of this package."""
