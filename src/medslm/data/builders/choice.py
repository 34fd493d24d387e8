"""One way to ask a multiple-choice question, for lessons and exams alike: what is asked here is kept out there."""

from __future__ import annotations

import string
from typing import Any

from medslm.data.builders.reading import family_of, filled, fingerprint, listed, text_of
from medslm.data.corpus import Skip
from medslm.data.example import Example
from medslm.errors import MedslmError

INSTRUCTION = "Answer the question with the letter of the right option."

HIDDEN = -1
"""The key of an item whose answer is not published, as the Hub's class labels write it."""


def choice(
    question: Any, options: Any, key: Any, *, id: str = "", family: str = "", instruction: str = INSTRUCTION
) -> Example:
    """A question, its options in their order and the letter of option `key`, a number counted from 0.

    Raises `Skip` for a hidden key or an empty cell, and `MedslmError` for options that are no list or more than there are
    letters, or a key that is none of them.
    """
    asked = filled(question, "question")
    shown = tuple(filled(option, "option") for option in listed(options, "options"))
    if len(shown) > len(string.ascii_uppercase):
        raise MedslmError(
            f"the question '{asked[:60]}' has {len(shown)} options, more than there are letters to answer with; leave the "
            "row out"
        )
    told = text_of(key) or str(HIDDEN)
    if told == str(HIDDEN):
        raise Skip("the key is hidden")
    if not told.isdecimal() or int(told) >= len(shown):
        raise MedslmError(
            f"the key of the question '{asked[:60]}' is {told[:60]}, but its {len(shown)} options are counted from 0; "
            "the data counts otherwise than its record says: mend the record"
        )
    letter = string.ascii_uppercase[int(told)]
    return Example(
        id or fingerprint(asked, *shown), instruction, asked, letter, family or family_of(asked), options=shown
    )


def key_of(letter: Any) -> int:
    """`B` -> 1, and the hidden key for an empty cell. Raises `MedslmError` for what is no letter."""
    text = text_of(letter).strip().upper()
    if not text:
        return HIDDEN
    if len(text) > 1 or text not in string.ascii_uppercase:
        raise MedslmError(f"a key is '{text[:60]}', where its record expects a letter: mend the record")
    return string.ascii_uppercase.index(text)
