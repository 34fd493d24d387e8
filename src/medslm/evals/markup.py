"""What a model wrote as plain text: one kind of each mark, without Markdown or TeX."""

from __future__ import annotations

import re
import unicodedata

BOXED = re.compile(r"\\boxed\s*\{([^{}]*)\}")
TAGGED = re.compile(r"(?:[<\[]answer[>\]]|^(?:#+|\*\*) ?answer:?[* ]*\n+)([^<\n]*)(?:</answer>)?", re.I | re.M)
TEX = re.compile(r"\\(?:text|textbf|mathrm|mathbf)\s*\{([^{}]*)\}")
OPENING, CLOSING = "[{<【〔「『〈《⟨", "]}>】〕」』〉》⟩"
UNIFIED = str.maketrans(
    {**dict.fromkeys(OPENING, "("), **dict.fromkeys(CLOSING, ")"), **dict.fromkeys('*`$#"“”„«»', "")}
    | {**dict.fromkeys("‘’", "'"), **dict.fromkeys("‐‑‒–—−", "-"), "\r": "\n"}
)


def plain(text: str) -> str:
    """One kind of brackets, dashes and quotation marks, and no Markdown: `（Ｂ）`, `【B】` and `**(B)**` are `(B)`.

    TeX's box, in which models trained on mathematics put a result, is a final answer.
    """
    told = TAGGED.sub(r"\nfinal answer: \1\n", BOXED.sub(r"\nfinal answer: \1\n", TEX.sub(r"\1", text)))
    told = unicodedata.normalize("NFKC", told).translate(UNIFIED)
    told = re.sub(r"(?<!\w)_+|_+(?!\w)", "", told)
    return re.sub(r"[ \t\xa0]+", " ", told).strip()
