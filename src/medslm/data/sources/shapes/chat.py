"""Conversations: one example for each reply, with what was said before; `messages`, ShareGPT, TRL's prompt and completion.

https://huggingface.co/docs/trl/dataset_formats
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from medslm.data.corpus import Skip
from medslm.data.sources.shapes.values import Unfit, scalar

Turn = tuple[str, str]
"""Who speaks (`system`, `user`, `assistant`), and the text."""

ROLES = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
}
TOOLS = ("tool_calls", "function_call", "tool_call_id")


def is_turns(value: Any) -> bool:
    """Whether a cell holds a list, as conversations are, and not text."""
    return isinstance(value, (list, tuple))


def turns(value: Any, column: str) -> list[Turn]:
    """Who said what. Raises `Unfit` for tool calls, pictures, unknown speakers and what is no list of turns."""
    if value is None:
        return []
    if not is_turns(value):
        raise Unfit(
            f"column {column} holds a value of type {type(value).__name__} and not a list of "
            "turns; a conversation needs JSON Lines or Parquet"
        )
    return [_turn(turn, f"turn {number} of {column}") for number, turn in enumerate(value, 1)]


def _turn(turn: Any, place: str) -> Turn:
    if not isinstance(turn, Mapping):
        raise Unfit(f"{place} is of type {type(turn).__name__}, not an object with role and content")
    who, what = ("role", "content") if "role" in turn else ("from", "value")
    if who not in turn or what not in turn:
        raise Unfit(
            f"{place} has neither role and content nor from and value; it has {', '.join(map(str, turn)) or 'nothing'}"
        )
    role = str(turn[who])
    if any(turn.get(name) for name in TOOLS) or role in ("tool", "function", "function_call", "observation"):
        raise Unfit(f"{place} calls a tool or holds its answer, which is not learnt here; leave such conversations out")
    if role not in ROLES:
        shown = f" '{role}'" if role.isidentifier() and len(role) <= 20 else ""
        raise Unfit(f"{place} has the unknown speaker{shown}; known: {', '.join(ROLES)}")
    return ROLES[role], _content(turn[what], place)


def _content(content: Any, place: str) -> str:
    if is_turns(content):  # parts, each with a type
        if any(not isinstance(part, Mapping) or part.get("type") != "text" for part in content):
            raise Unfit(f"{place} holds something besides text (a picture, a sound); only text is learnt here")
        return "".join(scalar(part.get("text"), place) for part in content)
    return scalar(content, place)


def replies(told: list[Turn], first: int = 0) -> Iterator[tuple[tuple[Turn, ...], str, str]]:
    """For each reply from turn `first` on: what was said before, the user's message, and the reply.

    A message after the last reply has no answer and teaches nothing. Raises `Skip` for a conversation without a reply, with
    an empty turn, or whose speakers do not alternate, beginning with the user: chat templates refuse those.
    """
    opening = [turn for turn in told[:1] if turn[0] == "system" and turn[1].strip()]
    rest = told[1:] if told and told[0][0] == "system" else told
    first -= len(told) - len(rest)
    if any(not text.strip() for _, text in rest):
        raise Skip("a turn is empty")
    if any(role == "system" for role, _ in rest):
        raise Skip("a system turn stands inside the conversation")
    if any(role != ("user", "assistant")[at % 2] for at, (role, _) in enumerate(rest)):
        raise Skip("the turns do not alternate between user and assistant, beginning with the user")
    answered = [at for at, (role, _) in enumerate(rest) if role == "assistant" and at >= first]
    if not answered:
        raise Skip("the conversation has no reply")
    for at in answered:
        yield (*opening, *rest[: at - 1]), rest[at - 1][1], rest[at][1]
