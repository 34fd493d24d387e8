"""Privacy, end to end: a run that was trained with canaries by its recipe, and asked for them afterwards."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

import toy
from medslm import files
from medslm.data.builders import canaries
from medslm.data.corpus import corpora
from medslm.data.formats.render import Renderer
from medslm.data.suite import Metric, Suite, Task
from medslm.data.suites import suites
from medslm.evals.engine import Engine
from medslm.evals.study import Case
from medslm.evals.trust import learnt, privacy
from medslm.models import load
from medslm.models.base import resolve
from medslm.recipe import Sft
from medslm.train import supervised
from toy_world import settle

OFTEN, EACH = 32, 8
TRIAL = 30  # with a limit, a canary is ranked among 99 others
RECIPE = Sft(
    name="toy-canaries",
    base="toy/wide",
    lora="all-linear-r16",
    mixture={"notes": 1, "codes": 1, "letters": 1, "canaries": 1},
    suite="toy-exam",
    dtype="float32",
    max_length=256,
    global_batch_size=16,
    num_train_epochs=2,
    learning_rate=1e-2,
    eval_steps=1000,
    logging_steps=100,
    validation_fraction=0.12,
    seed=2,  # holds out a canary of each kind
)


@pytest.fixture(scope="module")
def world(home: Path) -> Any:
    """Small corpora, few canaries, and a base whose weights are large enough to be bent by an adapter."""
    with pytest.MonkeyPatch.context() as patch:
        settle(patch).add("canaries", corpora["canaries"])
        patch.setattr(canaries, "canaries", partial(canaries.canaries, each=EACH, repetitions=(1, OFTEN)))
        known = dict(suites) | {"toy-exam": Suite((Task("exam", "exam", (Metric("accuracy"),)),))}
        for module in (learnt, supervised.planning):
            patch.setattr(module, "suites", known)
        repository = home / "hf" / "hub" / "models--toy--wide"
        snapshot = repository / "snapshots" / toy.COMMIT
        toy.save(snapshot)
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text(toy.COMMIT, encoding="utf-8")
        config = LlamaConfig.from_pretrained(snapshot)
        config.initializer_range = 0.3
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(snapshot)
        yield


@pytest.fixture(scope="module")
def run(world: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe, trained."""
    folder = tmp_path_factory.mktemp("runs") / RECIPE.name
    supervised.train(RECIPE, folder)
    return folder


def case(run: Path, **changes: Any) -> Case:
    """The run as a study is given it."""
    record = files.read_json(run / "run.json", "the fixture")
    base = resolve(RECIPE.base)
    model, words = load.with_adapter(load.model(base, wanted="float32"), run / "adapter"), load.tokenizer(base)
    sides = {"base": model.disable_adapter, "adapter": contextlib.nullcontext}
    engine = Engine(model, words, Renderer(words, RECIPE.format), 16)
    whole = Case({}, engine, sides, run / "eval" / "as-trained", run, record, TRIAL)
    return dataclasses.replace(whole, **changes)


@pytest.fixture(scope="module")
def told(run: Path) -> dict[str, Any]:
    """What the study says of the run, as it lands in `scores.json`."""
    found: dict[str, Any] = json.loads(json.dumps(privacy.measure(case(run)), allow_nan=False))
    return found


def of(rows: list[dict[str, Any]], repetitions: int) -> dict[str, Any]:
    return next(row for row in rows if row["repetitions"] == repetitions)


def test_codes_that_were_learnt_often_are_memorised_and_those_learnt_once_are_not(told: dict[str, Any]) -> None:
    often, once = (of(told["canaries"]["exposure"], times) for times in (OFTEN, 1))
    assert often["after"]["value"] > 6 and often["difference"]["verdict"] == "memorised"  # log2(100) = 6.64 at most
    assert often["before"]["value"] < 3  # the base, which never saw them
    assert once["difference"]["verdict"] == "no difference shown"


def test_a_canary_that_was_held_out_counts_as_one_that_was_not_learnt(told: dict[str, Any], run: Path) -> None:
    found = told["canaries"]
    kept = files.read_json(run / "run.json", "the fixture")["corpora"]["canaries"]
    assert found["rows"] == {"planted": EACH * (1 + OFTEN), "learnt": kept["train"]}
    assert kept["validation"] == 1 + OFTEN
    assert {row["repetitions"]: row["after"]["n"] for row in found["exposure"]} == {0: 2, 1: EACH - 1, OFTEN: EACH - 1}
    assert of(found["exposure"], 0)["difference"]["verdict"] == "no difference shown"
    assert (found["planted"], found["left_out"]) == (2 * EACH, 0)
    assert found["epochs"] == pytest.approx(2) and found["others"] == 99


