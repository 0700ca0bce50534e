"""The experiments of the DeepLIFT paper (Shrikumar, Greenside and Kundaje 2017), run with this package.

`run.py` is the program; docs/paper.md shows and discusses what came out.
"""
