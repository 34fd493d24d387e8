"""What the row functions leave out, refuse and keep apart."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from medslm.data import builders, suites
from medslm.data.benchmark import Benchmark, benchmarks
from medslm.data.builders.choice import choice, key_of
from medslm.data.builders.reading import family_of, fingerprint
from medslm.data.corpus import Corpus, Skip, corpora
from medslm.data.example import Example
from medslm.errors import MedslmError
from toy_data import Rows

assert suites  # its import registers benchmarks of its own
MEDMCQA = {"id": "1", "question": "Which?", "opa": "a", "opb": "b", "opc": "c", "opd": "d", "cop": 3}
NOTE = {"patient_id": 7, "note": "A note.", "question": "Which drug?", "answer": "None.", "task": "Question Answering"}
FIELDS = "Symptoms: a\nDiagnosis: b\nHistory of Patient: c\nPlan of Action: d"


def load(name: str, *rows: dict[str, Any]) -> tuple[list[Example], dict[str, int]]:
    """The examples of these rows, read as corpus `name` reads its own, and what was skipped."""
    corpus, skipped = corpora[name], {}
    of_rows = Corpus(Rows(rows), corpus.license, corpus.task, corpus.columns, corpus.examples)
    return list(of_rows.load(skipped)), skipped


def items(name: str, *rows: dict[str, Any]) -> list[Example]:
    return list(Benchmark(Rows(rows), "mit", "all", benchmarks[name].items).examples())


def test_a_hidden_key_is_skipped_and_counted() -> None:
    examples, skipped = load("medmcqa", MEDMCQA, {**MEDMCQA, "cop": -1}, {**MEDMCQA, "cop": -1})
    assert [example.output for example in examples] == ["D"]
    assert skipped == {"the key is hidden": 2}
    assert items("medmcqa", {**MEDMCQA, "cop": -1}) == []


@pytest.mark.parametrize("key", [4, -2, "b", 1.5])
def test_keys_counted_otherwise_than_from_zero_are_refused(key: Any) -> None:
    with pytest.raises(
        MedslmError, match=rf"the key of the question 'Which\?' is {key}, but its 4 options are counted"
    ):
        load("medmcqa", {**MEDMCQA, "cop": key})


@pytest.mark.parametrize("key", [None, "", float("nan"), "-1"])
def test_a_key_that_is_not_there_is_hidden(key: Any) -> None:
    assert load("medmcqa", {**MEDMCQA, "cop": key}) == ([], {"the key is hidden": 1})


@pytest.mark.parametrize(("letter", "key"), [("A", 0), (" j ", 9), ("", -1), (None, -1), (float("nan"), -1)])
def test_a_letter_is_a_key(letter: Any, key: int) -> None:
    assert key_of(letter) == key


@pytest.mark.parametrize("letter", ["AB", "2", "Ä"])
def test_what_is_no_letter_is_no_key(letter: str) -> None:
    with pytest.raises(MedslmError, match=f"a key is '{letter}', where its record expects a letter"):
        key_of(letter)


def test_questions_with_other_options_have_other_ids_and_one_family() -> None:
    first, second = choice("Which?", ["a", "b"], 0), choice("which? ", ["a", "c"], 0)
    assert first.id != second.id
    assert first.family == second.family


def test_a_family_is_known_again_in_other_case_and_white_space() -> None:
    assert family_of("What is\r\n Croup ?") == family_of("what is croup ?") != family_of("what is croup")


def test_a_fingerprint_tells_where_one_text_ends() -> None:
    assert fingerprint("ab", "c") != fingerprint("a", "bc")


def test_the_note_is_part_of_the_prompt_and_every_task_of_it_one_family() -> None:
    other = {**NOTE, "question": "Sum it up.", "answer": "Nothing.", "task": "Summarization"}
    (first, second), _ = load("asclepius-notes", NOTE, other)
    assert first.input == {"note": "A note.", "question": "Which drug?"}
    assert first.family == second.family
    assert first.id != second.id


def test_a_corpus_of_one_task_counts_the_rows_of_others() -> None:
    examples, skipped = load("asclepius-question-answering", NOTE, {**NOTE, "task": "Paraphrasing"})
    assert len(examples) == 1
    assert skipped == {"its task is another": 1}


def test_the_tasks_of_asclepius_are_those_of_its_card_each_once() -> None:
    tasks = builders.asclepius.TASKS
    assert len(set(tasks.values())) == len(tasks) == 8


def test_questions_on_one_disease_are_one_family_and_those_on_none_their_own() -> None:
    row = {"question_focus": "Croup", "question": "What is it?", "answer": "A cough."}
    other, alone = {**row, "question": "Who gets it?"}, {**row, "question_focus": None, "question": "Why cough?"}
    (first, second, third), _ = load("medquad", row, other, alone)
    assert first.family == second.family == family_of("croup")
    assert third.family == family_of("Why cough?")


def test_the_advice_to_give_no_warnings_is_not_learnt() -> None:
    row = {"instruction": "What is croup?", "output": "A cough.", "system": "Do not provide safety disclaimers."}
    assert "disclaimers" not in load("rk-medical-qa", row)[0][0].as_json()


def test_an_instruction_without_input_is_its_own_question() -> None:
    (example,), _ = load("alpaca-cleaned", {"instruction": "Name a colour.", "input": " ", "output": "Blue."})
    assert example.text == "Name a colour."


@pytest.mark.parametrize("nothing", ["<noinput>", "Noinput", "No input.", "N/A"])
def test_an_input_that_says_there_is_none_is_none(nothing: str) -> None:
    rows = [{"instruction": f"Name colour {n}.", "input": nothing, "output": "None"} for n in (1, 2)]
    (one, two), _ = load("alpaca-cleaned", *rows)
    assert (one.text, one.output) == ("Name colour 1.", "None") and one.family != two.family


def test_an_answer_that_is_a_placeholder_is_skipped_and_counted() -> None:
    row = {"instruction": "Draw a cat.", "input": "", "output": "<nooutput>"}
    assert load("alpaca-cleaned", row) == ([], {"the answer is a placeholder": 1})


def test_a_list_is_not_learnt_as_python_writes_it() -> None:
    with pytest.raises(MedslmError, match=r"a text was expected, and there is a list: \['Blue'\]"):
        load("alpaca-cleaned", {"instruction": "Name a colour.", "input": "", "output": ["Blue"]})


def test_codes_in_a_text_are_not_taken_letter_by_letter() -> None:
    row = {"subject_id": 1, "hadm_id": 2, "cleaned_text": "A note.", "icd_code": "I10", "icd_descriptions": "Flu"}
    with pytest.raises(MedslmError, match="a list of codes was expected, and there is a str: I10; a table in CSV"):
        load("mimic-icd-visit", row)
    with pytest.raises(MedslmError, match="a list of options was expected, and there is a str: abc"):
        items("mmlu-anatomy", {"question": "Which?", "choices": "abc", "answer": 1})


STRANGE = (None, float("nan"), 1.5, 99, True, "", "zzz", [], [None], [1, 2], {}, {"text": None, "label": None})
MADE_HERE = ("icd10cm", "canaries", "clinical-checks")  # rows of packages and of this one, which cannot be strange


def golden() -> list[Any]:
    path = Path(__file__).with_name("golden.jsonl")
    told = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    return [one for one in told if not one["name"].startswith(MADE_HERE)]


@pytest.mark.parametrize("told", [pytest.param(one, id=f"{one['kind']}-{one['name']}") for one in golden()])
def test_whatever_stands_in_a_cell_a_row_is_read_skipped_or_refused_in_a_sentence(told: dict[str, Any]) -> None:
    name = told["name"]
    examples = corpora[name].examples if told["kind"] == "corpus" else benchmarks[name].items
    for column in told["row"]:
        for cell in STRANGE:
            with contextlib.suppress(Skip, MedslmError):
                for example in examples({**told["row"], column: cell}):
                    assert example.output not in ("None", "nan", "[]", "{}"), (column, cell)


def test_a_number_that_no_line_gives_is_skipped() -> None:
    examples, skipped = load("gsm8k-reasoning", {"question": "6 times 7?", "answer": "It is 42."})
    assert (examples, skipped) == ([], {"no line gives the number": 1})


def test_the_last_mark_of_a_working_is_that_of_the_number() -> None:
    (example,), _ = load("gsm8k-reasoning", {"question": "How many?", "answer": "First\n#### 1\nThen\n#### 1,200"})
    assert (example.reasoning, example.output) == ("First\n#### 1\nThen", "1,200")


def test_a_note_in_another_form_than_four_fields_is_skipped() -> None:
    row = {"dialogue": "Doctor: Hello.", "section_text": FIELDS.replace("Diagnosis", "Impression")}
    examples, skipped = load("mts-dialog-fields", row, {**row, "section_text": FIELDS.replace("\n", "\r\n")})
    assert [example.output for example in examples] == [
        {"symptoms": "a", "diagnosis": "b", "history": "c", "plan": "d"}
    ]
    assert skipped == {"the note is not in its four fields": 1}


@pytest.mark.parametrize("key", [-1, 2])
def test_a_prompt_whose_key_is_none_of_its_options_is_refused(key: int) -> None:
    row = {"input": "Yes or no?", "options": ["No", "Yes"], "gold_index": key}
    with pytest.raises(MedslmError, match=rf"gold_index of the prompt 'Yes or no\?' is {key}, but it has 2 options"):
        load("medicine-tasks-mqp", row)


def test_codes_without_their_titles_are_skipped() -> None:
    row = {"subject_id": 1, "hadm_id": 2, "cleaned_text": "A note.", "icd_code": ["I10"], "icd_descriptions": []}
    without = {**row, "icd_descriptions": None}
    assert load("mimic-icd-visit", row, without) == ([], {"codes and titles do not pair up": 2})


def test_visits_of_one_patient_are_one_family() -> None:
    row = {"subject_id": 1, "hadm_id": 2, "cleaned_text": "A note.", "icd_code": ["I10"], "icd_descriptions": ["High"]}
    (first, second), _ = load("mimic-icd-visit", row, {**row, "hadm_id": 3})
    assert first.family == second.family
    assert first.id != second.id


def test_medqa_of_five_options_keeps_the_fifth() -> None:
    endings = {f"ending{number}": text for number, text in enumerate("abcde")}
    (item,) = items("medqa", {"id": "1", "sent1": "Which?", **endings, "label": 4})
    assert (item.options, item.output) == (tuple("abcde"), "E")
    (item,) = items("medqa", {"id": "1", "sent1": "Which?", **endings, "ending4": "", "label": 3})
    assert item.options == tuple("abcd")


def test_more_options_than_letters_are_refused() -> None:
    assert choice("Which?", [str(number) for number in range(26)], 25).output == "Z"
    with pytest.raises(MedslmError, match=r"'Which\?' has 27 options, more than there are letters"):
        choice("Which?", [str(number) for number in range(27)], 26)


def test_a_question_that_repeats_its_options_is_asked_without_them() -> None:
    row = {"id": "1", "question": "Which?\nAnswer Choices: (A) x (B) y", "options": {"B": "y", "A": "x"}, "label": "B"}
    (item,) = items("medxpertqa", row)
    assert (item.text, item.options, item.output) == ("Which?", ("x", "y"), "B")


def test_a_fifth_option_is_shown_where_there_is_one() -> None:
    row = {"question": "Which?", "opa": "a", "opb": "b", "opc": "c", "opd": "d", "ope": "e", "answer_idx": "E"}
    (item,) = items("medbullets", row)
    assert (len(item.options), item.output) == (5, "E")


def fake(number: int) -> dict[str, Any]:
    options = str({"0": "It's red", "1": "blue", "2": "green", "3": "I do not know. "})
    return {"id": str(number), "question": f"What colour is number {number}?", "options": options}


def test_who_always_names_the_last_option_does_not_look_wise() -> None:
    found = items("medhalt-fake", *map(fake, range(40)))
    assert {item.output for item in found} == set("ABCD")
    assert all(item.options["ABCD".index(item.output)].startswith("I do not know") for item in found)
    assert found == items("medhalt-fake", *map(fake, range(40)))


@pytest.mark.parametrize("options", [{"0": "red", "1": "blue"}, {"0": "I do not know"}])
def test_a_senseless_question_without_a_way_out_or_without_a_choice_is_no_item(options: dict[str, str]) -> None:
    assert items("medhalt-fake", {**fake(1), "options": str(options)}) == []


def test_of_two_refusals_the_plain_one_at_the_end_is_right() -> None:
    options = {"0": "All answer 'I do not know' to this", "1": "red", "2": "E. I do not know!", "3": ""}
    (item,) = items("medhalt-fake", {**fake(1), "options": str(options)})
    assert item.options["ABC".index(item.output)] == "E. I do not know!"


@pytest.mark.parametrize("options", ["red or blue", "['red']", "{'0': "])
def test_options_that_cannot_be_read_are_refused(options: str) -> None:
    with pytest.raises(MedslmError, match="the options of the question 'What colour is number 1"):
        items("medhalt-fake", {**fake(1), "options": options})
