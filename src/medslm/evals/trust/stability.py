"""Whether the same question gets the same answer: in other words, with the options in another order, and asked again.

A model that always says `A` is perfectly stable: the share of its most frequent letter stands beside every agreement.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING, Any

from medslm.data.example import Example
from medslm.data.formats import fields_of
from medslm.data.formats.render import Renderer
from medslm.evals import documents, parsing, statistics
from medslm.evals.statistics import Difference
from medslm.evals.study import Case, Study
from medslm.evals.trust import asking, lines
from medslm.evals.trust.wordings import BANK

if TYPE_CHECKING:
    import numpy

    from medslm.evals.harness import Outcome

    Array = numpy.ndarray[Any, Any]
    Outcomes = Mapping[str, Sequence[Outcome]]

FOLDER = "stability"
ITEMS = 200
"""Of a task, at most, under other wordings and asked again by likelihood."""
WRITTEN = 32
"""Of these, at most, answered in writing: twice greedily, and in samples."""
SAMPLES, TEMPERATURE, SEED = 5, 0.7, 0
TOKENS, THINKING_TOKENS = 24, 256
"""Of a written reply, where its key does not need more."""
COMPANY = 7
"""Questions asked together the second time: other batches, padding and packing than the first time."""
AGREEMENT, WORDS, SAMPLED = "same in another order", "same in other words", "same in samples"


def measure(case: Case) -> dict[str, Any]:
    """Agreement of both sides with themselves, and paired differences under Holm."""
    tasks: dict[str, Any] = {}
    order: dict[str, Any] = {}
    found: dict[tuple[str, str], Difference] = {}
    for name, outcomes in asking.by_likelihood(case):
        held = documents.spread(range(len(outcomes["base"])), _most(case, ITEMS))
        asked = {side: [of[place] for place in held] for side, of in outcomes.items()}
        items = asking.items(name, [outcome.id for outcome in asked["base"]])
        worded, of_words = _wordings(case, name, items, asked)
        written, of_samples = _written(case, name, items)
        tasks[name] = {"wordings": worded, "again": _again(case, name, items, asked), "written": written}
        found |= {(name, measure): one for measure, one in (of_words | of_samples).items()}
    for name, outcomes in asking.shuffled(case):
        same = {side: [int(one.meant == one.before) for one in of] for side, of in outcomes.items()}
        order[name] = {side: statistics.estimate(of).as_json() for side, of in same.items()}
        found[name, AGREEMENT] = statistics.difference(same["base"], same["adapter"])
    return {"tasks": tasks, "order": order, "differences": lines.family(found, frozenset())}


def _most(case: Case, most: int) -> int:
    return most if case.limit is None else min(most, case.limit)


def _wordings(
    case: Case, name: str, items: Sequence[Example], outcomes: Outcomes
) -> tuple[dict[str, Any], dict[str, Difference]]:
    """The items under every other wording of their instruction, beside the answers under their own."""
    import numpy

    instruction, bank = items[0].instruction, BANK.get(items[0].instruction, ())
    if not bank or any(item.instruction != instruction for item in items):
        return {"left_out": f"there are no other wordings of '{instruction}'"}, {}
    versions = [asking.under(items, str(n), instruction=words) for n, words in enumerate(bank)]
    readable = [{one.id for one in asking.fitting(case, of, more=1)} for of in versions]
    kept = [n for n in range(len(items)) if all(of[n].id in ids for of, ids in zip(versions, readable))]
    if len(kept) < 2:
        return {"left_out": f"{len(kept)} items can be read by the model in other words; two are needed"}, {}
    asked = [of[place] for of in versions for place in kept]
    scored = asking.scored(case, case.folder / FOLDER / f"{name}.wordings.jsonl", asked)
    keys = numpy.array([case.engine.renderer.format.key_of(items[place]) for place in kept])
    told: dict[str, Any] = {"instructions": [instruction, *bank], "left_out_items": len(items) - len(kept)}
    agreeing = {}
    for side, of_side in scored.items():
        own = [outcomes[side][place].letters.index(str(outcomes[side][place].pick)) for place in kept]
        others = [[_first_best(of_side[of[place].id]) for place in kept] for of in versions]
        picks = numpy.array([own, *others])  # (wordings, items)
        agreeing[side] = pairwise(picks)
        told[side] = _worded(picks, keys)
    return told, {WORDS: statistics.difference(agreeing["base"], agreeing["adapter"])}


def _first_best(logprobs: Sequence[float]) -> int:
    return max(range(len(logprobs)), key=logprobs.__getitem__)


def pairwise(picks: Array) -> list[float]:
    """For each item the share of pairs of answers that are the same. (answers, items) -> items"""
    pairs = list(itertools.combinations(range(len(picks)), 2))
    return [fmean(float(column[one] == column[other]) for one, other in pairs) for column in picks.T.tolist()]


def _worded(picks: Array, keys: Array) -> dict[str, Any]:
    """Agreement and accuracies of answers (wordings, items), of which the first row is the instruction's own wording."""
    right = (picks == keys).astype(int)
    counts = Counter(picks.ravel().tolist())
    return {
        "n": picks.shape[1],
        "all_same": statistics.estimate((picks == picks[0]).all(axis=0).astype(int)).as_json(),
        "agreement": statistics.estimate(pairwise(picks)).as_json(),
        "most_frequent_letter": max(counts.values()) / picks.size,
        "accuracy": [statistics.estimate(row).as_json() for row in right],
        "changed": [statistics.estimate((row != picks[0]).astype(int)).as_json() for row in picks[1:]],
        "spread": spread(right),
    }


