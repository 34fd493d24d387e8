"""The engine `openai` against a scripted server: what is sent, what is made of the answers, and what is said of trouble."""

from __future__ import annotations

import math
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from infer.completing import BEST, CompletionServer, Fault, Habits, logprob
from medslm.errors import MedslmError
from medslm.infer.engine import Limits, Wanted
from medslm.infer.engines import address
from medslm.infer.engines.address import Address
from medslm.infer.engines.openai import Server
from medslm.models.base import Base

PROMPT = "<|im_start|>user\nfever?<|im_end|>\n<|im_start|>assistant\n"
KEY = "sk-not-to-be-seen"
LIMITS = Limits(8)


STARTED: list[Server] = []


@pytest.fixture(autouse=True)
def closing() -> Iterator[None]:
    """Every engine of a test is closed behind it."""
    yield
    while STARTED:
        STARTED.pop().close()


def engine(server: CompletionServer, served: Base, adapter: Path | None = None, **options: object) -> Server:
    told = {"url": server.url, "model": "m", "key": KEY, "timeout": 5.0, "patience": 0.0, **options}
    STARTED.append(Server(Wanted(served, "chat", adapter, rows=4), Address(**told)))  # type: ignore[arg-type]
    return STARTED[-1]


def test_the_server_gets_the_tokens_of_our_own_prompt_and_no_setting_is_left_to_it(toy_base: Base) -> None:
    with CompletionServer(says="a reply<|im_end|>") as server:
        asked = engine(server, toy_base)
        (reply,) = asked.generate([PROMPT], LIMITS)
    (sent,) = server.asked
    assert sent["prompt"] == asked.renderer.ids(PROMPT)
    assert (sent["max_tokens"], sent["temperature"], sent["top_p"], sent["top_k"]) == (8, 0, 1, 0)
    assert sent["stop"] == ["<|im_end|>"] and sent["repetition_penalty"] == sent["repeat_penalty"] == 1
    assert sent["stop_token_ids"] == asked.renderer.ids("<|im_end|>")
    assert (reply.text, reply.tokens, reply.ended) == ("a reply", 3, True)
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    assert asked.about.versions["server"] == "fp-1" and KEY not in repr(asked.about) + repr(asked.address)


def test_replies_come_in_the_order_of_the_prompts(toy_base: Base) -> None:
    with CompletionServer() as server:
        server.says = "first"
        replies = engine(server, toy_base).generate([PROMPT] * 5, LIMITS)
    assert [reply.text for reply in replies] == ["first"] * 5 and len(server.asked) == 5


def test_a_server_that_takes_texts_only_is_asked_so_after_one_refusal(toy_base: Base) -> None:
    with CompletionServer("texts") as server:
        asked = engine(server, toy_base)
        assert [reply.text for reply in asked.generate([PROMPT, PROMPT], LIMITS)] == ["a reply"] * 2
    assert [isinstance(body["prompt"], str) for body in server.asked] == [False, True, True]
    assert server.asked[1]["prompt"] == PROMPT and "top_k" not in server.asked[1]


def test_a_text_from_which_the_server_would_read_other_tokens_is_not_sent(
    toy_base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    with CompletionServer("texts") as server:
        asked = engine(server, toy_base)
        monkeypatch.setattr(asked.renderer, "ids", lambda text: [1, 2, 3])
        with pytest.raises(MedslmError, match="from the text it would read other tokens"):
            asked.generate([PROMPT], LIMITS)
    assert all(body["prompt"] == [1, 2, 3] for body in server.asked)


def test_a_reply_is_streamed_in_its_parts(toy_base: Base) -> None:
    with CompletionServer(says="a longer reply") as server:
        assert list(engine(server, toy_base).stream(PROMPT, LIMITS)) == ["a", "longer", "reply"]


def test_a_stream_that_breaks_off_is_no_reply(toy_base: Base) -> None:
    with (
        CompletionServer(breaks=True) as server,
        pytest.raises(MedslmError, match="broke off: it does not say why it ends"),
    ):
        list(engine(server, toy_base).stream(PROMPT, LIMITS))


@pytest.mark.parametrize("habits", ["vllm", "llama.cpp"])
def test_log_likelihoods_are_sums_over_the_tokens_of_the_continuation(habits: Habits, toy_base: Base) -> None:
    with CompletionServer(habits) as server:
        asked = engine(server, toy_base)
        best = asked.renderer._tokenizer.decode([BEST])  # type: ignore[attr-defined]
        (one, greedy), (two, other) = asked.loglikelihoods([(PROMPT, best), (PROMPT, best + "#")])
        (last,) = asked.renderer.ids("#")
    assert one == pytest.approx(logprob(BEST)) and greedy
    assert two == pytest.approx(logprob(BEST) + logprob(last)) and not other


@pytest.mark.parametrize("habits", ["biased", "texts"])
def test_a_server_that_cannot_tell_a_likelihood_is_found_out(habits: Habits, toy_base: Base) -> None:
    with (
        CompletionServer(habits) as server,
        pytest.raises(MedslmError, match="does not tell how likely a given text is"),
    ):
        engine(server, toy_base).loglikelihoods([(PROMPT, "A")])


def test_what_is_forced_by_the_bias_may_not_be_what_is_told(toy_base: Base) -> None:
    """Two tokens after one prompt cannot both be certain: the scripted `biased` server says so of each."""
    assert math.exp(0.0) + math.exp(0.0) > 1.001
    with CompletionServer("biased") as server, pytest.raises(MedslmError):
        engine(server, toy_base).loglikelihoods([(PROMPT, "A")])
    assert {tuple(body.get("logit_bias", ())) for body in server.asked} > {()}


@pytest.mark.parametrize("fault", [Fault(429, headers={"Retry-After": "0"}), Fault(503), Fault(drop=True)])
def test_a_passing_fault_is_asked_through(fault: Fault, toy_base: Base) -> None:
    with CompletionServer() as server:
        server.faults = [fault]
        assert engine(server, toy_base, patience=5.0).generate([PROMPT], LIMITS)[0].text == "a reply"
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault(401), "answers 401 .*check MEDSLM_ENGINE_KEY"),
        (Fault(404), "answers 404 .*check MEDSLM_ENGINE_MODEL"),
        (Fault(302, headers={"Location": "http://127.0.0.1:1/"}), "answers 302 .*points elsewhere"),
        (Fault(500), r"given up after 1 attempt, with a patience of 0 s: it says 500 \(ordered by a test\)"),
        (Fault(hang=True), r"does not answer within 0\.3 s \(MEDSLM_ENGINE_TIMEOUT sets this\)"),
        (Fault(drop=True), "no connection"),
        (Fault(hollow=True), "answers without a completion"),
    ],
)
def test_trouble_is_a_sentence(fault: Fault, said: str, toy_base: Base) -> None:
    with CompletionServer() as server:
        server.faults = [fault]
        with pytest.raises(MedslmError, match=said):
            engine(server, toy_base, timeout=0.3).generate([PROMPT], LIMITS)


