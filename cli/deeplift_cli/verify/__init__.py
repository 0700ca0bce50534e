"""Checks that a finished score file is undamaged, and that its model gives the same scores."""
