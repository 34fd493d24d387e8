"""One question to the judge, and its answer as it is kept; how a server is asked is `infer/engines/client.py`'s."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from medslm.infer.engines.client import FEW, Client, Passing

NO_CHOICES = "no choices"
BROKEN = (NO_CHOICES, "abort", "error")
"""Ends of an answer that broke off in the server: asked again, and kept if they stay."""

Messages = Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class Answer:
    """What came back, as it is kept."""

    text: str
    finish: str
    """Why the text ends, as the server says: `stop`, `length`, `content_filter`, or `no choices`."""

    model: str
    """As the server calls itself, a path without its folders."""

    fingerprint: str | None
    tokens_in: int | None
    """None where the server does not count."""

    tokens_out: int | None
    seconds: float
    """From sending to answer, the last attempt only."""

    def as_json(self) -> dict[str, Any]:
        """One kept value."""
        return asdict(self)


def ask(client: Client, messages: Messages, parameters: Mapping[str, Any]) -> Answer:
    """The answer to one question; raises as `Client.ask`."""
    broken = 0

    def send(openai: Any) -> Answer:
        nonlocal broken
        started = time.monotonic()
        told = openai.chat.completions.create(model=client.endpoint.model, messages=list(messages), **parameters)
        client.require_no_error(told, lambda: [message["content"] for message in messages])
        answer = _answer(told, time.monotonic() - started)
        broken += answer.finish in BROKEN
        if answer.finish in BROKEN and broken < FEW:
            raise Passing(f"it answers, and breaks off ({answer.finish})")
        return answer

    return client.ask(send)


def _answer(told: Any, seconds: float) -> Answer:
    """Raises AttributeError or TypeError if `told` is no chat completion."""
    text, finish = "", NO_CHOICES
    if told.choices:
        text, finish = _text(told.choices[0].message.content), str(told.choices[0].finish_reason or "stop")
    usage, model = told.usage, _writable(str(told.model or ""))
    # llama.cpp's is the path of a file, which tells of a machine
    if model.startswith(("/", ".", "~")) or "\\" in model:
        model = model.replace("\\", "/").rpartition("/")[2]
    tokens = (usage.prompt_tokens, usage.completion_tokens) if usage else (None, None)
    tokens_in, tokens_out = (_count(count) for count in tokens)
    fingerprint = told.system_fingerprint and _writable(str(told.system_fingerprint))
    return Answer(text, _writable(finish), model, fingerprint, tokens_in, tokens_out, round(seconds, 3))


def _count(told: Any) -> int | None:
    """Tokens, which a server may write as text; none for anything else."""
    return int(told) if isinstance(told, int) or (isinstance(told, str) and told.isdecimal()) else None


def _text(content: Any) -> str:
    """What a message says: a text, nothing, or parts of which those of text count. Raises TypeError for anything else."""
    if content is None:
        return ""
    if isinstance(content, list):
        parts = [part.get("text", "") if isinstance(part, Mapping) else part.text for part in content]
        return _text("".join(parts))
    if not isinstance(content, str):
        raise TypeError("the content of a message is no text")
    return _writable(content)


def _writable(text: str) -> str:
    """Without halves of surrogate pairs, which no file takes."""
    return text.encode("utf-8", errors="replace").decode("utf-8")
