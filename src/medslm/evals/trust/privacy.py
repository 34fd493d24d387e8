"""Privacy of the training data: whether planted codes can be read back, and rows of the run be told from others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from medslm.data.builders import canaries
from medslm.data.builders.canaries import Canary
from medslm.errors import MedslmError
from medslm.evals import kept
from medslm.evals.study import Case, Study
from medslm.evals.trust import asking, learnt, lines, memorised
from medslm.evals.trust.learnt import Ids, Learnt, Text

OTHERS, OTHERS_OF_A_TRIAL = 999, 99
"""Codes that a canary is ranked among; fewer in an evaluation with a limit."""

TEXTS = 500
"""Rows of each kind, at most; 100 strangers are needed to tell what 1 % false alarms find."""

REPLY = 24  # tokens: a code of six digits, and some words before it
AT_ONCE = 8  # canaries scored between two writings to the disk, each with all its rivals

Planted = Mapping[Canary, Sequence[Ids]]
"""Canary -> the tokens of each of its repetitions."""


def measure(case: Case) -> dict[str, Any]:
    """`canaries` and `membership`, each with its figures or with a sentence that says why there are none."""
    try:
        rows = learnt.again(case.record)
    except MedslmError as error:
        why = f"the rows of the run could not be read again: {error}"
        return {"canaries": {"not_measured": why}, "membership": {"not_measured": why}}
    planted = plan(rows) if canaries.NAME in rows.recipe.mixture else {}
    return {"canaries": _canaries(case, rows, planted), "membership": _membership(case, rows, planted)}


def plan(rows: Learnt) -> Planted:
    """Every canary with the tokens that its repetitions have in the run's format."""
    return {
        canary: [rows.ids(canaries.NAME, canary.example(number)) for number in range(canary.repetitions)]
        for canary in canaries.canaries()
    }


def _canaries(case: Case, rows: Learnt, planted: Planted) -> dict[str, Any]:
    if not planted:
        return {
            "not_measured": f"no canaries were planted: the run's mixture has no '{canaries.NAME}'. Train with "
            f"{canaries.NAME}=1 in --mixture to measure what is memorised"
        }
    counts = rows.counted([ids for each in planted.values() for ids in each])
    times = {canary: sum(counts[ids] for ids in each) for canary, each in planted.items()}
    # What a gate dropped or masked, or validation holds, was not learnt: it shows what luck does.
    asked = [canary if times[canary] else replace(canary, repetitions=0) for canary in planted]
    alone = [c for c in asked if sum(c.repetitions == other.repetitions for other in asked) < 2]
    asked = [canary for canary in asked if canary not in alone]
    others = OTHERS if case.limit is None else OTHERS_OF_A_TRIAL
    ranked, told = _ranked(case, rows, asked, others), _replies(case, rows, asked)
    return {
        "planted": len(planted),
        "rows": {"planted": sum(map(len, planted.values())), "learnt": sum(times.values())},
        "epochs": case.record["train"]["examples"] / len(rows.train),
        "left_out": len(alone),  # the only one of its kind
        "others": others,
        "exposure": memorised.exposures(asked, ranked["base"], ranked["adapter"], others),
        "extraction": memorised.extraction(asked, told["base"], told["adapter"]),
    }


def parts(rows: Learnt, canary: Canary) -> tuple[str, str]:
    """The first repetition of a canary as training wrote it: what stands before the code, and from the code on."""
    text = rows.tokenizer.decode(rows.ids(canaries.NAME, canary.example(0)), clean_up_tokenization_spaces=False)
    before, secret, after = text.rpartition(canary.secret)
    return before, secret + after


def _ranked(case: Case, rows: Learnt, asked: Sequence[Canary], others: int) -> dict[str, list[float]]:
    """Side -> the exposure of each canary, all codes behind the same words."""
    pairs: dict[str, list[tuple[str, str]]] = {}
    for canary in asked:
        before, own = parts(rows, canary)
        codes = [canary.secret, *canary.others(others)]
        pairs[canary.place] = [(before, code + own[len(canary.secret) :]) for code in codes]

    def ask(places: list[str]) -> list[dict[str, list[float]]]:
        flat = [pair for place in places for pair in pairs[place]]
        found = case.engine.score_sides(flat, list(case.sides.values()))
        by_side = {side: iter(scores) for side, scores in zip(case.sides, found)}
        return [{side: [next(of)[0] for _ in pairs[place]] for side, of in by_side.items()} for place in places]

    texts = [text for of_canary in pairs.values() for pair in of_canary for text in pair]
    path = case.folder / "privacy" / "exposure.jsonl"
    values = kept.replies(path, asking.key(case, texts), list(pairs), ask, AT_ONCE)
    return {side: [memorised.exposure(value[side][0], value[side][1:]) for value in values] for side in case.sides}


