"""Coding of a text in ICD-10-CM with any number of codes: item by item, and as a study over the corpus.

Which codes there are is what the package `simple-icd-10-cm` says; codes are compared without their point, in capitals.
Credit by category (the first three characters) and by chapter keeps counts: two codes of one chapter are matched by two
(CoPHE, arXiv:2109.04853).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from medslm.data.builders import icd10cm
from medslm.data.formats import formats
from medslm.data.formats.notation import Answer, fields_of
from medslm.evals import metrics, statistics
from medslm.evals.clinical.labels import AVERAGES, MICRO, Labelled
from medslm.evals.statistics import Difference
from medslm.evals.study import Case, Study
from medslm.evals.trust import lines

if TYPE_CHECKING:
    from medslm.evals.harness import Outcome

SIDES = ("base", "adapter")
LEVELS = ("code", "category", "chapter")
UNKNOWN = "no such code"
"""The chapter of what is no code; also shown where a wrong code stands for no right one."""
NOTHING = "nothing"
TOP = 10  # confusions that are told

CODE, CHAPTER = "code", "chapter"
"""Columns of an answer's table."""


def listed(document: Mapping[str, Any], replies: Sequence[str]) -> dict[str, float]:
    """The set of codes that the reply gives against the key's (lm-eval's `process_results`).

    Undefined without any row told: precision, the share of invalid codes, the share of repeated ones. A row without a
    code counts as an invalid one.
    """
    key = document["key"]
    answer = formats[document["format"]].read(replies[0], fields_of(key))
    told, right = codes(answer.fields), set(codes(key))
    hits = len(set(told) & right)
    found = {
        "f1": f1(Counter(set(told)), Counter(right)),
        "exact_match": float(set(told) == right and len(told) == len(right)),
        "recall": hits / len(right),
        "category_f1": f1(_level(set(told), "category"), _level(right, "category")),
        "chapter_f1": f1(_level(set(told), "chapter"), _level(right, "chapter")),
        **parsed(answer),
    }
    if named := _column(key, CHAPTER):
        found["named_chapter_f1"] = f1(_chapters(_column(answer.fields, CHAPTER)), _chapters(named))
    if told:
        found["precision"] = hits / len(set(told))
        found["invalid_codes"] = sum(not metrics.is_code(code) for code in told) / len(told)
        found["repeated_codes"] = 1 - len(set(told)) / len(told)
    return found


def parsed(answer: Answer) -> dict[str, float]:
    """How the reply could be read; exactly one of the three holds."""
    return {
        "strict_parse": float(answer.parse_strict),
        "repaired_parse": float(answer.parse_lenient and answer.repaired),
        "unparseable": float(not answer.parse_lenient),
    }


def f1(told: Counter[str], right: Counter[str]) -> float:
    """Of two multisets; 0 if both are empty."""
    size = told.total() + right.total()
    return 2 * (told & right).total() / size if size else 0.0


def codes(fields: Mapping[str, Any]) -> list[str]:
    """Every code in the column or field `code`, in order, as `metrics.code` writes it; empty for a row without one."""
    return [metrics.code(cell) for cell in _column(fields, CODE)]


def _column(fields: Mapping[str, Any], name: str) -> list[str]:
    """The cells of one column of every table, or the field of that name; a row that is text is its own code."""
    found: list[str] = [fields[name]] if isinstance(fields.get(name), str) else []
    for rows in fields.values():
        for row in rows if isinstance(rows, list) else []:
            if isinstance(row, Mapping):
                cells = {str(column).strip().casefold(): cell for column, cell in row.items()}
                found += [str(cells.get(name, ""))] if name in cells or name == CODE else []
            elif name == CODE:
                found.append(str(row))
    return found


def _chapters(cells: Sequence[str]) -> Counter[str]:
    return Counter(metrics.chapter(cell) or UNKNOWN for cell in cells)


def _level(told: set[str], level: str) -> Counter[str]:
    return Counter(at(level, code) for code in told)


def at(level: str, code: str) -> str:
    """The code itself, its category, or the number of its chapter."""
    return code if level == "code" else code[:3] if level == "category" else chapter_of(code)


@cache
def chapter_of(code: str) -> str:
    """The number of the chapter that a code, or else its category, stands in: `A0221` -> `1`; `UNKNOWN` without one."""
    import simple_icd_10_cm as icd

    known = next((part for part in (code, code[:3]) if metrics.is_code(part)), None)
    return str(icd.get_ancestors(known)[-1]) if known else UNKNOWN


@cache
def every(level: str) -> frozenset[str]:
    """All labels of a level: 98,186 codes, 1,918 categories and 22 chapters in the release of April 2026."""
    import simple_icd_10_cm as icd

    if level == "chapter":
        return frozenset(icd10cm.chapters())
    known = icd.is_category if level == "category" else icd.is_category_or_subcategory
    return frozenset(metrics.code(code) for code in icd.get_all_codes() if known(code))


