"""How far the scores in a file can be trusted: one measure in each module, and a list of them."""
