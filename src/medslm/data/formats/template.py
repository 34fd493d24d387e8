"""A base's own chat template, asked once how it writes a turn, so that an answer can be written behind any prompt.

The template is given a question with an answer and without it. What it puts behind the prompt, around the answer, is
kept and must not depend on the answer: a prompt for generation is then a prefix of every conversation learnt. Templates
that think get `enable_thinking=False` where an example has no reasoning (Qwen3 then writes an empty thought into the
prompt), and `True` where it has one. Today's date, which some templates insert, is always the same day.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import jinja2

from medslm.data.formats.layout import Turns
from medslm.data.formats.notation import ENDS
from medslm.data.formats.refusal import Unwritable
from medslm.errors import MedslmError

TODAY = date(2024, 7, 26)  # what Llama 3.1's template writes where it cannot ask for the date
REPLY, THOUGHT, SYSTEM = "zqreplyqz", "zqthoughtqz", "zqsystemqz"  # stand for texts, and occur in no template
QUESTION = {"role": "user", "content": "question"}
NOW = re.compile(r"""strftime_now\(\s*(["'])([^"']*)\1\s*\)""")


def source(tokenizer: Any) -> str:
    """The tokenizer's template, with a day of our own where it asks for today's date (Llama 3, gpt-oss, SmolLM3).

    Raises `MedslmError` if the date cannot be pinned.
    """
    pinned = NOW.sub(lambda call: json.dumps(TODAY.strftime(call[2])), tokenizer.get_chat_template())
    if "strftime_now(" in pinned:
        raise MedslmError(
            "the chat template writes today's date in a form that is computed, so prompts would change from day to "
            'day; write the form into the template, as in strftime_now("%d %b %Y")'
        )
    return pinned


def render(tokenizer: Any, template: str, messages: list[dict[str, str]], prompt: bool, thinking: bool = False) -> str:
    """What the template writes; with `prompt`, up to where the assistant begins."""
    text: str = tokenizer.apply_chat_template(
        messages, chat_template=template, tokenize=False, add_generation_prompt=prompt, enable_thinking=thinking
    )
    return text


@dataclass(frozen=True)
class Template:
    """How one tokenizer's chat template writes a turn of the assistant."""

    tokenizer: Any
    source: str
    """The template, which writes the same date every day."""

    lead: str
    """Between the prompt and an answer without reasoning; empty for most (gpt-oss: `<|channel|>final<|message|>`)."""

    thought: tuple[str, str] | None
    """Between the prompt and the reasoning, and between it and the answer; none if the template writes no reasoning."""

    end: str
    """The special token behind an answer."""

    system: bool
    """Whether it writes a system's turn; if not, its text is put before the first question, with a blank line."""

    def prompt(self, turns: Turns, question: str, thinking: bool) -> str:
        """The text up to where the answer begins. Raises `Unwritable` for turns that the template refuses."""
        messages = [{"role": role, "content": text.strip(ENDS)} for role, text in turns]
        messages.append({"role": "user", "content": question})
        try:
            return render(
                self.tokenizer, self.source, self._spoken(messages), True, thinking and self.thought is not None
            )
        except jinja2.TemplateError as error:
            raise Unwritable("turns that the template refuses", f"the chat template says: {error}") from error

    def _spoken(self, messages: list[dict[str, str]]) -> list[dict[str, str]]:
        """The messages as the template takes them."""
        said = "\n\n".join(message["content"] for message in messages if message["role"] == "system")
        if self.system or not said:
            return messages
        first, *others = [message for message in messages if message["role"] != "system"]
        return [{**first, "content": f"{said}\n\n{first['content']}"}, *others]

    def completion(self, answer: str, reasoning: str) -> str:
        """Reasoning, answer and end of turn. Raises `MedslmError` for reasoning that the template has no place for."""
        if self.thought and self.thought[1].strip() in reasoning + answer:
            raise Unwritable("end of thought in the text", f"reasoning or answer hold {self.thought[1].strip()!r}")
        if not reasoning:
            return self.lead + answer + self.end
        if self.thought is None:
            raise MedslmError(
                "the base's chat template has no place for reasoning; choose format 'think' for its corpus, or a base "
                "that thinks"
            )
        opened, closed = self.thought
        return opened + reasoning.strip(ENDS) + closed + answer + self.end

    def reply(self, text: str) -> str:
        """A generated reply, decoded with its special tokens, without its thoughts and from its lead to its end."""
        said = text.split(self.end)[0]
        for mark in (self.thought[1] if self.thought else "", self.lead):
            said = said.rpartition(mark.strip())[2] if mark.strip() else said
        return said.strip(ENDS)


def of(tokenizer: Any, apart: bool = True) -> Template:
    """The template of this tokenizer; its own place for reasoning is used only if that is written `apart` from answers.

    Raises `MedslmError` if there is none, or it cannot be learnt from."""
    if not tokenizer.chat_template:
        raise MedslmError(
            "the base model's tokenizer has no chat template, so nobody can tell where a turn ends; choose an "
            "instruction-tuned base or format 'instruct' or 'question', or save a chat_template.jinja beside its "
            "tokenizer"
        )
    template = source(tokenizer)
    prompt = render(tokenizer, template, [QUESTION], prompt=True)
    whole = render(tokenizer, template, [QUESTION, {"role": "assistant", "content": REPLY}], prompt=False)
    if not whole.startswith(prompt) or REPLY not in whole[len(prompt) :]:
        raise MedslmError(
            "the chat template writes a prompt otherwise before a reply than with it, so training and use would "
            "differ; use a template whose generation prompt is a prefix of the whole conversation"
        )
    lead, _, tail = whole[len(prompt) :].partition(REPLY)
    end = _end(tokenizer, tail.lstrip())
    thought = _thought(tokenizer, template, end) if apart else None
    return Template(tokenizer, template, lead, thought, end, _writes_system(tokenizer, template))


def _end(tokenizer: Any, tail: str) -> str:
    """The special token that the template puts behind a reply."""
    ends: list[str] = [token for token in tokenizer.get_added_vocab() if tail.startswith(token)]
    if not ends:
        raise MedslmError(
            f"the chat template ends a reply with {tail[:20]!r} and not with a special token, so a model cannot "
            "learn to stop; use a template that ends each turn with one"
        )
    return max(ends, key=len)


def _thought(tokenizer: Any, template: str, end: str) -> tuple[str, str] | None:
    """What the template writes before and behind reasoning, if it keeps any."""
    prompt = render(tokenizer, template, [QUESTION], prompt=True, thinking=True)
    for message in _thinking(template):
        whole = render(tokenizer, template, [QUESTION, message], prompt=False, thinking=True)
        opened, thought, rest = whole[len(prompt) :].partition(THOUGHT)
        closed, reply, tail = rest.partition(REPLY)
        if whole.startswith(prompt) and thought and closed.strip() and reply and tail.lstrip().startswith(end):
            return opened, closed
    return None


def _thinking(template: str) -> Iterator[dict[str, str]]:
    """A reply with reasoning, in the fields that templates read it from, then in the text of those that read none."""
    reply = {"role": "assistant", "content": REPLY}
    yield {**reply, "reasoning_content": THOUGHT, "thinking": THOUGHT}  # Qwen3; gpt-oss
    if "<think>" in template:
        yield {**reply, "content": f"<think>\n{THOUGHT}\n</think>\n\n{REPLY}"}  # SmolLM3


def _writes_system(tokenizer: Any, template: str) -> bool:
    try:
        return SYSTEM in render(tokenizer, template, [{"role": "system", "content": SYSTEM}, QUESTION], prompt=True)
    except jinja2.TemplateError:
        return False
