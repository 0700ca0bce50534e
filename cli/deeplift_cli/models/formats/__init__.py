"""One module per model format, each with a ``FORMAT``; see `deeplift_cli.models.registry`."""
