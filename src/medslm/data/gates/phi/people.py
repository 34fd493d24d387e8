"""Names of persons and organisations, and towns that no list holds: by title, label, list and capital letter."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import NamedTuple

from medslm.data.gates.phi import cues, lexicon
from medslm.data.gates.phi.kinds import Found, Page


class Word(NamedTuple):
    """A word with a capital: what it may be, and where it stands."""

    kind: str
    """T title, I initial, G given name, F family name, g and f the same but English too, U unknown, u unknown and like a
    medicine or an adjective, O organisation, X none."""
    start: int
    end: int
    text: str


@lru_cache(maxsize=1 << 16)
def kind(word: str, shouted: bool) -> str:
    """What a word with a capital may be, by the lists; `shouted` where the text around is in capitals too."""
    lower = word.lower().replace("’", "'")
    if lower in cues.TITLES:
        return "T"
    if len(word) == 1:
        return "I"
    if word[0] > "\u0370" and word[1:].isascii():  # the Greek letter of a mutant or a constant
        return "X"
    if re.search(r"['’](?:m|re|ve|ll|d|t)$", lower):
        return "X"
    if lower in cues.NEVER or lower in ("xyz", "abc", "xxx"):
        return "X"
    if lower in lexicon.words("clinical") and "-" in lower:
        return "X"
    if "-" in lower and lower not in lexicon.words("family"):
        return _hyphened(lower, word, shouted)
    return _plain(lower, word, shouted)


def _hyphened(lower: str, word: str, shouted: bool) -> str:
    parts = [part for part in lower.split("-") if part]
    kinds = [_plain(part, part.upper() if word.isupper() else part.title(), shouted) for part in parts]
    if not all(part[:1].isupper() for part in word.split("-")):
        second = parts[1:] and not lexicon.english(parts[-1]) and len(parts[-1]) > 2
        return kinds[0] if kinds and kinds[0] in "GFU" and second else "X"
    if "X" in kinds or any(len(part) == 1 for part in parts):
        return "X"
    return next((one for one in "GF" if one in kinds), "U" if "U" in kinds else "u")


def _plain(lower: str, word: str, shouted: bool) -> str:
    loud = word.isupper() and len(word) > 1
    if lower in cues.STATES_OR_WOMEN:
        return "X" if loud else "g"
    if lower in lexicon.words("clinical") or lower in lexicon.places("wide"):
        return "c" if lower in lexicon.words("family") and not loud else "X"
    if lower in cues.ORGANIZATION:
        return "O"
    if not (loud and len(word) < 4):
        if lexicon.is_given(lower):
            return "G"
        if lexicon.is_family(lower):
            return "F"
    if lexicon.english(lower):
        given, family = lower in lexicon.words("given"), lower in lexicon.words("family")
        return "X" if loud and not shouted else "g" if given else "f" if family else "X"
    if loud:
        return (
            "U" if len(word) > (6 if word.isascii() else 3) and not shouted and not cues.PHARMA.search(lower) else "X"
        )
    if not word[1:].islower() and not re.fullmatch(r"(?:Mc|Mac|De|Di|La|Le|Van|O['’]|D['’])[A-Z][^\W\d_]+", word):
        return "u" if "'" in lower or "’" in lower else "X"
    return "u" if cues.PHARMA.search(lower) or len(lower) < 3 else "U"


def find(page: Page, whispered: bool = False) -> Iterator[Found]:
    """Every name of a person or an organisation, and every town that stands after a preposition.

    `whispered`: the text had no capitals, and got them where a word may be a name.
    """
    text = page.text
    small, large = len(re.findall(r"[a-z]", text)), len(re.findall(r"[A-Z]", text))
    shouted = large > 0.6 * (small + large)
    wide = [match.span() for match in _wide_phrases().finditer(text)] if page.has(_wide_words()) else []
    accepted: list[Found] = []
    waiting: list[list[Word]] = []
    for match in cues.RUN.finditer(text):
        for words in _sentences(text, match, shouted, wide):
            for group, found in _named(text, words, whispered):
                if found:
                    accepted.append(found)
                elif len(group) < 3:
                    waiting.append(group)
    yield from accepted
    if waiting and not whispered:
        yield from _enumerated(text, accepted, waiting)
    yield from _patterned(page, shouted)


@cache
def _wide_phrases() -> re.Pattern[str]:
    """Countries and states of several words, whose parts are no names."""
    return re.compile(rf"\b(?=[A-Z])(?:{lexicon.alternatives('wide')})\b")


@cache
def _wide_words() -> frozenset[str]:
    return frozenset(place.split()[0] for place in lexicon.places("wide") if " " in place)


def _enumerated(text: str, accepted: list[Found], waiting: list[list[Word]]) -> Iterator[Found]:
    """Who is named in one breath with a person, or two of whom one is unknown: `Usamov and Bowers`."""
    places = [(found.start, found.end) for found in accepted if found.type == "NAME"]
    for group in (*waiting, *waiting):  # twice: the first of a list follows from the second
        start, end = group[0].start, group[-1].end
        linked = any(
            cues.LINKED.fullmatch(text, name_end, start) or cues.LINKED.fullmatch(text, end, name_start)
            for name_start, name_end in places
        )
        if linked and (start, end) not in places and {word.kind for word in group} <= set("GFUcgfI"):
            places.append((start, end))
            yield Found("NAME", start, end, 0.5)
    for one, other in itertools.pairwise(waiting):
        kinds = {one[0].kind, other[0].kind}
        if text[one[-1].end : other[0].start] == " and " and "U" in kinds and kinds <= set("Ufcg"):
            yield Found("NAME", one[0].start, one[-1].end, 0.5)
            yield Found("NAME", other[0].start, other[-1].end, 0.5)


def _sentences(text: str, match: re.Match[str], shouted: bool, wide: list[tuple[int, int]]) -> Iterator[list[Word]]:
    """The words of a run, broken where a full stop ends a sentence."""
    words: list[Word] = []
    for token in cues.TOKEN.finditer(text, *match.span()):
        word, end = token[0], token.end()
        if word.endswith(("'s", "’s", "'S", "’S")):
            word, end = word[:-2], end - 2
        if words and "." in text[words[-1].end : token.start()] and words[-1].kind not in "TI":
            yield words
            words = []
        large = any(start <= token.start() < stop for start, stop in wide)
        of_word = "X" if large or (word == "I" and text[end : end + 1] != ".") else kind(word, shouted)
        words.append(Word(of_word, token.start(), end, word))
    if words:
        yield words


def _named(text: str, words: list[Word], whispered: bool) -> Iterator[tuple[list[Word], Found | None]]:
    """Each group of words that may be one name, and what is found there."""
    organisation = [place for place, word in enumerate(words) if word.kind == "O"]
    if organisation and (found := _organisation(text, words[: organisation[-1] + 1])):
        yield [], found
        words = words[organisation[-1] + 1 :]
    group: list[Word] = []
    titled = False
    for word in [*words, Word("X", -1, -1, "")]:
        given = next((one.text for one in group if one.kind == "G"), "")
        if word.kind == "X" and (titled or (group and group[-1].kind in "GI")) and _is_odd_family(word, given):
            word = word._replace(kind="f")
        if word.kind in "XTO":
            if group:
                yield group, _person(text, group, titled, whispered)
            group, titled = [], word.kind == "T"
        else:
            group.append(word)


def _is_odd_family(word: Word, after: str) -> bool:
    """`White` and `Jewish` are no names by themselves; after `Brian` or `Dr.` the first is. `after` is that given name."""
    lower = word.text.lower()
    if word.text.isupper() and after.isupper():  # JOHN SMITH in a text that is not in capitals as a whole
        return len(lower) > 2 and lower in lexicon.words("family")
    listed = lower in lexicon.words("family") or (lower not in lexicon.words("words") and lower not in cues.NEVER)
    return (
        listed
        and lower not in lexicon.words("clinical")
        and len(lower) > 3
        and (not word.text.isupper() or lexicon.is_family(lower))
    )


def _organisation(text: str, words: list[Word]) -> Found | None:
    """`Lakeview Memorial Hospital`, but neither `Emergency Department` nor `The Clinic`."""
    while words and (words[0].text.lower() in ("the", "this", "our", "at", "from", "in") or words[0].kind == "T"):
        words = words[1:]
    telling = [word for word in words[:-1] if word.kind in "GFUgf"]
    state = any(" ".join(word.text for word in words[:number]).lower() in lexicon.places("wide") for number in (1, 2))
    if len(words) > 2 and state and words[-1].text.lower() in cues.CARE:  # Massachusetts General Hospital
        return Found("ORGANIZATION", words[0].start, words[-1].end, 0.8)
    strong = words and words[-1].text.lower() not in cues.ORG_WEAK
    if len(words) > 1 and (any(word.kind in "GFU" for word in telling) or (strong and telling)):
        return Found("ORGANIZATION", words[0].start, words[-1].end, 0.8)
    return None


def _person(text: str, group: list[Word], titled: bool, whispered: bool) -> Found | None:
    before, after = text[max(0, group[0].start - 60) : group[0].start], text[group[-1].end : group[-1].end + 40]
    weight = _weight(before, after, group, titled, whispered)
    if not weight:
        return None
    last = group[-1]
    end = last.end + 1 if last.kind == "I" and text[last.end : last.end + 2] == ". " and len(group) > 1 else last.end
    if suffix := cues.SUFFIX.match(text, end):
        end = suffix.end()
    if cues.is_employed(before):
        return Found("ORGANIZATION", group[0].start, end, 0.7)
    if before[-1:] == " " and cues.last_word(before) in cues.SMALL and not any(word.kind in "Gg" for word in group):
        return Found("LOCATION", group[0].start, end, weight - 0.1)
    return Found("NAME", group[0].start, end, weight)


def _weight(before: str, after: str, group: list[Word], titled: bool, whispered: bool) -> float:
    """How sure it is that a group of words names someone, 0 for no: title, label or degree, then lists, then capital."""
    kinds = "".join(word.kind for word in group)
    if cues.ILLNESS.match(after) and len(group) == 1 and not titled:
        return 0.0
    if titled or (cues.CREDENTIALS.match(after) and set(kinds) & set("GFUgfc")):
        return 0.9 if kinds != "I" else 0.0
    strong = set(kinds) & set("GFU")
    if (strong or len(kinds) > 1 or kinds in "gfcu") and cues.is_field(before):
        return 0.85 if strong or not before.rstrip().endswith("by") else 0.6
    if (strong and cues.is_spoken(before)) or (cues.is_employed(before) and kinds != "I"):
        return 0.85
    if len(group) > 1:
        if set(kinds) & set("G" if whispered else "GF"):
            return 0.7
        several = len(kinds.replace("I", "").replace("u", "")) > 1 and set(kinds) & (
            set("g") if whispered else set("gU")
        )
        return 0.6 if several or (kinds[0] == "I" and "U" in kinds and len(group[-1].text) > 3) else 0.0
    return _alone(before, after, group[0], whispered)


def _alone(before: str, after: str, word: Word, whispered: bool) -> float:
    only = word.kind
    first = not before.strip() or before.rstrip(" \t\"'“(*-•")[-1:] in (
        "",
        ".",
        "!",
        "?",
        ":",
        ";",
        "\n",
        "|",
        "/",
        ">",
    )
    if len(word.text) < 3:  # Na, Cr, Mg
        return 0.0
    if only in "GF":
        return 0.6 if only == "G" or not whispered else 0.0
    if only == "U" and cues.MEASURED.match(after) and cues.VALUE.search(before):
        return 0.0
    if only == "U" and not whispered:
        return 0.5 if not first or cues.ACTS.match(after) else 0.0
    if only == "g" and not whispered:
        return (
            0.5
            if not first and re.search(r"[a-z,\"“] $", before) and cues.last_word(before) not in cues.NO_NAME_AFTER
            else 0.0
        )
    return 0.0


def _patterned(page: Page, shouted: bool) -> Iterator[Found]:
    text = page.text
    if "^" in text:
        for match in cues.HL7.finditer(text):
            yield Found("NAME", *match.span(), 0.9)
    for words, pattern, type_ in cues.LOWERED:
        if page.has(words):
            for match in pattern.finditer(text):
                word = match[1].lower()
                if not (lexicon.english(word) or word in lexicon.words("clinical") or word in lexicon.places("wide")):
                    yield Found(type_, *match.span(1), 0.6)
    if "," in text:
        for match in cues.LAST_FIRST.finditer(text):
            if _is_last_first(text, match, kind(match[1], shouted), kind(match[2].split()[0], shouted)):
                yield Found("NAME", *match.span(), 0.75)


def _is_last_first(text: str, match: re.Match[str], family: str, given: str) -> bool:
    """`Delgado, Ignacio` anywhere, `Brook, Young` only in a field or at the beginning of the text."""
    loud = match[1].isupper() and len(match[1]) > 2 and match[1].lower() in lexicon.words("family")  # SMITH, JOHN
    if (family in "FUfGg" or loud) and given == "G":
        return True
    labelled = not match.start() or cues.is_field(text[max(0, match.start() - 60) : match.start()])
    return labelled and family in "FUfGgc" and given in "GFUg" and text[match.end() : match.end() + 1] != ","
