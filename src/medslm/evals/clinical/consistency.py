"""Whether a model that thinks in writing comes to the same answer again, and whether the majority of its answers is better.

Self-consistency (arXiv:2203.11171): k replies are drawn, and the answer that most of them end in is taken. Each figure is
over items; greedy and majority answers are of the same items, so they are compared in pairs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from medslm.data.suite import Task
from medslm.errors import MedslmError
from medslm.evals import documents, harness, kept, number, parsing, statistics
from medslm.evals.study import Case, Study
from medslm.evals.trust import asking, lines

if TYPE_CHECKING:
    from medslm.evals.harness import Outcome

SAMPLES = 5
TEMPERATURE = 0.7
SEED = 0
ITEMS = 200  # of a task, spread evenly over it: SAMPLES replies each on both sides take a while
BOUND = re.compile(r"^\s*max_gen_toks:\s*(\d+)", re.MULTILINE)
INCLUDED = re.compile(r"^include:\s*(\S+)", re.MULTILINE)

MAJORITY, GREEDY, AGREEMENT = "majority accuracy", "greedy accuracy", "agreement"


@dataclass(frozen=True)
class Votes:
    """The answers of the samples of one item; none for a reply without a readable one."""

    answers: tuple[str | None, ...]

    @property
    def majority(self) -> str | None:
        """The most frequent answer, of equals the one drawn first; none if none could be read."""
        read = Counter(answer for answer in self.answers if answer is not None)
        return max(read, key=read.__getitem__, default=None)

    @property
    def agreement(self) -> float:
        """Share of the samples that give the majority's answer; one that cannot be read agrees with none."""
        return sum(answer == self.majority for answer in self.answers if answer is not None) / len(self.answers)

    @property
    def unreadable(self) -> float:
        """Share of the samples."""
        return sum(answer is None for answer in self.answers) / len(self.answers)


def answer(document: Mapping[str, Any], reply: str) -> str | None:
    """The letter or the number that a reply ends in."""
    if document["letters"]:
        return parsing.read(reply, document["options"]).letter
    told = number.read(reply)[0]
    return None if told is None else str(told)


def key(document: Mapping[str, Any]) -> str | None:
    """The right letter or number as `answer` writes it; none if the key is neither, so that answers cannot be counted."""
    if document["letters"]:
        return str(document["key"])
    told = number.whole(document["key"]) if isinstance(document["key"], str) else None
    return None if told is None else str(told)


def measure(case: Case) -> dict[str, Any]:
    """The figures of every written task whose answers are letters or numbers; the others are named."""
    tasks: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    for name, first in next(iter(case.outcomes.values())).items():
        if first[0].reply is None:
            left_out[name] = "its answers are not written"
            continue
        task = asking.task(name)
        known = {one["id"]: one for one in documents.render(task, case.engine.renderer, case.limit)}
        asked = documents.spread([known[outcome.id] for outcome in first], ITEMS)
        if any(key(document) is None for document in asked):
            left_out[name] = "its answers are neither letters nor numbers, so a majority cannot be counted"
            continue
        votes = {side: _votes(case, side, task, asked) for side in case.sides}
        tasks[name] = of_task(asked, votes, {side: of[name] for side, of in case.outcomes.items()})
    _adjust([difference for task in tasks.values() for difference in task["differences"]])
    return {"samples": SAMPLES, "temperature": TEMPERATURE, "tasks": tasks, "left_out": left_out}


def _votes(case: Case, side: str, task: Task, asked: Sequence[Mapping[str, Any]]) -> list[Votes]:
    """The answers of SAMPLES replies to each item; the replies are kept."""
    prompts = {document["id"]: document["prompt"] for document in asked}
    tokens = bound(task.name)

    def ask(ids: list[str]) -> list[list[str]]:
        with case.sides[side]():
            return case.engine.sample([prompts[id] for id in ids], tokens, SAMPLES, TEMPERATURE, SEED)

    path = case.folder / f"consistency.{task.name}.{side}.jsonl"
    settings = {"samples": SAMPLES, "temperature": TEMPERATURE, "seed": SEED, "max_new_tokens": tokens}
    found = kept.replies(path, asking.key(case, list(prompts.values()), **settings), list(prompts), ask)
    return [Votes(tuple(answer(one, reply) for reply in replies)) for one, replies in zip(asked, found)]


