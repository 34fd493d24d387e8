"""What a server says of trouble, as one line: without markup, and without the text that it was sent."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

LONGEST = 300
READ = 2000  # characters, of a page of any length
SHARED = 16  # characters in a row which an error and a prompt do not share by chance
SENT = "<what was sent>"
MARKUP = re.compile(r"<(script|style|head)\b.*?</\1\s*>|<[a-z!/][^<>]*>", re.DOTALL | re.IGNORECASE)


def of_error(error: Any, safe: Callable[[str], str], asked: Sequence[str]) -> str:
    """The words of an `openai.APIStatusError`, without what the request held and `asked`; `safe` takes keys out."""
    try:
        told: Any = json.loads(error.response.content)
    except ValueError:
        told = MARKUP.sub(" ", str(error.response.text)[: 10 * READ])
    return line(safe(_told(told) or str(error.response.reason_phrase)), [*sent(error.request), *asked]) or "no more"


def of_field(error: Any, asked: Sequence[str], safe: Callable[[str], str]) -> str:
    """The words of an error that came under a status of 200."""
    return line(safe(_told({"error": error}) or str(error)), asked)


def line(told: str, asked: Sequence[str]) -> str:
    """What is said, without what was asked: servers repeat prompts in their errors, and errors are printed and kept."""
    left = " ".join("".join(c if c.isprintable() else " " for c in told).split())[:READ]
    forms = [" ".join(form.split()) for text in asked for form in _forms(text)]
    kept: list[str] = []
    place = 0
    while place < len(left):
        end = place + SHARED
        if end > len(left) or not (holding := [form for form in forms if left[place:end] in form]):
            kept.append(left[place])
            place += 1
            continue
        while end < len(left) and any(left[place : end + 1] in form for form in holding):
            end += 1
        if kept[-1:] != [SENT]:
            kept.append(SENT)
        place = end
    return "".join(kept).encode("utf-8", errors="replace").decode("utf-8")[:LONGEST]


def sent(request: Any) -> Iterator[str]:
    """What a request asked about: its prompt, as text or tokens, or its messages."""
    try:
        body = json.loads(request.content)
    except ValueError:
        return
    prompt = body.get("prompt")
    if isinstance(prompt, list):
        yield from of_tokens(prompt)
    elif prompt:
        yield str(prompt)
    for message in body.get("messages") or []:
        yield str(message["content"])


def of_tokens(tokens: Sequence[int]) -> tuple[str, str]:
    """Tokens as errors write them."""
    return ", ".join(map(str, tokens)), ",".join(map(str, tokens))


def _forms(text: str) -> tuple[str, ...]:
    """A text as it is, and as it stands within the JSON or the Python of an error."""
    quoted = (json.dumps(text), json.dumps(text, ensure_ascii=False), repr(text))
    return tuple(dict.fromkeys((text, *(form[1:-1] for form in quoted))))


def _told(body: Any) -> str:
    """OpenAI's `error.message`, FastAPI's `detail`, an `error` or a page that is a text; empty for anything else."""
    if isinstance(body, str):
        return body
    if isinstance(body, list):  # FastAPI's: each entry has a place and a message, and holds what was sent as well
        return "; ".join(filter(None, map(_told, body)))
    if not isinstance(body, Mapping):
        return ""
    found = next(filter(None, (_told(body.get(name)) for name in ("error", "message", "detail", "msg"))), "")
    place = body.get("loc")
    return f"{'.'.join(map(str, place))}: {found}" if found and isinstance(place, list) else found
