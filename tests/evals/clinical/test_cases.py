"""Sample cases from a run's folder to its scores, its report and its text: asked of both sides, kept, never scored."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from evals import world
from medslm.data.formats.render import Renderer
from medslm.data.suites import suites
from medslm.evals import harness, study
from medslm.evals.clinical import cases
from medslm.evals.engine import Engine, Reply
from medslm.evals.study import Case

THINKING = "<think>\nEffort brings it.\n</think>\n<response>\nThe heart.\n</response>"
NAMES = ["chest-pain", "cardiac-symptoms", "diabetes-classification"]


def case(tokenizer: Any, folder: Path, room: int = 4096, limit: int | None = None, task: str = "medical_o1") -> Case:
    """What the study looks at: a model with an adapter, of which nothing was asked but one task."""
    adapter = world.adapted(room=room)
    made = (
        world.run(folder, Renderer(tokenizer, "think").template_hash) if not (folder / "run.json").exists() else folder
    )
    record = json.loads((made / "run.json").read_text(encoding="utf-8"))
    sides = world.both(adapter)
    sitting = world.sitting(adapter, tokenizer, Renderer(tokenizer, "think"), folder / "answers", sides)
    return Case({side: {task: []} for side in sides}, sitting.engine, sides, folder / "answers", made, record, limit)


@pytest.fixture
def short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replies of few tokens."""
    monkeypatch.setattr(harness, "TASKS", world.tasks(tmp_path / "tasks", max_gen_toks=12))


@pytest.mark.usefixtures("short")
def test_both_sides_answer_the_three_cases_and_what_was_kept_is_not_asked_again(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = cases.STUDY.measure(case(tokenizer, tmp_path / "run"))
    assert [one["id"] for one in found["cases"]] == NAMES and not found["left_out"]
    for one in found["cases"]:
        assert one["task"] == "medical_o1" and one["source"] and one["expected"]
        base, adapter = one["sides"]["base"], one["sides"]["adapter"]
        assert base["reply"] != adapter["reply"] and base["tokens"] <= 12 and not base["ended"]
    told = cases.STUDY.text(found)
    assert all(f"{name}: A " in told for name in NAMES) and "not scored" in told
    monkeypatch.setattr(Engine, "replies", lambda self, *rest: pytest.fail("what was kept is asked again"))
    assert cases.STUDY.measure(case(tokenizer, tmp_path / "run")) == found


@pytest.mark.usefixtures("short")
def test_thoughts_stand_apart_and_what_is_not_shown_is_counted(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    says = [THINKING, "<think>\n" + "round and round " * 100, "\x1b[31mThe heart.\nRest."]

    def replies(self: Engine, prompts: Sequence[str], bound: int) -> list[Reply]:
        return [Reply(text, 7, text == THINKING) for text in says]

    monkeypatch.setattr(Engine, "replies", replies)
    found = cases.STUDY.measure(case(tokenizer, tmp_path / "run"))
    one, circling, plain = (each["sides"]["adapter"] for each in found["cases"])
    assert (one["thoughts"], one["response"]) == ("Effort brings it.", "The heart.")
    assert circling["response"] == "" and plain["thoughts"] == ""
    told = cases.STUDY.text(found)
    assert (
        "[thought] Effort brings it." in told and "[no response]" in told and "[7 tokens, ended by the bound]" in told
    )
    assert "characters more, in scores.json]" in " ".join(told.split()) and "\x1b" not in told
    assert max(map(len, told.splitlines())) <= 2 * cases.WIDTH + 3


@pytest.mark.usefixtures("short")
def test_a_case_that_does_not_fit_is_named_and_a_trial_asks_as_many_as_it_says(tokenizer: Any, tmp_path: Path) -> None:
    found = cases.STUDY.measure(case(tokenizer, tmp_path / "small", room=64))
    assert found["cases"] == [] and list(found["left_out"]) == NAMES
    assert "chest-pain was not asked: with 12 tokens of a reply it does not fit into 64." in cases.STUDY.text(found)
    trial = cases.STUDY.measure(case(tokenizer, tmp_path / "trial", limit=1))
    assert [one["id"] for one in trial["cases"]] == NAMES[:1] and not trial["left_out"]


def test_a_suite_without_cases_says_so(tokenizer: Any, tmp_path: Path) -> None:
    found = cases.STUDY.measure(case(tokenizer, tmp_path / "run", task="billsum"))
    assert cases.STUDY.text(found) == "No sample case goes with the tasks of this suite."


def test_every_study_of_every_suite_is_there() -> None:
    for suite in suites.values():
        for name in suite.studies:
            assert study.find(name)
