"""Score files made of others: shards put together, and averages over the folds of a cross-validation."""
