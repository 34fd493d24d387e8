"""Whether the model knows when it is right, per multiple-choice task: calibration, answer sets, and who is better at it.

What is fitted (a temperature, the thresholds of answer sets) never meets the items that chose it. It is fitted on the
benchmark's own validation items where they are registered and can be read; else each half of the exam, split by the
digest of the ids, is judged by what the other half chose.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

from medslm.data import given
from medslm.data.suites.validation import VALIDATION
from medslm.errors import MedslmError
from medslm.evals import documents, statistics
from medslm.evals.statistics import Difference
from medslm.evals.study import Case, Study
from medslm.evals.trust import asking, calibration, conformal, lines, temperature
from medslm.evals.trust.answers import Answers
from medslm.evals.trust.conformal import Method, Rule

if TYPE_CHECKING:
    from medslm.evals.harness import Outcome

FOLDER = "uncertainty"
FEWEST = 2
"""Items of which calibration can be said."""
LOWER = frozenset({"brier", "nll", "set_size"})
"""Measures of which less is better; a smaller set of the same coverage says more."""

Parts = Sequence[tuple[Rule, Answers]]


def measure(case: Case) -> dict[str, Any]:
    """Both sides of every task by likelihood, and their paired differences as one family under Holm."""
    told: dict[str, Any] = {}
    found: dict[tuple[str, str], Difference] = {}
    for name, outcomes in asking.by_likelihood(case):
        n = len(next(iter(outcomes.values())))
        if n < FEWEST:
            told[name] = {"n": n, "left_out": f"calibration needs at least {FEWEST} items"}
            continue
        told[name], of_task = _task(case, name, outcomes)
        found |= {(name, measure): one for measure, one in of_task.items()}
    return {"tasks": told, "differences": lines.family(found, LOWER)}


def _task(
    case: Case, name: str, outcomes: Mapping[str, Sequence[Outcome]]
) -> tuple[dict[str, Any], dict[str, Difference]]:
    """One task: as JSON, and adapter less base by measure."""
    answers = {side: Answers.from_outcomes(of_side) for side, of_side in outcomes.items()}
    validation, fitted_on = _validation(case, name)
    subjects = {outcome.id: outcome.subject or "" for outcome in next(iter(outcomes.values()))}
    groups = subjects if any(subjects.values()) else None
    sides: dict[str, Any] = {}
    sizes: dict[str, Any] = {}
    for side, of_side in answers.items():
        sets = {method: _sets(of_side, validation.get(side), method) for method in get_args(Method)}
        sides[side] = {
            **calibration.judge(of_side),
            "letters": dict(sorted(Counter(str(outcome.pick) for outcome in outcomes[side]).items())),
            "temperature": _scaled(of_side, validation.get(side)),
            "sets": {method: parts and _judged(parts, groups) for method, parts in sets.items()},
        }
        sizes[side] = sets["lac"]
    picture = case.folder / FOLDER / f"{name}.png"
    calibration.plot(answers, picture)
    keys = Counter(str(outcome.key) for outcome in next(iter(outcomes.values())))
    told = {
        "n": answers["base"].n,
        "fitted_on": fitted_on,
        "keys": dict(sorted(keys.items())),
        "sides": sides,
        "picture": picture.relative_to(case.folder).as_posix(),
    }
    return told, _differences(answers["base"], answers["adapter"], sizes)


def _validation(case: Case, name: str) -> tuple[Mapping[str, Answers], dict[str, Any]]:
    """Side -> answers to the validation items, if there are any; and in JSON what is fitted on."""
    exam = asking.task(name).benchmark
    why = f"no validation items are registered for {exam}"
    if (benchmark := VALIDATION.get(exam)) is not None:
        try:
            items = [item for _, item in given.read(given.benchmark(benchmark))]
        except MedslmError as error:
            why = f"{benchmark} cannot be read here: {error}"
        else:
            asked = asking.fitting(case, documents.spread(items, case.limit), more=1)
            if len(asked) >= FEWEST:
                found = asking.scored(case, case.folder / FOLDER / f"{benchmark}.jsonl", asked)
                right = [case.engine.renderer.format.key_of(item) for item in asked]
                ids = [f"{benchmark}:{item.id}" for item in asked]
                answers = {side: Answers.of(ids, list(of.values()), right) for side, of in found.items()}
                return answers, {"benchmark": benchmark, "n": len(asked), "left_out": len(items) - len(asked)}
            why = f"{benchmark} has {len(asked)} items that the model can read"
    return {}, {"halves": True, "why": why}


def _scaled(answers: Answers, validation: Answers | None) -> dict[str, Any]:
    """Calibration at a temperature that the items did not choose."""
    parts = temperature.crossed(answers) if validation is None else [(temperature.fit(validation), answers)]
    return temperature.judge_scaled(parts)


def _sets(answers: Answers, validation: Answers | None, method: Method) -> Parts | None:
    """The items with the rules that they did not choose; none where these are too few to promise anything."""
    smaller = answers.n // 2 if validation is None else validation.n
    if smaller < round(1 / conformal.ALPHA):
        return None
    return (
        conformal.crossed(answers, method)
        if validation is None
        else [(conformal.calibrate(validation, method), answers)]
    )


def _judged(parts: Parts, groups: Mapping[str, str] | None) -> dict[str, Any]:
    if len(parts) > 1:
        return conformal.judge_crossed(parts, groups)
    rule, answers = parts[0]
    return conformal.judge(rule, answers, None if groups is None else [groups[name] for name in answers.ids])


def _differences(base: Answers, adapter: Answers, sets: Mapping[str, Parts | None]) -> dict[str, Difference]:
    """Adapter less base, item by item."""
    found = {
        "brier": statistics.difference(calibration.brier(base).tolist(), calibration.brier(adapter).tolist()),
        "nll": statistics.difference(calibration.nll(base).tolist(), calibration.nll(adapter).tolist()),
    }
    if (ranking := calibration.auroc_difference(base, adapter)) is not None:
        found["auroc"] = ranking
    if sets["base"] and sets["adapter"]:
        before, after = (
            [float(size) for rule, part in sets[side] or () for size in rule.sets(part).sum(axis=1)]
            for side in ("base", "adapter")
        )
        found["set_size"] = statistics.difference(before, after)
    return found


def text(told: Mapping[str, Any]) -> str:
    """Calibration, answer sets and differences as three tables."""
    tasks = {name: of for name, of in told["tasks"].items() if "sides" in of}
    rows = [(name, side, of) for name, task in tasks.items() for side, of in task["sides"].items()]
    left_out = [f"{name}: {of['left_out']} (n = {of['n']})" for name, of in told["tasks"].items() if "sides" not in of]
    if not rows:
        return lines.text(["Uncertainty: no task by likelihood with enough items.", *left_out])
    return lines.text(
        [
            "Confidence of the letter, against what was right (ECE: beside the 95th percentile of a perfect model's; AURC: "
            "the lower the better); all with 95 % intervals",
            *lines.aligned([CALIBRATION, *(_calibration(*row) for row in rows)], left=2),
            "",
            "After temperature scaling, and answer sets that promise to hold the key nine times in ten",
            *lines.aligned([SETS, *(_set_row(*row) for row in rows)], left=2),
            *_fitted(tasks),
            "",
            "Adapter less base on the same items; Holm over all of them",
            *lines.differences(told["differences"]),
            *left_out,
        ]
    )


CALIBRATION = (
    *("task", "side", "n", "accuracy", "confidence", "ECE", "null", "Brier skill", "NLL", "AUROC", "AURC"),
    *("right at 80 %", "letters"),
)


def _calibration(name: str, side: str, of: Mapping[str, Any]) -> tuple[str, ...]:
    shares = [f"{letter} {count / of['n']:.0%}" for letter, count in of["letters"].items()]
    return (
        *(name, side, f"{of['n']:,}", lines.percent(of["accuracy"]), lines.number(of["confidence"])),
        *(lines.number(of["ece"]), f"{of['ece']['null']['p95']:.3f}", lines.number(of["brier_skill"])),
        *(lines.number(of["nll"]), lines.number(of["auroc"]), lines.number(of["aurc"])),
        *(lines.percent(of["accuracy_at_80%_coverage"]), " ".join(shares)),
    )


SETS = (
    *("task", "side", "n", "temperature", "ECE then", "LAC coverage", "chance", "options"),
    *("APS coverage", "chance", "options", "as promised"),
)


def _set_row(name: str, side: str, of: Mapping[str, Any]) -> tuple[str, ...]:
    scaled = of["temperature"]
    value = " / ".join(f"{one:.2f}" for one in scaled["value"]) + (" (bound)" if scaled["at_bound"] else "")
    kept = [cell for method in get_args(Method) for cell in _one_set(of["sets"][method])]
    promised = [one["as_promised"] for one in of["sets"].values() if one]
    word = "too few items" if not promised else "yes" if all(promised) else "NO"
    return (name, side, f"{of['n']:,}", value, lines.number(scaled["ece"]), *kept, word)


def _one_set(of: Mapping[str, Any] | None) -> tuple[str, str, str]:
    if of is None:
        return "-", "-", "-"
    low, high = of["chance"]
    return lines.percent(of["coverage"]), f"{100 * low:.1f} to {100 * high:.1f}", lines.number(of["set_size"], 2)


def _fitted(tasks: Mapping[str, Any]) -> list[str]:
    """What each task was fitted on, in words."""
    told = []
    for name, task in tasks.items():
        on = task["fitted_on"]
        if "benchmark" in on:
            skipped = f"; {on['left_out']} more were not asked" if on["left_out"] else ""
            told.append(f"{name}: fitted on {on['n']:,} items of {on['benchmark']}{skipped}.")
        else:
            told.append(f"{name}: each half of the items is judged by what the other half chose ({on['why']}).")
    return told


STUDY = Study(measure, text)
