"""From outcomes to figures: shares and values, pairs, groups, and what stands beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from medslm.data.suite import Metric, Suite, Task, whole
from medslm.errors import MedslmError
from medslm.evals import harness, results, statistics
from medslm.evals.harness import Judged, Outcome
from medslm.evals.results import Protocol

SHARE, VALUE = Metric("accuracy", whole), Metric("rouge", unit="value")
ASKED = Task("exam", "medqa", (SHARE, VALUE), subject="of")
AGAIN = Task("exam_shuffled", "medqa", (SHARE, Metric("changed", higher_is_better=False)), "shuffled", again="exam")
ONE = Suite((ASKED,))
DATASET = {"source": "a", "version": "1", "split": "test"}


def outcomes(values: Sequence[float | None], metric: str = "accuracy", **of: Sequence[Any]) -> list[Outcome]:
    return [
        Outcome(
            str(place),
            "p",
            **{"key": "A", **{name: column[place] for name, column in of.items()}},
            measures={} if value is None else {metric: value},
            letters="ABCD",
        )
        for place, value in enumerate(values)
    ]


def protocol(suite: Suite = ONE, **sides: list[Outcome]) -> Protocol:
    of = {
        side: Judged(dict.fromkeys([t.name for t in suite.tasks], of), {t.name: 1.0 for t in suite.tasks})
        for side, of in sides.items()
    }
    return Protocol("as-trained", "none", of)


def test_a_share_has_wilsons_interval_and_mcnemars_test() -> None:
    base, adapter = [1, 0, 0, 0, 1, 0] * 5, [1, 1, 1, 0, 1, 1] * 5
    found = results.result(protocol(base=outcomes(base), adapter=outcomes(adapter)), ASKED, SHARE, DATASET)
    assert found is not None and (found["n"], found["unit"], found["primary"]) == (30, "share", True)
    assert found["base"]["ci95"] == list(statistics.wilson(10, 30))
    assert (found["difference"]["test"], found["difference"]["p"]) == ("McNemar", pytest.approx(2 / 2**15))
    assert (found["difference"]["adapter_only_right"], found["difference"]["base_only_right"]) == (15, 0)
    assert found["chance"] == 0.25 and found["majority_class"] == 1


def test_a_value_has_a_bootstrap_of_its_paired_differences() -> None:
    base = [place % 7 / 7 + 0.1 for place in range(40)]
    adapter = [value + 0.05 + place % 2 * 0.01 for place, value in enumerate(base)]
    found = results.result(
        protocol(base=outcomes(base, "rouge"), adapter=outcomes(adapter, "rouge")), ASKED, VALUE, DATASET
    )
    assert found is not None and found["unit"] == "value" and found["chance"] is found["majority_class"] is None
    low, high = found["difference"]["ci95"]
    assert 0.05 <= low < found["difference"]["value"] < high <= 0.06  # the spread of the items cancels
    assert found["difference"]["test"] == "sign flips" and found["difference"]["p"] < 0.001
    low, high = found["base"]["ci95"]
    assert low < found["base"]["value"] < high and high - low > 0.1


def test_an_item_without_a_value_counts_on_neither_side_of_the_difference() -> None:
    found = results.measured(
        "share", {"base": outcomes([1, None, 0, 1]), "adapter": outcomes([1, 1, None, 0])}, "accuracy"
    )
    assert found is not None and found["n"] == found["difference"]["n"] == 2
    assert (found["base"]["n"], found["adapter"]["n"], found["difference"]["value"]) == (3, 3, -0.5)


def test_too_few_items_are_no_figure() -> None:
    assert results.measured("share", {"base": outcomes([None, None])}, "accuracy") is None
    assert results.measured("value", {"base": outcomes([0.5], "rouge")}, "rouge") is None


def test_the_primary_p_are_adjusted_over_the_family() -> None:
    found = [{"primary": primary, "difference": {"p": p}} for primary, p in ((True, 0.03), (False, 0.03), (True, 0.01))]
    results.adjust([*found, {"primary": True}])
    assert [of["difference"].get("p_holm") for of in found] == [0.03, None, 0.02]


def test_accuracy_by_subject_is_adjusted_over_the_subjects() -> None:
    of = ["Anatomy"] * 8 + ["Surgery"] * 8 + [""] * 4
    base, adapter = outcomes([0] * 20, subject=of), outcomes([1] * 8 + [0] * 8 + [1] * 4, subject=of)
    found = results.by_subject(protocol(base=base, adapter=adapter), ASKED)
    assert found is not None
    groups = {group["subject"]: group for group in found["groups"]}
    assert {name: group["n"] for name, group in groups.items()} == {"(none)": 4, "Anatomy": 8, "Surgery": 8}
    assert groups["Anatomy"]["difference"]["p_holm"] == pytest.approx(3 * 2 / 2**8)
    assert groups["Surgery"]["difference"]["p_holm"] == 1
    assert results.by_subject(protocol(base=base), Task("plain", "medqa", (SHARE,))) is None


def test_a_subject_with_too_few_values_is_counted_and_not_dropped_silently() -> None:
    task = Task("notes", "mts-dialog", (VALUE,), subject="of")
    of = ["plan", "plan", "exam"]
    found = results.by_subject(protocol(Suite((task,)), base=outcomes([0.1, 0.2, 0.3], "rouge", subject=of)), task)
    assert found is not None and found["too_small"] == {"exam": 1}
    assert [group["subject"] for group in found["groups"]] == ["plan"]


def test_the_majority_of_shuffled_options_is_that_of_the_shuffled_keys() -> None:
    shuffled = outcomes([1, 1, 0, 0], key=["B", "B", "B", "D"])
    found = results.result(protocol(Suite((ASKED, AGAIN)), base=shuffled), AGAIN, SHARE, DATASET)
    assert found is not None and found["majority_class"] == 0.75


def test_changed_is_told_of_the_task_that_was_asked_again() -> None:
    suite = Suite((ASKED, AGAIN))
    found = results.beside(protocol(suite, base=outcomes([1, 0, 0, 0], "changed")), suite, "changed")
    assert found == {"exam": {"base": 0.25}}


def test_rules_of_the_parser_are_counted() -> None:
    read = outcomes([1, 1, 0], rule=["answer stated", "answer stated", "nothing"])
    found = results.rules(protocol(base=read), Suite((ASKED,)))
    assert found == {"exam": {"base": {"answer stated": 2, "nothing": 1}}}


@pytest.mark.parametrize(
    ("metric", "value", "said"),
    [
        (SHARE, 0.5, "accuracy of item 7 of exam is 0.5, but its unit is share"),
        (VALUE, float("nan"), "rouge of item 7 of exam is nan, but its unit is value"),
        (VALUE, 1.2, "rouge of item 7 of exam is 1.2, but its bounds are 0 and 1"),
    ],
)
def test_a_measure_that_its_unit_forbids_is_refused(metric: Metric, value: float, said: str) -> None:
    with pytest.raises(MedslmError, match=said):
        harness._measures(ASKED, {metric.name: value, "doc": {"id": "7"}})
    assert harness._measures(ASKED, {"doc": {"id": "7"}}) == {}  # undefined for this item
