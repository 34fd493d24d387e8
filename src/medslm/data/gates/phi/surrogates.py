"""Stand-ins for identifiers, drawn by a keyed hash: the same within a family of documents, others in the next."""

# ruff: noqa: E501, SIM905 - lists of words and patterns are data: broken over more lines they are harder to check

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from functools import cache

from medslm.data.gates.phi import lexicon
from medslm.data.gates.phi.places import STATES, STREET_ENDINGS, STREET_WORDS
from medslm.data.gates.phi.shifting import shifted
from medslm.errors import MedslmError

_TOWNS = (
    "Ashbrook Briarton Cedarfell Dunmarsh Eastmere Fernhollow Galewick Hartsmoor Inverdale Kestrelby Larkfield Millbourne "
    "Northwold Oakhurst Pinecrest Quillford Redstoke Silverton Thornbury Wexcombe Yarrowgate Westerleigh Stonebridge Elmstead"
).split()
_KEPT = frozenset(f"{STREET_WORDS}|{STREET_ENDINGS}".lower().split("|")) | frozenset(
    "apt apartment suite ste unit room floor flat box po p o building lot plot county interstate route near no corner the of".split()
)
_ORGANIZATIONS = ("hospital", "clinic", "infirmary", "surgery", "pharmacy", "hospice", "medical", "center", "centre")
_WEEKS = 52


@cache
def _pool(name: str) -> tuple[str, ...]:
    """Names to draw from: of the lists, those that are nothing else, in their order."""
    is_name = lexicon.is_given if name == "given" else lexicon.is_family
    return tuple(
        word
        for word in sorted(lexicon.words(name))
        if word.isascii() and word.isalpha() and len(word) > 3 and is_name(word)
    )


class Surrogates:
    """Draws stand-ins for one family of documents.

    Raises `MedslmError` for a key of less than 16 bytes: with a known or short key, whoever guesses a name can check it.
    """

    def __init__(self, key: bytes, family: str) -> None:
        if len(key) < 16:
            raise MedslmError(
                f"surrogates need a secret key of at least 16 bytes, this one has {len(key)}; "
                "`secrets.token_bytes(32)` makes one; keep it apart from the data"
            )
        self._key = hmac.new(key, family.encode(), hashlib.sha256).digest()
        draw = self._draw("shift", "") % (2 * _WEEKS)
        self.days = 7 * (draw - _WEEKS if draw < _WEEKS else draw - _WEEKS + 1)
        """By how many days every date of the family moves: up to 52 whole weeks, so that weekdays stay, never 0."""

    def __repr__(self) -> str:
        return "Surrogates(...)"

    def replace(self, type_: str, value: str) -> str:
        """What stands in for this value of a type of `LETTERS`."""
        special: dict[str, Callable[[str], str]] = {
            "NAME": self._name,
            "ORGANIZATION": self._place,
            "LOCATION": self._place,
            "DATE": self._date,
            "AGE": lambda _: "90+",
            "EMAIL": lambda email: (
                f"{self._word(email, 'given').lower()}{self._draw('EMAIL', email) % 1000}@example.org"
            ),
            "URL": lambda url: f"https://example.org/{self._draw('URL', url) % 16**8:08x}",
            "IP": self._address,
        }
        return special[type_](value) if type_ in special else self._signs(type_, value)

    def _draw(self, type_: str, value: str) -> int:
        plain = " ".join(value.casefold().split())
        return int.from_bytes(hmac.new(self._key, f"{type_}\0{plain}".encode(), hashlib.sha256).digest()[:8], "big")

    def _word(self, word: str, pool: str) -> str:
        return _like(word, _pick(_pool(pool), self._draw("NAME", word)))

    def _name(self, name: str) -> str:
        """Word by word, so that `Mr. Zhang` stays the brother of `Wei Zhang`; initials follow the hash of the letter."""

        def one(match: re.Match[str]) -> str:
            word = match[0]
            if len(word) == 1:
                return _like(word, chr(ord("a") + self._draw("NAME", word) % 26))
            if word.islower() and len(word) < 4:  # van, de, bin
                return word
            return self._word(word, "given" if lexicon.is_given(word.lower()) else "family")

        return re.sub(r"[^\W\d_]+", one, name)

    def _place(self, place: str) -> str:
        """Street words, states and the form stay; names of places and digits change."""

        def one(match: re.Match[str]) -> str:
            word = match[0]
            if word.lower() in _KEPT or word.lower() in _ORGANIZATIONS or re.fullmatch(STATES, word):
                return word
            if word.lower() in lexicon.places("wide") or (word.islower() and len(word) < 4):
                return word
            if any(map(str.isdigit, word)):
                return self._signs("LOCATION", word)
            return _like(word, _pick(_TOWNS, self._draw("LOCATION", word)))

        return re.sub(r"\w+", one, place)

    def _signs(self, type_: str, value: str) -> str:
        """Digit for digit and letter for letter, signs between them as they were; an SSN begins with 9, as none does."""
        stream = hmac.new(
            self._key, f"{type_}\0{re.sub(r'[^0-9a-z]', '', value.lower())}".encode(), hashlib.sha512
        ).digest()
        draws = iter(stream * (len(value) // len(stream) + 1))
        changed = "".join(_sign(sign, next(draws)) if sign.isalnum() else sign for sign in value)
        return re.sub(r"\d", "9", changed, count=1) if type_ == "SSN" else changed

    def _address(self, value: str) -> str:
        draw = self._draw("IP", value)
        return f"2001:db8::{draw % 16**4:x}" if ":" in value else f"192.0.2.{draw % 254 + 1}"  # RFC 3849, RFC 5737

    def _date(self, value: str) -> str:
        return shifted(value, self.days) or self._signs("DATE", re.sub(r"[^\W\d_]+", "", value)).strip() or "a date"


def _sign(sign: str, draw: int) -> str:
    if sign.isdigit():
        return str(draw % 10)
    letter = chr(ord("a") + draw % 26)
    return letter.upper() if sign.isupper() else letter


def _like(word: str, other: str) -> str:
    return other.upper() if word.isupper() else other.title() if word[:1].isupper() else other


def _pick(pool: Sequence[str], draw: int) -> str:
    return pool[draw % len(pool)]
