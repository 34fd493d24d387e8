"""Study `cases`: what base and adapter answer to the sample cases of the suite's tasks, side by side, unscored."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from medslm.data.builders import sample_cases
from medslm.data.builders.sample_cases import SampleCase
from medslm.data.formats.format import thoughts
from medslm.evals.clinical.consistency import bound
from medslm.evals.study import Case, Study
from medslm.evals.trust import asking

WIDTH = 58
"""Characters of a column; two of them and what is between fill a line of 120."""
SHOWN = {"thoughts": 400, "reply": 1600}
"""Characters that a report shows of each; the rest is counted, and in `scores.json`."""
HEAD = (
    "Asked once, answered with the likeliest tokens, not chosen by anybody and not scored: a handful of answers measures "
    "nothing. No clinician has reviewed the questions, what is expected or the replies."
)


def measure(case: Case) -> dict[str, Any]:
    """Question, what is expected, and each side's whole reply; what does not fit the model's window is named."""
    told: list[dict[str, Any]] = []
    left_out: dict[str, str] = {}
    for task, cases in sample_cases.of_tasks(next(iter(case.outcomes.values()))):
        asked = cases[: case.limit]
        tokens = bound(task)
        fit = {one.id for one in asking.fitting(case, [one.example for one in asked], tokens)}
        left_out |= {
            one.example.id: f"with {tokens:,} tokens of a reply it does not fit into {case.engine.room:,}"
            for one in asked
            if one.example.id not in fit
        }
        told += _answered(case, task, [one for one in asked if one.example.id in fit], tokens)
    return {"cases": told, "left_out": left_out}


def _answered(case: Case, task: str, asked: Sequence[SampleCase], tokens: int) -> list[dict[str, Any]]:
    """The cases of one task with the replies, which are kept."""
    if not asked:
        return []

    def write(prompts: list[str]) -> list[dict[str, Any]]:
        found = case.engine.replies(prompts, tokens)
        return [{"reply": one.text, "tokens": one.tokens, "ended": one.ended} for one in found]

    path = case.folder / f"cases.{task}.jsonl"
    examples = [one.example for one in asked]
    replies = asking.written(case, path, examples, write, settings={"max_new_tokens": tokens})
    return [
        {
            "id": one.example.id,
            "task": task,
            "instruction": one.example.instruction,
            "input": one.example.input,
            "expected": one.example.output,
            "source": one.source,
            "sides": {side: _parted(of_side[one.example.id]) for side, of_side in replies.items()},
        }
        for one in asked
    ]


def _parted(found: Mapping[str, Any]) -> dict[str, Any]:
    """A reply with its thoughts apart, where it has some in tags."""
    reasoning, response, _ = thoughts(found["reply"])
    return {**found, "thoughts": reasoning, "response": response}


def text(found: Mapping[str, Any]) -> str:
    """Each case with its two replies in columns."""
    if not found["cases"] and not found["left_out"]:
        return "No sample case goes with the tasks of this suite."
    parts = ["\n".join(textwrap.wrap(HEAD, 2 * WIDTH))]
    parts += ["\n".join(_lines(one)) for one in found["cases"]]
    parts += [f"{name} was not asked: {why}." for name, why in found["left_out"].items()]
    return "\n\n".join(parts)


def _lines(one: Mapping[str, Any]) -> Iterator[str]:
    for head, value in ((one["id"], one["input"]), ("expected", one["expected"])):
        yield from textwrap.wrap(f"{head}: {_plain(value)}", 2 * WIDTH)
    yield f"source: {one['source']}"
    yield ""
    sides = list(one["sides"].items())
    columns = [[name, "-" * WIDTH, *_column(of_side)] for name, of_side in sides]
    for cells in zip_longest(*columns, fillvalue=""):
        yield "   ".join(cell.ljust(WIDTH) for cell in cells).rstrip()


def _column(side: Mapping[str, Any]) -> list[str]:
    """One side's reply in lines of WIDTH."""
    parts = []
    if side["thoughts"]:
        parts.append(f"[thought] {_cut(side['thoughts'], SHOWN['thoughts'])}")
    parts.append(_cut(side["response"], SHOWN["reply"]) or "[no response]")
    parts.append(f"[{side['tokens']:,} tokens{'' if side['ended'] else ', ended by the bound'}]")
    return [line for part in parts for row in part.split("\n") for line in textwrap.wrap(row, WIDTH) or [""]]


def _cut(value: str, longest: int) -> str:
    """What is printable of a text, and how much of it is not shown."""
    plain = "".join(sign if sign.isprintable() or sign == "\n" else " " for sign in value)
    rest = len(plain) - longest
    return plain if rest <= 0 else f"{plain[:longest]} [and {rest:,} characters more, in scores.json]"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


STUDY = Study(measure, text)
