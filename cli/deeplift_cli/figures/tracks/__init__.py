"""The rows of a picture, one module for each kind.

A new kind is a module here with a class that has the members of `base.Track`, and its option in
`deeplift_cli.figures.plot.tracks_of`.
"""
