"""Questions to a judge: counted before, kept as they are answered, and never asked twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evals.judge import judging
from evals.judge.judging import judge, question
from judge_server import Fault, JudgeServer
from medslm.evals.judge import asking
from medslm.evals.judge.asking import Interrupted
from medslm.evals.judge.endpoint import Price
from medslm.infer.engines import client as room

QUESTIONS = [question(f"Give adrenaline {n} times.") for n in range(12)]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "FIRST", 0.02)


def test_it_is_said_beforehand_what_will_be_sent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with JudgeServer(judging.good) as server:
        one = judge(server, tmp_path, price=Price(1000, 0))
        plan = one.plan(QUESTIONS)
        assert not server.asked and not server.trials
        one.ask(QUESTIONS)
    told = capsys.readouterr().err
    assert told.startswith(
        f"judge: 12 calls to toy-judge at {server.url}, about {plan.tokens_in:,} tokens in and at most 12,288 out, between"
    )
    characters = sum(len(message["content"]) for asked in server.asked for message in asked.body["messages"])
    assert plan.tokens_in == characters // 4 and f"{plan.tokens_in / 1000:.2f}" in told


def test_what_is_kept_is_not_asked_again_even_if_the_judge_is_gone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with JudgeServer(judging.good) as server:
        found = judge(server, tmp_path).ask(QUESTIONS)
        assert len(server.asked) == 12 and server.trials == 1
    again = judge(server, tmp_path)
    assert again.ask(QUESTIONS) == found and again.asked == 0
    assert "all 12 answers of toy-judge are kept; nothing is sent" in capsys.readouterr().err


def test_questions_that_ask_the_same_are_asked_once(tmp_path: Path) -> None:
    with JudgeServer(judging.good) as server:
        one, other, third = question("x"), question("x"), question("x", seed=1)
        found = judge(server, tmp_path).ask([one, other, third])
    assert len(server.asked) == 2 and found[one] is found[other] is not found[third]


def test_another_model_rubric_or_seed_is_another_question(tmp_path: Path) -> None:
    from dataclasses import replace

    from medslm.evals.judge.abilities import Abilities

    with JudgeServer(judging.good) as server:
        one = judge(server, tmp_path)
        two = asking.Judge(replace(one.endpoint, model="other"), one.settings, one.kept)
        asked = [question(), question(seed=1), replace(question(), rubric=replace(judging.RUBRIC, digest="0" * 64))]
        digests = [
            by.digest(q, able)
            for by in (one, two)
            for q in asked
            for able in (Abilities(), Abilities("prose"), Abilities(seed=False))
        ]
    assert len(set(digests)) == len(digests)


def test_a_judge_that_fails_midway_loses_nothing_and_goes_on_later(tmp_path: Path) -> None:
    with JudgeServer(judging.good) as server:
        server.faults = [*[Fault()] * 5, *[Fault(500)] * 100]
        with pytest.raises(Interrupted, match="it says 500") as told:
            judge(server, tmp_path, patience=0.2, workers=1).ask(QUESTIONS)
        assert (told.value.kept, told.value.of) == (5, 12)
        server.faults, before = [], len(server.asked)
        found = judge(server, tmp_path).ask(QUESTIONS)
        assert len(server.asked) - before == 7 and all(found.values())


def test_one_worker_s_end_is_the_end_of_all(tmp_path: Path) -> None:
    with JudgeServer(judging.good) as server:
        server.faults = [Fault(401), *[Fault(429, {"Retry-After": "4"})] * 3]
        with pytest.raises(Interrupted, match="answers 401"):
            judge(server, tmp_path, patience=60.0).ask(QUESTIONS)
    assert len(server.asked) <= 6


def test_a_judge_that_is_down_from_the_beginning_is_told(tmp_path: Path) -> None:
    with JudgeServer(judging.good) as server:
        pass
    with pytest.raises(Interrupted, match="no connection") as told:
        judge(server, tmp_path, patience=0.1).ask(QUESTIONS)
    assert (told.value.kept, told.value.of) == (0, 12)


def test_a_question_that_is_refused_stops_no_other_and_is_not_kept(tmp_path: Path) -> None:
    with JudgeServer(judging.good) as server:
        server.faults = [Fault(400, body=b'{"error": {"message": "the prompt exceeds the context"}}')]
        one = judge(server, tmp_path, workers=1)
        found = one.ask(QUESTIONS)
        assert [answer is None for answer in found.values()] == [True, *[False] * 11]
        assert "exceeds the context" in one.refusal
        assert all(judge(server, tmp_path).ask(QUESTIONS).values()) and len(server.asked) == 13


def test_a_refusal_that_repeats_what_was_judged_is_kept_without_it(tmp_path: Path) -> None:
    with JudgeServer(judging.good) as server:
        echoed = json.dumps({"error": {"message": f"no room for: {QUESTIONS[0].prompt.messages[-1]['content']}"}})
        server.faults = [Fault(400, body=echoed.encode())]
        one = judge(server, tmp_path, workers=1)
        one.ask(QUESTIONS[:1])
    assert one.refusal.endswith("no room for: <what was sent>") and "adrenaline" not in one.refusal


def test_a_killed_process_loses_at_most_the_line_it_wrote(tmp_path: Path) -> None:
    with JudgeServer(judging.good) as server:
        judge(server, tmp_path).ask(QUESTIONS)
        path = tmp_path / asking.NAME
        path.write_bytes(path.read_bytes()[:-20])
        judge(server, tmp_path).ask(QUESTIONS)
    assert len(server.asked) == 13


def test_neither_key_nor_address_is_written(tmp_path: Path) -> None:
    from dataclasses import replace

    with JudgeServer(judging.good) as server:
        one = judge(server, tmp_path)
        asking.Judge(replace(one.endpoint, key="sk-not-to-be-seen"), one.settings, one.kept).ask(QUESTIONS)
    written = (tmp_path / asking.NAME).read_text()
    assert "sk-not" not in written and "127.0.0.1" not in written and len(written.splitlines()) == 14
    assert json.loads(written.splitlines()[2])["value"]["model"] == "scripted-1"
