"""Prompts through one model in this process: greedy replies in batches, and log-probabilities in packed passes."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from tqdm import tqdm

from medslm.data.formats.render import Renderer
from medslm.evals.respondent import HERE
from medslm.infer import sampling
from medslm.infer.engine import Reply, Score
from medslm.infer.likelihoods import Likelihoods, Side
from medslm.infer.questions import Pair
from medslm.infer.reading import Asked
from medslm.infer.writing import Writer

PROMPTS = {"cpu": 64, "cuda": 2048}
"""Prompts whose likelihoods are asked for at once, by device: some seconds' work, and on a GPU enough to fill it."""

BATCHES = {"cpu": 1, "cuda": 8}
"""The same for replies, in batches."""


class Engine:
    """One model and the renderer whose prompts it reads; replies come in batches of up to `batch_size`."""

    def __init__(self, model: Any, tokenizer: Any, renderer: Renderer, batch_size: int) -> None:
        self.model, self.renderer, self.batch_size = model, renderer, batch_size
        self._tokenizer = tokenizer
        end = tokenizer.convert_tokens_to_ids(renderer.end_of_turn)
        self._stops = sorted({end, tokenizer.eos_token_id} - {None})
        device = str(model.device.type)
        self.scored_at_once, self.written_at_once = PROMPTS[device], BATCHES[device] * batch_size
        """Prompts between two writings to the disk: of likelihoods, and of replies."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """What of it decides an answer, beside weights, arithmetic and prompt."""
        return {"engine": HERE}

    def require(self, sides: Mapping[str, Side], prompt: str, pair: Pair | None) -> None:
        """As `Respondent`: a model in this process can be asked all there is."""

    @property
    def room(self) -> int | None:
        """Tokens that the model can read, prompt and reply together, if its configuration says so."""
        room: int | None = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        return room

    def reply(self, prompts: Sequence[str], max_new_tokens: int) -> list[str]:
        """Greedy replies up to the end of turn, as the renderer cleans them, in the order of the prompts."""
        return [reply.text for reply in self.replies(prompts, max_new_tokens)]

    def replies(self, prompts: Sequence[str], max_new_tokens: int) -> list[Reply]:
        """Greedy replies with their lengths, in the order of the prompts.

        Raises `MedslmError` for a prompt without room for its reply, and where one does not fit into memory.
        """
        return self._written([Asked(self.renderer.ids(prompt)) for prompt in prompts], max_new_tokens)

    def sample(
        self, prompts: Sequence[str], max_new_tokens: int, n: int, temperature: float, seed: int
    ) -> list[list[str]]:
        """For each prompt `n` replies drawn from all tokens (no top-k, no top-p), as `samples` gives them."""
        drawn = self.samples(prompts, max_new_tokens, n, temperature, seed)
        return [[reply.text for reply in replies] for replies in drawn]

    def samples(
        self, prompts: Sequence[str], max_new_tokens: int, n: int, temperature: float, seed: int
    ) -> list[list[Reply]]:
        """For each prompt `n` drawn replies with their lengths; the logits are divided by `temperature`.

        What chooses reply `i` depends on the prompt, `seed` and `i` alone, so that prompts may come in any order or
        in parts, and fewer replies are the first of more. (In 16 bits the logits themselves differ in their last digit
        with what shares a batch.) Raises `MedslmError` as `replies`, for `n` below 1 and a temperature not above 0.
        """
        sampling.require(n, temperature)
        rows = [self.renderer.ids(prompt) for prompt in prompts]
        asked = [Asked(ids, sampling.chances(ids, seed, index, max_new_tokens)) for ids in rows for index in range(n)]
        replies = self._written(asked, max_new_tokens, temperature)
        return [replies[start : start + n] for start in range(0, len(replies), n)]

    def _written(self, asked: Sequence[Asked], max_new_tokens: int, temperature: float = 1.0) -> list[Reply]:
        replies = [Reply("", 0, False)] * len(asked)
        with tqdm(total=len(asked), desc="replies", unit="item", leave=False) as bar:
            for index, one in self._writer.write(asked, max_new_tokens, self._stops, temperature):
                text = self.renderer.reply(self._tokenizer.decode(one.tokens, skip_special_tokens=False))
                replies[index] = Reply(text, len(one.tokens), one.ended)
                bar.update()
        return replies

    def token_logprobs(self, texts: Sequence[str]) -> list[list[float]]:
        """For each text the natural log-probability of every token after the first, in order.

        The texts are tokenised as they are: one that is to begin with a BOS token holds it. Raises `MedslmError` for a
        text longer than the model reads, and where one does not fit into memory.
        """
        return self._likelihoods.by_token([self.renderer.ids(text) for text in texts])

    def score(self, pairs: Sequence[Pair]) -> list[Score]:
        """For each (prompt, continuation): its log-probability, and whether greedy decoding would write it."""
        return self._likelihoods.score(pairs)

    def score_sides(self, pairs: Sequence[Pair], sides: Sequence[Side]) -> list[list[Score]]:
        """The scores under each of `sides`, say base and adapter, in one go over the data. Raises as `Likelihoods`."""
        return self._likelihoods.score_sides(pairs, sides)

    @functools.cached_property
    def _likelihoods(self) -> Likelihoods:
        return Likelihoods(self.model, self._tokenizer, self.batch_size)

    @functools.cached_property
    def _writer(self) -> Writer:
        return Writer(self.model, self.batch_size)
