"""The study `judge`: what base and adapter wrote, scored and compared by another model, and how far that can be trusted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medslm.errors import MedslmError
from medslm.evals.judge import asking, endpoint, figures, material, prompts, told
from medslm.evals.judge import rubric as rubrics
from medslm.evals.judge.agreement import SIDES
from medslm.evals.judge.answer import Answer
from medslm.evals.judge.asking import Interrupted, Judge, Question
from medslm.evals.judge.endpoint import Settings
from medslm.evals.judge.figures import Asked
from medslm.evals.judge.material import Written
from medslm.evals.judge.rubric import Rubric
from medslm.evals.study import Case, Study

NOT_MEASURED = f"not measured: {endpoint.MISSING}"
REPEATED = 50
"""Items a task whose points are asked for a second time."""

Answers = Mapping[Question, Answer | None]


def measure(case: Case) -> dict[str, Any]:
    """Judge the replies to the written tasks, if the environment names a judge (`endpoint.from_environment`).

    Raises `MedslmError` for settings that mean nothing, text that may not leave, and a judge that is given up; what it
    answered is kept in `case.folder`.
    """
    settings = endpoint.from_environment()
    if settings is None:
        return {"status": NOT_MEASURED}
    samples = {
        side: {task: [json.loads(outcome.as_json()) for outcome in of] for task, of in tasks.items()}
        for side, tasks in case.outcomes.items()
    }
    return judged(samples, settings, case.folder, list(case.record["recipe"].get("mixture", ())))


def judged(
    samples: Mapping[str, Mapping[str, Sequence[material.Sample]]],
    settings: Settings,
    folder: Path,
    mixture: Sequence[str],
) -> dict[str, Any]:
    """The whole study. `samples`: by side and task; `mixture`: what the adapter learnt from. Raises as `measure`."""
    tasks = {
        name: Task(name, found, material.evenly(found, settings.limit), _rubric(name, settings))
        for name in samples["base"]
        if (found := material.written(samples["base"][name], samples["adapter"][name]))
    }
    if not tasks:
        return {"status": "not measured: no task of the suite is answered in free text"}
    count = sum(len(task.items) for task in tasks.values())
    sent = f"the prompts, {'keys ' * any(t.rubric.reference for t in tasks.values())}and replies of {count:,} items"
    reasons = material.reserved(list(tasks), mixture)
    for one in settings.endpoints:
        material.refuse(one, sent, reasons, allow_remote=settings.allow_remote, allow_http=settings.allow_http)
    kept = asking.kept(folder)
    judges = [Judge(one, settings, kept) for one in settings.endpoints]
    questions = [question for task in tasks.values() for question in task.questions]
    singles = [question for task in tasks.values() for question in task.singles]
    answers = [_ask(judge, asked, kept.path) for judge, asked in zip(judges, (questions, singles))]
    told_of = {name: task.figures(answers) for name, task in tasks.items()}
    figures.adjust(told_of)
    return {
        "status": "measured",
        "judges": [figures.of_judge(judge, of.values(), settings.price) for judge, of in zip(judges, answers)],
        "tasks": told_of,
    }


def _ask(judge: Judge, questions: list[Question], path: Path) -> Answers:
    try:
        return judge.ask(questions)
    except Interrupted as stopped:
        raise MedslmError(
            f"{stopped}. {stopped.kept:,} of {stopped.of:,} answers are kept in {path}; the same "
            "command asks for the rest"
        ) from stopped


def _rubric(task: str, settings: Settings) -> Rubric:
    return rubrics.find(settings.rubric) if settings.rubric else rubrics.of_task(task, rubrics.shipped())


class Task:
    """The questions that one task's items put to a judge, and the figures that their answers amount to."""

    def __init__(self, name: str, found: Sequence[Written], items: list[Written], rubric: Rubric) -> None:
        self.name, self.of, self.items, self.rubric = name, len(found), items, rubric
        self.alike = [one for one in items if one.base == one.adapter]
        differ = [one for one in items if one.base != one.adapter]
        self.repeated = material.evenly(range(len(items)), REPEATED)
        self.points = {side: [self._single(one, side) for one in items] for side in SIDES}
        self.again = {side: [self._single(items[place], side, seed=1) for place in self.repeated] for side in SIDES}
        self.differ = differ
        self.orders = (
            [self._pair(one, one.base, one.adapter) for one in differ],
            [self._pair(one, one.adapter, one.base) for one in differ],
        )

    @property
    def singles(self) -> list[Question]:
        """One reply, points for each criterion."""
        return [question for side in SIDES for question in self.points[side]]

    @property
    def questions(self) -> list[Question]:
        """All of them."""
        return [*self.singles, *self.orders[0], *self.orders[1], *self.again["base"], *self.again["adapter"]]

    def figures(self, answers: Sequence[Answers]) -> dict[str, Any]:
        """What the judges' answers (by question) amount to; the first judge's count, a second one's are compared."""
        names = tuple(self.rubric.criteria)

        def points(of: Answers, asked: Mapping[str, list[Question]]) -> dict[str, Asked]:
            return {side: figures.points([(q.prompt, of[q]) for q in asked[side]], names) for side in SIDES}

        first = points(answers[0], self.points)
        once = {side: [first[side][place] for place in self.repeated] for side in SIDES}
        orders = [figures.winners([(q.prompt, answers[0][q]) for q in asked]) for asked in self.orders]
        found: dict[str, Any] = {
            "rubric": {name: getattr(self.rubric, name) for name in ("name", "version", "digest")},
            "n": len(self.items),
            "of": self.of,
            "alike": len(self.alike),
            "criteria": figures.criteria(first, names),
            "preference": figures.preference(orders, [(len(one.base), len(one.adapter)) for one in self.differ]),
            "unreadable": figures.unreadable({**first, "pairs": [*orders[0], *orders[1]]}),
            "repeated": figures.agreement(once, points(answers[0], self.again), names),
        }
        if len(answers) > 1:
            second = points(answers[1], self.points)
            found["second"] = figures.agreement(first, second, names)
            found["unreadable"] |= figures.unreadable({f"second judge, {side}": of for side, of in second.items()})
        return found

    def _single(self, one: Written, side: str, seed: int = 0) -> Question:
        return Question(prompts.single(self.rubric, one.item, getattr(one, side)), self.rubric, seed)

    def _pair(self, one: Written, first: str, second: str) -> Question:
        return Question(prompts.pairwise(self.rubric, one.item, first, second), self.rubric)


STUDY = Study(measure, told.text)
