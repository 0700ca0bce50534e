"""A score file as one HTML page that needs nothing else: `deeplift report`."""