def bound(task: str) -> int:
    """The tokens that a reply to this task may have, as its YAML says. Raises `MedslmError` if it does not say."""
    path = harness.TASKS / f"{task}.yaml"
    text = path.read_text(encoding="utf-8")
    parts = [text, *((path.parent / found[1]).read_text(encoding="utf-8") for found in INCLUDED.finditer(text))]
    for part in parts:
        if found := BOUND.search(part):
            return int(found[1])
    raise MedslmError(f"{path} gives no max_gen_toks, so samples would have no end; add it")


def of_task(
    asked: Sequence[Mapping[str, Any]], votes: Mapping[str, Sequence[Votes]], outcomes: Mapping[str, Sequence[Outcome]]
) -> dict[str, Any]:
    """All figures of one task: `asked` are its documents, `votes` and `outcomes` those of each side."""
    values = {side: _values(asked, votes[side], outcomes[side]) for side in votes}
    compared = [("majority - greedy", side, of[GREEDY], of[MAJORITY]) for side, of in values.items()]
    if len(values) == 2:
        base, other = values.values()
        compared += [("adapter - base", name, base[name], other[name]) for name in (MAJORITY, AGREEMENT)]
    return {
        "n": len(asked),
        "of": len(next(iter(outcomes.values()))),
        "sides": {
            side: {name: statistics.estimate(of_name).as_json() for name, of_name in of.items()}
            for side, of in values.items()
        },
        "differences": [
            {"compared": compared, "of": of, **statistics.difference(one, two).as_json()}
            for compared, of, one, two in compared
        ],
    }


def _values(
    asked: Sequence[Mapping[str, Any]], votes: Sequence[Votes], outcomes: Sequence[Outcome]
) -> dict[str, list[float]]:
    """Figure -> its value for each item."""
    replies = {outcome.id: outcome.reply or "" for outcome in outcomes}
    right = [key(document) for document in asked]
    greedy = [answer(document, replies[document["id"]]) for document in asked]
    return {
        GREEDY: [float(one == told) for one, told in zip(greedy, right)],
        MAJORITY: [float(one.majority == told) for one, told in zip(votes, right)],
        "sample accuracy": [fmean(one == told for one in vote.answers) for vote, told in zip(votes, right)],
        AGREEMENT: [vote.agreement for vote in votes],
        "unreadable": [vote.unreadable for vote in votes],
    }


def _adjust(family: Sequence[dict[str, Any]]) -> None:
    """Give each difference its p after Holm over all of them, and its verdict."""
    words = {"better": "higher", "worse": "lower"}
    for found, p in zip(family, statistics.holm([found["p"] for found in family])):
        found["p_holm"] = p
        verdict = statistics.recorded_verdict(found)
        found["verdict"] = words.get(verdict, verdict)


def text(found: Mapping[str, Any]) -> str:
    """Figures and differences of each task, with the verdict in words."""
    told = [f"{found['samples']} samples at temperature {found['temperature']}"]
    for name, task in found["tasks"].items():
        told += ["", *_lines(name, task)]
    told += [f"{name}: not measured, {why}" for name, why in found["left_out"].items()]
    return lines.text(told)


def _lines(name: str, task: Mapping[str, Any]) -> Iterator[str]:
    sides = list(task["sides"])
    yield f"{name}: {task['n']:,} of {task['of']:,} items"
    figures = [(one, *(lines.percent(task["sides"][side][one]) for side in sides)) for one in task["sides"][sides[0]]]
    yield from lines.aligned([("figure", *sides), *figures])
    rows = [
        (one["compared"], one["of"], lines.number(one), lines.p_value(one["p_holm"]), one["verdict"])
        for one in task["differences"]
    ]
    yield from lines.aligned([("compared", "of", "difference [95 %]", "p (Holm)", "verdict"), *rows], left=2)


STUDY = Study(measure, text)
