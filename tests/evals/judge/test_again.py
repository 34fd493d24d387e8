"""Judging what an evaluation kept, without asking the model again."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from evals import world
from evals.judge import judging
from judge_server import Fault, JudgeServer
from medslm import judge_cli
from medslm.data.suites import suites
from medslm.errors import MedslmError
from medslm.evals import admission, harness, run, scores, table
from medslm.evals.judge import again
from medslm.infer.engines import client as room


@pytest.fixture
def judged(finished: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A toy run whose answers to two items a task are kept, by a suite whose study `judge` had no judge."""
    monkeypatch.setattr(room, "FIRST", 0.02)
    for name in ("MEDSLM_JUDGE_URL", "MEDSLM_JUDGE_MODEL"):
        monkeypatch.delenv(name, raising=False)
    tasks = world.tasks(finished.parent / "tasks", max_gen_toks=120)
    monkeypatch.setitem(harness.evaluate.__kwdefaults__, "tasks", tasks)
    monkeypatch.setattr(admission, "suites", {"icd10cm": replace(suites["icd10cm"], studies=("judge",))})
    run.evaluate_run(finished, limit=2)
    return finished


def test_the_kept_answers_are_judged_and_stand_in_the_scores(judged: Path) -> None:
    path = judged / "scores.limited.json"
    before = json.loads(path.read_text())
    assert before["told"]["judge"]["as-trained"].startswith("not measured: no judge is configured")
    with JudgeServer(judging.good) as server:
        server.faults = [*[Fault()] * 3, *[Fault(500)] * 99]
        with pytest.raises(MedslmError, match=r"3 of \d+ answers are kept in .*; the same command asks for the rest"):
            again.judge_run(judged, judging.settings(server, workers=1, patience=0.1), limited=True)
        assert json.loads(path.read_text()) == before
        server.faults = []
        found, told = again.judge_run(judged, judging.settings(server), limited=True)
        sent = len(server.asked)
        again.judge_run(judged, judging.settings(server), limited=True)
        assert len(server.asked) == sent
    after = json.loads(path.read_text())
    assert found == path and list(told) == ["as-trained"]
    assert list(after["studies"]["judge"]["as-trained"]["tasks"]) == ["icd10cm_coding"], "letters need no judge"
    assert {name: after[name] for name in after if name not in ("studies", "told", "missing")} == {
        name: before[name] for name in before if name not in ("studies", "told", "missing")
    }
    shown = after["told"]["judge"]["as-trained"]
    assert "9 requests sent this time" in " ".join(told["as-trained"].split()) and shown in table.text(
        scores.read(path, "eval")
    )


def test_the_answers_of_another_engine_are_judged_where_they_lie(judged: Path) -> None:
    mine = (judged / "scores.limited.json").read_bytes()
    with JudgeServer(judging.good) as server:
        with pytest.raises(MedslmError, match="medslm eval toy-run --engine openai"):
            again.judge_run(judged, judging.settings(server), limited=True, engine="openai")
        there = scores.home(judged, "openai")
        shutil.copytree(judged / "eval", there / "eval")
        shutil.copy(judged / "scores.limited.json", there)
        found, _ = again.judge_run(judged, judging.settings(server), limited=True, engine="openai")
    assert found == there / "scores.limited.json" and "judge" in json.loads(found.read_text())["studies"]
    assert (judged / "scores.limited.json").read_bytes() == mine


def test_the_recipe_s_own_suite_may_be_named(judged: Path) -> None:
    with JudgeServer(judging.good) as server:
        found, _ = again.judge_run(judged, judging.settings(server), "icd10cm", limited=True)
        assert found == judged / "scores.limited.json"
        with pytest.raises(
            MedslmError, match=r"scores\.pubmedqa\.limited.json is not there; .* --limit <n>` writes it"
        ):
            again.judge_run(judged, judging.settings(server), "pubmedqa", limited=True)


def test_the_command_takes_its_judge_from_the_environment(
    judged: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with JudgeServer(judging.good) as server:
        monkeypatch.setenv("MEDSLM_JUDGE_URL", server.url)
        monkeypatch.setenv("MEDSLM_JUDGE_MODEL", "toy-judge")
        judge_cli.judge(judged.name, limited=True, rubric=str(judging.SHORT), price="1/2", limit=1, runs=judged.parent)
    told = capsys.readouterr().out
    assert "rubric short 1" in told and "at the price given" in told and "1 of 2 items" in told
    assert f"Next: medslm report {judged.name}" in told


def test_without_a_judge_or_a_run_the_command_says_what_to_do(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MEDSLM_JUDGE_URL", "MEDSLM_JUDGE_MODEL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(MedslmError, match="No judge is configured; set MEDSLM_JUDGE_URL and MEDSLM_JUDGE_MODEL"):
        judge_cli.judge(finished.name, runs=finished.parent)
    with pytest.raises(MedslmError, match="no run is called 'nobody'"):
        judge_cli.judge("nobody", runs=finished.parent)


def test_a_run_that_was_not_evaluated_says_what_evaluates_it(finished: Path) -> None:
    with JudgeServer(judging.good) as server, pytest.raises(MedslmError, match="medslm eval toy-run --suite judge"):
        again.judge_run(finished, judging.settings(server), "judge")
