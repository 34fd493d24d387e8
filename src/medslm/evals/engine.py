"""Prompts through one model: greedy replies in batches, and log-probabilities of continuations in packed passes."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tqdm import tqdm

from medslm.data.formats.render import Renderer
from medslm.errors import MedslmError
from medslm.evals.arithmetic import arithmetic
from medslm.evals.padded import Padded
from medslm.evals.questions import Pair, Question, Tokeniser
from medslm.evals.scoring import Packed, Score
from medslm.infer.decode import Greedy

Side = Callable[[], contextlib.AbstractContextManager[Any]]
"""Makes the model another one for a while, as `PeftModel.disable_adapter` does."""


class Engine:
    """One model and the renderer whose prompts it reads; replies come in batches of up to `batch_size`."""

    def __init__(self, model: Any, tokenizer: Any, renderer: Renderer, batch_size: int) -> None:
        self.model, self.renderer, self.batch_size = model, renderer, batch_size
        self._tokenizer = tokenizer
        end = tokenizer.convert_tokens_to_ids(renderer.end_of_turn)
        self._stops = sorted({end, tokenizer.eos_token_id} - {None})
        self._told = False  # that batches are padded

    @property
    def room(self) -> int | None:
        """Tokens that the model can read, prompt and reply together, if its configuration says so."""
        room: int | None = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        return room

    def reply(self, prompts: Sequence[str], max_new_tokens: int) -> list[str]:
        """Greedy replies up to the end of turn, as the renderer cleans them, in the order of the prompts."""
        rows = [self.renderer.ids(prompt) for prompt in prompts]
        replies = [""] * len(rows)
        with tqdm(total=len(rows), desc="replies", unit="item") as bar:
            for batch in self._batches(rows):
                for index, ids in zip(batch, self._generate([rows[index] for index in batch], max_new_tokens)):
                    replies[index] = self.renderer.reply(self._tokenizer.decode(ids, skip_special_tokens=False))
                bar.update(len(batch))
        return replies

    def score(self, pairs: Sequence[Pair]) -> list[Score]:
        """For each (prompt, continuation): its log-probability, and whether greedy decoding would write it."""
        (scores,) = self.score_sides(pairs, [contextlib.nullcontext])
        return scores

    def score_sides(self, pairs: Sequence[Pair], sides: Sequence[Side]) -> list[list[Score]]:
        """The scores under each of `sides`, say base and adapter, in one go over the data.

        Raises `MedslmError` if a prompt's tokens are others before a continuation, or memory does not suffice.
        """
        scores: list[list[Score]] = [[(0.0, False)] * len(pairs) for _ in sides]
        with tqdm(total=len({prompt for prompt, _ in pairs}), desc="log-likelihoods", unit="item") as bar:
            for questions in Tokeniser(self._tokenizer).questions(pairs):
                for side, found in zip(sides, scores):
                    with side():
                        for index, score in self._scored(questions):
                            found[index] = score
                bar.update(len(questions))
        return scores

    def _scored(self, questions: Sequence[Question]) -> Iterator[tuple[int, Score]]:
        """Each pair's place and score: packed, or padded where the model's texts cannot be kept apart in one row."""
        from medslm.models import prefixes

        why = prefixes.refusal(self.model, max(question.longest for question in questions))
        if why and not self._told:
            print(f"note: multiple choice is read in padded batches, which takes longer: {why}", file=sys.stderr)
            self._told = True
        yield from (self._padded if why else self._packed).score(questions)

    @property
    def _padded(self) -> Padded:
        return Padded(self.model, self.batch_size)

    @functools.cached_property
    def _packed(self) -> Packed:
        return Packed(self.model)

    def _batches(self, rows: Sequence[Sequence[int]]) -> Iterator[list[int]]:
        """Indices of rows of like length; the longest first, so that too little memory shows at once."""
        order = sorted(range(len(rows)), key=lambda index: -len(rows[index]))
        return (order[start : start + self.batch_size] for start in range(0, len(order), self.batch_size))

    @functools.cached_property
    def _greedy(self) -> Greedy:
        return Greedy(self.model)

    def _generate(self, rows: Sequence[Sequence[int]], max_new_tokens: int) -> list[list[int]]:
        with arithmetic(self.model, exact=False), _memory(len(rows)):
            return self._greedy.reply(rows, max_new_tokens, self._stops)


@contextlib.contextmanager
def _memory(batch_size: int) -> Iterator[None]:
    """Say what to do when the device's memory is full."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        raise MedslmError(
            f"a batch of {batch_size} rows does not fit into the device's memory; evaluate with a smaller --batch-size"
        ) from error
