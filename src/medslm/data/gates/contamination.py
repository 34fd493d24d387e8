"""The gate between exam and lesson: finds training examples that a benchmark holds, word for word or nearly.

Four rules, after case, Unicode (NFKC), punctuation and white space are taken away:

- `exact`: the question, or the instruction, is a test item's question, or a part of it: a field, or what stands after its
  last blank line, as the question after an abstract does.
- `overlap`: anywhere in the example stands a passage of a test item: at least `overlap.COVERAGE` of its runs of
  `overlap.RUN` words, twenty words on end at least; of a passage of eight to twelve words, all of it. A passage is the
  question or a part of it. An example that shares the abstract of a PubMedQA item and asks something else counts as a
  copy, since its answer is read off the same study.
- `words`: question, or question and options in any order, have the same words (`near.WORDS`); rare words weigh more.
- `phrases`: two long questions have the same phrases of three words (`near.PHRASES`).

Templates are no copies. A shared run of words marks nothing by itself, since what counts is its share of the item; runs
that many items have (`overlap.TEMPLATE`) are ignored; and a question without a rare word (`near.RARE`), such as `Which of
the following is true?`, is compared together with its options only.

Not found: an item of fewer than eight words inside of a longer text, most copies with changed words inside of a longer
text, a paraphrase in other words, a translation, an answer without its question. `benchmarks/contamination.py` measures it.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medslm.data.benchmark import benchmarks
from medslm.data.example import Example, leaves
from medslm.data.gates import near, overlap
from medslm.data.gates.ngrams import Index, numbers, runs
from medslm.errors import MedslmError

if TYPE_CHECKING:
    from medslm.data.gates.ngrams import Array

_BLANK = re.compile(r"\n\s*\n")


@dataclass(frozen=True)
class Match:
    """A test item that an example resembles, and by which rule."""

    benchmark: str
    item: str

    rule: str
    """`exact`, `overlap`, `words` or `phrases`; the module says what they mean."""

    similarity: float
    """1 for a copy; else the share of the passage that was found, or a Jaccard similarity."""


@dataclass
class _Item:
    """A test item as numbers, while the screen is built."""

    question: Array

    parts: list[Array]
    """Fields of the question, and what stands after its last blank line; none of a question in one piece."""

    options: Array
    """Of all options together, sorted; empty without options."""


class Screen:
    """Every item of some benchmarks, ready to be compared with examples. Picklable: a few numbers for each word."""

    def __init__(self, names: Iterable[str], required: Collection[str] = ()) -> None:
        """Read the benchmarks `names` and `required`. One that cannot be read here is noted in `missing`.

        Raises `MedslmError` if one of `required` cannot be read or has no items, or for an unknown name.
        """
        self.items: dict[str, int] = {}
        """Items compared with, by benchmark."""

        self.missing: dict[str, str] = {}
        """Benchmarks that could not be read, and why."""

        self._names: list[tuple[str, str]] = []
        read = hashlib.sha256()
        items = []
        for name in dict.fromkeys([*names, *sorted(required)]):
            for item in self._read(name, name in required):
                self._names.append((name, item.id))
                items.append(_as_numbers(item))
                read.update(f"{name}\0{item.as_json()}\n".encode("utf-8", "surrogatepass"))
        self.digest: str = read.hexdigest()
        """SHA-256 of all items: two screens with one digest find the same."""

        self._index(items)

    def _read(self, name: str, required: bool) -> list[Example]:
        from medslm.data import given  # which knows the builders, and they the gates

        benchmark = given.benchmark(name, benchmarks)
        try:
            items = [item for _, item in given.read(benchmark)]
        except MedslmError as error:
            if required:
                raise MedslmError(
                    f"benchmark '{name}' judges the result, so its items are kept out of training, but they cannot be "
                    f"read here: {error} Say where its file lies, MEDSLM_DATA={name}=<file>, or choose another --suite"
                ) from error
            self.missing[name] = str(error)
            return []
        if required and not items:
            raise MedslmError(
                f"benchmark '{name}' judges the result, but {benchmark.source.name} gives no items for it"
            )
        self.items[name] = len(items)
        return items

    def _index(self, items: Sequence[_Item]) -> None:
        import numpy

        both = [numpy.union1d(item.question, item.options) for item in items]
        weights = near.weigh(both)
        vague = self._vague(items, weights)
        parts = [(n, part) for n, item in enumerate(items) for part in item.parts if weights.rare(part)]
        asked = [(n, item.question) for n, item in enumerate(items) if n not in vague and len(item.question)] + parts
        chosen = [(n, both[n]) for n, item in enumerate(items) if len(item.options)]
        self._asked = numpy.array([n for n, _ in asked], numpy.int32)
        self._exact = Index.of([_whole(question) for _, question in asked])
        self._words = near.bags([*asked, *chosen], weights)
        self._phrases = near.phrases(asked)
        self._passages = overlap.passages([(n, words) for n, words in asked if weights.rare(words)])

    def _vague(self, items: Sequence[_Item], weights: near.Weights) -> set[int]:
        """Items whose options make the question: no rare word in it, or few words and asked with other options as well."""
        options: dict[tuple[str, bytes], set[bytes]] = defaultdict(set)
        keys = [(name, item.question.tobytes()) for (name, _), item in zip(self._names, items)]
        for key, item in zip(keys, items):
            options[key].add(item.options.tobytes())
        return {
            n
            for n, (key, item) in enumerate(zip(keys, items))
            if len(item.options)
            and (not weights.rare(item.question) or (len(options[key]) > 1 and len(item.question) < overlap.SHORT_RUN))
        }

    def find(self, example: Example) -> Match | None:
        """The test item that `example` resembles most, if it resembles any."""
        return max(self.matches(example), key=lambda match: match.similarity, default=None)

    def matches(self, example: Example) -> Iterator[Match]:
        """The test item that `example` resembles most by each rule, and nothing more after an exact copy."""
        import numpy

        told = {text: numbers(text) for text in _texts(example)}
        asked = [told[text] for text in _questions(example)]
        for question in (*asked, told[example.instruction]):  # with the options or an abstract as the input
            if len(known := self._exact.known(_whole(question))):
                yield Match(*self._names[int(self._asked[self._exact.at(known)[0]])], "exact", 1.0)
                return
        options = [told[option] for option in example.options]
        choices = [numpy.concatenate([asked[0], *options])] if options else []
        gap: Array = numpy.zeros(1, numpy.uint64)  # between texts, so that no run of words crosses it
        everything = numpy.concatenate([part for text in told.values() for part in (text, gap)])
        found = [
            *(("words", self._words.find(question)) for question in [*asked, *choices]),
            *(("phrases", self._phrases.find(question)) for question in asked),
            ("overlap", self._passages.find(everything)),
        ]
        for rule, nearest in found:
            if nearest:
                yield Match(*self._names[nearest[1]], rule, nearest[0])


def _as_numbers(item: Example) -> _Item:
    import numpy

    texts = dict.fromkeys(part for text in leaves(item.input) for part in (text, _BLANK.split(text.strip())[-1]))
    parts = [numbers(text) for text in texts if text.strip() != item.text.strip()]
    options = numpy.concatenate([numpy.empty(0, numpy.uint64), *map(numbers, item.options)])
    return _Item(numbers(item.text), parts, numpy.unique(options))


def _whole(text: Array) -> Array:
    """A text as one number; none for a text without words. (1,) or (0,)"""
    return runs(text, len(text)) if len(text) else text


def _questions(example: Example) -> list[str]:
    """What an example asks: its input, or its instruction where it has none, and what users said before."""
    return [example.text or example.instruction, *(text for role, text in example.turns if role == "user")]


def _texts(example: Example) -> Iterator[str]:
    """Every text of an example, its questions first."""
    yield from _questions(example)
    yield from (text for _, text in example.turns)
    yield from (example.instruction, *example.options, example.reasoning, *leaves(example.output))
