"""Reads the chosen option out of what a model wrote, and says by which rule; what is unclear has no letter.

The rules are tried in the order of `RULES`, and the first that finds anything decides. If what it finds is not one
option, the reply is unparseable: later rules are weaker, and a reply that names two answers has given none.
"""

from __future__ import annotations

import itertools
import re
import string
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from medslm.data.formats.format import thoughts
from medslm.evals.markup import plain

EMPTY, UNFINISHED, NOTHING = "empty reply", "unfinished thought", "no answer"
CONTRADICTING, SEVERAL = "contradicting answers", "several at once"
DISAGREE, UNKNOWN = "letter and words disagree", "no such option"
FAILURES = frozenset({EMPTY, UNFINISHED, NOTHING, CONTRADICTING, SEVERAL, DISAGREE, UNKNOWN})

LONG = 4  # characters from which an option's words are looked for anywhere: `no` is in every other sentence


@dataclass(frozen=True)
class Reading:
    """What a reply says."""

    letter: str | None
    """None if the reply is unparseable."""

    rule: str
    """What matched; of an unparseable reply, one of `FAILURES`."""


def read(reply: str, options: Sequence[str]) -> Reading:
    """The option that `reply` gives as its answer; `options` are their texts in the order of their letters. Never raises.

    Thoughts in `<think>` are not read: what is tried out there is not the answer.
    """
    response = thoughts(reply)[1]
    if not response.strip():
        return Reading(None, UNFINISHED if reply.strip() else EMPTY)
    shown = _Options(tuple(map(plain, options)))
    text = plain(OWN_QUESTION.split(response.strip())[0])
    for rule, find in RULES.items():
        found = set(find(text, shown))
        if found:
            one = found.pop()
            return Reading(None, CONTRADICTING if found else one) if found or one in FAILURES else Reading(one, rule)
    return Reading(None, NOTHING)


OWN_QUESTION = re.compile(r"\n\s*(?:Question|Q)\s*\d*\s*:", re.IGNORECASE)
"""Where a base model goes on and asks itself the next question, whose answer is not looked for."""


@dataclass(frozen=True)
class _Options:
    """The options as a reply may name them."""

    texts: tuple[str, ...]

    @cached_property
    def letters(self) -> str:
        return string.ascii_uppercase[: len(self.texts)]

    @cached_property
    def words(self) -> list[tuple[str, str]]:
        """(words in lower case, letter), the longest first; options that are letters themselves have none."""
        told = [(text.casefold().rstrip(" ."), letter) for text, letter in zip(self.texts, self.letters)]
        return sorted((pair for pair in told if len(pair[0]) > 1), key=lambda pair: -len(pair[0]))

    def at_start(self, text: str) -> tuple[str, int] | None:
        """The option whose words `text` begins with, or `SEVERAL` where two have these words; and how long they are."""
        lower = text.casefold()
        for words, letter in self.words:
            if lower.startswith(words) and not re.match(r"\w|['-]\w", lower[len(words) :]):
                same = [other for other, _ in self.words if other == words]
                return (letter if len(same) == 1 else SEVERAL), len(words)
        return None


SPACE = r"[\s:=>-]*"
FILLER = re.compile(
    rf"{SPACE}(?:(?:therefore|thus|clearly|definitely|most likely|likely|probably|option|choice|letter|answer|either|both"
    rf"|the|is)\b{SPACE})*",
    re.IGNORECASE,
)
LETTER = re.compile(r"(?P<open>\(\s*)?'?(?P<letter>[A-Za-z])'?(?P<close>\s*\))?(?!\w|['-]\w)(?P<after>.*)", re.DOTALL)
JOINED = re.compile(r"\)?\s*(?:(?:,|/|&|\+|\band\b|\bor\b)\s*)+(?:(?:option|choice) )?")
GOES_ON = re.compile(
    r"\s+(?:-|\(|(?:because|since|as|for|due|which|this|that|it|is|given|with|and|or|so|but|based|from|therefore|thus|in)\b)",
    re.IGNORECASE,
)
ENDS = re.compile(r"\s*(?:$|\n|[.,;:!?)/&+-])")


def _told(rest: str, shown: _Options) -> str | None:
    """The option, or the failure, that a text begins with; none if it begins with something else."""
    rest = rest.lstrip(" \n:=>-")
    bare = rest[FILLER.match(rest).end() :]  # type: ignore[union-attr]  # it matches the empty text as well
    for said in (rest, bare):  # an option may begin with `the` or `both`
        if words := shown.at_start(said):
            return _alone(words[0], said[words[1] :], shown)
    found = LETTER.match(bare)
    if not found or not _is_a_letter(found, shown):
        return None
    letter, after = found["letter"].upper(), found["after"]
    if letter not in shown.letters:
        return UNKNOWN
    said = after.lstrip(" .:,)(-")
    beside = shown.at_start(said)
    if beside and beside[0] not in (letter, SEVERAL):
        return DISAGREE
    return _alone(letter, said[beside[1] :] if beside else after, shown)


