"""An exam question to be thought about in writing first: one wording for the exam and for lessons with explanations."""

from __future__ import annotations

from dataclasses import replace

from medslm.data.example import Example

FIRST = "Think step by step in a few sentences first, and end with a line that says Answer: and the letter."


def question(item: Example) -> Example:
    """The item with the request to think before the answer."""
    return replace(item, instruction=f"{item.instruction} {FIRST}")


def lesson(item: Example) -> Example:
    """The item with its reasoning as the beginning of a plain answer, which ends as `question` asks."""
    answer = f"{item.reasoning.strip()}\n\nAnswer: {item.answer}"
    return replace(question(item), output=answer, reasoning="")