def spread(right: Array, draws: int = 1000, seed: int = 0) -> dict[str, Any]:
    """Best less worst accuracy over wordings, from (wordings, items) of 0 and 1, with a bootstrap over items.

    It is positive by construction: `null` is what it is where the wordings make no difference, by shuffling each item's
    answers among them.
    """
    import numpy

    found = statistics.bootstrap(lambda rows: float(numpy.ptp(rows.mean(axis=0))), right.T, resamples=draws, seed=seed)
    order = numpy.random.default_rng(seed)
    null = [float(numpy.ptp(order.permuted(right, axis=0).mean(axis=1))) for _ in range(draws)]
    return {**found.as_json(), "null": {"mean": fmean(null), "p95": float(numpy.quantile(null, 0.95))}}


def _again(case: Case, name: str, items: Sequence[Example], outcomes: Outcomes) -> dict[str, Any]:
    """The letters scored once more, backwards and in small company: how many picks are the same, and by how much off."""
    path = case.folder / FOLDER / f"{name}.again.jsonl"
    scored = asking.scored(case, path, items[::-1], at_once=COMPANY)
    told = {}
    for side, of_side in scored.items():
        first = {outcome.id: list(outcome.logprobs) for outcome in outcomes[side]}
        same = [int(_first_best(first[id]) == _first_best(now)) for id, now in of_side.items()]
        off = max(abs(one - two) for id, now in of_side.items() for one, two in zip(first[id], now))
        told[side] = {**statistics.estimate(same).as_json(), "largest_difference": off}
    return told


def _written(case: Case, name: str, items: Sequence[Example]) -> tuple[dict[str, Any], dict[str, Difference]]:
    """Written replies: greedy twice in unlike batches, which must agree, and samples, which need not."""
    engine, folder = case.engine, case.folder / FOLDER
    tokens = _tokens(engine.renderer, items)
    asked = asking.fitting(case, documents.spread(items, _most(case, WRITTEN)), more=tokens)
    if len(asked) < 2:
        return {
            "left_out": f"{len(asked)} items leave the model room for a reply of {tokens} tokens; two are needed"
        }, {}
    greedy = partial(engine.reply, max_new_tokens=tokens)
    once = asking.written(case, folder / f"{name}.greedy.jsonl", asked, greedy, settings={"tokens": tokens})
    path = folder / f"{name}.greedy-again.jsonl"
    again = asking.written(case, path, asked[::-1], greedy, at_once=COMPANY, settings={"tokens": tokens})

    def draw(prompts: list[str]) -> list[list[str]]:
        return engine.sample(prompts, tokens, SAMPLES, TEMPERATURE, SEED)

    settings = {"tokens": tokens, "n": SAMPLES, "temperature": TEMPERATURE, "seed": SEED}
    drawn = asking.written(case, folder / f"{name}.samples.jsonl", asked, draw, settings=settings)
    told: dict[str, Any] = {**settings, "items": len(asked)}
    agreeing: dict[str, list[float]] = {}
    for side in case.sides:
        said = {one.id: [said_of(engine.renderer, one, reply) for reply in drawn[side][one.id]] for one in asked}
        agreeing[side] = [_same(of_item) for of_item in said.values()]
        told[side] = {
            "greedy_same": statistics.estimate([int(once[side][e.id] == again[side][e.id]) for e in asked]).as_json(),
            "sampled_same": statistics.estimate(agreeing[side]).as_json(),
            "unread": fmean(answer is None for of_item in said.values() for answer in of_item),
        }
    return told, {SAMPLED: statistics.difference(agreeing["base"], agreeing["adapter"])}


