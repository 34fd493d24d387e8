"""A pass: whole documents side by side in one row of tokens, what one forward and backward computation takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

IGNORED = -100
"""Label of a token that carries no loss, as everywhere in transformers."""


@dataclass(frozen=True)
class Pass:
    """D documents of T tokens together; no document is cut, none is padded, and none sees another.

    Everything is computed once, on the CPU: asking the device for the longest document would stop it in every layer.
    """

    input_ids: torch.Tensor
    """(1, T) int64."""

    position_ids: torch.Tensor
    """(1, T) int64; each document counts from 0."""

    boundaries: torch.Tensor
    """(D + 1,) int32: document `d` is `[boundaries[d], boundaries[d + 1])`."""

    longest: int
    """Tokens of the longest document."""

    predicts: torch.Tensor
    """(N,) int64: the positions whose next token carries loss."""

    targets: torch.Tensor
    """(N,) int64: these next tokens."""

    @property
    def tokens(self) -> int:
        """T."""
        return self.input_ids.shape[1]

    @property
    def documents(self) -> int:
        """D."""
        return len(self.boundaries) - 1

    def to(self, device: torch.device | str) -> Pass:
        """The same pass on `device`, copied without waiting where its memory is pinned."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pinned(self) -> Pass:
        """The same pass in page-locked memory, from which a GPU copies while it computes."""
        return self._each(lambda tensor: tensor.pin_memory())

    def _each(self, change: Any) -> Pass:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return Pass(**{name: change(value) if torch.is_tensor(value) else value for name, value in values.items()})


def lay(documents: Sequence[tuple[Array, Array]]) -> Pass:
    """The pass over `documents`, each its token ids and labels (both (L,); `IGNORED` where nothing is learnt).

    The first token of a document is never predicted: what stands before it belongs to another one.
    """
    import numpy

    lengths = [len(tokens) for tokens, _ in documents]
    boundaries = numpy.concatenate([[0], numpy.cumsum(lengths)])
    labels = numpy.concatenate([labels for _, labels in documents]).astype(numpy.int64)
    labels[boundaries[:-1]] = IGNORED
    predicted = numpy.flatnonzero(labels != IGNORED)
    return Pass(
        input_ids=torch.from_numpy(numpy.concatenate([tokens for tokens, _ in documents]).astype(numpy.int64))[None],
        position_ids=torch.from_numpy(numpy.concatenate([numpy.arange(length) for length in lengths]))[None],
        boundaries=torch.from_numpy(boundaries.astype(numpy.int32)),
        longest=max(lengths),
        predicts=torch.from_numpy(predicted - 1),
        targets=torch.from_numpy(labels[predicted]),
    )
