"""A verdict out of what the judge wrote; what cannot be read is given a reason, and never a guess."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medslm.evals.judge.prompts import LETTERS
from medslm.evals.judge.rubric import POINTS

EMPTY = "empty"
CUT_OFF = "cut off"
NO_JSON = "no JSON"
MISSING = "a criterion is missing"
OFF_SCALE = "off the scale"
SEVERAL = "several verdicts"
QUOTED = "quoted from the reply"
REFUSED = "refused by the server"
"""Why there is no verdict: nothing but thoughts; ended by the bound of tokens; no object; one without all criteria; points
that are none; objects that differ; an object that stands word for word in what is judged; the request was not taken."""

THINK, THOUGHT = "<think>", "</think>"
FENCED = re.compile(r"\A\s*```(?:json)?\s*\n(.*)\n\s*```\s*\Z", re.DOTALL | re.IGNORECASE)
WHOLE = re.compile(r"[1-5]")
MOST = 200  # braces: each may be the beginning of all that follows, so the work grows with their square

Fields = Mapping[str, Any]


@dataclass(frozen=True)
class Reading:
    """A verdict, or why there is none."""

    points: Mapping[str, int] | None = None
    """Criterion -> 1 to 5."""

    winner: str | None = None
    """`A`, `B` or `tie`."""

    failure: str = ""


def points(text: str, finish: str, criteria: Collection[str], judged: Sequence[str]) -> Reading:
    """The points for each of `criteria`. `finish`: why the text ends, as the server says; `judged`: the replies."""
    return _read(text, finish, judged, lambda found: _points(found, criteria))


def winner(text: str, finish: str, judged: Sequence[str]) -> Reading:
    """Which reply won; the arguments are those of `points`."""
    return _read(text, finish, judged, _winner)


def _read(text: str, finish: str, judged: Sequence[str], meaning: Callable[[Fields], Reading]) -> Reading:
    text = _said(text)
    if fenced := FENCED.match(text):
        text = fenced.group(1).strip()
    if not text:
        return Reading(failure=CUT_OFF if finish == "length" else EMPTY)
    found = list(_objects(text))
    if len(found) == 1 and found[0][0] == text:  # nothing but a verdict: no quotation, whatever it looks like
        return meaning(found[0][1])
    own = [fields for written, fields in found if not any(written in reply for reply in judged)]
    if not own:
        return Reading(failure=QUOTED if found else CUT_OFF if finish == "length" else NO_JSON)
    readings = [meaning(fields) for fields in own]
    verdicts = [reading for reading in readings if not reading.failure]
    if not verdicts:
        return readings[-1]
    return verdicts[0] if all(reading == verdicts[0] for reading in verdicts) else Reading(failure=SEVERAL)


def _said(text: str) -> str:
    """The text behind its thoughts, in which a verdict is a draft; nothing if they do not end.

    A template may have written `<think>` in the prompt, so that only the end of thoughts stands in the answer; one that
    is quoted within an object ends none.
    """
    if not text.lstrip().startswith(THINK) and any(THOUGHT in written for written, _ in _objects(text)):
        return text.strip()
    thoughts, ended, said = text.partition(THOUGHT)
    return (said if ended else "" if thoughts.lstrip().startswith(THINK) else thoughts).strip()


def _points(found: Fields, criteria: Collection[str]) -> Reading:
    if not all(name in found for name in criteria):
        return Reading(failure=MISSING)
    read = {name: _whole(found[name]) for name in criteria}
    given = {name: number for name, number in read.items() if number is not None}
    return Reading(points=given) if len(given) == len(read) else Reading(failure=OFF_SCALE)


def _winner(found: Fields) -> Reading:
    if "winner" not in found:
        return Reading(failure=MISSING)
    told = str(found["winner"]).strip().lower()
    chosen = next((letter for letter in LETTERS if letter.lower() == told), None)
    return Reading(winner=chosen) if chosen else Reading(failure=OFF_SCALE)


def _whole(told: Any) -> int | None:
    """1 to 5, also as 4.0 or "4"; neither 4.5 nor "4/5" nor true."""
    if isinstance(told, str):
        return int(told) if WHOLE.fullmatch(told.strip()) else None
    if isinstance(told, bool) or not isinstance(told, (int, float)):
        return None
    return int(told) if told in POINTS else None


def _objects(text: str) -> Iterator[tuple[str, Fields]]:
    """Each outermost JSON object in `text`, as it is written and as it reads; one with a field twice is none."""
    if text.count("{") > MOST:
        return
    decoder = json.JSONDecoder(object_pairs_hook=_once)
    place = text.find("{")
    while place >= 0:
        try:
            found, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            end = place + 1
        else:
            yield text[place:end], found
        place = text.find("{", end)


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Raises ValueError for a field that comes twice."""
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a field comes twice")
    return dict(pairs)
