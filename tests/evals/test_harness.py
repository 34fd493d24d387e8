"""What a model is asked, token by token, and whether lm-eval's own model class would measure the same."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from evals import world
from medslm.data.benchmark import benchmarks
from medslm.data.example import Example
from medslm.data.formats.render import Renderer
from medslm.data.suites import suites
from medslm.errors import MedslmError
from medslm.evals import documents, harness
from medslm.evals.engine import Engine
from medslm.evals.fitting import fitting
from medslm.infer.questions import Tokeniser
from medslm.infer.reading import until_stop

SUITE = suites["icd10cm"]
CODING, CHOICE = SUITE.tasks
SPREAD = 7  # letters of unlike lengths in a batch of 3, so that padding is at work


def engine(tokenizer: Any, room: int = 1024, batch_size: int = 3) -> Engine:
    return Engine(world.model(room=room), tokenizer, Renderer(tokenizer, "toon"), batch_size)


LETTER = Example("1", "Which one? Answer with the letter.", "Where is it?", "B", "family", ("here", "there"))


def scored(asked: Engine, item: Example) -> tuple[list[list[int]], int]:
    """What reaches the model for each choice, prompt and continuation together; and how many prompts are read."""
    document = documents.document(item, asked.renderer)
    pairs = [(document["prompt"], choice) for choice in document["choices"]]
    questions = [question for some in Tokeniser(asked._tokenizer).questions(pairs) for question in some]
    return [[*one.prompt, *tokens] for one in questions for _, tokens in one.rivals], len(questions)


@pytest.mark.parametrize("adds_bos", [False, True])
def test_a_letter_is_scored_where_training_wrote_it(adds_bos: bool) -> None:
    asked = engine(world.tokenizer(adds_bos))
    rows, prompts = scored(asked, LETTER)
    trained = asked.renderer.tokens(LETTER).input_ids
    assert rows[1] == trained[: -len(asked.renderer.ids(asked.renderer.end_of_turn))]
    assert [row.count(0) for row in rows] == [adds_bos] * 2  # one BOS where the template writes one, else none
    assert prompts == 1  # rivals share one reading of the prompt


@pytest.mark.parametrize("adds_bos", [False, True])
def test_a_field_is_scored_where_training_wrote_it(adds_bos: bool) -> None:
    asked = engine(world.tokenizer(adds_bos))
    item = next(iter(benchmarks[CHOICE.benchmark].examples()))
    rows, _ = scored(asked, item)
    trained = asked.renderer.tokens(item).input_ids
    right = asked.renderer.format.key_of(item)
    assert [trained[: len(row)] == row for row in rows] == [index == right for index in range(len(rows))]


@pytest.mark.parametrize("adds_bos", [False, True])
def test_log_likelihoods_are_those_of_lm_evals_own_model_class(adds_bos: bool) -> None:
    tokenizer = world.tokenizer(adds_bos)
    ours = engine(tokenizer)
    pairs = [
        (document["prompt"], continuation)
        for document in documents.render(CHOICE, ours.renderer, SPREAD)
        for continuation in ("A", "B", "maybe", *document["choices"][:1])
    ]
    theirs = HFLM(pretrained=ours.model, tokenizer=tokenizer, batch_size=1, add_bos_token=False)
    # HFLM scores the prompt's last newline with the continuation; taken off, the two must agree
    newline = {prompt: ours.score([(prompt[:-1], "\n")])[0][0] for prompt, _ in pairs}
    requests = [Instance("loglikelihood", {}, pair, 0) for pair in pairs]
    expected = [
        total - newline[pair[0]] for pair, (total, _) in zip(pairs, theirs.loglikelihood(requests, disable_tqdm=True))
    ]
    assert [total for total, _ in ours.score(pairs)] == pytest.approx(expected, abs=1e-3)


def test_replies_are_those_of_lm_evals_own_model_class() -> None:
    tokenizer = world.tokenizer()
    ours = engine(tokenizer)
    prompts = [document["prompt"] for document in documents.render(CODING, ours.renderer, SPREAD)]
    theirs = HFLM(pretrained=ours.model, tokenizer=tokenizer, batch_size=1, add_bos_token=False)
    how = {"until": [], "max_gen_toks": 6, "do_sample": False}
    requests = [Instance("generate_until", {}, (prompt, how), 0) for prompt in prompts]
    expected = theirs.generate_until(requests, disable_tqdm=True)
    assert ours.reply(prompts, 6) == [ours.renderer.reply(reply) for reply in expected]
    assert len(set(expected)) > 1 and all(reply.strip() for reply in expected)


def test_a_reply_ends_at_the_end_of_turn(tokenizer: Any) -> None:
    asked = engine(tokenizer)
    end = asked.renderer.ids(asked.renderer.end_of_turn)
    assert until_stop([65, 66, *end, 67], asked._stops) == [65, 66]
    assert tokenizer.eos_token_id in asked._stops and end[0] in asked._stops


def test_switching_the_adapter_off_gives_the_base(tokenizer: Any, renderer: Renderer) -> None:
    pairs = [(document["prompt"], "A") for document in documents.render(CHOICE, renderer, 3)]
    adapted, base = Engine(world.adapted(), tokenizer, renderer, 2), Engine(world.model(), tokenizer, renderer, 2)
    with adapted.model.disable_adapter():
        off = adapted.score(pairs)
    assert off == base.score(pairs)
    assert adapted.score(pairs) != off


def test_letters_are_told_apart_in_a_bfloat16_model(tokenizer: Any, renderer: Renderer) -> None:
    import torch

    model = world.model().to(torch.bfloat16)
    rows = [renderer.ids(letter)[0] for letter in "ABCD"]
    with torch.no_grad():  # four letters that differ by a 64th of one weight: a tie in bfloat16, and none in float32
        model.lm_head.weight[rows] = model.lm_head.weight[rows[0]].clone()
        for place, row in enumerate(rows):
            model.lm_head.weight[row, place] *= 1 + 1 / 64
    asked = Engine(model, tokenizer, renderer, 4)
    prompts = [document["prompt"] for document in documents.render(CHOICE, renderer, 8)]
    scores = [score for score, _ in asked.score([(prompt, letter) for prompt in prompts for letter in "ABCD"])]
    for start in range(0, len(scores), 4):
        assert len(set(scores[start : start + 4])) == 4


def test_a_prompt_longer_than_the_model_reads_is_refused(tokenizer: Any, tmp_path: Path) -> None:
    short = engine(tokenizer, room=64)
    with pytest.raises(MedslmError, match=r"no item of icd10cm_coding fits the model: .*longer than the 64 tokens"):
        harness.evaluate(
            world.sitting(short.model, tokenizer, short.renderer, tmp_path), SUITE, limit=1, tasks=tasks(tmp_path)
        )
    assert not list(tmp_path.glob("base/*.jsonl"))


def test_a_key_longer_than_the_reply_may_be_is_refused(tokenizer: Any, renderer: Renderer, tmp_path: Path) -> None:
    # the toy's tokens are bytes, and 48 of them write no chapter
    with pytest.raises(
        MedslmError, match=r"no item of icd10cm_coding fits .*a key longer than the 40 tokens of a reply"
    ):
        harness.evaluate(world.sitting(world.model(), tokenizer, renderer, tmp_path), SUITE, limit=1)


@pytest.mark.parametrize(
    ("room", "bound", "said"),
    [
        (40, 8, "prompt and reply have 58 tokens together, but the model reads 40"),
        (99, 8, None),
        (99, 3, "its key has 3"),
    ],
)
def test_an_exam_is_refused_and_other_texts_are_counted(
    tokenizer: Any, room: int, bound: int, said: str | None
) -> None:
    short = engine(tokenizer, room=room)
    fits = {"id": "one", "prompt": "", "target": "a", "choices": [], "letters": []}
    long = {**fits, "id": "two", "prompt": "a" * 50, "target": "abc" if bound < 4 else "a"}
    left_out: Counter[str] = Counter()
    asked = fitting("task", [fits, long], short, bound, left_out)
    assert [document["id"] for document in asked] == (["one", "two"] if said is None else ["one"])
    assert sum(left_out.values()) == (said is not None)
    if said:
        with pytest.raises(MedslmError, match=f"item two of task: {said}"):
            fitting("task", [fits, {**long, "letters": ["A"]}], short, bound, Counter())


def test_a_suite_whose_task_has_no_yaml_is_refused(tokenizer: Any, renderer: Renderer, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    sitting = world.sitting(world.model(), tokenizer, renderer, tmp_path)
    with pytest.raises(MedslmError, match="has no task called icd10cm_coding, icd10cm_mcq; add its YAML"):
        harness.evaluate(sitting, SUITE, limit=1, tasks=tmp_path / "empty")


def test_samples_hold_what_was_asked_and_answered(tokenizer: Any, renderer: Renderer, tmp_path: Path) -> None:
    sitting = world.sitting(world.model(), tokenizer, renderer, tmp_path)
    judged = harness.evaluate(sitting, SUITE, limit=2, tasks=tasks(tmp_path))["base"]
    lines = (tmp_path / "base" / "icd10cm_mcq.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    assert [record["id"] for record in records] == [outcome.id for outcome in judged.outcomes["icd10cm_mcq"]]
    for record in records:
        assert set(record) == {"id", "prompt", "logprobs", "pick", "key", "measures"}
        assert record["pick"] == max(record["logprobs"], key=record["logprobs"].get)
        assert record["measures"]["accuracy"] == int(record["pick"] == record["key"])
    written = json.loads((tmp_path / "base" / "icd10cm_coding.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert set(written) == {"id", "prompt", "reply", "tokens", "cut", "key", "measures"}


def tasks(folder: Path) -> Path:
    return world.tasks(folder / "tasks", max_gen_toks=120)


@pytest.mark.parametrize(
    "task", [task for suite in suites.values() for task in suite.tasks], ids=lambda task: task.name
)
def test_a_task_measures_what_its_yaml_declares(task: Any) -> None:
    import yaml

    text = (harness.TASKS / f"{task.name}.yaml").read_text(encoding="utf-8").replace("!function ", "")
    declared = yaml.safe_load(text)
    assert declared["task"] == declared["dataset_kwargs"]["task"] == task.name
    of_yaml = {metric["metric"]: metric["higher_is_better"] for metric in declared["metric_list"]}
    assert of_yaml == {metric.name: metric.higher_is_better for metric in task.metrics}
    assert task.benchmark in benchmarks


def test_every_progress_bar_has_a_name(
    tokenizer: Any, renderer: Renderer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sitting = world.sitting(world.model(), tokenizer, renderer, tmp_path)
    harness.evaluate(sitting, SUITE, limit=2, tasks=tasks(tmp_path))
    bars = [bar for bar in capsys.readouterr().err.split("\r") if "%|" in bar]
    assert bars and not [bar for bar in bars if bar.lstrip()[0].isdigit()]
    assert any(bar.startswith("lm-eval's requests:") for bar in bars)
