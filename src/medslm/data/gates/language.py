"""The language of a text, told offline by py3langid (a naive Bayes model over byte n-grams, arXiv:1107.3519, BSD licence).

Titles of diseases, names of drugs, formulas and telegram style look like Latin, or like anything: what is too short or not
told with confidence is left undetermined.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

LETTERS = 20
WORDS = 4
"""A text with fewer letters, or fewer words of two letters, is not judged."""

FOREIGN = 8
"""Letters of another script than the Latin that are enough by themselves: Chinese writes no spaces."""

READ = 300
"""Characters that are read; 1,000 are not told better, and take three times as long."""

CONFIDENCE = 0.6
"""Probability from which a language counts as told."""

UNDETERMINED = ("la", "zxx", "pcm")
"""Latin is what anatomy and microbiology are written in, `zxx` is no language, and telegram style passes for Nigerian
Pidgin."""

WORD = re.compile(r"[^\W\d_]{2,}")
OTHER_SCRIPT = re.compile(r"[^\W\d_\u0000-\u024f]")


@cache
def _identifier() -> Any:
    """Loaded once a process: 0.8 s, 80 MB."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def language(text: str) -> str | None:
    """The ISO 639 code (`en`, `de`) of the language of a text, or None where it cannot be told."""
    start = text[:READ]
    words = WORD.findall(start)
    enough = len(words) >= WORDS and sum(map(len, words)) >= LETTERS
    if not enough and len(OTHER_SCRIPT.findall(start)) < FOREIGN:
        return None
    code, confidence = _identifier().classify(start)
    return None if confidence < CONFIDENCE or code in UNDETERMINED else str(code)