def _tokens(renderer: Renderer, items: Sequence[Example]) -> int:
    """A reply's bound: the longest key and its end, or a few words, or room for thoughts."""
    longest = max(len(renderer.ids(renderer.completion(item))) for item in items)
    return max(longest, THINKING_TOKENS if renderer.format.thinks else TOKENS)


def said_of(renderer: Renderer, item: Example, reply: str) -> str | None:
    """The option that a reply names: its letter, or the first field of a structured answer; none if it names none."""
    if isinstance(item.output, str):
        return parsing.read(reply, item.options).letter
    fields = renderer.format.read(reply, fields_of(item.output)).fields
    return fields.get(next(iter(item.output))) or None


def _same(said: Sequence[str | None]) -> float:
    """Share of pairs that name the same option; what names none agrees with nothing."""
    pairs = list(itertools.combinations(said, 2))
    return fmean(float(one is not None and one == other) for one, other in pairs)


def text(told: Mapping[str, Any]) -> str:
    """Agreement in other words, in another order and asked again, and the differences."""
    notes = [
        f"{name}: {of[part]['left_out']}."
        for name, of in told["tasks"].items()
        for part in of
        if "left_out" in of[part]
    ]
    return lines.text(
        [
            "The same question in six wordings (spread: best less worst accuracy, beside what it is by chance)",
            *_table(told["tasks"], "wordings", WORDED, _wordings_row),
            "",
            "Asked again in other batches, and in samples at temperature 0.7",
            *_table(told["tasks"], "again", AGAIN, _again_row),
            "",
            *_table(told["tasks"], "written", REPLIED, _written_row),
            "",
            "The same option chosen with the options in another order",
            *lines.aligned([("task", "side", "n", "same"), *_order_rows(told["order"])], left=2),
            "",
            *lines.differences(told["differences"]),
            *notes,
        ]
    )


WORDED = ("task", "side", "n", "agreement", "all the same", "one letter", "accuracies", "spread", "by chance")
AGAIN = ("task", "side", "n", "same letter", "largest difference in nats")
REPLIED = ("task", "side", "n", "same greedy reply", "same option in samples", "names none")

Row = Callable[[Mapping[str, Any]], tuple[str, ...]]


def _table(tasks: Mapping[str, Any], part: str, head: Sequence[str], row: Row) -> list[str]:
    rows = [
        (name, side, *row(of[part][side]))
        for name, of in tasks.items()
        for side in ("base", "adapter")
        if side in of[part]
    ]
    return lines.aligned([head, *rows], left=2)


def _wordings_row(of: Mapping[str, Any]) -> tuple[str, ...]:
    right = [one["value"] for one in of["accuracy"]]
    return (
        *(f"{of['n']:,}", lines.percent(of["agreement"]), lines.percent(of["all_same"])),
        *(f"{of['most_frequent_letter']:.0%}", f"{100 * min(right):.1f} to {100 * max(right):.1f} %"),
        *(lines.percent(of["spread"]), f"{100 * of['spread']['null']['mean']:.1f} %"),
    )


def _again_row(of: Mapping[str, Any]) -> tuple[str, ...]:
    return f"{of['n']:,}", lines.percent(of), f"{of['largest_difference']:.2g}"


def _written_row(of: Mapping[str, Any]) -> tuple[str, ...]:
    n = f"{of['greedy_same']['n']:,}"
    return n, lines.percent(of["greedy_same"]), lines.percent(of["sampled_same"]), f"{of['unread']:.0%}"


def _order_rows(order: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [(name, side, f"{of[side]['n']:,}", lines.percent(of[side])) for name, of in order.items() for side in of]


STUDY = Study(measure, text)
