"""The answer to one question, as it is kept."""

from __future__ import annotations

import pytest

from evals.judge import judging
from judge_server import Fault, JudgeServer
from medslm.evals.judge import answer
from medslm.evals.judge.answer import Answer
from medslm.evals.judge.endpoint import Endpoint
from medslm.infer.engines import client as room
from medslm.infer.engines.client import Client

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


def test_the_path_of_a_model_file_is_not_kept() -> None:
    with JudgeServer(judging.good) as server:
        server.model = "/home/someone/models/judge.gguf"
        assert ask(server).model == "judge.gguf"
        server.model = "org/judge-7b"
        assert ask(server).model == "org/judge-7b"
