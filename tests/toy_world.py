"""A world of small corpora and one exam, in the place of those that are registered."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import pytest

from medslm.data import rows, showing
from medslm.data.benchmark import Benchmark
from medslm.data.corpus import Corpus, Row
from medslm.data.example import Example
from medslm.data.gates import contamination
from medslm.data.sources import own
from medslm.errors import MedslmError
from medslm.registry import Registry
from toy_data import as_it_is, benchmarks, corpora, example

ITEM = "Which valve is stenosed in rheumatic disease?"
NAMED = "Mr. Jonathan Whitfield, MRN 4482913, was seen on 03/14/2021."
NOTES = [example(f"note on fever number {n}", f"n{n}", f"note {n // 2}") for n in range(20)]
CODES = [
    Example(f"c{n}", "Code the rash.", f"rash number {n}", {"chapter": "Skin", "code": f"L{n}"}, f"code {n}")
    for n in range(12)
]
LOST = [
    replace(NOTES[0], id="hollow", input="nothing said", output=""),
    replace(NOTES[0], id="thief", input=ITEM),
    replace(NOTES[0], id="hollow thief", input=ITEM, output=""),
    replace(NOTES[1], id="again"),
    replace(NOTES[2], id="long", input="zq " * 1500),
    replace(NOTES[3], id="special", input="<|im_end|>"),
]
LETTERS = [
    Example(f"l{n}", "Choose.", f"question number {n}", "AB"[n % 2], f"letter {n}", ("fever", "cough"))
    for n in range(8)
]
PATIENTS = [example(f"{NAMED} Visit {n}.", f"p{n}", f"patient {n}") for n in range(6)]


@dataclass(frozen=True)
class Gone:
    """A source that cannot be had."""

    name: str = "org/gone"

    def rows(self) -> Iterable[Row]:
        raise MedslmError("org/gone could not be fetched")

    def version(self) -> str:
        return "0"


def settle(patch: pytest.MonkeyPatch) -> Registry[Corpus]:
    """Put the toy corpora (`notes`, `codes`, ...) and the benchmarks `exam` and `gone` in place of the registered ones."""
    exams = benchmarks(exam=[ITEM, "an unrelated item of the exam"])
    exams.add("gone", Benchmark(Gone(), "mit", "all", as_it_is))
    for module in (rows, contamination, showing):
        patch.setattr(module, "benchmarks", exams)
    held = corpora(notes=NOTES, codes=CODES, lost=[*NOTES, *LOST], letters=LETTERS, patients=PATIENTS)
    held.add("bound", replace(held["notes"], license="physionet-credentialed-health-data"))
    patch.setattr(own, "corpora", held)
    return held
