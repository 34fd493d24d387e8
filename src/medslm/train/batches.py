"""Batches: which examples an optimiser step takes, and how those of one process lie side by side in passes."""

from __future__ import annotations

import queue
import threading
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy
import torch
from torch.utils.data import DataLoader

from medslm.data.packing import pack
from medslm.models.passes import IGNORED, Pass, lay

if TYPE_CHECKING:
    import datasets

    Array = numpy.ndarray[Any, Any]

Document = tuple["Array", "Array"]
"""Token ids and labels of an example, both (L,)."""

Item = TypeVar("Item")

AHEAD = 2
"""Batches that are laid out before they are asked for."""


@dataclass(frozen=True)
class Batch:
    """One process's share of an optimiser step."""

    documents: Sequence[Document]

    tokens_per_pass: int
    """What a pass may hold; 0 is one document in each."""

    passes: Sequence[Pass]

    tokens: int
    """Tokens of the whole step, over all processes."""

    predicted: int
    """Tokens of the whole step that carry loss, over all processes."""

    def laid(self, tokens_per_pass: int) -> Batch:
        """The same documents in passes of another size."""
        passes = tuple(side_by_side(self.documents, tokens_per_pass))
        return replace(self, tokens_per_pass=tokens_per_pass, passes=passes)


def side_by_side(documents: Sequence[Document], tokens_per_pass: int) -> Iterator[Pass]:
    """Best-fit packing of whole documents into passes of at most `tokens_per_pass` tokens; 0 is one document in each.

    They are about equally long: a few tokens in the last pass would take a GPU as long as many. Raises `MedslmError` for
    a document that is longer.
    """
    if not tokens_per_pass or not documents:
        yield from (lay([document]) for document in documents)
        return
    lengths = numpy.array([len(tokens) for tokens, _ in documents], "i8")
    packs = pack(lengths, tokens_per_pass)
    even = max(int(lengths.max()), int(lengths.sum() / len(packs) * 1.02) + 1)
    if even < tokens_per_pass and len(tighter := pack(lengths, even)) == len(packs):
        packs = tighter
    for number in range(len(packs)):
        yield lay([documents[index] for index in packs[number]])


