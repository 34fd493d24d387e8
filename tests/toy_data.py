"""Small corpora and benchmarks to put in the place of the real ones."""

from __future__ import annotations

from collections.abc import Iterable

from medslm.data.benchmark import Benchmark
from medslm.data.corpus import Corpus
from medslm.data.example import Example
from medslm.registry import Registry


def example(text: str, id: str = "1", family: str = "f") -> Example:
    return Example(id, "Code it.", text, "answer", family)


def benchmarks(**items: Iterable[str]) -> Registry[Benchmark]:
    """Benchmarks by name, from the texts of their items, which are numbered from 0."""
    registry: Registry[Benchmark] = Registry("benchmark")
    for name, texts in items.items():
        held = [example(text, str(number)) for number, text in enumerate(texts)]
        registry.add(name, Benchmark("toy", "mit", "all", lambda held=held: held, lambda: "1"))  # type: ignore[misc]
    return registry


def corpora(**examples: list[Example]) -> Registry[Corpus]:
    """Corpora by name, one row an example."""
    registry: Registry[Corpus] = Registry("corpus")
    for name, held in examples.items():
        rows = [{"example": one} for one in held]
        registry.add(
            name,
            Corpus("toy", "mit", "toy", ("example",), lambda rows=rows: rows, lambda r: [r["example"]], lambda: "1"),  # type: ignore[misc]
        )
    return registry
