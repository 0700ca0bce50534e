"""Scoring: targets, forward and backward passes, batches, and the cache of shared references."""