class Order:
    """The examples of each step of an epoch, by seed and epoch alone: the same for any processes and any passes.

    Each epoch is one permutation, and its last step takes what is left: no example is dropped, and none is seen twice.
    """

    def __init__(self, examples: int, global_batch_size: int, seed: int) -> None:
        self._examples, self._each, self._seed, self._epoch = examples, global_batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Which epoch the next iteration is."""
        self._epoch = epoch

    def __len__(self) -> int:
        return -(-self._examples // self._each)

    def __iter__(self) -> Iterator[Array]:
        """The numbers of the examples of each step: (B,), the last one maybe shorter."""
        order = numpy.random.default_rng([self._seed, self._epoch]).permutation(self._examples)
        return (order[start : start + self._each] for start in range(0, self._examples, self._each))


def lengths(rows: datasets.Dataset) -> Array:
    """Tokens of each row. (N,)"""
    column: Array = rows.select_columns(["length"]).with_format("numpy")["length"][:]
    return column


class Documents:
    """Rows of `input_ids` and `labels` on disk, read as arrays, many at once."""

    def __init__(self, rows: datasets.Dataset) -> None:
        self._rows = rows.select_columns(["input_ids", "labels"]).with_format("arrow")

    def __len__(self) -> int:
        return len(self._rows)

    def __getitems__(self, indices: Sequence[int]) -> list[Document]:
        """The documents with these numbers, in their order (the name is torch's)."""
        table = self._rows[indices].combine_chunks()
        ids, labels = (table.column(name).combine_chunks() for name in ("input_ids", "labels"))
        ends = numpy.cumsum(ids.value_lengths().to_numpy())[:-1]
        return list(zip(numpy.split(ids.flatten().to_numpy(), ends), numpy.split(labels.flatten().to_numpy(), ends)))


@dataclass
class Layout:
    """Makes of a whole step's documents the batch of one process."""

    tokens_per_pass: int
    """0 is one document in each pass. It may change between batches."""

    rank: int = 0
    world_size: int = 1

    pin: torch.device | None = None
    """The GPU for which passes are laid in page-locked memory."""

    def __call__(self, documents: list[Document]) -> Batch:
        """The share of this process: as many documents as the others' to within one, and about as many tokens."""
        mine = [documents[index] for index in self.share(numpy.array([len(tokens) for tokens, _ in documents]))]
        batch = Batch(
            documents=mine,
            tokens_per_pass=self.tokens_per_pass,
            passes=(),
            tokens=sum(len(tokens) for tokens, _ in documents),
            predicted=sum(int(numpy.count_nonzero(labels[1:] != IGNORED)) for _, labels in documents),
        ).laid(self.tokens_per_pass)
        if self.pin is None:
            return batch
        with torch.cuda.device(self.pin):  # in a thread of its own this would be the first GPU
            return replace(batch, passes=tuple(one.pinned() for one in batch.passes))

    def share(self, lengths: Array) -> Array:
        """The numbers of this process's documents among those of these lengths (N,).

        They are dealt out from the longest to the shortest, there and back: 0 1 2 2 1 0 0 1 ...
        """
        if self.world_size == 1:
            return numpy.arange(len(lengths))
        dealt: Array = numpy.arange(len(lengths)) % (2 * self.world_size)
        owner = numpy.minimum(dealt, 2 * self.world_size - 1 - dealt)
        mine: Array = numpy.argsort(-lengths, kind="stable")[owner == self.rank]
        return mine


class Loader(DataLoader):  # type: ignore[type-arg]
    """Batches of an epoch, one for each step."""

    def set_epoch(self, epoch: int) -> None:
        """Which epoch the next iteration is; `Trainer` calls it."""
        self.batch_sampler.set_epoch(epoch)  # type: ignore[union-attr]


def training(rows: datasets.Dataset, global_batch_size: int, seed: int, layout: Layout) -> Loader:
    """The batches to learn from, on one process."""
    order = Order(len(rows), global_batch_size, seed)
    return Loader(Documents(rows), batch_sampler=order, collate_fn=layout)  # type: ignore[arg-type]


def validation(rows: datasets.Dataset, lengths: Array, layout: Layout) -> Loader:
    """One batch for each pass over the `rows` that this process judges; `lengths` are their tokens. (N,)

    Which rows these are does not depend on the size of passes, which may be another one on another process.
    """
    mine = layout.share(lengths)
    together = [[index] for index in mine.tolist()]
    if layout.tokens_per_pass and len(mine):
        packs = pack(lengths[mine], layout.tokens_per_pass)
        together = [mine[packs[number]].tolist() for number in range(len(packs))]
    whole = replace(layout, rank=0, world_size=1)
    return Loader(Documents(rows), batch_sampler=together, collate_fn=whole)  # type: ignore[arg-type]


class Ahead(Generic[Item]):
    """The items of an iterator, made by a thread before they are asked for.

    What the thread raises is raised to whom asks. The thread ends with the items, at `close()`, or with this object.
    """

    def __init__(self, source: Iterator[Item], depth: int = AHEAD) -> None:
        made: queue.Queue[Any] = queue.Queue(depth)
        enough = threading.Event()
        self.source = source
        self._made = made
        self._ended = False
        self.close = weakref.finalize(self, _abandon, made, enough)
        threading.Thread(target=_make, args=(source, made, enough), name="batches", daemon=True).start()

    def __iter__(self) -> Ahead[Item]:
        return self

    def __next__(self) -> Item:
        """Raises what the thread raised."""
        if self._ended or not self.close.alive:
            raise StopIteration
        item, error = self._made.get()
        if error is not None:
            self._ended = True
            raise error
        made: Item = item
        return made


def _make(source: Iterator[Any], made: queue.Queue[Any], enough: threading.Event) -> None:
    """Runs in the thread; it must not know the `Ahead`, which could then never be collected."""
    while not enough.is_set():
        try:
            made.put((next(source), None))
        except BaseException as error:  # noqa: BLE001 (StopIteration as well: it is raised where it is asked for)
            made.put((None, error))
            return


def _abandon(made: queue.Queue[Any], enough: threading.Event) -> None:
    enough.set()
    while not made.empty():  # the thread may be waiting for room
        made.get_nowait()
