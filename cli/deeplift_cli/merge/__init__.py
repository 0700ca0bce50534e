"""Merging of score files: the shards of one job, or an average over the folds of a cross-validation."""
