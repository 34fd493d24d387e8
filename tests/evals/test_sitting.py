"""Base and adapter in one pass over the data answer as each would alone, and what was answered outlives a kill."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evals import world
from evals.test_tasks import medqa, put
from medslm.data.formats.render import Renderer
from medslm.data.suite import Suite
from medslm.data.suites import suites
from medslm.data.suites.exams import EXAMS
from medslm.errors import MedslmError
from medslm.evals import harness, sitting
from medslm.evals.engine import Engine
from medslm.evals.harness import Outcome

LIMIT = 6


def judge(model: Any, tokenizer: Any, suite: Suite, folder: Path, **how: Any) -> dict[str, harness.Judged]:
    if not (tasks := folder / "yamls").is_dir():
        folder.mkdir(exist_ok=True)
        world.tasks(tasks, max_gen_toks=12)
    seat = world.sitting(model, tokenizer, Renderer(tokenizer, "chat"), folder, **how)
    return harness.evaluate(seat, suite, tasks=tasks)


def same(one: Outcome, other: Outcome) -> None:
    for name, value in vars(one).items():
        expected = pytest.approx(vars(other)[name], abs=1e-5) if name in {"logprobs", "words"} else vars(other)[name]
        assert value == expected, name


def test_one_pass_over_both_sides_gives_what_two_passes_give(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(monkeypatch, tmp_path, medqa=medqa(LIMIT))
    adapted, suite = world.adapted(), suites["medqa"]
    together = judge(adapted, tokenizer, suite, tmp_path / "both", sides=world.both(adapted))
    base = judge(world.model(), tokenizer, suite, tmp_path / "base")["base"]
    adapter = judge(world.adapted(), tokenizer, suite, tmp_path / "adapter")["base"]
    assert list(together) == ["base", "adapter"]
    for task in suite.tasks:
        for side, alone in (("base", base), ("adapter", adapter)):
            for one, other in zip(together[side].outcomes[task.name], alone.outcomes[task.name], strict=True):
                same(one, other)
    picks = [[outcome.pick for outcome in of.outcomes["medqa"]] for of in together.values()]
    before = [[outcome.before for outcome in of.outcomes["medqa_shuffled"]] for of in together.values()]
    assert picks == before and picks[0] != picks[1]  # each side is asked again after its own answers


def test_an_adapter_whose_weights_are_no_numbers_is_a_sentence_and_nothing_is_kept(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(monkeypatch, tmp_path, medqa=medqa(LIMIT))
    broken = world.adapted()
    for name, weight in broken.named_parameters():
        if "lora_B" in name:
            weight.data.fill_(float("nan"))
    with pytest.raises(MedslmError, match="the adapter gives the log-probability nan to an answer"):
        judge(broken, tokenizer, suites["medqa"], tmp_path / "broken", sides=world.both(broken))
    lines = (tmp_path / "broken" / sitting.LIKELIHOODS).read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1  # its key


def test_each_prompt_is_read_once_for_both_sides(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(monkeypatch, tmp_path, medqa=medqa(LIMIT))
    asked: list[tuple[int, int]] = []
    whole = Engine.score_sides

    def counted(self: Engine, pairs: Any, sides: Any) -> Any:
        asked.append((len({prompt for prompt, _ in pairs}), len(sides)))
        return whole(self, pairs, sides)

    monkeypatch.setattr(Engine, "score_sides", counted)
    adapted = world.adapted()
    judge(adapted, tokenizer, Suite(EXAMS["medqa"][:2]), tmp_path / "both", sides=world.both(adapted))
    assert asked == [(LIMIT, 2), (LIMIT, 2)]  # the questions, then the shuffled ones


def test_answers_to_the_same_prompt_with_other_bounds_are_kept_apart(
    tokenizer: Any, renderer: Renderer, tmp_path: Path
) -> None:
    seat = world.sitting(world.model(), tokenizer, renderer, tmp_path)
    short, long = (seat.replies("base", ["Say:"], bound)[0] for bound in (2, 9))
    assert (short.tokens, long.tokens) == (2, 9) and long.text.startswith(short.text[:1])
    again = world.sitting(world.model(), tokenizer, renderer, tmp_path)
    assert again.replies("base", ["Say:"], 2) == [short] and again.reused == 1


BLOCKS = """
import sys, time
from pathlib import Path
from evals import world
from medslm.data.formats.render import Renderer
from medslm.data.suites import suites
from medslm.evals import harness
from medslm.evals.engine import Engine

