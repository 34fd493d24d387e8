"""A layout: the headings around the turns of a conversation, for bases that have no chat template.

Headings inside a text do no harm: the loss is masked by position, and nothing is ever read back out of a prompt. Only
an answer must not hold the line that ends an answer, and such an example is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from medslm.data.formats.notation import ENDS
from medslm.data.formats.refusal import Unwritable
from medslm.errors import MedslmError

Turns = Sequence[tuple[str, str]]
"""(role, text) of what was said before, oldest first."""


@dataclass(frozen=True)
class Layout:
    """What stands before a question, between it and its answer, and behind the answer."""

    asked: str
    answered: str
    tail: str = ""
    """Written and learnt behind every answer, and taken off a reply; its last line ends an answer."""

    prompted: bool = True
    """False: nothing is asked, and the whole of an example is learnt as one document."""


@dataclass(frozen=True)
class Headings:
    """A layout for one tokenizer: what begins a text and what ends a turn."""

    layout: Layout
    begin: str
    """The token that the tokenizer itself would put before a text, if any."""

    end: str
    """The token that ends a text."""

    @property
    def lead(self) -> str:
        """What stands between prompt and answer: for a document the space that its first word wants."""
        return "" if self.layout.prompted else self.begin[len(self.begin.rstrip(" ")) :]

    def prompt(self, turns: Turns, question: str, thinking: bool) -> str:
        """The text up to where the answer begins. A system's turn stands by itself, with a blank line behind it."""
        if not self.layout.prompted:
            return self.begin.rstrip(" ")
        around = {"user": (self.layout.asked, self.layout.answered), "assistant": ("", self.layout.tail + "\n\n")}
        around["system"] = ("", "\n\n")
        said = "".join(around[role][0] + text.strip(ENDS) + around[role][1] for role, text in turns)
        return self.begin + said + self.layout.asked + question + self.layout.answered

    def completion(self, answer: str, reasoning: str) -> str:
        """The answer, its tail and the end. Raises `MedslmError` for reasoning, `Unwritable` for an early tail."""
        if reasoning:
            raise MedslmError("reasoning has no place under plain headings; choose format 'think' for its corpus")
        if self._tail and self._tail.search(answer):
            raise Unwritable("tail in the answer", f"the answer holds the line {self.layout.tail.strip()!r}, its end")
        return self.lead + answer + self.layout.tail + self.end

    def reply(self, text: str) -> str:
        """A generated reply up to its tail or its end."""
        said = text.split(self.end)[0]
        return (self._tail.split(said)[0] if self._tail else said).strip(ENDS)

    @property
    def _tail(self) -> re.Pattern[str] | None:
        """The line that ends an answer; `### Endocrine` does not."""
        last = self.layout.tail.strip(ENDS)
        return re.compile(rf"^{re.escape(last)}[ \t\r]*$", re.MULTILINE) if last else None


def headings(layout: Layout, tokenizer: Any) -> Headings:
    """The layout for this tokenizer. Raises `MedslmError` if it has no token that ends a text."""
    if tokenizer.eos_token is None:
        raise MedslmError(
            "the tokenizer has no eos_token, so a model cannot learn where an answer ends; set one, or choose a base "
            "that has it"
        )
    return Headings(layout, _begin(tokenizer), str(tokenizer.eos_token))


def _begin(tokenizer: Any) -> str:
    """BOS if the tokenizer adds it; with a space where it takes the first word of a text for one behind a space."""
    alone: list[int] = tokenizer("word")["input_ids"]
    if tokenizer.bos_token is None or alone[:1] != [tokenizer.bos_token_id]:
        return ""
    candidates = [str(tokenizer.bos_token), f"{tokenizer.bos_token} "]
    written = [tokenizer(f"{begin}word", add_special_tokens=False)["input_ids"] for begin in candidates]
    return candidates[written.index(alone)] if alone in written else candidates[0]


INSTRUCT = Layout("### Instruction:\n", "\n\n### Response:\n", "\n\n### End")
QUESTION = Layout("### Question:\n", "\n\n### Response:\n")
TEXT = Layout("", "", prompted=False)
