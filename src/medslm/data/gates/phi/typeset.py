"""Text as a typewriter would have it: without what word processors, PDF and web pages put in place of its signs."""

from __future__ import annotations

import re
import unicodedata

_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2212\ufe58\ufe63\uff0d"
_SPACES = "\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
_UNSEEN = "\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff"
_WIDE = "\uff01-\uff5e"  # every sign of ASCII in the width of a Chinese character
_MARKS = "\u0300-\u036f"
_CLUSTER = re.compile(f"[{_UNSEEN}]+|.[{_MARKS}]*", re.DOTALL)
_NUMBERS = re.compile(rf"(?<!\d)\d{{1,4}}[{_DASHES}]\d{{1,4}}[{_DASHES}]\d{{2,4}}(?!\d)")
"""A date or a telephone number; one dash alone stands between the ends of a range."""

search = re.compile(f"[{_SPACES}{_UNSEEN}{_WIDE}{_MARKS}{_DASHES[:2]}]|{_NUMBERS.pattern}").search
"""Whether a text holds any of them."""


def plain(text: str) -> tuple[str, list[int]]:
    """The text with ASCII's spaces, digits and hyphens and letters in one piece; and where each character begins in `text`.

    The list has one place more than that text has characters: the end. Dashes of words and of ranges stay.
    """
    typed: list[str] = []
    at: list[int] = []
    for match in _CLUSTER.finditer(text):
        if re.match(f"[{_UNSEEN}]", match[0]):
            continue
        for sign in unicodedata.normalize("NFC", match[0]):
            typed.append(_sign(sign))
            at.append(match.start())
    told = _NUMBERS.sub(lambda match: re.sub(f"[{_DASHES}]", "-", match[0]), "".join(typed))
    return told, [*at, len(text)]


def _sign(sign: str) -> str:
    if re.match(f"[{_SPACES}]", sign):
        return " "
    if re.match(f"[{_WIDE}]", sign):
        return chr(ord(sign) - 0xFEE0)
    return "-" if sign in _DASHES[:2] else sign
