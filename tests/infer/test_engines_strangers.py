"""Servers of other habits before the engine `openai`: a right answer, or a sentence, and never half of one as if whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infer.completing import BEST, CompletionServer, Fault, logprob
from medslm.errors import MedslmError
from medslm.infer.engine import Limits, Wanted
from medslm.infer.engines import client as room
from medslm.infer.engines.address import Address
from medslm.infer.engines.openai import NOBODY, Server
from medslm.models.base import Base

PATIENT = 'Frau Müller, born 3.4.1961, "chest pain" since Tuesday'
PROMPT = f"<|im_start|>user\n{PATIENT}<|im_end|>\n<|im_start|>assistant\n"
LIMITS = Limits(8)

Start = Callable[..., Server]
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def start(toy_base: Base, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Begins the engine before a server, with little patience; every one is closed behind the test."""
    monkeypatch.setattr(room, "FIRST", 0.01)
    begun: list[Server] = []

    def one(server: CompletionServer, adapter: Path | None = None, **told: Any) -> Server:
        address = Address(server.url, "m", **{"timeout": 5.0, "patience": 5.0, **told})
        begun.append(Server(Wanted(toy_base, "chat", adapter, rows=2), address))
        return begun[-1]

    yield one
    for engine in begun:
        engine.close()


def answer(usage: Any = None, **choice: Any) -> Fault:
    """A reply as some server gives it."""
    told = {"index": 0, "text": "a reply", "finish_reason": "stop", "logprobs": None, **choice}
    return Fault(
        answer={"id": "c", "object": "text_completion", "created": 0, "model": "m", "choices": [told], "usage": usage}
    )


def bare(**fields: Any) -> Fault:
    return Fault(answer={"id": "c", "object": "text_completion", "created": 0, "model": "m", **fields})


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (answer(finish_reason="abort"), "its reply is not whole: it ended the reply with 'abort'"),
        (answer(finish_reason="content_filter"), "it ended the reply with 'content_filter'"),
        (answer(text=None), "answers without a text"),
        (answer(text=None, message={"role": "assistant", "content": "hello"}), "answers without a text"),
        (bare(choices=[]), r"answers without a completion.*usually ends in /v1"),
        (bare(choices=[None]), "answers without a completion"),
        (bare(choices="many"), "answers without a completion"),
        (bare(choices={"a": 1}), "answers without a completion"),
        (bare(content="llama.cpp's own form, without /v1", stop=True), "answers without a completion"),
        (Fault(200, body=b"<html>Welcome</html>", headers={"Content-Type": "text/html"}), "without a completion"),
        (bare(error={"message": "model overloaded", "code": 429}), r"answers with an error \(model overloaded\)"),
    ],
)
def test_half_a_reply_is_asked_for_again_and_never_taken_for_a_whole_one(fault: Fault, said: str, start: Start) -> None:
    with CompletionServer() as server:
        server.faults = [fault]
        assert start(server).generate([PROMPT], LIMITS)[0].text == "a reply" and len(server.asked) == 2
        server.faults = [fault] * 50
        with pytest.raises(MedslmError, match=said):
            start(server, patience=0.2).generate([PROMPT], LIMITS)


@pytest.mark.parametrize("finish", ["stop", "eos_token", "stop_sequence"])
def test_a_reply_that_ended_of_itself_is_known_by_openai_s_word_and_by_tgi_s(finish: str, start: Start) -> None:
    with CompletionServer() as server:
        server.faults = [answer(finish_reason=finish)]
        assert start(server).generate([PROMPT], LIMITS)[0].ended


def test_a_reply_that_the_context_cut_is_told_from_one_that_reached_its_bound(start: Start, capsys: Captured) -> None:
    with CompletionServer() as server:
        engine = start(server)
        asked = len(engine.renderer.ids(PROMPT))
        server.faults = [answer({"prompt_tokens": asked, "completion_tokens": 8}, finish_reason="length")]
        (reply,) = engine.generate([PROMPT], LIMITS)
        assert reply.tokens == 8 and not reply.ended and not capsys.readouterr().err
        server.faults = [answer({"prompt_tokens": asked, "completion_tokens": 3}, finish_reason="length")] * 2
        assert not any(reply.ended for reply in engine.generate([PROMPT, PROMPT], LIMITS))
    (said,) = capsys.readouterr().err.splitlines()  # once
    assert f"{server.url} says that it cut a reply after 3 of 8 tokens" in said
    assert f"a prompt of {asked} leaves no more room" in said


def test_a_server_that_does_not_say_why_its_replies_end_is_taken_at_its_bound(start: Start, capsys: Captured) -> None:
    with CompletionServer() as server:
        server.faults = [answer(finish_reason=None)]
        assert not start(server).generate([PROMPT], LIMITS)[0].ended
    assert "does not say why its replies end" in capsys.readouterr().err


