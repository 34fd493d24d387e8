"""The answer to one question, as it is kept."""

from __future__ import annotations

import json
from typing import Any

import pytest

from evals.judge import judging
from judge_server import Fault, JudgeServer
from medslm.evals.judge import answer
from medslm.evals.judge.answer import Answer
from medslm.evals.judge.endpoint import Endpoint
from medslm.infer.engines import client as room
from medslm.infer.engines.client import Client, Unavailable

MESSAGES = judging.question().prompt.messages


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "FIRST", 0.02)


def ask(server: JudgeServer) -> Answer:
    with Client(Endpoint(server.url, "toy-judge"), patience=5.0, timeout=5.0) as client:
        return answer.ask(client, MESSAGES, {"max_tokens": 50})


def test_what_the_server_tells_of_itself_and_of_the_cost_is_kept() -> None:
    with JudgeServer(judging.good) as server:
        server.faults = [Fault(empty=True)]
        found = ask(server)
    assert '"accuracy": 5' in found.text and len(server.asked) == 2
    assert (found.model, found.fingerprint, found.tokens_in, found.tokens_out) == ("scripted-1", "fp", 100, 10)
    assert server.asked[0].body["max_tokens"] == 50


def test_an_answer_that_stays_without_choices_is_an_answer() -> None:
    with JudgeServer(judging.good) as server:
        server.faults = [Fault(empty=True)] * 9
        found = ask(server)
    assert (found.text, found.finish, len(server.asked)) == ("", "no choices", room.FEW)


@pytest.mark.parametrize("finish", ["abort", "error"])
def test_an_answer_that_the_server_broke_off_is_asked_again_before_it_is_kept(finish: str) -> None:
    with JudgeServer(judging.good) as server:
        server.faults = [Fault(content='{"accu', finish=finish)]
        found = ask(server)
        assert ('"accuracy": 5' in found.text, found.finish, len(server.asked)) == (True, "stop", 2)
        server.faults = [Fault(content='{"accu', finish=finish)] * 9
        assert ask(server).finish == finish and len(server.asked) == 2 + room.FEW


def test_the_path_of_a_model_file_is_not_kept() -> None:
    with JudgeServer(judging.good) as server:
        server.model = "/home/someone/models/judge.gguf"
        assert ask(server).model == "judge.gguf"
        server.model = "org/judge-7b"
        assert ask(server).model == "org/judge-7b"


def body(content: Any, **more: Any) -> Fault:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}
    told = {"id": "c", "object": "chat.completion", "created": 0, "model": "scripted-1", "choices": [choice], **more}
    return Fault(200, body=json.dumps(told).encode())


@pytest.mark.parametrize("content", [[{"type": "text", "text": "ve"}, {"type": "text", "text": "ry"}], "very"])
def test_a_message_in_parts_is_read_as_one_text(content: Any) -> None:
    with JudgeServer(judging.good) as server:
        server.faults = [body(content)]
        assert ask(server).text == "very"


@pytest.mark.parametrize("content", [7, {"text": "very"}, [7]])
def test_a_message_that_is_no_text_is_asked_again(content: Any) -> None:
    with JudgeServer(judging.good) as server:
        server.faults = [body(content)]
        assert '"accuracy": 5' in ask(server).text and len(server.asked) == 2


def test_counts_in_text_are_counted_and_what_is_none_is_not() -> None:
    with JudgeServer(judging.good) as server:
        server.faults = [body("very", usage={"prompt_tokens": "12", "completion_tokens": "many", "total_tokens": "x"})]
        found = ask(server)
    assert (found.tokens_in, found.tokens_out) == (12, None)


def test_what_no_file_takes_is_replaced_before_it_is_kept() -> None:
    with JudgeServer(judging.good) as server:
        server.faults = [body("half \ud800 pair", model="judge\udfff", system_fingerprint="fp\ud800")]
        found = ask(server)
    assert (found.text, found.model, found.fingerprint) == ("half ? pair", "judge?", "fp?")


def test_an_error_under_a_200_is_asked_again_and_never_kept_as_an_answer() -> None:
    overloaded = Fault(200, body=b'{"error": {"message": "Provider returned error", "code": 429}}')
    with JudgeServer(judging.good) as server:
        server.faults = [overloaded] * 5
        assert '"accuracy": 5' in ask(server).text and len(server.asked) == 6
        server.faults = [overloaded] * 99
        with (
            Client(Endpoint(server.url, "toy-judge"), patience=0.2, timeout=5.0) as client,
            pytest.raises(Unavailable, match=r"it answers with an error \(Provider returned error\)"),
        ):
            answer.ask(client, MESSAGES, {"max_tokens": 50})
