"""A format: the wording of a question, the notation of named parts and the layout around a turn."""

from __future__ import annotations

import re
import string
from dataclasses import dataclass, replace
from typing import Any

from medslm.data.example import Example, Structure
from medslm.data.formats.layout import Layout
from medslm.data.formats.notation import ENDS, Answer, Cost, Notation, fields_of, name_of
from medslm.data.formats.refusal import Unwritable
from medslm.registry import Registry

THINKING = "Think first, between <think> and </think>, then answer between <response> and </response>."
THOUGHTS = re.compile(r"<think>\n(?P<reasoning>.*?)\n</think>\n<response>\n(?P<response>.*)\n</response>", re.DOTALL)


@dataclass(frozen=True)
class Format:
    """One way of writing examples; plain text answers are left as they are."""

    notation: Notation
    """How named parts are written and read."""

    layout: Layout | None = None
    """What stands around a turn; none: the model's own chat template."""

    thinks: bool = False
    """True if reasoning is written and asked for in the text itself, in `<think>` and `<response>`."""

    def ask(self, fields: tuple[str, ...]) -> str:
        """The sentence that asks for these fields, as `fields_of` names them."""
        return self.notation.ask(fields)

    def write(self, fields: Structure) -> str:
        """Named parts as the text a model should answer."""
        return self.notation.write(fields)

    def read(self, reply: str, fields: tuple[str, ...]) -> Answer:
        """What a reply, cleaned by `Renderer.reply`, says of these fields; never raises."""
        if not self.thinks:
            return self.notation.read(reply, fields)
        reasoning, response, whole = thoughts(reply)
        told = self.notation.read(response, fields)
        return replace(told, reasoning=reasoning, repaired=told.repaired or not whole)

    def question(self, instruction: str, text: str, options: tuple[str, ...], fields: tuple[str, ...]) -> str:
        """What the user says: the instruction, how to answer, the text, and the options under their letters."""
        asked = [instruction, self.ask(fields) if fields else "", THINKING if self.thinks else ""]
        head = " ".join(filter(None, asked))
        lines = [f"{letter}. {option}" for letter, option in zip(string.ascii_uppercase, options)]
        return "\n\n".join(filter(None, [head, "\n".join(filter(None, [text, *lines]))]))

    def question_of(self, example: Example, cost: Cost = len) -> str:
        """The user's side of an example; `cost` counts a text's tokens, or its characters where no tokenizer is known."""
        shown = example.options if isinstance(example.output, str) else ()
        given = self.input_of(example.input, cost)
        return self.question(example.instruction, given, shown, fields_of(example.output))

    def input_of(self, given: str | Structure, cost: Cost = len) -> str:
        """An input as text: text as it is, named parts one after the other with a blank line between.

        A part that is text is never encoded. It stands behind its name if it is one line, else under it, and under it
        too if it begins like JSON. A list or a mapping is written in the notation.
        """
        if isinstance(given, str):
            return given
        return "\n\n".join(self._part(name, value, cost) for name, value in given.items())

    def _part(self, name: str, value: Any, cost: Cost) -> str:
        if not isinstance(value, str):
            return self.notation.part(name, value, cost)
        text = value.strip(ENDS)
        alone = "\n" in text or text.startswith(("[", "{"))
        return f"{name}:\n{text}" if alone else f"{name}: {text}".rstrip(ENDS)

    def choices_of(self, example: Example) -> list[str]:
        """The rival answers of a multiple-choice item: letters, or the first field with each of its values.

        Where an answer stands behind thoughts, these are empty, so that the rivals differ in the choice alone.
        """
        if isinstance(example.output, str):
            rivals = list(string.ascii_uppercase[: len(example.options)])
        else:
            first = next(iter(example.output))
            rivals = [self.write({first: option}).removesuffix(self.notation.close) for option in example.options]
        return [self._thought("") + rival for rival in rivals]

    def key_of(self, example: Example) -> int:
        """The index of the right answer among `choices_of`."""
        if isinstance(example.output, str):
            return string.ascii_uppercase.index(example.output)
        return example.options.index(next(iter(example.output.values())))

    def answer_of(self, example: Example) -> str:
        """The model's side of an example, without white space at its ends (templates differ in keeping it).

        Raises `Unwritable` for reasoning that holds its own end.
        """
        output = example.output
        answer = (output if isinstance(output, str) else self.write(output)).strip(ENDS)
        if not self.thinks:
            return answer
        if "</think>" in example.reasoning:
            raise Unwritable("end of thought in the text", "the reasoning holds '</think>', its own end")
        return f"{self._thought(example.reasoning.strip(ENDS))}{answer}\n</response>"

    def _thought(self, reasoning: str) -> str:
        """What stands before an answer; no reasoning is an empty thought, as in Qwen3's template."""
        return f"<think>\n{reasoning}\n</think>\n<response>\n" if self.thinks else ""

    def document_of(self, example: Example, cost: Cost = len) -> str:
        """All of an example as one text with blank lines between its parts, for a layout that asks nothing."""
        before = [text.strip(ENDS) for _, text in example.turns]
        question = self.question(example.instruction, self.input_of(example.input, cost), example.options, ())
        parts = [*before, question.strip(ENDS), example.reasoning.strip(ENDS), self.answer_of(example)]
        return "\n\n".join(filter(None, parts))


def thoughts(reply: str) -> tuple[str, str, bool]:
    """Reasoning and response of a reply in the `think` format, and whether all four tags stand where they belong.

    A reply without `<response>` has none unless its thoughts are closed or it has none of the tags: what was never
    marked as an answer is not taken for one.
    """
    text = reply.strip(ENDS)
    if whole := THOUGHTS.fullmatch(text):
        return whole["reasoning"].strip(ENDS), whole["response"].strip(ENDS), True
    before, opened, response = text.partition("<response>")
    if not opened:
        before, closed, response = text.partition("</think>")
        if not closed:
            before, response = (text, "") if "<think>" in text else ("", text)
    reasoning = before.partition("</think>")[0].replace("<think>", "", 1)
    inside, closed, _ = response.rpartition("</response>")
    response = inside if closed else response
    return reasoning.strip(ENDS), response.strip(ENDS), False


formats: Registry[Format] = Registry("format")

__all__ = ["Answer", "Format", "fields_of", "formats", "name_of", "thoughts"]
