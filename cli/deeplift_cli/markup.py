"""Texts of other people in HTML and in scripts, and the policy that runs the page's own scripts only."""

import base64
import hashlib
import html
import json
from typing import Any


def escaped(text: object) -> str:
    """Return a text for HTML, between tags or in quotes; NUL, which HTML cannot hold, becomes U+FFFD."""
    return html.escape(str(text).replace("\0", "\N{REPLACEMENT CHARACTER}"))


def script_json(value: Any) -> str:
    """Return JSON for a script element, which the text "</script" would end.

    Raises
    ------
    ValueError
        If a number is not finite, which JSON cannot hold.
    """
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def policy_source(content: str) -> str:
    """Return what a content security policy calls a script or style sheet of this content."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
