"""Colours of bases and of tracks."""

from collections.abc import Mapping
from types import MappingProxyType

BASES = "ACGT"
# Sequence logos have had these colours since the first ones: A is green, C is blue, G is orange, and T is
# red.
STANDARD: Mapping[str, str] = MappingProxyType(
    {"A": "#109648", "C": "#255c99", "G": "#f7a81b", "T": "#d62839"}
)
# These colours are of the palette of Okabe and Ito (2008). Among the palette's sets of four that keep A
# green, C blue and G orange, this set has the largest least distance in CIELAB between colours as people
# without red or without green cones see them (Machado and others, 2009). The distances are 51 and 55; they
# would be 25 and 18 with vermilion for T, and are 27 and 13 for the standard colours.
COLOUR_BLIND: Mapping[str, str] = MappingProxyType(
    {"A": "#009e73", "C": "#0072b2", "G": "#e69f00", "T": "#000000"}
)
SETS: Mapping[str, Mapping[str, str]] = MappingProxyType({"standard": STANDARD, "colour-blind": COLOUR_BLIND})

INK = "#222222"  # axes and text
FAINT = "#777777"  # labels of rows and tracks
SIGNAL = "#5b7083"
ANNOTATION = "#8c96a0"
BAND = "#555555"
MARK = "#ffe08a"
# Motifs get these colours in the order of their names. The colours are muted and differ from those of the
# letters.
MOTIFS = ("#7a5195", "#2f7f86", "#9c6644", "#5d6d3f", "#b0568d", "#4a5a8a", "#8a8a3a", "#555b66")


def base_colours(colours: str | Mapping[str, str]) -> Mapping[str, str]:
    """Return the colour of each base.

    Parameters
    ----------
    colours : str or mapping
        "standard", "colour-blind", or a colour for each of A, C, G and T.

    Raises
    ------
    ValueError
        If there is no such set, or a base has no colour.
    """
    if isinstance(colours, str):
        if colours not in SETS:
            raise ValueError(f"there are no colours {colours!r}; choose one of {', '.join(SETS)}")
        return SETS[colours]
    missing = [base for base in BASES if base not in colours]
    if missing:
        raise ValueError(f"no colour is given for {', '.join(missing)}")
    return colours


def colours_by_name(names: set[str]) -> dict[str, str]:
    """Return a colour for each name; after eight names the colours repeat."""
    return {name: MOTIFS[place % len(MOTIFS)] for place, name in enumerate(sorted(names))}