calls, replies = 0, Engine.replies
def blocked(self, *args):
    global calls
    calls += 1
    if calls == 2:
        print("asked once", flush=True)
        time.sleep(600)
    return replies(self, *args)
Engine.replies = blocked
tokenizer, adapted, folder = world.tokenizer(), world.adapted(), Path(sys.argv[1])
seat = world.sitting(adapted, tokenizer, Renderer(tokenizer, "chat"), folder, world.both(adapted))
harness.evaluate(seat, suites["medqa"], tasks=folder / "yamls")
"""
BATCH = 4


def test_an_evaluation_that_was_killed_asks_only_for_the_rest(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(monkeypatch, tmp_path, medqa=medqa(LIMIT))  # in the environment, which processes inherit
    folder, suite = tmp_path / "killed", suites["medqa"]
    folder.mkdir()
    world.tasks(folder / "yamls", max_gen_toks=12)
    killed(folder)
    assert not list(folder.glob("*/medqa*.jsonl"))  # the outcomes are written when all of them are there
    asked: dict[str, list[Any]] = {"score_sides": [], "replies": []}
    for method, seen in asked.items():
        monkeypatch.setattr(Engine, method, noting(getattr(Engine, method), seen))
    adapted = world.adapted()
    resumed = judge(adapted, tokenizer, suite, folder, sides=world.both(adapted))
    told = capsys.readouterr().err
    assert f"note: {LIMIT} of {LIMIT} answers were kept in {folder}/likelihoods.jsonl and are not asked again" in told
    assert len({prompt for prompt, _ in asked["score_sides"]}) == LIMIT  # the shuffled questions only
    assert len(asked["replies"]) == LIMIT - BATCH + LIMIT  # the rest of the base's, and the adapter's
    fresh = judge(adapted, tokenizer, suite, tmp_path / "fresh", sides=world.both(adapted))
    for side, judged in fresh.items():
        for task, outcomes in judged.outcomes.items():
            for one, other in zip(outcomes, resumed[side].outcomes[task], strict=True):
                same(one, other)


def noting(whole: Any, seen: list[Any]) -> Any:
    return lambda self, some, *rest: seen.extend(some) or whole(self, some, *rest)


def killed(folder: Path) -> None:
    """Start an evaluation in a process of its own, and kill it while it writes its second batch of replies."""
    command = [sys.executable, "-c", BLOCKS, str(folder)]
    tests = Path(__file__).parents[1]
    with subprocess.Popen(command, cwd=tests, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "asked once\n"
        finally:
            process.kill()
    assert process.returncode == -signal.SIGKILL


def test_what_was_kept_of_another_adapter_is_not_taken(tokenizer: Any, renderer: Renderer, tmp_path: Path) -> None:
    asked = Engine(world.model(), tokenizer, renderer, 4)
    for digest, reused in (("a", 0), ("b", 0), ("b", 1)):
        seat = sitting.Sitting(asked, world.BASE, tmp_path, {"adapter": digest})
        seat.scores("base", [("Say:", "A"), ("Say:", "B")])
        assert seat.reused == reused
    assert json.loads((tmp_path / "likelihoods.jsonl").read_text(encoding="utf-8").splitlines()[0])["key"] == {
        "adapter": "b",
        "engine": "transformers",
        "sides": ["base"],
    }