def measure(case: Case) -> dict[str, Any]:
    """Micro and macro F1 of each task that asks for codes, by level, with what is confused with what."""
    format = formats[case.record["recipe"]["format"]]

    def told(outcome: Outcome) -> list[str]:
        key: Any = outcome.key
        return codes(format.read(outcome.reply or "", fields_of(key)).fields)

    tasks = {}
    for name, first in next(iter(case.outcomes.values())).items():
        right = [codes(outcome.key) if isinstance(outcome.key, Mapping) else [] for outcome in first]
        if right and all(right):
            tasks[name] = of_task(right, {side: [*map(told, of[name])] for side, of in case.outcomes.items()})
    _adjust([figure["difference"] for task in tasks.values() for figure in task["figures"] if "difference" in figure])
    return {"tasks": tasks}


def of_task(right: Sequence[Sequence[str]], told: Mapping[str, Sequence[Sequence[str]]]) -> dict[str, Any]:
    """All figures of one task from its lists of codes, item by item. Raises `MedslmError` as `Labelled.of`."""
    figures = []
    for level in LEVELS:
        sets = {side: [{at(level, code) for code in row} for row in rows] for side, rows in told.items()}
        labelled = Labelled.of([{at(level, code) for code in row} for row in right], sets, every(level))
        estimates = labelled.estimates()
        compared = labelled.differences(*SIDES) if set(told) == set(SIDES) else {}
        for average in AVERAGES:
            figure: dict[str, Any] = {"level": level, **_called(average)}
            figure |= {side: estimates[side][average].as_json() for side in told}
            if average != MICRO:
                figure["n_labels"] = {side: labelled.labels(side)[average] for side in told}
            if compared:
                figure["difference"] = compared[average].as_json()
            figures.append(figure)
    return {
        "n": len(right),
        "figures": figures,
        "confusions": {side: confusions(right, rows) for side, rows in told.items()},
        "invalid": {side: _invalid(rows) for side, rows in told.items()},
    }


def _called(average: str) -> dict[str, str | None]:
    return {"average": MICRO, "labels": None} if average == MICRO else {"average": "macro", "labels": average}


def _adjust(family: Sequence[dict[str, Any]]) -> None:
    """Give each difference its p after Holm over all of them, and its verdict."""
    for found, p in zip(family, statistics.holm([found["p"] for found in family])):
        low, high = found["ci95"]
        difference = Difference(found["value"], low, high, found["n"], found["p"])
        found |= {"p_holm": p, "verdict": statistics.verdict(difference, p)}


def confusions(right: Sequence[Sequence[str]], told: Sequence[Sequence[str]], most: int = TOP) -> list[dict[str, Any]]:
    """The categories that are most often missed, each with what stood there instead, by the number of items.

    Which wrong code stands for which right one is not said in a set: a missed category is shared evenly among the wrong
    ones of its item, those of its own chapter if there are any.
    """
    found: dict[tuple[str, str], float] = defaultdict(float)
    for wanted, given in zip(right, told):
        one, other = ({at("category", code) for code in row} for row in (wanted, given))
        for missed in one - other:
            near = {code for code in other - one if chapter_of(code) == chapter_of(missed)}
            instead = near or (other - one) or {NOTHING}
            for wrong in instead:
                found[missed, wrong] += 1 / len(instead)
    ranked = sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))
    return [{"key": key, "told": told, "items": round(weight, 3)} for (key, told), weight in ranked[:most]]


def _invalid(rows: Sequence[Sequence[str]]) -> dict[str, Any]:
    """How many codes are none, of how many, and the most frequent of them."""
    told = [code for row in rows for code in row]
    wrong = Counter(code for code in told if not metrics.is_code(code))
    return {"told": len(told), "invalid": wrong.total(), "most": dict(wrong.most_common(TOP))}


def text(found: Mapping[str, Any]) -> str:
    """The figures of each task as a table, with the verdict in words."""
    told = (lines.text(_lines(name, task)) for name, task in found["tasks"].items())
    return "\n\n".join(told) or "No task asks for codes."


def _lines(name: str, task: Mapping[str, Any]) -> Iterator[str]:
    sides = list(task["confusions"])
    rows = [("level", "F1", *sides, "difference [95 %]", "p (Holm)", "verdict")]
    for figure in task["figures"]:
        difference = figure.get("difference")
        compared = (
            (lines.number(difference), lines.p_value(difference["p_holm"]), difference["verdict"]) if difference else ()
        )
        space = figure["labels"] and f"macro, {figure['labels']}"
        rows.append((figure["level"], space or MICRO, *(lines.percent(figure[side]) for side in sides), *compared))
    yield f"{name}: F1 over {task['n']:,} items; macro is the mean over the labels that are named"
    yield from lines.aligned([row[: len(rows[-1])] for row in rows], left=2)
    for side in sides:
        invalid = task["invalid"][side]
        yield f"{side}: {invalid['invalid']:,} of {invalid['told']:,} codes are none; most often confused by category:"
        shown = [f"{one['key']} -> {one['told']} ({one['items']:g})" for one in task["confusions"][side]]
        yield "  " + (", ".join(shown) or "none")


STUDY = Study(measure, text)
