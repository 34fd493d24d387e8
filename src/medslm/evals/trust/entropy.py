"""Semantic entropy: whether answers drawn for one open question mean the same, and whether disagreement foretells errors.

Farquhar et al. 2024 (doi:10.1038/s41586-024-07421-0), the discrete form: k replies are drawn, clustered by meaning, and
the entropy of the clusters' shares is taken, from 0 (all mean the same) to ln k (all mean something else).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from medslm.data.builders import choice
from medslm.data.example import Example
from medslm.data.formats.refusal import Unwritable
from medslm.data.options import OF_OTHERS
from medslm.evals import documents, kept, statistics
from medslm.evals.statistics import Difference
from medslm.evals.study import Case, Study
from medslm.evals.trust import asking, calibration, equivalence, lines
from medslm.evals.trust.equivalence import Equivalence

FOLDER = "entropy"
OPENLY = "Answer the question in a few words."
ITEMS = 100
"""Of a task, at most."""
SAMPLES, TEMPERATURE, SEED = 10, 1.0, 0
"""As in the paper."""
TOKENS = 32
"""Of a reply: a few words. What a model goes on to say behind them is cut, and is not compared."""
LONGEST_KEY = 8
"""Words: what is longer is a statement to be picked, which nobody would write word for word."""
NEEDS_OPTIONS = re.compile(
    r"\b(?i:except|which of the following statements?|following (?:is|are) (?:not|true|false|correct|incorrect)|"
    r"all of the following)\b|\bNOT\b"
)
"""A question that cannot be answered without its options."""


def measure(case: Case) -> dict[str, Any]:
    """Entropy of both sides on the suite's questions without their options, and how well it tells right from wrong."""
    how, same = equivalence.chosen()
    told: dict[str, Any] = {}
    found: dict[tuple[str, str], Difference] = {}
    for name, outcomes in asking.by_likelihood(case):
        items = asking.items(name, [outcome.id for outcome in outcomes["base"]])
        asked = openly(items)
        most = ITEMS if case.limit is None else min(ITEMS, case.limit)
        chosen = asking.fitting(case, documents.spread(asked, most), more=TOKENS)
        if len(chosen) < 2:
            told[name] = {
                "left_out": f"{len(chosen)} of {len(items)} items can be asked without options; two are needed"
            }
            continue
        told[name], found[name, "entropy"] = _task(case, name, chosen, same)
        told[name] |= {"items": len(items), "askable": len(asked)}
    return {
        "samples": SAMPLES,
        "temperature": TEMPERATURE,
        "tokens": TOKENS,
        "equivalence": how,
        "highest": math.log(SAMPLES),
        "tasks": told,
        "differences": lines.family(found, frozenset({"entropy"})),
    }


def openly(items: Sequence[Example]) -> list[Example]:
    """The items as open questions, the key's text as their answer; without those that need their options to be answered.

    Those are: questions of other exams than of free letters (yes, no and maybe), keys that speak of other options or are
    longer than `LONGEST_KEY` words, and questions such as `all of the following except`.
    """
    asked = []
    for item in items:
        if item.instruction != choice.INSTRUCTION or not isinstance(item.output, str) or not item.options:
            continue
        key = item.options[ord(item.output) - ord("A")]
        wanted = equivalence.words(key)
        if 0 < len(wanted) <= LONGEST_KEY and not OF_OTHERS.search(key) and not NEEDS_OPTIONS.search(item.text):
            asked.append(replace(item, instruction=OPENLY, output=key, options=()))
    return asked


def _task(case: Case, name: str, asked: Sequence[Example], same: Equivalence) -> tuple[dict[str, Any], Difference]:
    engine, path = case.engine, case.folder / FOLDER
    settings = {"tokens": TOKENS, "n": SAMPLES, "temperature": TEMPERATURE, "seed": SEED}

    def draw(prompts: list[str]) -> list[list[str]]:
        return engine.sample(prompts, TOKENS, SAMPLES, TEMPERATURE, SEED)

    drawn = asking.written(case, path / f"{name}.samples.jsonl", asked, draw, settings=settings)
    greedy = partial(engine.reply, max_new_tokens=TOKENS)
    replies = asking.written(case, path / f"{name}.greedy.jsonl", asked, greedy, settings={"tokens": TOKENS})
    told: dict[str, Any] = {}
    entropies: dict[str, list[float]] = {}
    for side, switched in case.sides.items():
        entropies[side] = [entropy(clusters(item.text, drawn[side][item.id], same)) for item in asked]
        with switched():
            surprise = unlikely(case, path / f"{name}.logprobs.{side}.jsonl", asked, replies[side])
        wrong = [int(not equivalence.holds(replies[side][item.id], str(item.output))) for item in asked]
        told[side] = _side(entropies[side], surprise, wrong)
    return told, statistics.difference(entropies["base"], entropies["adapter"])


