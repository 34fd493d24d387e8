"""What a server says of trouble, in whatever form: one line, without markup and without what it was sent."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from medslm.infer.engines import words

SENT = "The patient, called Zoë,\nhas had a fever since Tuesday."


def said(body: Any, asked: dict[str, Any] | None = None, reason: str = "Bad Gateway") -> str:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = SimpleNamespace(content=content, text=content.decode(errors="replace"), reason_phrase=reason)
    request = SimpleNamespace(content=json.dumps(asked or {"prompt": SENT}).encode())
    error = SimpleNamespace(response=response, request=request)
    return words.of_error(error, lambda text: text.replace("sk-1", "<key>"), [])


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ({"error": {"message": "no room", "code": 400}}, "no room"),
        ({"object": "error", "message": "no room"}, "no room"),
        ({"error": "no room", "error_type": "validation"}, "no room"),
        ({"detail": "no room"}, "no room"),
        ({"detail": [{"loc": ["body", "seed"], "msg": "extra"}, {"msg": "more"}]}, "body.seed: extra; more"),
        (
            b"<html><head><title>x</title></head>\n<body><h1>502 Bad Gateway</h1>\n<hr>nginx</body></html>",
            "502 Bad Gateway nginx",
        ),
        (b"upstream\nis \x1b[31mdown", "upstream is [31mdown"),
        (b"", "Bad Gateway"),
        ({"error": {"code": 500}}, "Bad Gateway"),
        ({"error": "the key sk-1 is unknown"}, "the key <key> is unknown"),
    ],
)
def test_every_form_of_an_error_is_one_line(body: Any, line: str) -> None:
    assert said(body) == line


@pytest.mark.parametrize("form", [SENT, json.dumps(SENT), json.dumps(SENT, ensure_ascii=False), repr(SENT), SENT[4:40]])
def test_what_was_sent_is_left_out_however_it_is_written(form: str) -> None:
    told = said({"error": f"cannot read {form} here"})
    assert told.startswith("cannot read") and words.SENT in told and told.endswith("here")
    for secret in ("Zo", "patient", "fever", "Tuesday"):
        assert secret not in said({"error": f"cannot read {form}"})


def test_tokens_and_messages_are_left_out_too() -> None:
    ids = list(range(1000, 1040))
    told = said({"error": f"bad: {ids} or {json.dumps(ids, separators=(',', ':'))}"}, {"prompt": ids})
    assert "1002" not in told and told.startswith("bad: [<what was sent>] or")
    assert said({"error": f"bad: {SENT}"}, {"messages": [{"role": "user", "content": SENT}]}) == "bad: <what was sent>"


def test_words_that_a_prompt_and_an_error_share_by_chance_stay() -> None:
    assert said({"error": "the prompt is too long"}, {"prompt": "Is the prompt long?"}) == "the prompt is too long"


def test_a_page_of_any_length_is_cut() -> None:
    assert len(said(b"<p>" + b"word " * 10**6)) == words.LONGEST
