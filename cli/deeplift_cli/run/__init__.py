"""One scoring run: batches of the input, their references, the batch loop, the checkpoint, the summary."""
