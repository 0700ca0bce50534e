"""What `deeplift inspect` finds out about a model, and how it is told."""
