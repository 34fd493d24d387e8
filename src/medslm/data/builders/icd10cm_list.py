"""ICD-10-CM by the list: three to six diagnostic statements -> a table of their chapters and codes.

The statements of `icd10cm`, put together in groups of three to six categories. Held-out categories stay among
themselves, so what is examined was not seen. All lists of one group are a family; a mixture that also has `icd10cm` can
have a category on both sides of its validation, since there the category is the family.
"""

from __future__ import annotations

from collections.abc import Iterator

from medslm.data.benchmark import Benchmark, benchmarks
from medslm.data.builders import icd10cm
from medslm.data.builders.icd10cm import draw
from medslm.data.corpus import Corpus, Row, corpora
from medslm.data.example import Example
from medslm.data.sources.package import Package

INSTRUCTION = "Give the ICD-10-CM chapter and code of each statement, in their order."
SMALLEST, LARGEST = 3, 6  # statements of a list
ROUNDS = 7  # lists of one group to learn from, as far as its categories have statements


def groups(categories: list[Row]) -> Iterator[list[Row]]:
    """Cut categories, in an order drawn by their codes, into groups of three to six; a rest of fewer is left out."""
    left = sorted(categories, key=lambda row: draw(f"list {row['category']}"))
    while len(left) >= SMALLEST:
        size = SMALLEST + draw(f"size {left[0]['category']}") % (LARGEST - SMALLEST + 1)
        yield left[:size]
        left = left[size:]


def lists() -> Iterator[Row]:
    """One row a list: the n-th statement of each category of a group that has so many."""
    for held_out in (False, True):
        side = [row for row in icd10cm.rows() if icd10cm.held_out(row["category"]) == held_out]
        for group in groups(side):
            # one list of a held-out group, so that the items of the exam are independent
            for number in range(1 if held_out else ROUNDS):
                having = [row for row in group if number < len(row["statements"])]
                statements = [(row["chapter"], *row["statements"][number]) for row in having]
                if len(statements) >= SMALLEST:
                    yield {
                        "group": group[0]["category"],
                        "number": number,
                        "held_out": held_out,
                        "statements": sorted(statements, key=lambda found: draw(f"{number} {found[2]}")),
                    }


def _table(row: Row) -> Example:
    """`statements` are (chapter's number, code, words)."""
    diagnoses = [{"chapter": icd10cm.chapters()[chapter], "code": code} for chapter, code, _ in row["statements"]]
    return Example(
        f"{row['group']} {row['number']}",
        INSTRUCTION,
        {"statements": [words for _, _, words in row["statements"]]},
        {"diagnoses": diagnoses},
        family=f"icd10cm-list {row['group']}",
    )


def lesson(row: Row) -> Iterator[Example]:
    """A list of categories that may be learnt."""
    if not row["held_out"]:
        yield _table(row)


def item(row: Row) -> Iterator[Example]:
    """A list of held-out categories."""
    if row["held_out"]:
        yield _table(row)


SOURCE = Package(icd10cm.PACKAGE, lists)
_COLUMNS = ("group", "number", "held_out", "statements")
_SPLIT = f"one list of each group of the {icd10cm.HELD_OUT_PERCENT} % of categories drawn by the hash of their code"

corpora.add("icd10cm-list", Corpus(SOURCE, icd10cm.LICENSE, "ICD-10-CM coding of lists", _COLUMNS, lesson))
benchmarks.add("icd10cm-list", Benchmark(SOURCE, icd10cm.LICENSE, _SPLIT, item))