def _replies(case: Case, rows: Learnt, asked: Sequence[Canary]) -> dict[str, list[str]]:
    """Side -> what it writes behind the words before each code."""
    prompts = {canary.place: parts(rows, canary)[0] for canary in asked}
    key = asking.key(case, list(prompts.values()), max_new_tokens=REPLY)
    told = {}
    for side, switched in case.sides.items():

        def ask(places: list[str], switched: Any = switched) -> list[str]:
            with switched():
                return case.engine.reply([prompts[place] for place in places], REPLY)

        told[side] = kept.replies(case.folder / "privacy" / f"extraction.{side}.jsonl", key, list(prompts), ask)
    return told


def _membership(case: Case, rows: Learnt, planted: Planted) -> dict[str, Any]:
    most = TEXTS if case.limit is None else min(TEXTS, case.limit)
    repeated = [ids for each in planted.values() for ids in each]  # would be found for being repeated
    members, strangers = rows.members(most, repeated), rows.strangers(most, repeated)
    if min(len(members), len(strangers)) < 2:
        return {
            "not_measured": f"{len(members)} rows that were learnt and {len(strangers)} that were held out can be "
            "compared; two of each are needed: raise validation_fraction, or the limit"
        }
    base, adapter = (_logprobs(case, side, [*members, *strangers]) for side in ("base", "adapter"))
    n = len(members)
    found = memorised.membership((base[:n], base[n:]), (adapter[:n], adapter[n:]))
    return found | {"unlike": unlike(rows)}


def unlike(rows: Learnt) -> str | None:
    """How the rows held out were drawn otherwise than those learnt, so that an AUC is not memory alone."""
    recipe, names = rows.recipe, set(rows.recipe.mixture) - {canaries.NAME}
    if recipe.validation_rows:
        return f"the first {recipe.validation_rows} rows of each corpus were held out, and not rows drawn by lot"
    if len({min(recipe.mixture[name], 1) for name in names}) > 1:
        return "the corpora are mixed in other parts among the rows learnt than among those held out"
    return None


def _logprobs(case: Case, side: str, texts: Sequence[Text]) -> list[list[float]]:
    """Log-probability of each token that carries loss, text by text."""
    by_id = {f"{number}": one for number, one in enumerate(texts)}

    def ask(ids: list[str]) -> list[list[float]]:
        with case.sides[side]():
            found = case.engine.token_logprobs([by_id[id].text for id in ids])
        return [values[-by_id[id].learnt :] for id, values in zip(ids, found)]

    key = asking.key(case, [one.text for one in texts])
    return kept.replies(case.folder / "privacy" / f"membership.{side}.jsonl", key, list(by_id), ask)


def text(told: Mapping[str, Any]) -> str:
    """What `measure` found, as lines."""
    return lines.text([*_told_canaries(told["canaries"]), "", *_told_membership(told["membership"])])


def _told_canaries(found: Mapping[str, Any]) -> list[str]:
    if "not_measured" in found:
        return [f"Canaries: not measured: {found['not_measured']}."]
    rows = found["rows"]
    lost = rows["planted"] - rows["learnt"]
    head = (
        f"{found['planted']} canaries; of their {rows['planted']} rows {rows['learnt']} were in training, "
        f"{found['epochs']:.2g} times each"
        + (f" ({lost} were held out, masked or dropped: see the gates in run.json)" if lost > 0 else "")
        + (
            f"; {found['left_out']} canaries are the only ones of their number and left out"
            if found["left_out"]
            else ""
        )
    )
    columns = ("planted", "n", "base", "adapter", "adapter - base [95 %]", "p (Holm)", "verdict")
    tables = []
    for what, show in (("exposure", lambda figure: lines.number(figure, 1)), ("extraction", lines.percent)):
        cells = [
            (
                f"{row['repetitions']} times",
                str(row["before"]["n"]),
                show(row["before"]),
                show(row["after"]),
                lines.number(row["difference"], 2),
                lines.p_value(row["difference"]["p_holm"]),
                row["difference"]["verdict"],
            )
            for row in found[what]
        ]
        tables.append(lines.aligned([columns, *cells]))
    return [
        head,
        f"Exposure among {found['others']:,} other codes, in bits (by luck 1.4 on average):",
        *tables[0],
        "Given away by a greedy reply:",
        *tables[1],
    ]


def _told_membership(found: Mapping[str, Any]) -> list[str]:
    if "not_measured" in found:
        return [f"Membership: not measured: {found['not_measured']}."]
    rows = [("attack", "AUC base", "AUC adapter", "found at 1 % false alarms", "adapter - base", "p (Holm)", "verdict")]
    for name, attack in found["attacks"].items():
        base, adapter, test = attack.get("base"), attack["adapter"], attack.get("difference")
        rows.append(
            (
                name,
                lines.number(base and base["auc"]),
                lines.number(adapter["auc"]),
                lines.percent(adapter["found_at_1%_false_alarms"]),
                lines.number(test),
                lines.p_value(test["p_holm"]) if test else "-",
                test["verdict"] if test else "-",
            )
        )
    told = [
        f"{found['members']} rows that were learnt against {found['strangers']} that were held out (AUC 0.5: nothing is "
        "given away):",
        *lines.aligned(rows),
    ]
    return [*told, f"Not memory alone: {found['unlike']}."] if found["unlike"] else told


STUDY = Study(measure, text)
