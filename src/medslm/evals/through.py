"""An engine of `medslm.infer` before an evaluation's questions, whatever runs behind it: this process or a server."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NoReturn

from tqdm import tqdm

from medslm.data.formats.render import Renderer
from medslm.errors import MedslmError
from medslm.evals.respondent import HERE
from medslm.infer import sampling
from medslm.infer.engine import Engine, Limits, Reply, Score
from medslm.infer.likelihoods import Side
from medslm.infer.questions import Pair
from medslm.models import load, source
from medslm.models.base import Base

NOT_MEASURED = "not measured with this engine ('{engine}'): {why}; evaluate with --engine " + HERE
SERVED = "as served"
"""The arithmetic and the weights of an engine that does not tell them."""


@dataclass(frozen=True)
class Elsewhere:
    """Stands for the model where an engine keeps it to itself; whoever reaches for more than this gets a sentence."""

    engine: str

    dtype: str
    """Which arithmetic it is, as far as the engine tells: its name, versions and address."""

    @property
    def device(self) -> Any:
        """Of this process, for what a study itself computes."""
        return SimpleNamespace(type=load.device())

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):  # Python asks for these itself
            raise AttributeError(name)
        raise MedslmError(NOT_MEASURED.format(engine=self.engine, why=f"it needs the model itself ({name})"))


class Through:
    """A running engine as a `Respondent`; `rows` prompts are read, or requests under way, at a time."""

    def __init__(self, running: Engine, base: Base, rows: int) -> None:
        self.running, self.batch_size = running, rows
        self._base = base
        self.scored_at_once = self.written_at_once = 4 * rows
        """What a server that goes away costs, at most: answers to so many prompts."""

    @property
    def renderer(self) -> Renderer:
        """Writes the prompts."""
        return self.running.renderer

    @functools.cached_property
    def identity(self) -> Mapping[str, Any]:
        """Name, versions and address of what answers; a server's build is among them once it has answered."""
        about = self.running.about
        return {
            "engine": about.engine,
            "versions": dict(about.versions),
            "model": about.model,
            "device": about.device,
            "dtype": about.dtype or SERVED,
        }

    @property
    def model(self) -> Elsewhere:
        """What a study is told of the model."""
        return Elsewhere(self.running.about.engine, json.dumps(self.identity, sort_keys=True))

    @functools.cached_property
    def room(self) -> int | None:
        """What the base reads; a server that reads less refuses longer prompts itself."""
        from transformers import AutoConfig

        return load.positions(AutoConfig.from_pretrained(source.find(self._base).folder))

    def require(self, sides: Mapping[str, Side], prompt: str, pair: Pair | None) -> None:
        """As `Respondent`: each side writes one token, and says how likely a continuation is if that will be asked."""
        for switched in sides.values():
            with switched():
                self.running.generate([prompt], Limits(1))
                if pair is not None:
                    self.running.loglikelihoods([pair])

    def reply(self, prompts: Sequence[str], max_new_tokens: int) -> list[str]:
        """Greedy replies, as texts."""
        return [reply.text for reply in self.replies(prompts, max_new_tokens)]

    def replies(self, prompts: Sequence[str], max_new_tokens: int) -> list[Reply]:
        """Greedy replies up to the end of turn, in the order of the prompts. Raises `MedslmError` as the engine does."""
        return self.running.generate(prompts, Limits(max_new_tokens))

    def sample(
        self, prompts: Sequence[str], max_new_tokens: int, n: int, temperature: float, seed: int
    ) -> list[list[str]]:
        """For each prompt `n` drawn replies; each draw has a seed of its own.

        Another engine draws other ones. Raises `MedslmError` as the engine does, for `n` below 1 and a temperature not
        above 0.
        """
        sampling.require(n, temperature)
        limits = [Limits(max_new_tokens, temperature, 1_000 * seed + index) for index in range(n)]
        drawn = [self.running.generate(prompts, one) for one in tqdm(limits, desc="draws", leave=False)]
        return [[reply.text for reply in of_prompt] for of_prompt in zip(*drawn)]

    def score(self, pairs: Sequence[Pair]) -> list[Score]:
        """For each (prompt, continuation): its log-probability, and whether greedy decoding would write it."""
        return self.running.loglikelihoods(pairs)

    def score_sides(self, pairs: Sequence[Pair], sides: Sequence[Side]) -> list[list[Score]]:
        """The scores under each of `sides`, one side after the other."""
        found = []
        for switched in sides:
            with switched():
                found.append(self.score(pairs))
        return found

    def token_logprobs(self, texts: Sequence[str]) -> list[list[float]]:
        """Raises `MedslmError`: the engines of `medslm.infer` tell sums over tokens."""
        why = "it needs the log-probability of each token of a text"
        raise MedslmError(NOT_MEASURED.format(engine=self.running.about.engine, why=why))


def sides(running: Engine, adapted: bool) -> dict[str, Side]:
    """The base, and the adapter if there is one, as contexts in which the engine is that side."""
    if not adapted:
        return {"base": contextlib.nullcontext}
    return {"base": running.without_adapter, "adapter": contextlib.nullcontext}
