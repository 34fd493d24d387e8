"""Texts that are nearly the same: by their words, exactly, and long ones by their phrases, through MinHash."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from medslm.data.gates.ngrams import ODD, Index, runs, spans

if TYPE_CHECKING:
    from medslm.data.gates.ngrams import Array

WORDS = 0.6
"""Weighted Jaccard similarity of two sets of words from which two texts are near copies."""

FEW_WORDS, WORDS_OF_FEW = 13, 0.75
"""An item of fewer distinct words than the first needs this similarity."""

SMOOTHING = 1000
"""Items that are imagined beside the real ones when words are weighed: with few real ones all words weigh the same."""

MOST_WORDS = 500
"""Distinct words of a text that is compared by its words; longer ones are compared by their phrases alone."""

PHRASES = 0.3
"""Jaccard similarity of two sets of phrases from which two long texts are near copies."""

PHRASE = 3
"""Words in a phrase."""

LONG = 40
"""Words of an item that is compared by its phrases: in fewer, half of them may be a template's."""

BANDS, ROWS = 50, 2
"""Of the MinHash signature: texts that share 0.3 of their phrases are compared with probability 0.991, 0.25 with 0.960."""

SKETCH = 512
"""Phrases that are kept of a text, those with the smallest numbers: the similarity is exact up to here, else estimated."""


RARE = 0.01
"""Share of the items (with the imagined ones) that hold a rare word, at most."""


@dataclass(frozen=True)
class Weights:
    """A word weighs log((items + SMOOTHING) / items that hold it): `following` less than `hepcidin`."""

    keys: Array
    """Words that items hold, sorted. (V,) uint64"""

    values: Array
    """(V,)"""

    unknown: float
    """Of any other word."""

    def of(self, words: Array) -> Array:
        """The weight of each word that items hold."""
        import numpy

        found: Array = self.values[numpy.searchsorted(self.keys, words)]
        return found

    def rare(self, words: Array) -> int:
        """How many different words of an item are rare."""
        import numpy

        return int((self.of(numpy.unique(words)) >= -math.log(RARE)).sum())


def weigh(items: Sequence[Array]) -> Weights:
    """The weights of words, from the words of each item."""
    import numpy

    imagined = len(items) + SMOOTHING
    index = Index.of(items)
    return Weights(index.keys, numpy.log(imagined / numpy.diff(index.starts)), math.log(imagined))


@dataclass(frozen=True)
class Bags:
    """Items as sets of weighted words."""

    items: Array
    """The item of each set. (S,)"""

    words: Index
    """Word -> the sets that hold it."""

    weight: Array
    """Of each word in `words`. (V,) float64"""

    unknown: float
    """Of any other word."""

    members: Array
    """Positions in `words` of the words of each set, one set after the other. (M,) int32"""

    starts: Array
    """Where a set begins in `members`, and the end. (S + 1,)"""

    total: Array
    """Weight of each set. (S,)"""

    def find(self, text: Array) -> tuple[float, int] | None:
        """The nearest set, if it reaches `WORDS`; exact."""
        import numpy

        text = numpy.unique(text)
        if not 0 < len(text) <= MOST_WORDS / WORDS:
            return None
        known = self.words.known(text)
        strange = self.unknown * (len(text) - len(known))
        mine = strange + float(self.weight[known].sum())
        candidates = self._candidates(known, (1 - WORDS) * mine - strange)
        near = (self.total[candidates] >= WORDS * mine - 1e-9) & (self.total[candidates] <= mine / WORDS + 1e-9)
        candidates = candidates[near]
        if not len(candidates):
            return None
        shared = numpy.zeros(len(self.weight))
        shared[known] = self.weight[known]
        begins, ends = self.starts[candidates], self.starts[candidates + 1]
        both = numpy.add.reduceat(
            shared[self.members[spans(begins, ends)]], numpy.concatenate([[0], numpy.cumsum(ends - begins)[:-1]])
        )
        similarity = both / (mine + self.total[candidates] - both)
        similarity[similarity < numpy.where(ends - begins < FEW_WORDS, WORDS_OF_FEW, WORDS) - 1e-9] = 0
        best = int(similarity.argmax())
        return (min(1.0, float(similarity[best])), int(self.items[candidates[best]])) if similarity[best] else None

    def _candidates(self, known: Array, spare: float) -> Array:
        """Sets that hold enough of a text's heaviest words: a near copy lacks words of the text that weigh `spare` at most.

        Looking at the heaviest only is what makes it fast, and exact (prefix filter, doi:10.1145/1242572.1242591).
        """
        import numpy

        if spare < -1e-9 or not len(known):
            return numpy.empty(0, numpy.int64)
        heaviest = known[numpy.argsort(-self.weight[known], kind="stable")]
        weight = numpy.cumsum(self.weight[heaviest])
        used = heaviest[: int(numpy.searchsorted(weight, 2 * spare)) + 1]
        holding = self.words.starts[used + 1] - self.words.starts[used]
        shared = numpy.bincount(self.words.at(used), numpy.repeat(self.weight[used], holding), len(self.items))
        return numpy.flatnonzero(shared >= weight[len(used) - 1] - spare - 1e-9)


