"""How far an export is from its adapter: log-probabilities of the same tokens after the same prompts, and scores."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from medslm.errors import MedslmError
from medslm.export.subject import Item, Passage

if TYPE_CHECKING:  # importing this module imports no numpy
    import numpy

    Array = numpy.ndarray[Any, Any]

LIKELY = 10
"""Tokens of each position that count as likely: the adapter's first, of which replies are made."""


class Reader(Protocol):
    """A model in some format."""

    loader: str
    """The program that reads it, with its version."""

    def read(self, passage: Passage) -> Array:
        """The natural log-probability of every token at each place from `passage.start` on. (P, V) float32."""
        ...


@dataclass(frozen=True)
class Bound:
    """How far an export may be from its adapter."""

    drift: float
    """Nats: the mean divergence, as `Drift.divergence`."""

    fall: float
    """By how much the share of right answers to a task's sampled items may be lower."""

    def __post_init__(self) -> None:
        for option, value in (("--max-drift", self.drift), ("--max-fall", self.fall)):
            if not value >= 0:
                raise MedslmError(
                    f"{option} {value:g} is no bound; give 0 or more, or leave it out for the format's own"
                )


@dataclass(frozen=True)
class Drift:
    """The distance between two models on the same passages. Log-probabilities are natural."""

    prompts: int
    positions: int

    likely: float
    """Largest absolute difference among the adapter's `LIKELY` likeliest tokens."""

    largest: float
    """Largest absolute difference among all tokens."""

    mean: float
    """Mean absolute difference over all positions and tokens."""

    divergence: float
    """Mean Kullback-Leibler divergence of the export from the adapter over all positions, which `Bound.drift` bounds.
    llama.cpp judges its quantisations by it: https://github.com/ggml-org/llama.cpp/tree/master/tools/perplexity."""

    top1: float
    """Share of positions at which both find the same token likeliest."""

    scores: Mapping[str, Mapping[str, float]]
    """Task -> `adapter` and `export`, the share of right answers; `agree`, of items with the same outcome; `items`."""

    def as_dict(self) -> dict[str, Any]:
        """As JSON values, rounded to six digits."""
        found: dict[str, Any] = _rounded(asdict(self))
        return found


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _rounded(one) for name, one in value.items()}
    return round(value, 6) if isinstance(value, float) else value


def readings(reader: Reader, items: Iterable[Item], told: str = "adapter") -> Iterator[Array]:
    """The log-probabilities of every passage of the items, in their order. (P, V) each."""
    from tqdm import tqdm

    passages = [passage for item in items for passage in item.passages]
    for passage in tqdm(passages, desc=f"reading the {told}", unit="passage", leave=False, disable=None):
        yield reader.read(passage)


def by_item(items: Iterable[Item], found: Iterable[Array]) -> list[list[Array]]:
    """The readings of each item's passages."""
    rest = iter(found)
    return [[next(rest) for _ in item.passages] for item in items]


@dataclass
class _Sums:
    """What is added up over passages."""

    likely: float = 0.0
    largest: float = 0.0
    apart: float = 0.0
    numbers: int = 0
    divergence: float = 0.0
    same: int = 0
    positions: int = 0

    def add(self, before: Array, after: Array) -> None:
        """One passage. (P, V), (P, V)"""
        import numpy

        apart = numpy.abs(after - before)
        top = before.argsort(axis=1)[:, -LIKELY:]
        self.likely = max(self.likely, float(numpy.take_along_axis(apart, top, axis=1).max()))
        self.largest = max(self.largest, float(apart.max()))
        self.apart += float(apart.sum(dtype="f8"))
        self.numbers += apart.size
        self.divergence += float((numpy.exp(before) * (before - after)).sum(dtype="f8"))
        self.same += int((before.argmax(axis=1) == after.argmax(axis=1)).sum())
        self.positions += len(before)


def between(items: Sequence[Item], adapter: Sequence[Array], export: Reader) -> Drift:
    """The drift from the adapter's readings to what the export reads.

    Raises `MedslmError` if the export knows fewer tokens, or gives one of them no number.
    """
    sums, told = _Sums(), ([], [])  # type: tuple[_Sums, tuple[list[_Told], list[_Told]]]
    passages = [passage for item in items for passage in item.passages]
    for passage, before, found in zip(passages, adapter, readings(export, items, "export")):
        after = _comparable(before, found, export.loader)
        sums.add(before, after)
        for side, logprobs in zip(told, (before, after)):
            side.append(_of(passage, logprobs))
    return Drift(
        prompts=len({item.prompt for item in items}),
        positions=sums.positions,
        likely=sums.likely,
        largest=sums.largest,
        mean=sums.apart / sums.numbers,
        divergence=max(0.0, sums.divergence / sums.positions),
        top1=sums.same / sums.positions,
        scores=_scores(items, *told),
    )


_Told = tuple[float, bool]
"""The log-probability of a passage's answer, and whether greedy decoding would write it."""


def _of(passage: Passage, logprobs: Array) -> _Told:
    answer = list(passage.answer)
    greedy = bool((logprobs.argmax(axis=1) == answer).all())
    return float(logprobs[range(len(answer)), answer].sum(dtype="f8")), greedy


def _comparable(before: Array, after: Array, loader: str) -> Array:
    import numpy

    if after.shape[1] < before.shape[1]:
        raise MedslmError(
            f"the export knows {after.shape[1]} tokens and the adapter {before.shape[1]}, as {loader} reads it: the "
            "converter has lost a part of the vocabulary; use another version of it"
        )
    after = after[:, : before.shape[1]]  # some formats pad the vocabulary
    if not numpy.isfinite(after).all():
        raise MedslmError(f"the export gives NaN or infinity, as {loader} reads it; choose a wider type")
    return after


def _scores(items: Sequence[Item], adapter: Iterable[_Told], export: Iterable[_Told]) -> dict[str, dict[str, float]]:
    by_task: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    for item, before, after in zip(items, _outcomes(items, adapter), _outcomes(items, export)):
        key = True if item.right is None else item.right
        by_task[item.task].append((before == key, after == key, before == after))
    return {
        task: {
            "items": len(rows),
            **dict(zip(("adapter", "export", "agree"), (sum(of) / len(rows) for of in zip(*rows)))),
        }
        for task, rows in by_task.items()
    }


def _outcomes(items: Iterable[Item], told: Iterable[_Told]) -> Iterator[int | bool]:
    """Of each item the likeliest of its rivals, or whether greedy decoding would write its key."""
    rest = iter(told)
    for item in items:
        rivals = [next(rest) for _ in item.passages]
        totals = [total for total, _ in rivals]
        yield rivals[0][1] if item.right is None else totals.index(max(totals))


def refuse(found: Drift, bound: Bound, told: str, advice: str, word: str = "adapter") -> None:
    """Raise `MedslmError` with this advice if the export is farther from its adapter (or `word`) than `bound` allows."""
    reasons = []
    if not found.divergence <= bound.drift:
        reasons.append(f"its predictions diverge by {found.divergence:.3g} nats a token, of at most {bound.drift:g}")
    for task, score in found.scores.items():
        if (fell := score["adapter"] - score["export"]) > bound.fall:
            reasons.append(f"its score in {task} fell by {100 * fell:.1f} points, of at most {100 * bound.fall:g}")
    if reasons:
        raise MedslmError(
            f"{told} is not the {word} any more: {'; '.join(reasons)} (the same first choice at {100 * found.top1:.1f} % "
            f"of {found.positions} places, {found.prompts} prompts). {advice}"
        )