def clusters(question: str, replies: Sequence[str], same: Equivalence) -> list[int]:
    """The number of each reply's cluster, from 0 in the order in which they come.

    A reply joins the first cluster whose first member means the same (the paper's algorithm 1), else opens its own.
    """
    firsts: list[str] = []
    known: dict[str, int] = {}
    for reply in dict.fromkeys(replies):
        found = same(question, [(first, reply) for first in firsts]) if firsts else []
        known[reply] = found.index(True) if True in found else len(firsts)
        if known[reply] == len(firsts):
            firsts.append(reply)
    return [known[reply] for reply in replies]


def entropy(labels: Sequence[int]) -> float:
    """Of the clusters' shares, in nats: 0 for one cluster, ln k for k replies that all differ."""
    shares = [count / len(labels) for count in Counter(labels).values()]
    return sum(-share * math.log(share) for share in shares if share < 1)


def unlikely(case: Case, path: Path, asked: Sequence[Example], replies: Mapping[str, str]) -> list[float | None]:
    """-log-probability per token of each greedy reply with its end of turn; none for one that cannot be written again.

    What the model says of them is kept in `path`.
    """
    renderer = case.engine.renderer
    pairs, lengths = {}, {}
    for item in asked:
        prompt = renderer.prompt(item)
        try:
            written = renderer.completion(replace(item, output=replies[item.id]))
        except Unwritable:
            continue
        whole, before = renderer.ids(prompt + written), renderer.ids(prompt)
        if whole[: len(before)] == before and len(whole) > len(before):
            pairs[item.id], lengths[item.id] = (prompt, written), len(whole) - len(before)

    def ask(ids: list[str]) -> list[float]:
        return [logprob for logprob, _ in case.engine.score([pairs[id] for id in ids])]

    key = asking.key(case, [text for pair in pairs.values() for text in pair])
    scores = dict(zip(pairs, kept.replies(path, key, list(pairs), ask)))
    return [-scores[item.id] / lengths[item.id] if item.id in scores else None for item in asked]


def _side(entropies: Sequence[float], surprise: Sequence[float | None], wrong: Sequence[int]) -> dict[str, Any]:
    known = [(value, fault) for value, fault in zip(surprise, wrong) if value is not None]
    return {
        "n": len(wrong),
        "entropy": statistics.bootstrap(lambda of: float(of.mean()), entropies).as_json(),
        "right": statistics.estimate([1 - one for one in wrong]).as_json(),
        "one_meaning": statistics.estimate([int(value == 0) for value in entropies]).as_json(),
        "auroc_entropy": _auroc(entropies, wrong),
        "auroc_token_logprob": _auroc([value for value, _ in known], [fault for _, fault in known]),
        "without_logprob": len(wrong) - len(known),
    }


def _auroc(uncertainty: Sequence[float], wrong: Sequence[int]) -> dict[str, Any] | None:
    """How often a wrong answer is the more uncertain one of a pair; none without two of both."""
    import numpy

    found = calibration.auroc(numpy.asarray(uncertainty), numpy.asarray(wrong)) if len(wrong) > 1 else None
    return None if found is None else found.as_json()


def text(told: Mapping[str, Any]) -> str:
    """One line a task and side, the differences, and what is meant by `right`."""
    rows = [
        (
            *(name, side, f"{of['n']:,}", lines.number(of["entropy"]), lines.percent(of["one_meaning"])),
            *(lines.percent(of["right"]), lines.number(of["auroc_entropy"]), lines.number(of["auroc_token_logprob"])),
        )
        for name, task in told["tasks"].items()
        if "left_out" not in task
        for side, of in ((side, task[side]) for side in ("base", "adapter"))
    ]
    notes = [f"{name}: {of['left_out']}." for name, of in told["tasks"].items() if "left_out" in of]
    if not rows:
        return lines.text(["Semantic entropy: no question can be asked without its options.", *notes])
    head = (
        "task",
        "side",
        "n",
        "entropy",
        "one meaning",
        "right",
        "AUROC of entropy",
        "AUROC of token log-probability",
    )
    return lines.text(
        [
            f"Semantic entropy of {told['samples']} replies at temperature {told['temperature']:g}, in nats (0 to "
            f"{told['highest']:.2f}); AUROC: of being wrong",
            *lines.aligned([head, *rows], left=2),
            f"Two replies mean the same by {told['equivalence']}.",
            "Right: the key's words stand in the greedy reply; synonyms count as wrong, so this ranks, and is no score.",
            *notes,
            "",
            *lines.differences(told["differences"]),
        ]
    )


STUDY = Study(measure, text)
