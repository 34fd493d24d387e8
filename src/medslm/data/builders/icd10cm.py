"""ICD-10-CM from the package `simple-icd-10-cm`: a diagnostic statement in words -> its chapter and its code.

Statements are descriptions and inclusion terms. All statements of one three-character category (`A01`) form a
family, and whole families are held out: no held-out statement shares its category with a training statement, so the
full code of a test item was never seen, while its chapter can be known.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

from medslm.data.benchmark import Benchmark, benchmarks
from medslm.data.corpus import Corpus, Row, corpora
from medslm.data.example import Example
from medslm.data.sources.package import Package
from medslm.errors import MedslmError

PACKAGE = "simple-icd-10-cm"
LICENSE = "mit"  # the package's; the code set itself is in the public domain (US government work, CDC/NCHS)
HELD_OUT_PERCENT = 27  # of the families
STATEMENTS_PER_FAMILY = 4  # or chapters 19 and 20 (72 % of all codes) would drown the others

CODING = "Give the ICD-10-CM chapter and code."


def _classification() -> Any:
    try:
        import simple_icd_10_cm
    except ImportError:
        raise MedslmError(f"ICD-10-CM comes from a package that is not installed; `pip install {PACKAGE}`") from None
    return simple_icd_10_cm


def draw(text: str) -> int:
    """A number that depends on the text alone, the same on every machine and in every Python."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)


def held_out(category: str) -> bool:
    """True if the family of this category is kept for the exam."""
    return draw(f"icd10cm {category}") % 100 < HELD_OUT_PERCENT


@cache
def chapters() -> dict[str, str]:
    """Chapter number -> title without its range of codes: `9` -> `Diseases of the circulatory system`."""
    icd = _classification()
    numbers = [code for code in icd.get_all_codes() if icd.is_chapter(code)]
    return {number: re.sub(r" \([A-Z]\w+-[A-Z]\w+\)$", "", icd.get_description(number)) for number in numbers}


@cache
def rows() -> tuple[Row, ...]:
    """One row a category: its code, its chapter's number and its statements as (code, words), in drawn order."""
    return tuple(_rows())


def _rows() -> Iterator[Row]:
    icd = _classification()
    for category in dict.fromkeys(icd.get_all_codes()):  # a category that is a block as well is listed twice
        if icd.is_category(category):
            codes = [category, *icd.get_descendants(category)]
            pairs = {
                text: code for code in codes for text in [icd.get_description(code), *icd.get_inclusion_term(code)]
            }
            statements = sorted(((code, text) for text, code in pairs.items()), key=lambda pair: draw(pair[1]))
            yield {"category": category, "chapter": icd.get_ancestors(category)[-1], "statements": statements}


def _coding(row: Row, code: str, statement: str) -> Example:
    answer = {"chapter": chapters()[row["chapter"]], "code": code}
    return Example(f"{code} {draw(statement):08x}", CODING, statement, answer, family=row["category"])


def _choice(row: Row, code: str, statement: str) -> Example:
    """The same question with four chapters to choose from, the right one among them, drawn by the statement."""
    order = random.Random(draw(statement))
    wrong = order.sample([number for number in chapters() if number != row["chapter"]], 3)
    options = [row["chapter"], *wrong]
    order.shuffle(options)
    return replace(_coding(row, code, statement), options=tuple(chapters()[number] for number in options))


def coding_examples(row: Row) -> Iterator[Example]:
    """The first statements of a family that may be trained on, to be coded."""
    if not held_out(row["category"]):
        for code, statement in row["statements"][:STATEMENTS_PER_FAMILY]:
            yield _coding(row, code, statement)


def coding_items(row: Row) -> Iterator[Example]:
    """One statement of each held-out family, so that the items are independent."""
    if held_out(row["category"]):
        yield _coding(row, *row["statements"][0])


def choice_items(row: Row) -> Iterator[Example]:
    """Half of the same statements, with four options: four likelihoods each are slow on a CPU."""
    if held_out(row["category"]) and draw(f"choice {row['category']}") % 2:
        yield _choice(row, *row["statements"][0])


SOURCE = Package(PACKAGE, rows)  # its data: the April 2026 release
_COLUMNS = ("category", "chapter", "statements")
_SPLIT = f"one statement of each of the {HELD_OUT_PERCENT} % of categories drawn by the hash of their code"

corpora.add("icd10cm", Corpus(SOURCE, LICENSE, "ICD-10-CM coding", _COLUMNS, coding_examples))
benchmarks.add("icd10cm-coding", Benchmark(SOURCE, LICENSE, _SPLIT, coding_items))
benchmarks.add("icd10cm-mcq", Benchmark(SOURCE, LICENSE, f"half of {_SPLIT}", choice_items))
