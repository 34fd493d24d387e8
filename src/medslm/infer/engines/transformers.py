"""The engine `transformers`: this process, on the decoder of this package."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from medslm import environment
from medslm.data.formats.render import Renderer
from medslm.infer import sampling
from medslm.infer.adapters import arithmetic, halves
from medslm.infer.engine import About, Limits, Reply, Score, Wanted
from medslm.infer.engines.texts import Texts, until
from medslm.infer.likelihoods import Likelihoods
from medslm.infer.reading import Asked, read, require_room
from medslm.infer.writing import Writer
from medslm.models import load

PACKAGES = ("medslm", "torch", "transformers", "peft")


class Transformers:
    """A base, and perhaps an adapter on it. Raises `MedslmError` for what `models.load` cannot load."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted, self._texts = wanted, Texts(wanted)
        loaded: Any = load.model(wanted.base, wanted.quantization, wanted.dtype)
        fp8 = wanted.quantization == "fp8"
        self.model = loaded if wanted.adapter is None else load.with_adapter(loaded, wanted.adapter, fp8=fp8)
        self._writer = Writer(self.model, wanted.rows)
        self._likelihoods = Likelihoods(self.model, self._texts.tokenizer, wanted.rows)

    @property
    def renderer(self) -> Renderer:
        """Writes the prompts."""
        return self._texts.renderer

    @property
    def about(self) -> About:
        """What answers."""
        versions = environment.versions(PACKAGES)
        adapter = self._wanted.adapter
        return About(
            "transformers",
            versions,
            self._wanted.base.hub_id,
            None if adapter is None else adapter.as_posix(),
            load.gpu() or load.device(),
            str(self.model.dtype).removeprefix("torch."),
        )

    def generate(self, prompts: Sequence[str], limits: Limits) -> list[Reply]:
        """As `Engine`; too little memory halves the batches."""
        replies = [Reply("", 0, False)] * len(prompts)
        asked = [self._asked(prompt, limits) for prompt in prompts]
        found = self._writer.write(asked, limits.max_new_tokens, self._texts.stops, limits.temperature or 1.0)
        for place, one in found:
            replies[place] = self._texts.reply(one.tokens, one.ended)
        return replies

    def _asked(self, prompt: str, limits: Limits) -> Asked:
        ids = self._texts.ids(prompt)
        return Asked(ids, sampling.chances(ids, limits.seed, 0, limits.max_new_tokens) if limits.temperature else ())

    def stream(self, prompt: str, limits: Limits) -> Iterator[str]:
        """As `Engine`."""
        asked = self._asked(prompt, limits)
        require_room(self.model, len(asked.prompt) + limits.max_new_tokens)
        return self._texts.growing(until(self._tokens(asked, limits), self._texts.stops))

    def _tokens(self, asked: Asked, limits: Limits) -> Iterator[int]:
        """One token after the other. What torch is told (no gradients, autocast) never lasts while the caller has it."""
        import torch

        narrow = halves(self.model)
        with arithmetic(self.model, narrow):
            logits, _, cache = read(self.model, [asked.prompt])
        for place in range(limits.max_new_tokens):
            if limits.temperature:
                chance = torch.tensor([asked.chances[place]], dtype=torch.double, device=logits.device)
                token = int(sampling.choose(logits[:, -1], limits.temperature, chance))
            else:
                token = int(logits[:, -1].argmax(-1))
            yield token
            if place + 1 < limits.max_new_tokens:
                ids = torch.tensor([[token]], device=logits.device)
                with arithmetic(self.model, narrow):
                    output = self.model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
                logits, cache = output.logits, output.past_key_values

    def loglikelihoods(self, pairs: Sequence[tuple[str, str]]) -> list[Score]:
        """As `Engine`; too little memory makes the passes smaller."""
        return self._likelihoods.score(pairs)

    @contextlib.contextmanager
    def without_adapter(self) -> Iterator[None]:
        """As `Engine`."""
        with contextlib.nullcontext() if self._wanted.adapter is None else self.model.disable_adapter():
            yield

    def close(self) -> None:
        """As `Engine`."""
        del self.model, self._writer, self._likelihoods
