"""Small corpora and benchmarks to put in the place of the real ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from medslm.data.benchmark import Benchmark
from medslm.data.corpus import Corpus, Row
from medslm.data.example import Example
from medslm.registry import Registry


def example(text: str, id: str = "1", family: str = "f") -> Example:
    return Example(id, "Code it.", text, "answer", family)


@dataclass(frozen=True)
class Rows:
    """A source of rows that are at hand."""

    held: tuple[Row, ...]
    name: str = "toy"

    def rows(self) -> Iterable[Row]:
        return self.held

    def version(self) -> str:
        return hashlib.sha256(repr(self.held).encode("utf-8", "surrogatepass")).hexdigest()


def as_it_is(row: Row) -> Iterator[Example]:
    """The row function of a corpus whose rows are examples."""
    yield row["example"]


def benchmarks(**items: Iterable[str]) -> Registry[Benchmark]:
    """Benchmarks by name, from the texts of their items, which are numbered from 0."""
    registry: Registry[Benchmark] = Registry("benchmark")
    for name, texts in items.items():
        held = tuple({"example": example(text, str(number))} for number, text in enumerate(texts))
        registry.add(name, Benchmark(Rows(held), "mit", "all", as_it_is))
    return registry


def corpora(**examples: list[Example]) -> Registry[Corpus]:
    """Corpora by name, one row an example."""
    registry: Registry[Corpus] = Registry("corpus")
    for name, held in examples.items():
        rows = tuple({"example": one} for one in held)
        registry.add(name, Corpus(Rows(rows), "mit", "toy", ("example",), as_it_is))
    return registry
