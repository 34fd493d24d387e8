"""An exam that is learnt by letter is told from one that is learnt."""

from __future__ import annotations

from typing import Any

from medslm.evals import positions, statistics
from medslm.evals.statistics import Pairs

PICKS = {
    "as-trained": {"medmcqa": {"base": {"C": 100}, "adapter": {"A": 73, "B": 27}, "key": {"A": 32, "B": 28, "C": 40}}}
}


def result(task: str, gained: int, lost: int, **changes: Any) -> dict[str, Any]:
    """Of 100 questions, of which the adapter gained and lost so many."""
    pairs = Pairs(20, gained, lost, 80 - gained - lost)
    difference = {"value": pairs.difference, "ci95": list(pairs.interval), "n": pairs.n, "p": pairs.p_mcnemar}
    return {
        "protocol": "as-trained",
        "task": task,
        "metric": "accuracy",
        "unit": "share",
        "primary": True,
        "difference": difference,
        **changes,
    }


def test_who_has_learnt_the_letter_is_found_by_shuffling() -> None:
    (said,) = positions.told([result("medmcqa", 40, 10), result("medmcqa_shuffled", 12, 12)], PICKS)
    assert said.startswith("the gain on medmcqa (as-trained) is +30.0 [")
    assert "and +0.0 [" in said
    assert said.endswith(
        "what was learnt may be where right answers stand, for the adapter names A in 73.0 % of the questions, and it is the "
        "key of 32.0 %"
    )


def test_who_is_better_both_ways_or_neither_is_not_accused() -> None:
    assert positions.told([result("medqa", 40, 10), result("medqa_shuffled", 38, 9)], {}) == []
    assert positions.told([result("medqa", 12, 12), result("medqa_shuffled", 12, 12)], {}) == []
    assert positions.told([result("medqa", 10, 40), result("medqa_shuffled", 12, 12)], {}) == []


def test_who_is_worse_once_options_are_shuffled_is_found_as_well() -> None:
    assert len(positions.told([result("pubmedqa", 40, 10), result("pubmedqa_shuffled", 10, 30)], {})) == 1


def test_an_adjusted_p_decides() -> None:
    found = result("medqa", 40, 10)
    found["difference"]["p_holm"] = 0.2
    assert statistics.recorded_verdict(found["difference"]) == statistics.NO_DIFFERENCE
    assert positions.told([found, result("medqa_shuffled", 12, 12)], {}) == []


def test_other_metrics_and_a_base_by_itself_are_not_looked_at() -> None:
    shuffled = result("medqa_shuffled", 12, 12)
    alone = {name: value for name, value in result("medqa", 40, 10).items() if name != "difference"}
    assert positions.told([alone, shuffled], {}) == []
    assert positions.told([result("medqa", 40, 10, primary=False), shuffled], {}) == []