def _alone(letter: str, after: str, shown: _Options) -> str:
    """The letter, or the failure that another option is named beside it."""
    if not (joined := JOINED.match(after)):
        return letter
    rest = after[joined.end() :]
    found, words = LETTER.match(rest), shown.at_start(rest)
    beside = words[0] if words else found["letter"] if found and _is_a_letter(found, shown) else letter
    return SEVERAL if beside != letter and beside in shown.letters else letter


def _is_a_letter(found: re.Match[str], shown: _Options) -> bool:
    """Whether it names an option, and is not the article `a`, the pronoun `I`, or the `E.` of `E. coli`."""
    after = found["after"]
    if found["open"] or found["close"] or shown.at_start(after.lstrip(" .:,)-")):
        return True
    if re.match(r"\. ?[a-z]", after) and not GOES_ON.match(after[1:]):
        return False
    return bool(ENDS.match(after) or (found["letter"].isupper() and GOES_ON.match(after)))


def _after(cue: re.Pattern[str]) -> Callable[[str, _Options], Iterator[str]]:
    """A rule: what stands behind each place where the cue does."""

    def find(text: str, shown: _Options) -> Iterator[str]:
        for place in cue.finditer(text):
            if (told := _told(text[place.end() :], shown)) is not None:
                yield told

    return find


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.split("\n") if line.strip()]


ANSWER_LINE = re.compile(
    r"(?:- )?(?:so |thus |therefore )?,? ?(?:the |my )?(?:final |correct |best |right |selected |chosen )*"
    r"(?:ans(?:wer)?|option|choice|letter|correct|conclusion|response)(?: \(letter\))? ?(?:is)? ?(?::|-|\.(?= ))"
    r"|(?:so|thus|hence|therefore)[,:]? (?=\(?(?-i:[A-Z])\)?\.?$)",
    re.IGNORECASE,
)


def _answer_line(text: str, shown: _Options) -> Iterator[str]:
    """A last line `Answer: B`, as the prompt asks for, and such a line before it, with what a sentence behind it says."""
    before, last = ["", "", *_lines(text)][-2:]
    found = [
        told
        for line in (before, last)
        if (start := ANSWER_LINE.match(line)) and (told := _told(line[start.end() :], shown)) is not None
    ]
    yield from found
    if found and not ANSWER_LINE.match(last):
        for cue in (FINAL, ANSWER, CHOSEN):
            yield from _after(cue)(last, shown)


JUDGED = re.compile(  # within a lookahead, for `I think B is correct` has two places where one may begin
    r"(?:^|[.!?:;,\n] ?|\b(?:option|choice|answer|letter|so|thus|therefore|that|think|believe) |(?=\())"
    r"(?=(?P<letter>\(?[A-Z]\)?)(?!\w)(?P<words>(?:[.:)]? [^.\n]{0,80}?)?),? "
    r"(?:is|would be|seems|must be|appears to be) (?:therefore |clearly |thus |indeed |probably |definitely )*(?:the )?"
    r"(?:single )?(?:correct|right|best|true|most likely|most appropriate)\b)",
    re.IGNORECASE,
)


def _judged(text: str, shown: _Options) -> Iterator[str]:
    """`Option B is correct`, which `hepatitis B is most likely` is not; words behind the letter must be its option's."""
    for found in JUDGED.finditer(text):
        letter, words = found["letter"].strip("()").upper(), found["words"].strip(" .:)")
        beside = shown.at_start(words)
        if not words or beside:
            told = letter if not beside or beside[0] == letter else DISAGREE
            yield told if letter in shown.letters else UNKNOWN


LISTED = re.compile(r"(?:- )?\(?([A-Z])[.:)](?=\s|$)")


def _is_a_list(text: str) -> bool:
    """Whether it goes through the options: after a line with a letter comes another's, next to it or in the alphabet."""
    heads = [(place, ord(found[1])) for place, line in enumerate(_lines(text)) if (found := LISTED.match(line))]
    beside = itertools.pairwise(heads)
    return any(one != other and 1 in (there - here, abs(other - one)) for (here, one), (there, other) in beside)


