"""The medical exams from rows of the published shapes to scores, through lm-eval itself."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from evals import world
from medslm.data import given, reasoned
from medslm.data.benchmark import benchmarks
from medslm.data.builders.choice import choice
from medslm.data.builders.pubmedqa import digest
from medslm.data.example import Example
from medslm.data.formats.render import Renderer
from medslm.data.suite import Suite, Task
from medslm.data.suites import suites
from medslm.data.suites.exams import EXAMS, SHUFFLED
from medslm.errors import MedslmError
from medslm.evals import documents, harness
from medslm.evals.engine import Engine, Reply

MEDQA = {"sent2": "", "ending0": "Rest", "ending1": "Aspirin", "ending2": "Codeine", "ending3": "Surgery"}
MEDMCQA = {"opa": "Liver", "opb": "Heart", "opc": "Lung", "opd": "All of the above", "exp": ""}
SUBJECTS = ("Anatomy", "Surgery", "")


def medqa(number: int = 6) -> list[dict[str, Any]]:
    return [{"id": f"test-{n}", "sent1": f"What helps patient {n}?", "label": n % 4, **MEDQA} for n in range(number)]


def medmcqa(number: int = 6) -> list[dict[str, Any]]:
    asked = [{"id": str(n), "question": f"Which organ is number {n}?", "cop": n % 4, **MEDMCQA} for n in range(number)]
    return [{**row, "subject_name": SUBJECTS[n % 3]} for n, row in enumerate(asked)]


def put(monkeypatch: pytest.MonkeyPatch, folder: Path, **rows: list[dict[str, Any]]) -> None:
    """Give files of these rows for benchmarks, as a machine without the Hub would."""
    monkeypatch.setenv(given.VARIABLE, "")
    for name, of_name in rows.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in of_name), encoding="utf-8")
    given.use(f"{name}={folder / name}.jsonl" for name in rows)


def judge(tokenizer: Any, suite: Suite, folder: Path, model: Any = None, **how: Any) -> harness.Judged:
    renderer = Renderer(tokenizer, how.pop("format", "chat"))
    tasks = folder / "yamls"
    if not tasks.is_dir():
        world.tasks(tasks, max_gen_toks=12)
    sitting = world.sitting(world.model() if model is None else model, tokenizer, renderer, folder)
    return harness.evaluate(sitting, suite, tasks=tasks, **how)["base"]


def test_an_exam_is_asked_in_its_three_forms(tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, tmp_path, medqa=medqa(), medmcqa=medmcqa())
    judged = judge(tokenizer, Suite(EXAMS["medqa"] + EXAMS["medmcqa"]), tmp_path)
    assert judged.versions == dict.fromkeys(judged.outcomes, 1.0)
    for name in ("medqa", "medmcqa"):
        plain, again, written = (judged.outcomes[name + form] for form in ("", "_shuffled", "_cot"))
        assert [len(plain), len(again), len(written)] == [6, 6, 6]
        for one, other in zip(plain, again):
            assert len(one.logprobs) == len(one.words) == 4
            assert other.before == one.pick
            assert other.measures["changed"] == int(other.meant != one.pick)
            assert other.prompt != one.prompt
        for outcome in written:
            assert outcome.reply is not None and outcome.rule and outcome.letters == ["A", "B", "C", "D"]
            assert outcome.measures["unparseable"] == int(outcome.pick is None)
            assert json.loads(outcome.as_json())["rule"] == outcome.rule
    assert [outcome.subject for outcome in judged.outcomes["medmcqa_cot"]] == [*SUBJECTS, *SUBJECTS]


def test_a_model_that_always_says_a_is_right_at_the_rate_of_a_and_shown_by_the_shuffle(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(monkeypatch, tmp_path, medqa=medqa(8))
    says = Reply("The answer is A.", 6, ended=True)
    monkeypatch.setattr(
        Engine,
        "score_sides",
        lambda self, pairs, sides: [[(-float(end[0] != "A"), True) for _, end in pairs] for _ in sides],
    )
    monkeypatch.setattr(Engine, "replies", lambda self, prompts, bound: [says] * len(prompts))
    judged = judge(tokenizer, suites["medqa"], tmp_path)
    assert {outcome.pick for outcomes in judged.outcomes.values() for outcome in outcomes} == {"A"}
    right = [outcome.key == "A" for outcome in judged.outcomes["medqa"]]
    assert [outcome.measures["accuracy"] for outcome in judged.outcomes["medqa_cot"]] == right
    again = judged.outcomes["medqa_shuffled"]
    assert [outcome.measures["changed"] for outcome in again] == [int(outcome.meant != "A") for outcome in again]
    assert sum(outcome.measures["changed"] for outcome in again) > 0


def test_a_model_that_knows_the_words_does_not_change_its_answer(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(monkeypatch, tmp_path, medqa=medqa(8))

    def score(self: Any, pairs: Any, sides: Any) -> list[list[tuple[float, bool]]]:
        lines = [
            next((line for line in prompt.splitlines() if line.startswith(f"{end}. ")), "") for prompt, end in pairs
        ]
        return [[(-float("Codeine" not in line + end), True) for line, (_, end) in zip(lines, pairs)] for _ in sides]

    monkeypatch.setattr(Engine, "score_sides", score)
    judged = judge(tokenizer, Suite(EXAMS["medqa"][:2]), tmp_path)
    assert not any(outcome.measures["changed"] for outcome in judged.outcomes["medqa_shuffled"])
    assert {outcome.pick for outcome in judged.outcomes["medqa"]} == {"C"}
    for one, other in zip(judged.outcomes["medqa"], judged.outcomes["medqa_shuffled"]):
        assert one.measures["accuracy"] == one.measures["words_accuracy"] == other.measures["accuracy"]


ITEM = choice("Which?", ["Liver", "Heart", "Lung", "None of the above"], 1, id="7")


def test_a_shuffle_is_the_same_each_time_keeps_the_key_and_moves_something(renderer: Renderer) -> None:
    found = documents.shuffled(ITEM, renderer)
    assert found is not None and found == documents.shuffled(ITEM, renderer)
    assert found["order"] != [0, 1, 2, 3] and sorted(found["order"]) == [0, 1, 2, 3]
    assert [ITEM.options[place] for place in found["order"]] == found["options"]
    assert found["options"]["ABCD".index(found["key"])] == "Heart"
    assert found["order"][3] == 3  # it speaks of those above it


@pytest.mark.parametrize("last", ["Both A and B", "A & C", "B, C", "a or b"])
def test_options_that_name_others_by_letter_are_not_shuffled(last: str, renderer: Renderer) -> None:
    assert documents.shuffled(choice("Which?", ["Liver", "Heart", last], 0), renderer) is None


@pytest.mark.parametrize("last", ["Vitamin A and iron", "Hepatitis B", "The band"])
def test_a_letter_within_an_option_is_no_reference(last: str, renderer: Renderer) -> None:
    assert documents.shuffled(choice("Which?", ["Liver", "Heart", last], 0), renderer) is not None


def test_left_out_items_are_counted(renderer: Renderer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = medqa(4)
    rows[2]["ending3"] = "Both A and B"
    put(monkeypatch, tmp_path, medqa=rows)
    left_out: Counter[str] = Counter()
    asked = documents.render(EXAMS["medqa"][1], renderer, left_out=left_out)
    assert [document["id"] for document in asked] == ["test-0", "test-1", "test-3"]
    assert left_out == {"its options stand in a fixed order": 1}


def test_the_words_stand_where_the_letter_does(tokenizer: Any) -> None:
    for format in ("chat", "think", "question"):
        found = documents.document(ITEM, Renderer(tokenizer, format))
        letter, words = found["rivals"][1], found["rivals"][5]
        assert letter.removesuffix("B") == words.removesuffix("Heart")
        assert found["target"] == letter == found["choices"][1]


def test_the_exam_in_writing_has_the_prompt_of_a_lesson_with_an_explanation(tokenizer: Any) -> None:
    renderer = Renderer(tokenizer, "chat")
    explained = Example(**{**vars(ITEM), "reasoning": "It pumps blood."})
    learnt = reasoned.lesson(explained)
    assert documents.in_writing(ITEM, renderer)["prompt"] == renderer.prompt(learnt)
    assert learnt.output == "It pumps blood.\n\nAnswer: B"
    assert renderer.tokens(learnt).completion_mask[-1] == 1


def test_a_format_that_asks_for_thoughts_is_left_as_it_is(tokenizer: Any) -> None:
    renderer = Renderer(tokenizer, "think")
    assert documents.in_writing(ITEM, renderer)["prompt"] == renderer.prompt(ITEM)


def test_a_format_that_asks_nothing_is_refused(tokenizer: Any) -> None:
    with pytest.raises(MedslmError, match="medqa asks questions, and the recipe's format asks none"):
        documents.render(EXAMS["medqa"][0], Renderer(tokenizer, "text"))


def test_rows_without_a_key_are_refused_with_the_columns_that_are_there(
    renderer: Renderer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{name: cell for name, cell in row.items() if name != "label"} for row in medqa()]
    put(monkeypatch, tmp_path, medqa=rows)
    with pytest.raises(
        MedslmError, match=r"medqa\.jsonl, line 1 has no column label; it has id, sent1, sent2, ending0"
    ):
        documents.render(EXAMS["medqa"][0], renderer)


def test_rows_without_a_subject_are_refused_where_scores_are_told_by_it(
    renderer: Renderer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{name: cell for name, cell in row.items() if name != "subject_name"} for row in medmcqa()]
    put(monkeypatch, tmp_path, medmcqa=rows)
    with pytest.raises(MedslmError, match="'medmcqa' has no column subject_name; it has id, question"):
        documents.render(EXAMS["medmcqa"][0], renderer)


def test_two_items_of_one_name_are_refused(renderer: Renderer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, tmp_path, medqa=medqa(2) + medqa(1))
    said = r"medqa has two items called test-0 \(.*medqa.jsonl, line 1; .*medqa.jsonl, line 3\), so .* take one out"
    with pytest.raises(MedslmError, match=said):
        documents.render(EXAMS["medqa"][0], renderer)


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ("medqa", "'medqa' does not say where a benchmark lies; write NAME=PATH"),
        ("medqq=x.jsonl", "no benchmark is called 'medqq'; did you mean 'medqa'"),
        ("medqa=nowhere/x.jsonl", "there is no file"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(told: str, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(given.VARIABLE, "")
    with pytest.raises(MedslmError, match=sentence):
        given.use([told])


def test_a_benchmark_that_is_said_to_lie_in_two_places_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(medqa(1)[0]) + "\n", encoding="utf-8")
    pairs = [f"medqa={tmp_path / name}.jsonl" for name in ("one", "two")]
    monkeypatch.setenv(given.VARIABLE, "")
    with pytest.raises(MedslmError, match=r"medqa is said to lie in two places, .*one\.jsonl and .*two\.jsonl"):
        given.use(pairs)
    monkeypatch.setenv(given.VARIABLE, os.pathsep.join(pairs))
    with pytest.raises(MedslmError, match="in two places"):
        given.paths()


def test_a_given_file_is_what_the_benchmark_is_read_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, tmp_path, medqa=medqa(2))
    record = given.benchmark("medqa")
    assert (record.source.name, record.license) == ("local:medqa.jsonl", benchmarks["medqa"].license)
    assert record.source.version().startswith("sha256:")
    assert [item.id for _, item in given.read(record)] == ["test-0", "test-1"]
    assert given.benchmark("medmcqa") is benchmarks["medmcqa"]


def test_a_row_of_a_given_file_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = medqa(2)
    rows[1]["label"] = 9
    put(monkeypatch, tmp_path, medqa=rows)
    with pytest.raises(MedslmError, match=r"medqa\.jsonl, line 2: the key of the question .* is 9"):
        list(given.read(given.benchmark("medqa")))


def pubmed(number: int) -> dict[str, Any]:
    return {"PMID": str(number), "QUESTION": f"Is it {number}?", "CONTEXTS": ["So."], "final_decision": "yes"}


def test_pubmedqa_may_be_the_official_test_under_the_authors_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(monkeypatch, tmp_path, pubmedqa=[pubmed(1), pubmed(2)])
    record = given.benchmark("pubmedqa")
    assert isinstance(record.source, given.OfficialFile)
    official = given.OfficialFile(record.source.source, digest(["1", "2"]))
    found = [item for row in official.rows() for item in record.items(row)]
    assert [(item.id, item.output) for item in found] == [("1", "A"), ("2", "A")]
    with pytest.raises(MedslmError, match="the authors' rule draws"):  # these two are not the official 500
        list(given.read(record))


def test_a_task_that_asks_again_needs_the_one_that_asked() -> None:
    with pytest.raises(MedslmError, match="x asks again what no task of the suite asks"):
        Suite((Task("x", "medqa", SHUFFLED, "shuffled", again="medqa"),))


def test_every_exam_is_in_the_whole_suite_in_all_its_forms() -> None:
    whole = suites["medical-mcq"].tasks
    assert {task.benchmark for task in whole} == {
        *("medqa", "medmcqa", "pubmedqa", "medxpertqa", "medbullets"),
        *(name for name in benchmarks if name.startswith("mmlu-")),
    }
    assert len(whole) == 3 * 11
    assert [task for task in whole if task.form != "reasoned"] == list(suites["medical-mcq-likelihood"].tasks)


def test_a_common_part_of_the_yamls_is_no_task_and_every_task_has_a_version() -> None:
    from lm_eval.tasks import TaskManager

    known = TaskManager(include_defaults=False, include_path=[str(harness.TASKS)]).all_tasks
    assert set(known) == {task.name for suite in suites.values() for task in suite.tasks}
