"""Names of the rules that operations with a choice have, the default first; without torch, for help texts."""

ACTIVATION_RULES = ("rescale", "revealcancel", "revealcancel-positive-first")
MAXIMUM_RULES = ("switch", "aumann-shapley")
