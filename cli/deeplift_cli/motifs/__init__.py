"""Seqlets (short spans of large contributions), and the known motifs that they look like.

The methods are those of tangermeme and memelite, which the extra "motifs" installs; this package reads score
files and files of motifs, and writes BED.
"""

from deeplift_cli.motifs.matches import Matches, best_matches
from deeplift_cli.motifs.motif_files import read_motifs
from deeplift_cli.motifs.seqlets import Seqlets, find_seqlets

__all__ = ["Matches", "Seqlets", "best_matches", "find_seqlets", "read_motifs"]