def _last_line(text: str, shown: _Options) -> Iterator[str]:
    """A last line that is a letter, alone or with the words of its option, or these words alone."""
    last = _lines(text)[-1] if text else ""
    found = LETTER.match(last)
    said = found["after"].lstrip(" .:,)-") if found else last
    words = None if _is_a_list(text) else shown.at_start(said)
    if found and re.fullmatch(r"[.:]?", found["after"]):
        letter = found["letter"].upper()
        yield letter if letter in shown.letters else UNKNOWN
    elif words and not said[words[1] :].strip(" .!"):
        yield words[0] if not found or words[0] == found["letter"].upper() else DISAGREE


def _first(text: str, shown: _Options) -> Iterator[str]:
    """A reply that begins with a letter or with the words of an option, and does not go through them all."""
    words = shown.at_start(text)
    letter = None if words else LETTER.match(text)
    after = text[words[1] :] if words else letter["after"] if letter else ""
    if REJECTED.match(after):
        return
    ends = words and re.match(r"\s*(?:$|\n|[.,;:!?)-])|\s+because\b", after)
    if (ends or letter) and not _is_a_list(text) and (told := _told(text, shown)):
        yield told


REJECTED = re.compile(
    r"[\s,.)]*(?:(?:is|was|are|were|would be|seems|looks) (?:\w+ )?(?:not|wrong|incorrect|false|unlikely|never"
    r"|ruled out|excluded)\b|(?:isn't|wasn't|aren't|cannot|can't|can not|must not|would not)\b)",
    re.IGNORECASE,
)
"""What follows an option that is named to be put aside: `C is wrong`."""
NEGATED = re.compile(
    r"\b(?:not|no|never|without|unlike|exclude[sd]?|rul(?:e|es|ed|ing) out|rather than|instead of)\b[^.;]{0,30}$"
)


def _only_words(text: str, shown: _Options) -> Iterator[str]:
    """The words of one option somewhere in the reply, not denied, and of no other; not for short options."""
    short = any(len(words) < LONG for words, _ in shown.words) or len(shown.words) < len(shown.texts)
    if short or _is_a_list(text):
        return
    left = text.casefold()
    named = set()
    for words, letter in shown.words:
        pattern = re.compile(rf"(?<![\w-]){re.escape(words)}(?![\w-])")
        if places := list(pattern.finditer(left)):
            denied = any(
                NEGATED.search(left[: place.start()]) or REJECTED.match(left[place.end() :]) for place in places
            )
            named.add(NOTHING if denied else letter)
        left = pattern.sub(" ", left)
    if len(named) == 1 and NOTHING not in named:
        yield named.pop()


DENIED = re.compile(r"\)?[^.\n]{0,40}\b(?:not|wrong|incorrect|false|unlikely|ruled out|excluded)\b")
NAMED = re.compile(r"\b(?:[Oo]ption|[Cc]hoice|[Ll]etter) \(?([A-Z])\b|\(([A-Z])\)")


def _only_letter(text: str, shown: _Options) -> Iterator[str]:
    """The one letter that the reply names as an option's, as `option B` or `(B)`."""
    found = [place for place in NAMED.finditer(text) if (place[1] or place[2]) in shown.letters]
    denied = any(NEGATED.search(text[: place.start()]) or DENIED.match(text[place.end() :]) for place in found)
    named = {place[1] or place[2] for place in found}
    if len(named) == 1 and not denied:
        yield named.pop()


FINAL = re.compile(r"\bfinal answer\b(?: (?:is|would be|must be))?", re.IGNORECASE)
ANSWER = re.compile(
    r"\b(?<!\bif the )(?:ans(?:wer)?|(?:correct|right|best|appropriate) (?:option|choice|one|letter))\b"
    r"(?: (?:to|for|here|of) [^.:\n]{0,40}?)?\s*(?:\b(?:is|would be|should be|must be|will be)\b|[:=]|->)",
    re.IGNORECASE,
)
CHOSEN = re.compile(
    r"\b(?:I|we|let's|let us)(?:'d|'ll| would| will| have to| must)? (?:choose|chose|pick|select|say|answer|go with"
    r"|vote for)\b|\bleaves (?:us with |only )?(?=\(?[A-Z]\b)"
    r"|\b(?:it|that|this)(?:'s| is| must be| would be| has to be)\b",
    re.IGNORECASE,
)

Rule = Callable[[str, _Options], Iterator[str]]
RULES: dict[str, Rule] = {
    "answer line": _answer_line,
    "final answer": _after(FINAL),
    "answer stated": _after(ANSWER),
    "option judged": _judged,
    "option chosen": _after(CHOSEN),
    "last line": _last_line,
    "first words": _first,
    "only words": _only_words,
    "only letter": _only_letter,
}
