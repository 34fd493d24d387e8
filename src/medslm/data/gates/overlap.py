"""Runs of thirteen words that a training text shares with a test item, and how much of the item they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medslm.data.gates.ngrams import Index, runs

if TYPE_CHECKING:
    from medslm.data.gates.ngrams import Array

RUN = 13
"""Words in a run (GPT-3, arXiv:2005.14165, appendix C)."""

SHORT_RUN = 8
"""Words in a run of a passage that has fewer than `RUN`; shorter passages are looked for as a whole only."""

COVERAGE = 0.25
"""Share of a passage's runs from which a text holds the passage."""

LEAST = 8
"""Runs that must be shared (twenty words on end), or all where a passage has fewer."""

TEMPLATE = 8
"""A run that stands in more passages than this is a template (vital signs, `Which of the following ...`) and ignored."""

SKETCH = 512
"""Runs that are kept of a passage, those with the smallest numbers; an article's coverage is an estimate from them."""


@dataclass(frozen=True)
class Passages:
    """Passages of test items, found inside of longer texts."""

    items: Array
    """The item of each passage. (P,)"""

    runs: dict[int, Index]
    """Length of a run -> its passages."""

    total: Array
    """Runs of each passage. (P,)"""

    needed: Array
    """How many of them must be found. (P,)"""

    def find(self, text: Array) -> tuple[float, int] | None:
        """Coverage and item of the passage that `text` holds most of, if it holds enough of any."""
        import numpy

        best = None
        for length, index in self.runs.items():
            places = index.at(index.known(numpy.unique(runs(text, length))))
            if not len(places):
                continue
            passages, found = numpy.unique(places, return_counts=True)
            held = found >= self.needed[passages]
            for passage, number in zip(passages[held], found[held]):
                coverage = float(number / self.total[passage])
                if best is None or coverage > best[0]:
                    best = (coverage, int(self.items[passage]))
        return best


def passages(items: Sequence[tuple[int, Array]]) -> Passages:
    """Index passages, each with the number of its item; those of fewer than `SHORT_RUN` words are left out."""
    import numpy

    of_length: dict[int, list[Array]] = {RUN: [], SHORT_RUN: []}
    for _, words in items:
        for length, held in of_length.items():
            mine = (length == RUN) == (len(words) >= RUN)
            held.append(numpy.unique(runs(words, length)) if mine else numpy.empty(0, numpy.uint64))
    template = {length: _templates(held) for length, held in of_length.items()}
    kept = {
        length: [numpy.setdiff1d(held, template[length], assume_unique=True)[:SKETCH] for held in parts]
        for length, parts in of_length.items()
    }
    total = numpy.array([sum(len(kept[length][n]) for length in kept) for n in range(len(items))], numpy.int32)
    long = numpy.array([len(words) >= RUN for _, words in items], bool)
    most = numpy.maximum(numpy.ceil(COVERAGE * total), numpy.minimum(total, LEAST))
    needed = numpy.where(long, most, total).astype(numpy.int32)
    return Passages(
        numpy.array([item for item, _ in items], numpy.int32),
        {length: Index.of(parts) for length, parts in kept.items()},
        total,
        needed,
    )


def _templates(parts: Sequence[Array]) -> Array:
    """Runs that stand in more than `TEMPLATE` different passages, sorted; the same question in two exams is one."""
    import numpy

    different = {part.tobytes(): part for part in parts}
    joined = numpy.concatenate([numpy.empty(0, numpy.uint64), *different.values()])
    found, number = numpy.unique(joined, return_counts=True)
    common: Array = found[number > TEMPLATE]
    return common
