"""One model in all its roles (base, adapter) before the same questions: read once for all of them, answers kept."""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medslm.errors import MedslmError
from medslm.evals.kept import Kept
from medslm.evals.respondent import Respondent
from medslm.infer.engine import Reply, Score
from medslm.infer.likelihoods import Side
from medslm.infer.questions import Pair

LIKELIHOODS, REPLIES = "likelihoods.jsonl", "replies.jsonl"


class Sitting:
    """Who answers, its sides, and what they answered under `key`, which is kept in `folder` (`medslm.evals.kept`).

    The key says what decides an answer beside the prompt: adapter, weights, arithmetic, versions. The engine adds its own
    name, and what it is known by; of a server only its first answer tells that, so that `begin` comes first.
    """

    def __init__(self, engine: Respondent, sides: Mapping[str, Side], folder: Path, key: Mapping[str, Any]) -> None:
        self.engine, self.sides, self.folder = engine, sides, folder
        self._key = key

    def begin(self, prompt: str, pair: Pair | None) -> None:
        """See to it that every side can write after a prompt, and tell how likely a pair is if there is one.

        Raises `MedslmError` if not, before anything is asked.
        """
        self.engine.require(self.sides, prompt, pair)

    @functools.cached_property
    def _kept(self) -> tuple[Kept, Kept]:
        """Likelihoods and replies."""
        key = {**self._key, **self.engine.identity, "sides": list(self.sides)}
        return Kept(self.folder / LIKELIHOODS, key), Kept(self.folder / REPLIES, key)

    @property
    def reused(self) -> int:
        """Answers that an earlier evaluation left: prompts with all their continuations, and replies."""
        return sum(kept.reused for kept in self._kept)

    @property
    def held(self) -> int:
        """Answers that are on the disk by now; 0 before the first question."""
        return sum(len(kept.found) for kept in self._kept) if "_kept" in self.__dict__ else 0

    def scores(self, side: str, pairs: Sequence[Pair]) -> list[Score]:
        """The log-probability of each continuation; the first side that asks has all sides answer."""
        rivals: dict[str, dict[str, int]] = {}  # prompt -> continuation -> its place
        for prompt, continuation in pairs:
            places = rivals.setdefault(prompt, {})
            places.setdefault(continuation, len(places))
        asked = {_digest(prompt, list(rivals[prompt])): prompt for prompt in sorted(rivals, key=len, reverse=True)}

        def ask(some: list[str]) -> list[Any]:
            listed = [(asked[name], continuation) for name in some for continuation in rivals[asked[name]]]
            found = [iter(of_side) for of_side in self.engine.score_sides(listed, list(self.sides.values()))]
            values = [
                {name: [next(of_side) for _ in rivals[asked[one]]] for name, of_side in zip(self.sides, found)}
                for one in some
            ]
            for value in values:
                _refuse_no_number(value)
            return values

        values = self._kept[0].answers(list(asked), ask, self.engine.scored_at_once)
        by_prompt = {prompt: value[side] for prompt, value in zip(asked.values(), values)}
        found = (by_prompt[prompt][rivals[prompt][continuation]] for prompt, continuation in pairs)
        return [(float(logprob), bool(greedy)) for logprob, greedy in found]

    def replies(self, side: str, prompts: Sequence[str], max_new_tokens: int) -> list[Reply]:
        """Greedy replies of one side."""
        asked = {_digest(side, prompt, max_new_tokens): prompt for prompt in sorted(prompts, key=len, reverse=True)}

        def ask(some: list[str]) -> list[Any]:
            with self.sides[side]():
                replies = self.engine.replies([asked[name] for name in some], max_new_tokens)
            return [[reply.text, reply.tokens, reply.ended] for reply in replies]

        values = self._kept[1].answers(list(asked), ask, self.engine.written_at_once)
        by_prompt = {prompt: Reply(*value) for prompt, value in zip(asked.values(), values)}
        return [by_prompt[prompt] for prompt in prompts]


def _refuse_no_number(value: Mapping[str, Sequence[Score]]) -> None:
    for side, scores in value.items():
        if wrong := [logprob for logprob, _ in scores if not math.isfinite(logprob)]:
            raise MedslmError(
                f"the {side} gives the log-probability {wrong[0]} to an answer, so that nothing can be chosen: its weights "
                "hold what is no number, or its arithmetic overflows; look at the loss of the training, train again with a "
                "lower learning rate, or evaluate in bfloat16"
            )


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