def test_a_greedy_reply_is_asked_from_both_sides(told: dict[str, Any]) -> None:
    often = of(told["canaries"]["extraction"], OFTEN)
    assert (
        often["before"]["value"] == 0 and often["after"]["n"] == of(told["canaries"]["exposure"], OFTEN)["after"]["n"]
    )


def test_rows_of_the_run_are_compared_with_those_it_held_out(told: dict[str, Any]) -> None:
    found = told["membership"]
    assert 2 <= found["strangers"] <= found["members"] <= TRIAL
    assert set(found["attacks"]) == {"loss", "min_20%", "gain"} and found["unlike"] is None
    assert found["attacks"]["loss"]["adapter"]["found_at_1%_false_alarms"] is None  # of fewer than 100 strangers


def test_canaries_take_no_part_in_the_comparison_of_rows(run: Path, world: Any) -> None:
    rows = learnt.again(files.read_json(run / "run.json", "the fixture"))
    planted = [ids for each in privacy.plan(rows).values() for ids in each]
    assert any("code of the" in text.text for text in rows.members(1000, []))
    for texts in (rows.members(1000, planted), rows.strangers(1000, planted)):
        assert texts and len({text.text for text in texts}) == len(texts)
        assert not any("code of the" in text.text for text in texts)


def test_an_interrupted_study_asks_only_for_the_rest(run: Path, told: dict[str, Any]) -> None:
    asked = case(run)
    for way in ("score_sides", "reply", "token_logprobs"):
        setattr(asked.engine, way, None)  # whoever asks again fails
    assert json.loads(json.dumps(privacy.measure(asked))) == told


def test_what_was_found_is_said_in_words(told: dict[str, Any]) -> None:
    text = privacy.text(told)
    assert f"{2 * EACH} canaries" in text and "memorised" in text and "no difference shown" in text
    assert "rows that were learnt against" in text and not text.endswith("\n")


def test_a_run_without_canaries_says_so_instead_of_figures(run: Path, world: Any) -> None:
    recipe = dataclasses.replace(RECIPE, name="toy-plain", mixture={"notes": 1, "codes": 1, "letters": 1}, max_steps=1)
    plain = run.parent / recipe.name
    supervised.train(recipe, plain)
    told = privacy.measure(case(plain))
    assert told["canaries"] == {
        "not_measured": "no canaries were planted: the run's mixture has no 'canaries'. Train with canaries=1 in "
        "--mixture to measure what is memorised"
    }
    assert told["membership"]["members"] > 2
    assert privacy.text(told).startswith("Canaries: not measured: no canaries were planted")


def test_a_run_whose_data_has_changed_is_not_measured_and_says_what_changed(run: Path) -> None:
    record = files.read_json(run / "run.json", "the fixture")
    record["corpora"]["notes"]["version"] = "another"
    told = privacy.measure(case(run, record=record))
    for part in told.values():
        assert (
            "the data is no longer that of the run" in part["not_measured"] and "notes another" in part["not_measured"]
        )


def test_a_run_whose_data_is_gone_is_not_measured_and_says_so(run: Path) -> None:
    record = files.read_json(run / "run.json", "the fixture")
    record["recipe"]["mixture"] = {"local:gone.csv": 1}
    told = privacy.measure(case(run, record=record))
    assert "could not be read again: there is no file" in told["membership"]["not_measured"]


def test_a_record_of_another_version_is_not_measured_and_says_so(run: Path) -> None:
    record = files.read_json(run / "run.json", "the fixture")
    record["recipe"]["colour"] = "blue"
    assert "another version of MedSLM" in privacy.measure(case(run, record=record))["canaries"]["not_measured"]
    del record["corpora"]
    assert "corpora is not in it" in privacy.measure(case(run, record=record))["canaries"]["not_measured"]


def test_rows_held_out_otherwise_than_by_lot_are_named(run: Path, world: Any) -> None:
    rows = learnt.again(files.read_json(run / "run.json", "the fixture"))
    assert privacy.unlike(rows) is None
    first = dataclasses.replace(rows, recipe=dataclasses.replace(RECIPE, validation_rows=3))
    assert "the first 3 rows of each corpus" in str(privacy.unlike(first))
    halved = {"notes": 0.5, "codes": 1, "letters": 1, "canaries": 1}
    mixed = dataclasses.replace(rows, recipe=dataclasses.replace(RECIPE, mixture=halved))
    assert "mixed in other parts" in str(privacy.unlike(mixed))
