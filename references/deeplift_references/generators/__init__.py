"""One module per kind of reference; each is found by the registry."""
