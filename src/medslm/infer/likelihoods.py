"""How likely continuations are, by the fastest way that is right: packed passes, or padded batches where texts mix."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any

from tqdm import tqdm

from medslm.infer.engine import Score
from medslm.infer.padded import Padded
from medslm.infer.questions import AT_ONCE, Pair, Question, Tokeniser
from medslm.infer.reading import require_room
from medslm.infer.scoring import Packed

Side = Callable[[], contextlib.AbstractContextManager[Any]]
"""Makes the model another one for a while, as `PeftModel.disable_adapter` does."""


class Likelihoods:
    """Of one model and its tokenizer; where padding is needed, up to `rows` continuations share a batch."""

    def __init__(self, model: Any, tokenizer: Any, rows: int) -> None:
        self._model, self._tokenizer, self._rows = model, tokenizer, rows
        self._told = False  # that batches are padded

    def score(self, pairs: Sequence[Pair]) -> list[Score]:
        """For each (prompt, continuation): its log-probability in nats, and whether greedy decoding would write it."""
        (scores,) = self.score_sides(pairs, [contextlib.nullcontext])
        return scores

    def score_sides(self, pairs: Sequence[Pair], sides: Sequence[Side]) -> list[list[Score]]:
        """The scores under each of `sides`, say base and adapter, in one go over the data.

        Raises `MedslmError` if a prompt's tokens are others before a continuation, for texts longer than the model reads,
        and where memory does not suffice.
        """
        scores: list[list[Score]] = [[(0.0, False)] * len(pairs) for _ in sides]
        with tqdm(total=len({prompt for prompt, _ in pairs}), desc="log-likelihoods", unit="item", leave=False) as bar:
            for questions in Tokeniser(self._tokenizer).questions(pairs):
                require_room(self._model, max(question.longest for question in questions))
                for side, found in zip(sides, scores):
                    with side():
                        for index, score in self._by(questions).score(questions):
                            found[index] = score
                bar.update(len(questions))
        return scores

    def by_token(self, rows: Sequence[list[int]]) -> list[list[float]]:
        """For each text, as tokens, the natural log-probability of every token after the first, in order.

        Raises `MedslmError` for a text longer than the model reads, and where one does not fit into memory.
        """
        require_room(self._model, max(map(len, rows), default=0))
        found: list[list[float]] = [[] for _ in rows]
        asked = [Question(ids[:1], ((index, ids[1:]),)) for index, ids in enumerate(rows) if len(ids) > 1]
        with tqdm(total=len(asked), desc="log-probabilities", unit="text", leave=False) as bar:
            for start in range(0, len(asked), AT_ONCE):
                some = asked[start : start + AT_ONCE]
                for index, totals in self._by(some).by_token(some):
                    found[index] = totals
                    bar.update()
        return found

    def _by(self, questions: Sequence[Question]) -> Packed | Padded:
        """Packed, or padded where the model's texts cannot be kept apart in one row."""
        from medslm.models import prefixes

        why = prefixes.refusal(self._model, max(question.longest for question in questions))
        if why and not self._told:
            print(f"note: multiple choice is read in padded batches, which takes longer: {why}", file=sys.stderr)
            self._told = True
        return self.padded if why else self.packed

    @functools.cached_property
    def padded(self) -> Padded:
        """Padded batches."""
        return Padded(self._model, self._rows)

    @functools.cached_property
    def packed(self) -> Packed:
        """Packed passes."""
        return Packed(self._model)
