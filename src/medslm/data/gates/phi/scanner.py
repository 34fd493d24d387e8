"""Finds identifiers in text and masks them; what it returns, counts or raises never holds the identifier itself."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

from medslm.data.gates.phi import dates, lexicon, numbers, people, places, typeset
from medslm.data.gates.phi.kinds import LETTERS, Found, Page, Span, union
from medslm.data.gates.phi.surrogates import Surrogates
from medslm.errors import MedslmError

Engine = Literal["rules", "presidio"]
Style = Literal["tag", "surrogate"]

_TAG = re.compile(r"\[(?:" + "|".join(LETTERS) + r")\]")


SHORT = 100
"""Characters up to which a text is remembered: instructions, options and codes come again and again."""


@dataclass(frozen=True)
class Scanner:
    """Looks for the 18 identifiers; it holds no text and no model, so that worker processes can have it.

    Raises `MedslmError` for an unknown engine, and at the first text where the extra of `presidio` is not installed.
    """

    engine: Engine = "rules"
    """`rules`: pure Python; `presidio`: the same rules and Presidio's model, whatever either finds."""

    def __post_init__(self) -> None:
        if self.engine not in get_args(Engine):
            raise MedslmError(f"no engine is called {self.engine!r}; known: {', '.join(get_args(Engine))}")

    def scan(self, text: str) -> list[Span]:
        """The identifiers of a text in its order, without overlaps; tags that `mask` wrote are none."""
        return list(_repeated(self, text)) if len(text) <= SHORT else self._scan(text)

    def _scan(self, text: str) -> list[Span]:
        found = [*self._found(text)]
        if not text.isascii() and typeset.search(text):
            typed, at = typeset.plain(text)
            found += [one._replace(start=at[one.start], end=at[one.end]) for one in self._found(typed)]
        spans = union(found)
        return list(_outside_tags(text, spans)) if "[" in text else spans

    def _found(self, text: str) -> Iterator[Found]:
        page = Page(text)
        yield from numbers.find(page)
        yield from dates.find(page)
        whispered = len(text) > 20 and text.islower()
        raised = Page(_raised(text)) if whispered else page
        yield from places.find(Page(_titled(text)) if whispered and places.is_addressed(page) else raised)
        yield from people.find(raised, whispered)
        if self.engine == "presidio":
            from medslm.data.gates.phi import presidio

            yield from presidio.find(text)

    def count(self, texts: Iterable[str]) -> dict[str, int]:
        """Type -> number of identifiers in all texts; types that do not occur are left out."""
        counts = Counter(span.type for text in texts for span in self.scan(text))
        return {type_: counts[type_] for type_ in LETTERS if counts[type_]}

    def mask(self, text: str, style: Style = "tag", key: bytes = b"", family: str = "") -> str:
        """The text with tags such as `[NAME]`, or with surrogates, in place of its identifiers.

        Tagged text scans clean. Surrogates follow from `key` and `family` (a patient, a document): the same there, others
        elsewhere; raises `MedslmError` for surrogates without a key of at least 16 bytes.
        """
        if style not in get_args(Style):
            raise MedslmError(f"no style of mask is called {style!r}; known: {', '.join(get_args(Style))}")
        if style == "surrogate":
            drawn = Surrogates(key, family)
            return _replaced(text, self.scan(text), lambda type_, value: drawn.replace(type_, typeset.plain(value)[0]))
        while spans := self.scan(text):  # what stands beside a new tag may now show itself
            text = _replaced(text, spans, lambda type_, _: f"[{type_}]")
        return text


@lru_cache(maxsize=4096)
def _repeated(scanner: Scanner, text: str) -> tuple[Span, ...]:
    return tuple(scanner._scan(text))


def _titled(text: str) -> str:
    """Every word with a capital, for patterns that look for one, where a text has none; as long as before."""
    return re.sub(r"(?<![^\W_]['’])\b[^\W\d_][^\W\d_]{2,}", lambda match: _capital(match[0]), text)


def _raised(text: str) -> str:
    """The same for words that are no English."""
    return re.sub(r"\b[^\W\d_]{3,}", lambda match: match[0] if lexicon.english(match[0]) else _capital(match[0]), text)


def _capital(word: str) -> str:
    return word[0].upper() + word[1:] if len(word[0].upper()) == 1 else word


def _outside_tags(text: str, spans: list[Span]) -> Iterator[Span]:
    tags = [match.span() for match in _TAG.finditer(text)]
    for type_, start, end in spans:
        edges = [start, *(edge for tag in tags if tag[0] < end and start < tag[1] for edge in tag), end]
        for left, right in zip(edges[::2], edges[1::2]):
            if any(map(str.isalnum, text[left:right])):
                yield Span(type_, left, right)


def _replaced(text: str, spans: list[Span], replace: Callable[[str, str], str]) -> str:
    parts, at = [], 0
    for type_, start, end in spans:
        parts += [text[at:start], replace(type_, text[start:end])]
        at = end
    return "".join([*parts, text[at:]])
