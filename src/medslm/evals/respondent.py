"""Who answers an evaluation: a model in this process, or an engine of `medslm.infer` that was chosen by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from medslm.data.formats.render import Renderer
from medslm.infer.engine import Reply, Score
from medslm.infer.likelihoods import Side
from medslm.infer.questions import Pair

HERE = "transformers"
"""The engine whose model is at hand, which `medslm.evals.engine` asks by itself: packed, and both sides in one go."""


class Respondent(Protocol):
    """Prompts are texts that `renderer` has written. `medslm.evals.engine.Engine` says what each method does."""

    @property
    def renderer(self) -> Renderer:
        """Writes the prompts."""

    @property
    def model(self) -> Any:
        """The model, or `medslm.evals.through.Elsewhere`."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """What of it decides an answer, beside weights, arithmetic and prompt: kept answers of another are not taken."""

    @property
    def batch_size(self) -> int:
        """Prompts that are read together, or requests under way."""

    @property
    def room(self) -> int | None:
        """Tokens that the model can read, prompt and reply together, as far as is known."""

    @property
    def scored_at_once(self) -> int:
        """Prompts whose likelihoods are asked for between two writings to the disk."""

    @property
    def written_at_once(self) -> int:
        """The same for replies."""

    def require(self, sides: Mapping[str, Side], prompt: str, pair: Pair | None) -> None:
        """Raise `MedslmError` if a side cannot be asked at all: to write after `prompt`, and how likely `pair` is."""

    def reply(self, prompts: Sequence[str], max_new_tokens: int) -> list[str]:
        """Greedy replies, as texts."""

    def replies(self, prompts: Sequence[str], max_new_tokens: int) -> list[Reply]:
        """Greedy replies."""

    def sample(
        self, prompts: Sequence[str], max_new_tokens: int, n: int, temperature: float, seed: int
    ) -> list[list[str]]:
        """`n` drawn replies a prompt."""

    def score(self, pairs: Sequence[Pair]) -> list[Score]:
        """The score of each (prompt, continuation)."""

    def score_sides(self, pairs: Sequence[Pair], sides: Sequence[Side]) -> list[list[Score]]:
        """The same under each side."""

    def token_logprobs(self, texts: Sequence[str]) -> list[list[float]]:
        """For each text the log-probability of every token after the first."""
