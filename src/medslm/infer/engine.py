"""One way to ask a model, whatever runs it: replies, one as it is written, log-likelihoods, with or without adapter."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from medslm.data.formats.render import Renderer
from medslm.errors import MedslmError
from medslm.models.base import Base

Score = tuple[float, bool]
"""Log-probability of a continuation in nats, and whether greedy decoding would write it."""


@dataclass(frozen=True)
class Limits:
    """How long a reply may be, and how its tokens are chosen. Raises `MedslmError` for what no engine can do."""

    max_new_tokens: int

    temperature: float = 0.0
    """0 takes the likeliest token; above, logits are divided by it and one of all tokens is drawn."""

    seed: int = 0
    """Of what is drawn. The same prompt and seed give the same reply in one engine; engines draw differently."""

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise MedslmError(f"a reply of {self.max_new_tokens} tokens was asked for; ask for one or more")
        if not 0 <= self.temperature < float("inf"):
            raise MedslmError(f"temperature {self.temperature} was asked for; 0 takes the likeliest, above 0 draws")


@dataclass(frozen=True)
class Reply:
    """One generated reply."""

    text: str
    """As the renderer cleans it."""

    tokens: int | None
    """That the model wrote, as the engine counts; none if it does not."""

    ended: bool
    """By the end of turn; otherwise the bound cut it."""


@dataclass(frozen=True)
class Wanted:
    """What an engine is to run."""

    base: Base

    format: str
    """How examples are written (`medslm list formats`)."""

    adapter: Path | None = None
    """The folder of a PEFT adapter."""

    quantization: str = "none"
    dtype: str = "auto"
    rows: int = 32
    """Prompts at a time: of a batch, or requests under way."""


@dataclass(frozen=True)
class About:
    """What answers, for records and for whoever asks."""

    engine: str

    versions: Mapping[str, str]
    """Of the packages that compute; of a server, what it says of itself."""

    model: str
    adapter: str | None

    device: str
    """That computes; of a server, its address."""

    dtype: str | None = None
    """In which it computes; none if the engine does not say."""


class Engine(Protocol):
    """A loaded model, or a server that has one. Prompts are texts that `renderer` has written, special tokens and all."""

    @property
    def renderer(self) -> Renderer:
        """Writes the prompts."""

    @property
    def about(self) -> About:
        """What answers."""

    def generate(self, prompts: Sequence[str], limits: Limits) -> list[Reply]:
        """The replies, each up to the end of turn, in the order of the prompts.

        Raises `MedslmError` for a prompt without room for its reply.
        """

    def stream(self, prompt: str, limits: Limits) -> Iterator[str]:
        """The parts of one reply as they are written, without special tokens; thoughts are parts too."""

    def loglikelihoods(self, pairs: Sequence[tuple[str, str]]) -> list[Score]:
        """For each (prompt, continuation) its log-probability in nats, and whether greedy decoding would write it.

        Raises `MedslmError` if the prompt's tokens change before the continuation, or the engine cannot tell.
        """

    def without_adapter(self) -> contextlib.AbstractContextManager[None]:
        """For a while the base answers. Raises `MedslmError` where it cannot be reached."""

    def close(self) -> None:
        """Give back memory and connections; nothing is asked afterwards."""
