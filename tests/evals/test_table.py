"""What the table says, and what it refuses to say."""

from __future__ import annotations

from typing import Any

import pytest

from medslm.evals import statistics, table
from medslm.evals.statistics import Pairs


def difference(both: int, adapter_only: int, base_only: int, neither: int) -> dict[str, Any]:
    pairs = Pairs(both, adapter_only, base_only, neither)
    return {"value": pairs.difference, "ci95": list(pairs.interval), "p_mcnemar": pairs.p_mcnemar}


def scores(limit: int | None = None) -> dict[str, Any]:
    def result(metric: str, primary: bool, counts: tuple[int, int, int, int]) -> dict[str, Any]:
        both, adapter_only, base_only, _ = counts
        n = sum(counts)
        return {
            "protocol": "as-trained",
            "task": "icd10cm_coding",
            "metric": metric,
            "primary": primary,
            "n": n,
            "base": {"value": (both + base_only) / n},
            "adapter": {"value": (both + adapter_only) / n},
            "difference": difference(*counts),
            "majority_class": 0.25 if primary else None,
        }

    results = [
        result("chapter_accuracy", True, (10, 60, 5, 25)),
        result("category_accuracy", False, (10, 6, 5, 79)),
        result("code_accuracy", False, (10, 5, 60, 25)),
        result("unparseable", False, (10, 5, 60, 25)),
    ]
    return {"suite": "icd10cm", "limit": limit, "results": results}


def row(of: str, metric: str) -> str:
    return next(line for line in of.splitlines() if metric in line)


@pytest.mark.parametrize("write", [table.text, table.markdown])
def test_each_result_is_told_with_its_verdict(write: Any) -> None:
    told = write(scores())
    assert "+55.0 [" in row(told, "chapter_accuracy") and "p < 0.001" in row(told, "chapter_accuracy")
    assert "better" in row(told, "chapter_accuracy") and "25.0 %" in row(told, "chapter_accuracy")
    assert "no difference shown" in row(told, "category_accuracy") and "p = 1.000" in row(told, "category_accuracy")
    assert "worse" in row(told, "code_accuracy") and "-55.0 [" in row(told, "code_accuracy")
    assert "better" in row(told, "unparseable")  # fewer are better


def test_the_columns_line_up() -> None:
    for told in (table.text(scores()).splitlines()[1:6], table.markdown(scores()).splitlines()[:6]):
        assert len({line.index("as-trained") for line in told if "as-trained" in line}) == 1
    assert len({len(line) for line in table.markdown(scores()).splitlines()[:6]}) == 1


def test_an_interval_that_holds_zero_shows_no_difference_whatever_p_says() -> None:
    assert table.verdict({"value": 0.1, "ci95": [-0.01, 0.2], "p_mcnemar": 0.01}) == statistics.NO_DIFFERENCE
    assert table.verdict({"value": 0.1, "ci95": [0.01, 0.2], "p_mcnemar": 0.05}) == statistics.NO_DIFFERENCE


def test_a_trial_says_so() -> None:
    assert "Only 5 items a task were judged" in table.markdown(scores(limit=5))
    assert "trial" not in table.markdown(scores())
