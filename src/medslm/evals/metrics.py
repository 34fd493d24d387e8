"""Whether an answer is right: each metric of an item is 1 or 0, so that two models can be compared item by item."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from medslm.data.builders import icd10cm
from medslm.data.formats import fields_of, formats
from medslm.data.formats.notation import ENDS
from medslm.evals import parsing

ROMAN = [
    tens + ones for tens in ("", "x", "xx") for ones in ("", "i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix")
]


def choice(document: Mapping[str, Any], scores: Sequence[tuple[float, bool]]) -> dict[str, int]:
    """Multiple choice: right if the key is the likeliest (lm-eval's `process_results`).

    `accuracy_norm` divides by the choice's length in bytes first, as lm-eval's `acc_bytes` does: a sum of logarithms
    favours short choices.
    """
    logprobs = [logprob for logprob, _ in scores]
    each = [logprob / len(text.encode()) for logprob, text in zip(logprobs, document["choices"])]
    letters, key = document["letters"], document["key"]
    return {"accuracy": int(pick(letters, logprobs) == key), "accuracy_norm": int(pick(letters, each) == key)}


def lettered(document: Mapping[str, Any], scores: Sequence[tuple[float, bool]]) -> dict[str, int]:
    """Exam questions: right if the key's letter is the likeliest, or by the byte the key's words (`process_results`).

    The words stand behind the same prompt, which shows them: who cannot tell letters apart may still tell options apart.
    """
    letters, key = document["letters"], document["key"]
    logprobs = [logprob for logprob, _ in scores]
    options = [text.strip(ENDS) for text in document["options"]]  # as they were asked
    words = [total / len(text.encode()) for total, text in zip(logprobs[len(letters) :], options)]
    return {
        "accuracy": int(pick(letters, logprobs[: len(letters)]) == key),
        "words_accuracy": int(pick(letters, words) == key),
    }


def shuffled(document: Mapping[str, Any], scores: Sequence[tuple[float, bool]]) -> dict[str, int]:
    """Options in another order: right or not, and whether another option is chosen than before (`process_results`)."""
    picked = pick(document["letters"], [logprob for logprob, _ in scores])
    return {"accuracy": int(picked == document["key"]), "changed": int(meant(document, picked) != document["before"])}


def meant(document: Mapping[str, Any], picked: str) -> str:
    """The letter that an option had before the options were shuffled."""
    letters: Sequence[str] = document["letters"]
    order: Sequence[int] = document["order"]
    return letters[order[letters.index(picked)]]


def reasoned(document: Mapping[str, Any], replies: Sequence[str]) -> dict[str, int]:
    """An answer in writing: right if the parser reads the key out of it; what it cannot read is counted by itself."""
    told = parsing.read(replies[0], document["options"]).letter
    return {"accuracy": int(told == document["key"]), "unparseable": int(told is None)}


def pick(letters: Sequence[str], logprobs: Sequence[float]) -> str:
    """The likeliest letter; the first of equals."""
    return letters[max(range(len(letters)), key=lambda index: logprobs[index])]


def coding(document: Mapping[str, Any], replies: Sequence[str]) -> dict[str, int]:
    """ICD-10-CM coding: what could be read out of the reply, against the key (lm-eval's `process_results`)."""
    key: Mapping[str, str] = document["key"]
    answer = formats[document["format"]].read(replies[0], fields_of(key))
    told, right = code(answer.fields.get("code", "")), code(key["code"])
    return {
        "chapter_accuracy": int(chapter(answer.fields.get("chapter", "")) == chapter(key["chapter"])),
        "category_accuracy": int(told[:3] == right[:3]),
        "code_accuracy": int(told == right),
        "valid_code": int(is_code(told)),
        "strict_parse": int(not answer.repaired and all(name in answer.fields for name in key)),
        "unparseable": int(not answer.fields),
    }


def code(text: str) -> str:
    """A code without its point, in capitals: `a02.21` -> `A0221`."""
    return re.sub(r"[^A-Z0-9]", "", text.upper())


def is_code(text: str) -> bool:
    """True for a category or subcategory of ICD-10-CM, such as `A02` or `A0221`; false for a chapter or a block."""
    import simple_icd_10_cm as icd

    return bool(icd.is_valid_item(text) and icd.is_category_or_subcategory(text))


def chapter(text: str) -> str | None:
    """The number of the chapter that a text names by title, by number or by Roman numeral (`Chapter IX`), if any."""
    return _chapters().get(re.sub(r"^chapter\b", "", _plain(text)).strip())


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


@cache
def _chapters() -> dict[str, str]:
    titles = icd10cm.chapters()
    names = {_plain(title): number for number, title in titles.items()}
    return names | {number: number for number in titles} | {ROMAN[int(number)]: number for number in titles}
