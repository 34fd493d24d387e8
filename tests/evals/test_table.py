"""What the table says, and what it refuses to say."""

from __future__ import annotations

from typing import Any

import pytest

from medslm.evals import statistics, table
from medslm.evals.statistics import Pairs


def difference(both: int, adapter_only: int, base_only: int, neither: int) -> dict[str, Any]:
    pairs = Pairs(both, adapter_only, base_only, neither)
    found = {"value": pairs.difference, "ci95": list(pairs.interval), "n": pairs.n, "p": pairs.p_mcnemar}
    return {**found, "test": "McNemar"}


def share(right: int, n: int) -> dict[str, Any]:
    return statistics.share(right, n).as_json()


def result(metric: str, primary: bool, counts: tuple[int, int, int, int], **changes: Any) -> dict[str, Any]:
    both, adapter_only, base_only, _ = counts
    n = sum(counts)
    return {
        "protocol": "as-trained",
        "task": "icd10cm_coding",
        "metric": metric,
        "unit": "share",
        "higher_is_better": metric != "unparseable",
        "primary": primary,
        "n": n,
        "base": share(both + base_only, n),
        "adapter": share(both + adapter_only, n),
        "difference": difference(*counts),
        "majority_class": 0.25 if primary else None,
        "chance": None,
        **changes,
    }


def scores(limit: int | None = None, **changes: Any) -> dict[str, Any]:
    results = [
        result("chapter_accuracy", True, (10, 60, 5, 25)),
        result("category_accuracy", False, (10, 6, 5, 79)),
        result("code_accuracy", False, (10, 5, 60, 25)),
        result("unparseable", False, (10, 5, 60, 25)),
    ]
    none: dict[str, Any] = {"as-trained": {}}
    hardware = {"device": "cpu", "gpu": None, "dtype": "float32", "batch_size": 8}
    told = {"suite": "icd10cm", "limit": limit, "results": results, "subjects": [], "missing": {}, "notes": []}
    told |= {"changed": none, "unparseable": none, "cut": none, "told": {}, "hardware": hardware}
    return {**told, "lm_eval": "0.4.13", "engine": "transformers", "template_hash": "c" * 64, **changes}


def row(of: str, *words: str) -> str:
    return next(line for line in of.splitlines() if all(word in line for word in words))


@pytest.mark.parametrize("write", [table.text, table.markdown])
def test_each_result_is_told_with_its_verdict(write: Any) -> None:
    told = write(scores())
    assert "+55.0 [" in row(told, "chapter_accuracy") and "p < 0.001" in row(told, "chapter_accuracy")
    assert "better" in row(told, "chapter_accuracy") and "25.0 %" in row(told, "chapter_accuracy")
    assert "15.0 % [9.3, 23.3]" in row(told, "chapter_accuracy")  # every figure with its interval
    assert "no difference shown" in row(told, "category_accuracy") and "p = 1.000" in row(told, "category_accuracy")
    assert "worse" in row(told, "code_accuracy") and "-55.0 [" in row(told, "code_accuracy")
    assert "better" in row(told, "unparseable")  # fewer are better


def test_a_value_is_no_percentage() -> None:
    of_value = {"value": 0.4567, "ci95": [0.4, 0.5], "n": 80}
    changed = {"value": 0.0123, "ci95": [0.01, 0.02], "n": 80, "p": 0.01, "test": "sign flips"}
    told = table.text(
        scores(results=[result("rouge", True, (1, 1, 1, 1), unit="value", base=of_value, difference=changed)])
    )
    assert "0.457 [0.400, 0.500]" in told and "+0.012 [+0.010, +0.020]" in told and "45.7" not in told


def test_the_adjusted_p_of_a_primary_metric_decides() -> None:
    close = result("chapter_accuracy", True, (10, 14, 4, 72))
    assert "p = 0.031" in (single := row(table.text(scores(results=[close])), "chapter_acc")) and "better" in single
    close["difference"]["p_holm"] = 0.062
    adjusted = row(table.text(scores(results=[close])), "chapter_acc")
    assert "p = 0.062" in adjusted and "no difference shown" in adjusted
    assert "adjusted over all primary metrics of the table (Holm)" in table.LEGEND


def test_what_warns_stands_beside_every_figure_of_its_task() -> None:
    pair = {"as-trained": {"icd10cm_coding": {"base": 0.4, "adapter": 0.125}}}
    told = table.text(scores(changed=pair, unparseable={"as-trained": {"icd10cm_coding": {"base": 0.9, "adapter": 0}}}))
    assert row(told, "code_accuracy").endswith("40.0 / 12.5 %  90.0 / 0.0 %")
    assert not row(told, " unparseable ", "as-trained").endswith("%")  # nothing stands beside itself
    assert "changed" not in table.text(scores()).splitlines()[0]  # a column without a figure is not shown


def test_subjects_get_a_table_of_their_own() -> None:
    group = {**result("accuracy", True, (10, 60, 5, 25)), "subject": "Anatomy"}
    of = {"protocol": "as-trained", "task": "medmcqa", "metric": "accuracy", "unit": "share", "higher_is_better": True}
    told = table.text(scores(subjects=[{**of, "groups": [group]}]))
    assert "+55.0 [" in row(told, "Anatomy", "medmcqa") and "better" in row(told, "Anatomy")


def test_a_base_alone_has_no_column_for_an_adapter() -> None:
    alone = {
        name: of for name, of in result("accuracy", True, (1, 2, 3, 4)).items() if name not in {"adapter", "difference"}
    }
    head = table.text(scores(results=[alone])).splitlines()[0]
    assert "base" in head and not any(word in head for word in ("adapter", "difference", "verdict"))


def test_what_was_not_judged_is_said() -> None:
    told = table.text(scores(missing={"medbullets": "no network"}, notes=["no GPU here"]))
    assert "Not judged: medbullets: no network" in told and "Note: no GPU here" in told
    cut = {"as-trained": {"icd10cm_coding": {"base": 3, "adapter": 0}}}
    assert "3 replies to icd10cm_coding (base, as-trained) were ended by their bound" in table.text(scores(cut=cut))
    assert "(adapter, as-trained)" not in table.text(scores(cut=cut))


def test_how_it_was_measured_is_said() -> None:
    assert (
        "Suite icd10cm; lm-eval 0.4.13, engine transformers, float32 on cpu, batches of 8, template cccccccccccc."
        in table.text(scores())
    )


def test_studies_are_told_below_the_table() -> None:
    assert table.text(scores(told={"bias": {"as-trained": "flips 3 %"}})).endswith("bias (as-trained)\nflips 3 %\n")


def test_the_columns_line_up() -> None:
    for told in (table.text(scores()).splitlines()[1:6], table.markdown(scores()).splitlines()[:6]):
        assert len({line.index("as-trained") for line in told if "as-trained" in line}) == 1
    assert len({len(line) for line in table.markdown(scores()).splitlines()[:6]}) == 1


def test_an_interval_that_holds_zero_shows_no_difference_whatever_p_says() -> None:
    found = {"value": 0.1, "ci95": [-0.01, 0.2], "n": 9, "p": 0.01}
    assert statistics.recorded_verdict(found) == statistics.NO_DIFFERENCE
    assert statistics.recorded_verdict({**found, "ci95": [0.01, 0.2], "p": 0.05}) == statistics.NO_DIFFERENCE


def test_a_trial_says_so() -> None:
    assert "At most 5 items a task were judged" in table.markdown(scores(limit=5))
    assert "trial" not in table.markdown(scores())
