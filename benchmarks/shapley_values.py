"""Shapley values of a game: exact by enumeration of all coalitions, or sampled from orders of the players.

A game is a function from M coalitions of P players, a boolean array [M, P], to their values [M].
The players of `shapley.py` are the positions at which a sequence and its reference differ.
"""

from collections.abc import Callable
from math import comb

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Coalitions = npt.NDArray[np.bool_]
Game = Callable[[Coalitions], Array]

# Coalitions that a game gets at a time; a hybrid of 200 bp takes 3 KB in float32.
ROWS = 4096
# Enumeration of more players takes more than 2^18 values.
MOST_PLAYERS = 18


def exact(game: Game, players: int) -> Array:
    """Shapley values [P] from the values of all 2^P coalitions.

    Player i gets the sum over coalitions S without i of |S|! (P - |S| - 1)! / P! (v(S and i) - v(S)).

    Raises
    ------
    ValueError
        If there are no players, or more than `MOST_PLAYERS`.
    """
    if not 1 <= players <= MOST_PLAYERS:
        raise ValueError(f"coalitions of 1 to {MOST_PLAYERS} players can be enumerated, not of {players}")
    bits = np.arange(players)
    numbers = np.arange(2**players)
    members = (numbers[:, None] >> bits & 1).astype(bool)
    values = _values(game, members)
    sizes = members.sum(axis=1)
    weights = np.array([1 / (players * comb(players - 1, size)) for size in range(players)])
    found = np.empty(players)
    for player in bits:
        # Axis 1 is the bit of this player.
        without, with_player = values.reshape(-1, 2, 2**player).swapaxes(0, 1)
        size = sizes.reshape(-1, 2, 2**player)[:, 0]
        found[player] = (weights[size] * (with_player - without)).sum()
    return found


def sampled(game: Game, players: int, orders: int, seed: int) -> tuple[Array, Array]:
    """Estimated Shapley values [P] and their standard errors [P], from random orders in antithetic pairs.

    Each random order is used forwards and backwards. The mean of the two is one draw, so that the standard
    error, over the draws, takes account of the correlation within a pair.

    Parameters
    ----------
    game : callable
    players : int
    orders : int
        Number of orders, an even number of at least 4.
    seed : int

    Raises
    ------
    ValueError
        If the number of orders is odd or below 4.
    """
    if orders % 2 or orders < 4:
        raise ValueError(f"orders come in pairs, two pairs at least: {orders} is no number of orders")
    generator = np.random.default_rng(seed)
    forwards = np.stack([generator.permutation(players) for _ in range(orders // 2)])
    # places[o, i] is the place of player i in order o.
    places = np.stack([forwards, players - 1 - forwards], axis=1).reshape(orders, players)
    steps = np.arange(1, players)[:, None]
    nobody, everybody = game(np.array([[False] * players, [True] * players]))
    draws = np.empty((orders, players))
    at_once = max(1, ROWS // max(1, players - 1))
    for start in range(0, orders, at_once):
        some = places[start : start + at_once]
        between = _values(game, (some[:, None] < steps).reshape(-1, players)).reshape(len(some), players - 1)
        ends = (np.full((len(some), 1), nobody), between, np.full((len(some), 1), everybody))
        gains = np.diff(np.concatenate(ends, axis=1), axis=1)
        draws[start : start + at_once] = np.take_along_axis(gains, some, axis=1)
    pairs = draws.reshape(orders // 2, 2, players).mean(axis=1)
    return pairs.mean(axis=0), pairs.std(axis=0, ddof=1) / np.sqrt(len(pairs))


def _values(game: Game, coalitions: Coalitions) -> Array:
    """The game's values, computed for `ROWS` coalitions at a time."""
    return np.concatenate(
        [game(coalitions[start : start + ROWS]) for start in range(0, len(coalitions), ROWS)]
    )
