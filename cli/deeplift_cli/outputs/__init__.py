"""Where scores go: pieces while a run is at work, HDF5 with its companions, bigWig."""
