"""Score files from Python: the regions as a pandas table, the scores as an xarray dataset or by region."""
