"""The files with scores: pieces (finished batches) during a run, the HDF5 score file, other formats."""
