"""Whether a finished score file is what was written, and what the model gives."""
