"""A format: the wording of a question, the writing of its answer and the reading of a model's reply."""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from medslm.data.example import Example
from medslm.registry import Registry

ENDS = " \t\r\n"  # white space that may be taken off; TOON leaves a value's no-break or line-separating spaces unquoted


@dataclass(frozen=True)
class Answer:
    """What was read out of a reply."""

    fields: Mapping[str, str]
    """Field to value; empty if nothing could be read."""

    repaired: bool = False
    """True if the reply was not valid as it stood and a lenient reader was used."""


@dataclass(frozen=True)
class Format:
    """The two directions of one way of writing structured answers; plain text answers are left as they are."""

    ask: Callable[[tuple[str, ...]], str]
    """Field names -> the sentence that asks for them."""

    write: Callable[[Mapping[str, str]], str]
    """Fields -> the text a model should answer."""

    read: Callable[[str, tuple[str, ...]], Answer]
    """Reply and field names -> the answer; never raises."""

    def question(self, instruction: str, text: str, options: tuple[str, ...], fields: tuple[str, ...]) -> str:
        """What the user says: the instruction, how to answer, the text, and the options under their letters."""
        head = f"{instruction} {self.ask(fields)}" if fields else instruction
        lines = [f"{letter}. {option}" for letter, option in zip(string.ascii_uppercase, options)]
        return "\n".join([head, "", text, *lines])

    def question_of(self, example: Example) -> str:
        """The user's side of an example."""
        if isinstance(example.output, str):
            return self.question(example.instruction, example.text, example.options, ())
        return self.question(example.instruction, example.text, (), tuple(example.output))

    def choices_of(self, example: Example) -> list[str]:
        """The rival answers of a multiple-choice item: letters, or the first field with each of its values."""
        if isinstance(example.output, str):
            return list(string.ascii_uppercase[: len(example.options)])
        first = next(iter(example.output))
        return [self.write({first: option}) for option in example.options]

    def key_of(self, example: Example) -> int:
        """The index of the right answer among `choices_of`."""
        if isinstance(example.output, str):
            return string.ascii_uppercase.index(example.output)
        return example.options.index(next(iter(example.output.values())))

    def answer_of(self, example: Example) -> str:
        """The model's side of an example, without white space at its ends (templates differ in keeping it)."""
        return (example.output if isinstance(example.output, str) else self.write(example.output)).strip(ENDS)


formats: Registry[Format] = Registry("format")