def test_a_key_that_the_server_repeats_is_not_shown(toy_base: Base) -> None:
    with CompletionServer() as server:
        server.faults = [Fault(401, body=f'{{"error": {{"message": "wrong key {KEY}"}}}}'.encode())]
        with pytest.raises(MedslmError, match="<key>") as told:
            engine(server, toy_base).generate([PROMPT], LIMITS)
    assert KEY not in str(told.value)


def test_a_prompt_that_the_server_refuses_in_either_form_is_refused_in_its_words(toy_base: Base) -> None:
    with CompletionServer() as server:
        server.faults = [Fault(400, body=b'{"error": {"message": "exceeds the context"}}')] * 2
        asked = engine(server, toy_base)
        with pytest.raises(MedslmError, match=r"refuses the request \(400\): .*exceeds the context"):
            asked.generate([PROMPT], LIMITS)
        assert asked.generate([PROMPT], LIMITS)[0].text == "a reply"
    assert server.asked[-1]["prompt"] == asked.renderer.ids(PROMPT), "one long prompt makes no server of texts"


def test_a_server_that_is_down_is_said(toy_base: Base) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
    with CompletionServer() as server:
        down = engine(server, toy_base, url=url)
    with pytest.raises(MedslmError, match="whether it is running"):
        down.generate([PROMPT], LIMITS)


def test_the_base_answers_under_its_own_name(toy_base: Base, tmp_path: Path) -> None:
    with CompletionServer() as server:
        asked = engine(server, toy_base, tmp_path, model="tuned", base="plain")
        with asked.without_adapter():
            asked.generate([PROMPT], LIMITS)
        asked.generate([PROMPT], LIMITS)
        unknown = engine(server, toy_base, tmp_path, model="tuned")
        with pytest.raises(MedslmError, match="Set MEDSLM_ENGINE_BASE"), unknown.without_adapter():
            pass
    assert [body["model"] for body in server.asked] == ["plain", "tuned"]


@pytest.mark.parametrize("url", ["http://example.org/v1", "http://10.0.0.5:8000/v1", "http://localhost.example.org/v1"])
def test_text_leaves_the_machine_encrypted_or_not_at_all(url: str) -> None:
    with pytest.raises(MedslmError, match="without encryption"):
        Address(url, "m")
    assert not Address(url.replace("http:", "https:"), "m").local


@pytest.mark.parametrize("url", [f"https://user:{KEY}@host/v1", f"https://host/v1?key={KEY}", "host:8000", "ftp://h"])
def test_an_address_that_is_none_or_holds_a_secret_is_not_repeated(url: str) -> None:
    with pytest.raises(MedslmError, match="is no address of a server") as told:
        Address(url, "m")
    assert KEY not in str(told.value) and url not in str(told.value)


def test_the_environment_names_the_server() -> None:
    told = {"MEDSLM_ENGINE_URL": "http://127.0.0.1:8000/v1/", "MEDSLM_ENGINE_MODEL": "m", "MEDSLM_ENGINE_KEY": KEY}
    found = address.from_environment({**told, "MEDSLM_ENGINE_TIMEOUT": "7", "MEDSLM_ENGINE_BASE": "b"})
    assert found == replace(Address("http://127.0.0.1:8000/v1", "m", KEY), base="b", timeout=7.0)
    assert KEY not in repr(found)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({}, "none is named; set MEDSLM_ENGINE_URL"),
        ({"MEDSLM_ENGINE_URL": "https://h/v1"}, "Set MEDSLM_ENGINE_MODEL"),
        (
            {"MEDSLM_ENGINE_URL": "https://h/v1", "MEDSLM_ENGINE_MODEL": "m", "MEDSLM_ENGINE_PATIENCE": "-1"},
            "a patience of 0 or more",
        ),
        (
            {"MEDSLM_ENGINE_URL": "https://h/v1", "MEDSLM_ENGINE_MODEL": "m", "MEDSLM_ENGINE_TIMEOUT": "soon"},
            "_TIMEOUT is 'soon'",
        ),
        (
            {"MEDSLM_ENGINE_URL": "https://h/v1", "MEDSLM_ENGINE_MODEL": "m", "MEDSLM_ENGINE_TIMEOUT": "0"},
            "seconds above 0",
        ),
    ],
)
def test_half_an_environment_is_a_sentence(told: dict[str, str], said: str) -> None:
    with pytest.raises(MedslmError, match=said):
        address.from_environment(told)
