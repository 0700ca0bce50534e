"""Parsers of the values of a score file's attributes; a ValueError says that a value is not valid."""

import json
from typing import Any

from deeplift_cli.options.shards import parse_shard


def anything(value: Any) -> Any:
    """Return a value that is there."""
    if value is None:
        raise ValueError
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


def texts(value: Any) -> str | list[str]:
    """Return a text, or a list of texts from JSON."""
    text = _text(value)
    if not text.startswith("["):
        return text
    found = json.loads(text)
    return [_text(item) for item in found]


def count(value: Any) -> int:
    """Return a whole number of at least 0."""
    if type(value) is not int or value < 0:
        raise ValueError
    return value


def _real(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError
    return float(value)


def real_or_none(value: Any) -> float | None:
    """Return a number, or None for the text "null"."""
    return None if value == "null" else _real(value)


def shard(value: Any) -> str | None:
    """Return a shard as "2/4", or None for a whole job."""
    text = _text(value)
    if text == "auto":
        raise ValueError
    return None if text == "null" else str(parse_shard(text))


def fingerprint(value: Any) -> dict[str, Any]:
    """Return the fingerprint of a job from its JSON; empty if the job had none."""
    found = json.loads(_text(value))
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ValueError
    return found