def bags(sets: Sequence[tuple[int, Array]], weights: Weights) -> Bags:
    """Index sets of words, each with the number of its item; those of more than `MOST_WORDS` are left out."""
    import numpy

    kept = [(item, numpy.unique(words)) for item, words in sets]
    kept = [(item, words) for item, words in kept if 0 < len(words) <= MOST_WORDS]
    index = Index.of([words for _, words in kept])
    joined = numpy.concatenate([numpy.empty(0, numpy.uint64), *(words for _, words in kept)])
    starts = numpy.cumsum([0, *(len(words) for _, words in kept)])
    return Bags(
        numpy.array([item for item, _ in kept], numpy.int32),
        index,
        weights.of(index.keys),
        weights.unknown,
        numpy.searchsorted(index.keys, joined).astype(numpy.int32),
        starts,
        numpy.array([float(weights.of(words).sum()) for _, words in kept]),
    )


@dataclass(frozen=True)
class Phrases:
    """Long items as sets of phrases; candidates share a band of their MinHash signature, and are then compared."""

    items: Array
    """The item of each set. (S,)"""

    bands: Index
    """Band of a signature -> the sets that have it. Not datasketch's MinHashLSH, which keeps a Python set a band."""

    sketches: Array
    """The smallest phrases of each set, one set after the other, sorted. (M,) uint64"""

    starts: Array
    """Where a set begins in `sketches`, and the end. (S + 1,)"""

    def find(self, text: Array) -> tuple[float, int] | None:
        """The nearest set, if it reaches `PHRASES`: exact for sets of up to `SKETCH`, and an estimate for larger ones."""
        import numpy

        if len(text) < LONG // 2 or not len(self.items):
            return None
        mine = numpy.unique(runs(text, PHRASE))
        candidates = numpy.unique(self.bands.at(self.bands.known(numpy.unique(signature(mine)))))
        if not len(candidates):
            return None
        begins, ends = self.starts[candidates], self.starts[candidates + 1]
        theirs, firsts = self.sketches[spans(begins, ends)], numpy.concatenate([[0], numpy.cumsum(ends - begins)[:-1]])
        same = mine[numpy.minimum(numpy.searchsorted(mine, theirs), len(mine) - 1)] == theirs
        both = numpy.add.reduceat(same, firsts, dtype=numpy.int64)
        largest = numpy.where(ends - begins < SKETCH, numpy.uint64(2**64 - 1), self.sketches[ends - 1])
        compared = numpy.searchsorted(mine, largest, side="right")  # of mine, those in the range of the sketch
        similarity = both / (compared + (ends - begins) - both)
        best = int(similarity.argmax())
        return (float(similarity[best]), int(self.items[candidates[best]])) if similarity[best] >= PHRASES else None


def signature(phrases: Array) -> Array:
    """The bands of the MinHash signature of a set of numbers, a number each. (BANDS,) uint64"""
    import numpy

    hashes = _unused().copy()
    for start in range(0, len(phrases), 4096):  # the permutations of so many at a time
        hashes.update_batch((phrases[start : start + 4096] >> numpy.uint64(32)).tolist())
    rows = hashes.hashvalues.astype(numpy.uint64).reshape(BANDS, ROWS)
    salt = runs(numpy.arange(1, BANDS + 1, dtype=numpy.uint64), 1) * numpy.uint64(ODD)
    bands: Array = ((rows[:, 0] << numpy.uint64(32)) | rows[:, 1]) ^ salt
    return bands


@cache
def _unused() -> Any:
    from datasketch import MinHash

    return MinHash(BANDS * ROWS, seed=1, hashfunc=int)  # what is hashed is a number already


def phrases(texts: Sequence[tuple[int, Array]]) -> Phrases:
    """Index texts, each with the number of its item; those of fewer than `LONG` words are left out."""
    import numpy

    long = [(item, words) for item, words in texts if len(words) >= LONG]
    sets = [numpy.unique(runs(words, PHRASE)) for _, words in long]
    sketches = [numpy.empty(0, numpy.uint64), *(held[:SKETCH] for held in sets)]
    return Phrases(
        numpy.array([item for item, _ in long], numpy.int32),
        Index.of([signature(held) for held in sets]),
        numpy.concatenate(sketches),
        numpy.cumsum([len(held) for held in sketches]),
    )
