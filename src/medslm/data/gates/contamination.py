"""The gate between exam and lesson: drops training examples that a benchmark holds, word for word or nearly."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from medslm.data.benchmark import benchmarks
from medslm.data.example import Example

NEAR = 0.8
"""Jaccard similarity of the two sets of words from which two texts count as copies."""


@dataclass(frozen=True)
class Hit:
    """A training example that was dropped, and the test item it resembles."""

    corpus: str
    example: str
    benchmark: str
    item: str
    similarity: float
    """Jaccard similarity of the two sets of words, `NEAR` to 1."""


def words(text: str) -> frozenset[str]:
    """The words of a text without case, accents' encoding, punctuation or order."""
    return frozenset(re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold()))


class Screen:
    """Finds near copies of benchmark items; exact, through an index from each word to the items that hold it."""

    def __init__(self, names: Iterable[str]) -> None:
        self._items: list[tuple[str, str, int]] = []  # benchmark, item id, number of words
        self._index: dict[str, list[int]] = defaultdict(list)
        for name in names:
            for item in benchmarks[name].examples():
                self._add(name, item)

    def _add(self, benchmark: str, item: Example) -> None:
        of_item = words(item.text)
        for word in of_item:
            self._index[word].append(len(self._items))
        self._items.append((benchmark, item.id, len(of_item)))

    def find(self, example: Example) -> tuple[str, str, float] | None:
        """Benchmark, item and similarity of the closest copy of `example`, if any reaches `NEAR`."""
        of_example = words(example.text)
        shared = Counter(item for word in of_example for item in self._index.get(word, ()))
        closest = max(
            ((n / (len(of_example) + self._items[item][2] - n), item) for item, n in shared.items()), default=(0.0, -1)
        )
        if closest[0] < NEAR:
            return None
        return (*self._items[closest[1]][:2], closest[0])

    def split(self, corpus: str, examples: Iterable[Example]) -> tuple[list[Example], list[Hit]]:
        """The examples that may be trained on, and the hits that may not."""
        clean, hits = [], []
        for example in examples:
            if (copy := self.find(example)) is None:
                clean.append(example)
            else:
                hits.append(Hit(corpus, example.id, *copy))
        return clean, hits
