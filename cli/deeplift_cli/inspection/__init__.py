"""The inspection of a model by `deeplift inspect`, and its output as text and as JSON."""
