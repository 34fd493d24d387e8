"""Repeated examples: a fingerprint finds the same text again, a MinHash signature finds it with some words changed.

Both are computed for one example at a time and are the same on every machine; `exact` and `near` then look at all of them
as arrays. A signature holds 64 numbers, so the similarity that it tells has a standard error of about 0.05 (at 0.8).
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from medslm.data.example import Example, digest, leaves
from medslm.data.gates.bands import BAND, Search, Table
from medslm.data.gates.bands import PERMUTATIONS as PERMUTATIONS
from medslm.errors import MedslmError

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

NEAR = 0.8
"""Similarity from which two examples count as near copies."""

LOWEST = 0.6
"""The bands miss too many pairs below this similarity."""

SHINGLE = 3
"""Words in a row that are compared as one. One word changed in 80 leaves a similarity of 0.92, one in 20 0.71."""

BLOCK = 512  # shingles that are worked on at a time, so that memory stays small

WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+"
)  # scripts without spaces: a character

ASCII = (
    bytes(ord(chr(code).lower()) if chr(code).isalnum() or code == ord("_") else ord(" ") for code in range(128)) * 2
)
"""`bytes.translate` with it, then `split`: the words that `WORD` finds in a text of ASCII, eight times as fast."""


def fingerprint(example: Example) -> int:
    """64 bits of everything an example says, names of fields included; white space and the encoding of accents are folded.

    Case counts: `mg` is not `MG`. Among 10 million different examples the chance of one false repetition is 3 in a million.
    """
    said = [example.instruction, example.input, example.output, example.options, example.reasoning, example.turns]
    text = json.dumps(_folded(said), ensure_ascii=False)
    return digest(text)


def _folded(value: Any) -> Any:
    """The structure with Unicode NFC and single spaces in all its texts."""
    if isinstance(value, str):
        return " ".join(unicodedata.normalize("NFC", value).split())
    if isinstance(value, Mapping):
        return {name: _folded(part) for name, part in value.items()}
    return [_folded(part) for part in value]


def signature(example: Example) -> Array:
    """MinHash of the word shingles of question and answer. (64,), uint16

    Case, punctuation and compatibility forms do not count. An instruction beside an input is one shingle, and so is
    a system turn: what is the same for a whole corpus must not make its examples alike. Numbers of 16 bits instead of 64
    agree by chance once in 65,536 (Li and König, b-bit minwise hashing, arXiv:0910.3349).
    """
    import numpy

    lead = [text for role, text in example.turns if role == "system"]
    content = [text for role, text in example.turns if role != "system"]
    (lead if example.input or content else content).append(example.instruction)
    content += leaves([example.input, example.options, example.reasoning, example.output])
    words = numpy.array(_hashes("\n".join(content)), "u8")
    whole = numpy.array([zlib.crc32(" ".join(map(str, _hashes(text))).encode()) for text in lead if text], "u8")
    return _minima(numpy.concatenate([_shingles(words), whole]))


def _hashes(text: str) -> list[int]:
    """32 bits for each word, without case, punctuation and compatibility forms."""
    if text.isascii():
        return [*map(zlib.crc32, text.encode().translate(ASCII).split())]
    words = WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    return [zlib.crc32(word.encode("utf-8", "surrogatepass")) for word in words]


def _shingles(words: Array) -> Array:
    """One number for each run of `SHINGLE` words, by position: `a b c` is not `c b a`. A shorter text is one run."""
    import numpy

    if len(words) < SHINGLE:
        words = numpy.concatenate([words, numpy.zeros(SHINGLE - len(words), "u8")])
    weights, ends = _constants("weight", SHINGLE), len(words) - SHINGLE + 1
    total: Array = words[:ends] * weights[0]
    for place in range(1, SHINGLE):
        total += words[place : place + ends] * weights[place]
    return total


def _minima(shingles: Array) -> Array:
    """The least value under each of 64 functions `a * x + b` modulo 2**64; of it the bits 32 to 47. (N,) -> (64,)"""
    import numpy

    mixed = (shingles ^ (shingles >> numpy.uint64(32))) * _constants("mix", 1)  # high bits reach low ones
    blocks = numpy.split(mixed, range(BLOCK, len(mixed), BLOCK))
    least: Array = numpy.stack([_least(block) for block in blocks]).min(0) if len(blocks) > 1 else _least(mixed)
    bits: Array = (least >> numpy.uint64(32)).astype("u2")
    return bits


def _least(shingles: Array) -> Array:
    values: Array = _constants("factor", PERMUTATIONS)[:, None] * shingles
    values += _constants("term", PERMUTATIONS)[:, None]
    least: Array = values.min(1)
    return least


@cache
def _constants(name: str, number: int) -> Array:
    """Odd numbers that are drawn by name, the same on every machine and in every numpy. (number,), uint64"""
    import numpy

    drawn = [hashlib.sha256(f"medslm {name} {index}".encode()).digest()[:8] for index in range(number)]
    numbers: Array = numpy.array([int.from_bytes(digest, "little") | 1 for digest in drawn], "u8")
    return numbers


def exact(fingerprints: Array, alive: Array | None = None) -> Array:
    """Which examples repeat an earlier one. (N,), uint64 -> (N,), bool. Examples that are not `alive` take no part."""
    import numpy

    rows = numpy.arange(len(fingerprints)) if alive is None else numpy.flatnonzero(alive)
    of_rows = fingerprints if alive is None else fingerprints[rows]
    order = numpy.argsort(of_rows, kind="stable")  # the earliest of equals stays first
    ranked = of_rows[order]
    repeats: Array = numpy.zeros(len(fingerprints), bool)
    repeats[rows[order[1:][ranked[1:] == ranked[:-1]]]] = True
    return repeats


@dataclass(frozen=True)
class Near:
    """Which examples are near copies of others."""

    cluster: Array
    """For each example the first one of its cluster: itself, where it is like no earlier one. (N,)"""

    pairs: list[tuple[int, int, float]]
    """The first few near copies: an example, the copy, and their similarity as the signatures tell it."""

    unchecked: int
    """Comparisons given up, counted by example and band: candidates unlike all that they were compared with. Where it is
    large, the corpus repeats phrases rather than examples, and some near copies may have been missed: of those that a
    comparison of all with all finds in 9,000 questions made from few templates, 3 in 546."""

    @property
    def repeats(self) -> Array:
        """Which examples are near copies, directly or through others, of an earlier one. (N,), bool"""
        import numpy

        later: Array = self.cluster != numpy.arange(len(self.cluster))
        return later

    @property
    def clusters(self) -> int:
        """Clusters of two examples or more."""
        import numpy

        return len(numpy.unique(self.cluster[self.repeats]))

    def across(self, train: Array, validation: Array) -> int:
        """How many validation examples have a near copy among those learnt. Both (N,), bool"""
        import numpy

        learnt: Array = numpy.zeros(len(self.cluster), bool)
        learnt[self.cluster[train]] = True
        return int(learnt[self.cluster[validation]].sum())


def near(signatures: Array | Sequence[Array], alive: Array | None = None, threshold: float = NEAR) -> Near:
    """Near copies among all examples, by bands of their signatures; candidates are compared by the whole signature.

    `signatures` is (N, 64) uint16, in memory or memory-mapped, or a sequence of such parts, which are not joined. One band
    is sorted at a time: 10 million examples need about 0.5 GB beside the signatures. Raises `MedslmError` for another shape
    or a threshold that the bands do not serve.
    """
    if not LOWEST <= threshold <= 1:
        raise MedslmError(f"near copies were asked for from a similarity of {threshold}; it must be {LOWEST} to 1")
    search = Search(Table(signatures), alive, threshold)
    for band in range(PERMUTATIONS // BAND):
        search.look(band)
    return Near(search.cluster, search.pairs, search.unchecked)
