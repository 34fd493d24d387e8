"""One code path from an example to the text and the tokens a model sees: training, lm-eval and generation share it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Protocol

from medslm.data.example import Example
from medslm.data.formats.format import Format, formats
from medslm.errors import MedslmError


class Tokenizer(Protocol):
    """What is used of `transformers.PreTrainedTokenizerBase`."""

    chat_template: Any

    def get_added_vocab(self) -> dict[str, int]: ...
    def apply_chat_template(self, conversation: list[dict[str, str]], **kwargs: Any) -> Any: ...
    def __call__(self, text: str, **kwargs: Any) -> Any: ...


@dataclass(frozen=True)
class Tokens:
    """One training row."""

    input_ids: list[int]
    """Prompt, answer and the end-of-turn token. (T,)"""

    completion_mask: list[int]
    """1 where a token carries loss: the answer and the end-of-turn token. (T,)"""


class Renderer:
    """Writes examples for one tokenizer in one format. Raises `MedslmError` if the tokenizer has no chat template."""

    def __init__(self, tokenizer: Tokenizer, format: str) -> None:
        self.format: Format = formats[format]
        self._name = format
        self._tokenizer = tokenizer
        if not tokenizer.chat_template:
            raise MedslmError(
                "the base model's tokenizer has no chat template, so nobody can tell where a turn ends; choose an "
                "instruction-tuned base or save a chat_template.jinja beside its tokenizer"
            )
        self.end_of_turn = self._end_of_turn()

    def _chat(self, question: str, answer: str | None = None) -> str:
        turns = [{"role": "user", "content": question}]
        turns += [] if answer is None else [{"role": "assistant", "content": answer}]
        text: str = self._tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=answer is None)
        return text

    def _end_of_turn(self) -> str:
        """The special token that the chat template puts behind a reply."""
        prompt, whole = self._chat("question"), self._chat("question", "reply")
        if not whole.startswith(prompt + "reply"):
            raise MedslmError(
                "the chat template writes a prompt otherwise before a reply than with it, so training and use would "
                "differ; use a template whose generation prompt is a prefix of the whole conversation"
            )
        tail = whole[len(prompt + "reply") :].lstrip()
        ends = [token for token in self._tokenizer.get_added_vocab() if tail.startswith(token)]
        if not ends:
            raise MedslmError(
                f"the chat template ends a reply with {tail[:20]!r} and not with a special token, so a model cannot "
                "learn to stop; use a template that ends each turn with one"
            )
        return max(ends, key=len)

    def prompt(self, example: Example) -> str:
        """The text up to where the model starts to answer."""
        return self._chat(self.format.question_of(example))

    def completion(self, example: Example) -> str:
        """The answer and the end-of-turn token: what carries loss."""
        return self.format.answer_of(example) + self.end_of_turn

    def ids(self, text: str) -> list[int]:
        """Token ids of rendered text; the template has written the special tokens already."""
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def tokens(self, example: Example) -> Tokens:
        """One training row. Raises `MedslmError` if prompt and answer share a token, so that loss would leak."""
        prompt, completion = self.prompt(example), self.completion(example)
        before, whole = self.ids(prompt), self.ids(prompt + completion)
        if whole[: len(before)] != before:
            raise MedslmError(
                f"example {example.id}: the last token of the prompt merges with the first of the answer, so the "
                "boundary of the loss is not defined; end the prompt on a token boundary (a newline does it)"
            )
        return Tokens(whole, [0] * len(before) + [1] * (len(whole) - len(before)))

    @property
    def template_hash(self) -> str:
        """SHA-256 over all that decides how an example is written: chat template, end of turn and format."""
        fields, probe = {"field": "one, two: 3", "other": "1E50"}, ("instruction", "text", ("first", "second"))
        of_format = [self._name, self.format.question(*probe, tuple(fields)), self.format.write(fields)]
        decided = [self._tokenizer.chat_template, self.end_of_turn, of_format]
        return hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()