@pytest.mark.parametrize(
    "usage", [None, [1], {"prompt_tokens": "9", "completion_tokens": "3"}, {"completion_tokens": None}]
)
def test_a_count_that_is_none_is_no_count(usage: Any, start: Start) -> None:
    with CompletionServer() as server:
        server.faults = [answer(usage)]
        (reply,) = start(server).generate([PROMPT], LIMITS)
    assert (reply.text, reply.tokens) == ("a reply", None)


@pytest.mark.parametrize("more", [-20, 51])
@pytest.mark.parametrize("texts", [False, True])
def test_a_server_that_counts_another_prompt_than_it_was_sent_is_told_of_once(
    more: int, texts: bool, start: Start, capsys: Captured
) -> None:
    """Ollama writes its template around a text, and cuts what is longer than its context; others count otherwise."""
    with CompletionServer() as server:
        engine = start(server)
        asked = len(engine.renderer.ids(PROMPT))
        counted = answer({"prompt_tokens": asked + more, "completion_tokens": 3})
        server.faults = [*[Fault(400)] * texts, counted, counted]
        assert [reply.text for reply in engine.generate([PROMPT, PROMPT], LIMITS)] == ["a reply"] * 2
    (said,) = capsys.readouterr().err.splitlines()
    assert f"{server.url} says that it read {asked + more} tokens of a prompt of {asked}" in said


def test_before_a_server_of_texts_streams_it_is_looked_what_it_reads(start: Start, capsys: Captured) -> None:
    with CompletionServer("texts") as server:
        server.faults = [Fault(400), answer({"prompt_tokens": 999, "completion_tokens": 1})]
        assert "".join(start(server).stream(PROMPT, LIMITS)) == "areply"
    assert "says that it read 999 tokens" in capsys.readouterr().err
    with CompletionServer("texts") as server:
        assert "".join(start(server).stream(PROMPT, LIMITS)) == "areply"


def test_a_server_that_gives_one_model_any_name_cannot_tell_base_from_adapter(start: Start, tmp_path: Path) -> None:
    """llama.cpp's, over one file: both sides would be the same model, and the comparison a false `no difference`."""
    with (
        CompletionServer(any_name=True, names=("m",)) as server,
        pytest.raises(MedslmError, match=r"answers under any name, so that 'm' and 'plain' are one model there \(m\)"),
        start(server, tmp_path, base="plain").without_adapter(),
    ):
        pass
    assert [body["model"] for body in server.asked] == [NOBODY] and PATIENT not in str(server.asked)


@pytest.mark.parametrize("names", [(), ("m", "plain")])
def test_a_server_that_may_know_both_names_is_asked_and_told_of(
    names: tuple[str, ...], start: Start, tmp_path: Path, capsys: Captured
) -> None:
    with CompletionServer(any_name=True, names=names) as server:
        engine = start(server, tmp_path, base="plain")
        for _ in range(2):
            with engine.without_adapter():
                engine.generate([PROMPT], LIMITS)
    assert [body["model"] for body in server.asked] == [NOBODY, "plain", "plain"]
    (said,) = capsys.readouterr().err.splitlines()
    assert f"{server.url} answers under any name, so that 'm' and 'plain' may be one model there" in said


def test_a_name_that_nobody_has_is_tried_once_and_a_server_that_breaks_over_it_has_heeded_it(
    start: Start, tmp_path: Path
) -> None:
    with CompletionServer(any_name=True) as server:
        server.faults = [Fault(500)] * room.FEW
        engine = start(server, tmp_path, base="plain", patience=300.0)
        for _ in range(2):
            with engine.without_adapter():
                engine.generate([PROMPT], LIMITS)
    assert [body["model"] for body in server.asked] == [NOBODY] * room.FEW + ["plain"] * 2


def events(*parts: bytes) -> Fault:
    return Fault(200, b"".join(b"data: " + part + b"\r\n\r\n" for part in parts), {"Content-Type": "text/event-stream"})


def part(**choice: Any) -> bytes:
    return json.dumps({"id": "c", "choices": [choice]}, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (b'{"id": "c", ', "a part of it is no completion"),
        (b"null", "a part of it is no completion"),
        (b'"hello"', "a part of it is no completion"),
        (b'{"choices": [null]}', "a part of it is no completion"),
        (b'{"choices": [{"text": "\xe9"}]}', "a part of it is no completion"),
        (b'{"error": {"message": "out of memory"}}', "out of memory"),
        (part(delta={"content": "hello"}), "a part holds no text"),
        (part(text="", finish_reason="abort"), "it ended the reply with 'abort'"),
    ],
)
def test_a_stream_with_a_part_that_is_none_breaks_off_in_a_sentence(broken: bytes, said: str, start: Start) -> None:
    with CompletionServer() as server:
        server.faults = [events(part(text="Fie"), broken)]
        parts = start(server).stream(PROMPT, LIMITS)
        assert next(parts) == "Fie"
        with pytest.raises(MedslmError, match=rf"broke off.*{said}"):
            list(parts)


