"""What multiple choice asks, as tokens: prompts with their rival continuations, read by several threads at once."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from medslm import environment
from medslm.errors import MedslmError

AT_ONCE = 512  # prompts: enough to fill passes, and the first are soon there

Pair = tuple[str, str]


@dataclass(frozen=True)
class Question:
    """A prompt and all that is asked about it; it is read once."""

    prompt: list[int]
    rivals: tuple[tuple[int, list[int]], ...]
    """For each continuation: its place among the pairs, and its tokens, one or more."""

    @property
    def exact(self) -> bool:
        """Whether all rivals are single tokens, whose logits are compared in float32."""
        return all(len(tokens) == 1 for _, tokens in self.rivals)

    @property
    def longest(self) -> int:
        """Tokens of the prompt and its longest rival."""
        return len(self.prompt) + max(len(tokens) for _, tokens in self.rivals)


class Tokeniser:
    """Texts to questions. A tokenizer of the `tokenizers` library lets go of Python's lock, so threads work in parallel.

    Its own threads stay off (`medslm.environment`): processes that fork afterwards would be warned at every turn.
    """

    def __init__(self, tokenizer: Any) -> None:
        special = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
        self._special = re.compile("|".join(map(re.escape, sorted(special, key=len, reverse=True))) or r"(?!)")
        self._backend = tokenizer.backend_tokenizer

    def questions(self, pairs: Sequence[Pair]) -> Iterator[list[Question]]:
        """Some questions at a time, those with the longest prompts first; the next are tokenised meanwhile.

        Raises `MedslmError` if the tokens of a prompt are others before a continuation.
        """
        self._backend.no_truncation()  # a collator may have left it on
        self._backend.no_padding()
        self._backend.encode_special_tokens = False
        asked: dict[str, list[int]] = defaultdict(list)
        for index, (prompt, _) in enumerate(pairs):
            asked[prompt].append(index)
        order = sorted(asked, key=len, reverse=True)
        parts = [order[start : start + AT_ONCE] for start in range(0, len(order), AT_ONCE)]
        with ThreadPoolExecutor(environment.cpus()) as pool:
            yield from pool.map(lambda part: self._read([(prompt, asked[prompt]) for prompt in part], pairs), parts)

    def _read(self, asked: Sequence[tuple[str, list[int]]], pairs: Sequence[Pair]) -> list[Question]:
        """Each prompt is tokenised once, and with a continuation only its end.

        A tokenizer cuts a text at its special tokens before all else, so from the last one on a prompt has the same
        tokens alone as in the whole. A prompt without one is all end.
        """
        prompts = [prompt for prompt, _ in asked]
        ends = [prompt[self._border(prompt) :] for prompt in prompts]
        wholes = [end + pairs[index][1] for end, (_, indices) in zip(ends, asked) for index in indices]
        texts = [*prompts, *dict.fromkeys([*ends, *wholes])]
        tokens = [encoding.ids for encoding in self._backend.encode_batch_fast(texts, add_special_tokens=False)]
        short = dict(zip(texts[len(prompts) :], tokens[len(prompts) :]))
        return [
            Question(ids, tuple((index, self._after(ids, end, short, pairs[index])) for index in indices))
            for ids, end, (_, indices) in zip(tokens, ends, asked)
        ]

    def _border(self, prompt: str) -> int:
        return max((found.start() for found in self._special.finditer(prompt)), default=0)

    def _after(self, prompt: list[int], end: str, short: dict[str, list[int]], pair: Pair) -> list[int]:
        """What the continuation adds to the tokens of the prompt."""
        before, whole = short[end], short[end + pair[1]]
        if prompt[len(prompt) - len(before) :] != before:  # this tokenizer looks across its special tokens
            before, whole = prompt, self._backend.encode(pair[0] + pair[1], add_special_tokens=False).ids
        if not before:
            raise MedslmError("a likelihood was asked for after no token at all; begin with the one that begins texts")
        if whole[: len(before)] != before or len(whole) == len(before):
            raise MedslmError(
                f"the tokens of a prompt change when {pair[1]!r} follows, so that its likelihood is not defined; "
                "end the prompt on a token boundary (a newline does it)"
            )
        return whole[len(before) :]
