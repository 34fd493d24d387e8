"""Questions with the right option taken away, and questions whose abstract was turned or is another's.

Half of the questions, drawn by their ids, keep the right option: who always says that no option is right shows there.
"""

from __future__ import annotations

import random
import re
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from medslm.data.example import Example, digest
from medslm.data.options import BY_LETTER, OF_OTHERS
from medslm.evals.trust.negation import turn

NONE, UNKNOWN = "None of the other options", "I do not know"
ABSENT = "the abstract does not say"
NEAR = 10  # other abstracts among which the one is chosen that has least to do with the question


@dataclass(frozen=True)
class Altered:
    """A question in which the right answer may be gone."""

    example: Example
    way_out: str
    """The letter by which one says so."""
    removed: bool
    """Whether it is gone, so that the way out is right."""


def removed(item: Example) -> bool:
    """Whether this item loses its right option; as likely as not, and the same on every machine."""
    return digest(f"removed {item.id}") % 2 == 1


def none_of_the_others(item: Example) -> Altered | None:
    """`None of the other options` stands in the place of the right option, or of a wrong one that is drawn.

    None for a question with fewer than three options, or whose options speak of each other.
    """
    if _unfit(item):
        return None
    place = _place(item)
    options = (*item.options[:place], NONE, *item.options[place + 1 :])
    return Altered(replace(item, options=options), string.ascii_uppercase[place], removed(item))


def do_not_know(item: Example) -> Altered | None:
    """The right option, or a wrong one that is drawn, is taken out; `I do not know` is added as the last one."""
    if _unfit(item):
        return None
    place, key = _place(item), _key(item)
    options = (*item.options[:place], *item.options[place + 1 :], UNKNOWN)
    way_out = string.ascii_uppercase[len(options) - 1]
    right = way_out if place == key else string.ascii_uppercase[key - (place < key)]
    return Altered(replace(item, options=options, output=right), way_out, removed(item))


CHANGES: Mapping[str, Callable[[Example], Altered | None]] = {
    "none of the others": none_of_the_others,
    "do not know": do_not_know,
}
"""What is done to a question."""


def _unfit(item: Example) -> bool:
    return len(item.options) < 3 or any(OF_OTHERS.search(option) or BY_LETTER.search(option) for option in item.options)


def _key(item: Example) -> int:
    return string.ascii_uppercase.index(str(item.output))


def _place(item: Example) -> int:
    """Of the option that goes."""
    key = _key(item)
    wrong = [place for place in range(len(item.options)) if place != key]
    return key if removed(item) else random.Random(f"option {item.id}").choice(wrong)


def decided(items: Sequence[Example]) -> list[Example]:
    """PubMedQA's questions whose key is yes or no, with one more option: that the abstract does not say."""
    return [replace(item, options=(*item.options, ABSENT)) for item in items if item.output in ("A", "B")]


def negated(item: Example) -> Example | None:
    """The question with every finding of its abstract turned by rule; none where no rule fits a sentence of it."""
    parts = _parts(item)
    turned = turn(parts["abstract"])
    return replace(item, input={**parts, "abstract": turned.text}) if turned.sentences else None


def swapped(items: Sequence[Example]) -> list[Example]:
    """Each question with the abstract of another, which cannot answer it.

    Of the `NEAR` that follow in an order drawn once, the one whose words have least in common with the question. A single
    item has no other and is left out.
    """
    order = sorted(items, key=lambda item: digest(f"swapped {item.id}"))
    told = {}
    for place, item in enumerate(order):
        others = [order[(place + step) % len(order)] for step in range(1, min(NEAR, len(order) - 1) + 1)]
        if others:
            words = _words(_parts(item)["question"])
            other = min(others, key=lambda other: len(words & _words(_parts(other)["abstract"])))
            told[item.id] = replace(item, input={**_parts(item), "abstract": _parts(other)["abstract"]})
    return [told[item.id] for item in items if item.id in told]


def _parts(item: Example) -> Mapping[str, str]:
    assert isinstance(item.input, Mapping)  # PubMedQA's builder writes abstract and question apart
    return item.input


def _words(text: str) -> set[str]:
    return {word for word in re.findall(r"[a-z]+", text.casefold()) if len(word) > 3}