def test_comments_that_keep_a_stream_alive_are_no_part_of_it(start: Start) -> None:
    told = [b": PROCESSING\r\n\r\n", b"data: " + part(text="Fièvre \u65e5") + b"\r\n\r\n", b":\r\n\r\n"]
    told += [b"data: " + part(text=None, finish_reason="length") + b"\r\n\r\n"]  # and no [DONE]
    with CompletionServer() as server:
        server.faults = [Fault(200, b"".join(told), {"Content-Type": "text/event-stream"})]
        assert list(start(server).stream(PROMPT, LIMITS)) == ["Fièvre \u65e5"]


def echo(tokens: int, **told: Any) -> Fault:
    each = [None, *[logprob(BEST)] * tokens]
    return answer(logprobs={"token_logprobs": each, "top_logprobs": [None, *[{"x": logprob(BEST)}] * tokens], **told})


@pytest.mark.parametrize(
    "told",
    [
        {"token_logprobs": ["likely"] * 200},
        {"token_logprobs": [float("nan")] * 200},
        {"token_logprobs": [0.5] * 200},
        {"top_logprobs": [{"x": None}] * 200},
        {"top_logprobs": None},
    ],
)
def test_what_is_no_log_probability_is_not_counted_as_one(told: dict[str, Any], start: Start) -> None:
    with CompletionServer() as server:
        engine = start(server)
        whole = len(engine.renderer.ids(PROMPT + "A"))
        server.faults = [echo(whole, **{name: of and of[: whole + 1] for name, of in told.items()}), answer()]
        with pytest.raises(MedslmError, match="does not tell how likely a given text is"):
            engine.loglikelihoods([(PROMPT, "A")])


@pytest.mark.parametrize("logprobs", [[1, 2], "none", {"token_logprobs": 7}])
def test_log_probabilities_of_another_form_are_found_out(logprobs: Any, start: Start) -> None:
    with CompletionServer() as server:
        server.faults = [answer(logprobs=logprobs), answer(logprobs=logprobs)]
        with pytest.raises(MedslmError, match="does not tell how likely a given text is"):
            start(server).loglikelihoods([(PROMPT, "A")])


def test_an_echo_of_more_tokens_than_were_sent_is_not_read_one_place_off(start: Start) -> None:
    """As from a server that puts its BOS before the tokens."""
    with CompletionServer() as server:
        engine = start(server)
        server.faults = [echo(len(engine.renderer.ids(PROMPT + "A")) + 1), answer()]
        with pytest.raises(MedslmError, match="does not tell how likely a given text is"):
            engine.loglikelihoods([(PROMPT, "A")])


@pytest.mark.parametrize("habits", ["vllm", "llama.cpp"])
def test_a_server_that_leaves_out_a_later_likelihood_is_told_in_a_sentence(habits: Any, start: Start) -> None:
    with CompletionServer(habits) as server:
        engine = start(server)
        engine.loglikelihoods([(PROMPT, "A")])
        server.faults = [answer()] * 9
        with pytest.raises(MedslmError, match="has told how likely a text is, and does not tell it of another one"):
            engine.loglikelihoods([(PROMPT, "B")])


def test_why_a_likelihood_is_refused_is_said_in_the_server_s_words(start: Start) -> None:
    with CompletionServer() as server:
        server.faults = [Fault(400, body=b'{"error": {"message": "maximum context length is 512 tokens"}}')] * 2
        with pytest.raises(MedslmError, match=r"does not tell how likely .*maximum context length is 512 tokens"):
            start(server).loglikelihoods([(PROMPT, "A")])


def test_where_text_and_tokens_are_refused_for_two_reasons_both_are_said(start: Start) -> None:
    refusals = [b"prompt: expected a string", b'{"error": "`top_p` must be below 1", "error_type": "validation"}']
    with CompletionServer() as server:
        server.faults = [Fault(422, body=one) for one in refusals]
        with pytest.raises(MedslmError, match=r"expected a string; and without tokens .*`top_p` must be below 1"):
            start(server).generate([PROMPT], LIMITS)


@pytest.mark.parametrize("form", ["text", "tokens", "python"])
def test_a_patient_s_text_that_the_server_repeats_is_not_shown(form: str, start: Start) -> None:
    with CompletionServer() as server:
        engine = start(server)
        ids = engine.renderer.ids(PROMPT)
        said = {"text": PROMPT, "tokens": str(ids), "python": f"cannot read {PROMPT!r}"}[form]
        detail = [{"loc": ["body", "prompt"], "msg": f"no room for {said}", "input": PROMPT}]
        server.faults = [Fault(422, body=json.dumps({"detail": detail}).encode())] * 2
        with pytest.raises(MedslmError, match=r"body\.prompt: no room for .*<what was sent>") as told:
            engine.generate([PROMPT], LIMITS)
    for secret in ("Müller", "M\\u00fcller", "1961", "chest", ", ".join(map(str, ids[:6]))):
        assert secret not in str(told.value)
