"""A card says only what was measured: thieves bring stale, partial, missing and hostile records."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard, eval_result_entries_to_yaml, parse_eval_result_entries

from medslm.errors import MedslmError
from medslm.hub import card, markdown, results

NAME = "smollm2-icd10-lora"
TEMPLATE = Path(__file__).parents[2] / "model_cards" / f"{NAME}.md"
WEIGHTS = b"adapter weights"
HOSTILE = "x | y` {{ run.name }} <script>alert()</script> [a](b) **c**\n\n---\n# heading: yes"

RUN: dict[str, Any] = {
    "schema": 1,
    "name": NAME,
    "status": "finished",
    "recipe": {
        "name": NAME,
        "format": "toon",
        "quantization": "none",
        "max_length": 256,
        "global_batch_size": 16,
        "num_train_epochs": 2.0,
        "learning_rate": 0.0002,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 0.05,
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "seed": 42,
    },
    "fingerprint": "f" * 64,
    "base": {
        "name": "smollm2-135m-instruct",
        "hub_id": "HuggingFaceTB/SmolLM2-135M-Instruct",
        "license": "apache-2.0",
        "source": "embedded",
        "revision": "b" * 64,
        "parameters": 134_515_008,
    },
    "corpora": {
        "icd10cm": {
            "source": "pypi:simple-icd-10-cm",
            "license": "mit",
            "version": "simple-icd-10-cm==1.5.0",
            "format": "toon",
            "read": 5026,
            "train": 4763,
            "skipped": {},
            "unusable": 0,
            "contaminated": 13,
            "repeated": 0,
            "near": 40,
            "too_long": 0,
        }
    },
    "gates": {
        "contamination": {"policy": "drop", "screened": {"icd10cm-coding": 553}, "missing": {"medqa": "no network"}},
        "deidentification": {
            "policy": "scan",
            "engine": "rules",
            "examples": {"icd10cm": 2},
            "identifiers": {"icd10cm": {"DATE": 3}},
        },
        "quality": {
            "policy": "exact",
            "findings": {"icd10cm": {"html": 1}},
            "languages": {},
            "answers": {},
            "near_copies_across_validation": 0,
        },
        "lengths": {"p50": 80, "max": 120},
        "license": {"id": "apache-2.0", "name": None, "flags": []},
    },
    "examples": {"train": 4763, "validation": 250, "too_long": 0},
    "template_hash": "c" * 64,
    "end_of_turn": "<|im_end|>",
    "instructions": ["State the ICD-10-CM chapter and code of this diagnostic statement."],
    "lora": {"r": 16, "lora_alpha": 32, "lora_dropout": 0.0, "target_modules": "all-linear"},
    "trainable_parameters": 4_884_480,
    "packages": {"torch": "2.13.0", "peft": "0.21.2"},
    "python": "3.11.7",
    "git": {"commit": "d" * 40, "dirty": False},
    "machine": {"device": "cpu", "gpu": None, "cpus": 2, "world_size": 1, "dtype": "bfloat16"},
    "train": {
        "steps": 596,
        "examples": 9526,
        "tokens": 812345,
        "seconds": 1234.5,
        "tokens_per_second": 658.0,
        "peak_memory_gib": {"host": 2.31, "device": None},
        "first_loss": 3.21,
        "last_loss": 0.512,
        "best_eval_loss": 0.634,
        "best_step": 550,
    },
    "curve": [{"step": 5, "loss": 3.21, "learning_rate": 0.0001}, {"step": 50, "eval_loss": 0.9}],
}


def result(metric: str, protocol: str = "as-trained", primary: bool = True) -> dict[str, Any]:
    return {
        "protocol": protocol,
        "quantization": "none",
        "task": "icd10cm_coding",
        "metric": metric,
        "unit": "share",
        "higher_is_better": True,
        "primary": primary,
        "n": 619,
        "dataset": {"source": "pypi:simple-icd-10-cm", "version": "simple-icd-10-cm==1.5.0", "split": "held out"},
        "base": {"value": 0.031, "ci95": [0.02, 0.048], "n": 619},
        "adapter": {"value": 0.612, "ci95": [0.573, 0.65], "n": 619},
        "difference": {
            "value": 0.581,
            "ci95": [0.541, 0.619],
            "n": 619,
            "p": 1e-60,
            "test": "McNemar",
            **({"p_holm": 1e-60} if primary else {}),
            "adapter_only_right": 365,
            "base_only_right": 5,
        },
        "majority_class": 0.231,
        "chance": None,
    }


SCORES: dict[str, Any] = {
    "schema": 2,
    "name": NAME,
    "suite": "icd10cm",
    "limit": None,
    "fingerprint": "f" * 64,
    "template_hash": "c" * 64,
    "adapter_sha256": hashlib.sha256(WEIGHTS).hexdigest(),
    "lm_eval": "0.4.13",
    "packages": {"torch": "2.13.0"},
    "hardware": {"device": "cpu", "gpu": None, "dtype": "bfloat16", "batch_size": 8},
    "results": [result("chapter_accuracy"), result("code_accuracy", primary=False)],
    "unparseable": {"as-trained": {"icd10cm_coding": {"base": 0.98, "adapter": 0.0}}},
    "changed": {"as-trained": {}},
    "picks": {},
    "subjects": [],
    "missing": {},
    "notes": [],
    "told": {},
    "engine": "transformers",
    "seconds": {"as-trained": 136.0},
    "reused": {"as-trained": 0},
}


def read(text: str) -> Any:
    """The card as the Hub's library reads it (which does not say the type of its metadata)."""
    return ModelCard(text)


Spoil = Callable[[dict[str, Any], dict[str, Any]], object]


def put(folder: Path, run: dict[str, Any], scores: dict[str, Any] | None) -> Path:
    (folder / "adapter").mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps(run))
    (folder / "adapter" / "adapter_model.safetensors").write_bytes(WEIGHTS)
    if scores is not None:
        (folder / "scores.json").write_text(json.dumps(scores))
    return folder


def spoilt(tmp_path: Path, spoil: Spoil) -> Path:
    run, scores = copy.deepcopy(RUN), copy.deepcopy(SCORES)
    spoil(run, scores)
    return put(tmp_path / NAME, run, scores)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return put(tmp_path / NAME, RUN, SCORES)


def refusal(run: Path, template: Path = TEMPLATE) -> str:
    with pytest.raises(MedslmError) as caught:
        card.write(run, template)
    assert not (run / "README.md").exists()
    return str(caught.value)


# What a good run gives


def test_the_metadata_are_read_back_by_the_hub_library(good: Path) -> None:
    (good / "loss.png").write_bytes(b"")
    data = read(card.write(good, TEMPLATE).read_text()).data
    assert data.license == "apache-2.0" and data.get("license_name") is None
    assert data.base_model == RUN["base"]["hub_id"] and data.get("base_model_relation") == "adapter"
    assert (data.library_name, data.pipeline_tag, data.language) == ("peft", "text-generation", "en")
    assert data.get("datasets") is None, "a package on PyPI is no dataset of the Hub"
    assert {"medical", "lora", "medslm", f"base_model:adapter:{RUN['base']['hub_id']}"} <= set(data.tags or [])
    assert [r.metric_value for r in data.eval_results or []] == [0.612, 0.612]
    assert (data.eval_results or [])[0].metric_args["ci95"] == [0.573, 0.65]


def test_the_card_states_numbers_verdict_sources_and_warnings(good: Path) -> None:
    (good / "loss.png").write_bytes(b"")
    text = " ".join(card.render(good, TEMPLATE).split())
    for said in (
        "**Chapter accuracy** (`icd10cm_coding`) went from 3.1 % to 61.2 %, a difference of +58.1 points (95 % interval +54.1 to +61.9; McNemar's test, adjusted over the primary measures: p < 0.001)",
        "Chance alone hardly explains this gain. The adapter clearly beats the most frequent answer, which scores 23.1 %",
        "Not for diagnosis, treatment or billing without a human coder",
        "`pypi:simple-icd-10-cm`",
        "| 5,026 |",
        "`<|im_end|>`".replace("|", r"\|"),
        "`icd10cm_coding`, code accuracy is 61.2 %",
        SCORES["adapter_sha256"],
        RUN["template_hash"],
        "20 min 34 s",
        "](loss.png)",
        "The base model is under apache-2.0, which is permissive.",
        "Answer in TOON: chapter, code.",
    ):
        assert said in text, said


def test_every_table_of_the_card_lines_up(good: Path) -> None:
    tables = re.findall(r"(?:^\|.*\n)+", card.render(good, TEMPLATE), re.MULTILINE)
    assert len(tables) >= 8
    for table in tables:
        assert len({len(line) for line in table.splitlines()}) == 1, table
        assert len(table.splitlines()) >= 3, "a table with no row, or torn from its rows"


def test_the_python_in_the_card_is_python(good: Path) -> None:
    sources = re.findall(r"^```python\n(.*?)^```", card.render(good, TEMPLATE), re.MULTILINE | re.DOTALL)
    assert sources
    for source in sources:
        compile(source, "card", "exec")


def test_the_use_of_a_base_from_the_hub_is_pinned_to_the_commit_of_the_training(tmp_path: Path) -> None:
    run = spoilt(tmp_path, lambda run, _: run["base"].update(source="hub", revision="a" * 40))
    text = card.render(run, TEMPLATE)
    assert f'revision="{"a" * 40}"' in text and "Mind the base weights" not in text


def test_protocols_and_the_histogram_of_choices_are_shown(tmp_path: Path) -> None:
    def measured_twice(run: dict[str, Any], scores: dict[str, Any]) -> None:
        scores["results"].append(result("chapter_accuracy", "full-precision") | {"quantization": "nf4"})
        scores["unparseable"]["full-precision"] = scores["changed"]["full-precision"] = {}
        scores["picks"] = {"as-trained": {"icd10cm_mcq": {"base": {"A": 600, "B": 19}, "adapter": {"B": 0.5}}}}

    text = " ".join(card.render(spoilt(tmp_path, measured_twice), TEMPLATE).split())
    assert "| full-precision |" in text and "| A 600, B 19 | B 0.5 |" in text
    assert text.count("**Chapter accuracy**") == 1, "the headline is the protocol of the training"
    assert "**Code accuracy**" not in text, "and of the primary metric"


def test_a_missing_picture_is_not_shown(good: Path) -> None:
    assert "loss.png" not in card.render(good, TEMPLATE)


def test_a_card_is_the_same_each_time_and_leaves_no_temporary_file(good: Path) -> None:
    before = set(good.iterdir())
    first = card.write(good, TEMPLATE).read_bytes()
    assert card.write(good, TEMPLATE).read_bytes() == first
    assert set(good.iterdir()) - before == {good / "README.md"}


# Other suites


def judged_by(folder: Path, suite: str, **changes: Any) -> None:
    of = {"task": "medqa", "metric": "accuracy", "chance": 0.25}
    told = {**copy.deepcopy(SCORES), "suite": suite, "results": [result("accuracy") | of], **changes}
    (folder / f"scores.{suite}.json").write_text(json.dumps(told))


def test_other_suites_of_the_same_adapter_get_a_section(good: Path) -> None:
    study = "flip rate 3 %\n| a | b |\n```"
    judged_by(good, "medqa", told={"bias": {"as-trained": study}}, missing={"medbullets": "no network"})
    text = card.render(good, TEMPLATE)
    section = text.split("### By other suites")[1].split("## How to use it")[0]
    assert "Suite `medqa`:" in section and "| 61.2 % (57.3 to 65.0 %)" in section and " 25.0 % |" in section
    assert f"````text\n{study}\n````" in section  # as it is, and no fence in it ends it
    assert "medbullets was not judged: no network" in section
    assert len({len(line) for line in text.split("## What it was trained on")[1].split("\n\n")[1].splitlines()}) == 1
    assert "medqa" not in text.split("### By other suites")[0]  # the evidence stays the suite of the recipe


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"fingerprint": "0" * 64}, "another state of the run"),
        ({"template_hash": "0" * 64}, "another state of the run"),
        ({"adapter_sha256": "0" * 64}, "another state of the run"),
        ({"limit": 12}, "12 items a task only"),
        ({"schema": 1}, "schema 1 where 2 is read"),
    ],
)
def test_stale_scores_of_another_suite_are_left_out_and_said(good: Path, changes: dict[str, Any], why: str) -> None:
    judged_by(good, "medqa", **changes)
    text = card.render(good, TEMPLATE)
    assert "Suite `medqa`:" not in text
    left = next(line for line in text.splitlines() if line.startswith("Left out: "))
    assert why in left and "scores.medqa.json" in left and str(good) not in left


def test_a_trial_of_another_suite_is_no_news(good: Path) -> None:
    judged_by(good, "medqa")
    (good / "scores.medqa.json").rename(good / "scores.medqa.limited.json")
    assert "By other suites" not in card.render(good, TEMPLATE)


def test_a_value_is_told_as_it_is_and_a_share_in_per_cent(tmp_path: Path) -> None:
    def of_value(_: dict[str, Any], scores: dict[str, Any]) -> None:
        scores["results"][0] |= {"unit": "value", "metric": "rouge", "majority_class": None}

    text = " ".join(card.render(spoilt(tmp_path, of_value), TEMPLATE).split())
    assert "went from 0.031 to 0.612, a difference of +0.581 (95 % interval +0.541 to +0.619;" in text
    assert "| 0.612 (0.573 to 0.650) |" in text and "| 61.2 % (57.3 to 65.0 %) |" in text


def test_of_a_measure_that_should_fall_a_fall_is_the_gain() -> None:
    fewer = result("unparseable") | {"higher_is_better": False}
    assert "this loss" in results.verdict(fewer)
    fewer["difference"] |= {"ci95": [-0.2, -0.1]}
    assert "this gain" in results.verdict(fewer)


def test_subjects_are_shown(tmp_path: Path) -> None:
    def subjects(_: dict[str, Any], scores: dict[str, Any]) -> None:
        of = {"protocol": "as-trained", "task": "medmcqa", "unit": "share"}
        scores["subjects"] = [{**of, "groups": [result("accuracy") | {"subject": "Forensic | Medicine"}]}]

    assert r"| Forensic \| Medicine |" in " ".join(card.render(spoilt(tmp_path, subjects), TEMPLATE).split())


# The Hub's current form of results


def on_the_hub(run: dict[str, Any], scores: dict[str, Any]) -> None:
    dataset = {"source": "openlifescienceai/medmcqa", "version": "e" * 40, "split": "validation"}
    scores["results"][0]["dataset"] = dataset
    run["corpora"]["medmcqa"] = dict(
        RUN["corpora"]["icd10cm"], source="openlifescienceai/medmcqa", license="apache-2.0", version="e" * 40
    )


def test_a_benchmark_on_the_hub_is_written_in_its_current_form(tmp_path: Path) -> None:
    run = spoilt(tmp_path, on_the_hub)
    data = read(card.write(run, TEMPLATE).read_text()).data
    assert data.datasets == ["openlifescienceai/medmcqa"]
    written = yaml.safe_load((run / ".eval_results" / f"{NAME}.yaml").read_text())
    (entry,) = parse_eval_result_entries(written)
    assert eval_result_entries_to_yaml([entry]) == written
    assert (entry.dataset_id, entry.task_id, entry.value) == ("openlifescienceai/medmcqa", "icd10cm_coding", 0.612)
    assert entry.dataset_revision == "e" * 40 and "n=619" in (entry.notes or "")


def test_a_benchmark_that_is_no_hub_dataset_is_not_claimed_to_be_one(tmp_path: Path) -> None:
    run = spoilt(tmp_path, on_the_hub)
    card.write(run, TEMPLATE)
    put(run, RUN, SCORES)  # measured again, on the package
    card.write(run, TEMPLATE)
    assert not list(run.glob(".eval_results/*")), "a stale file would publish yesterday's result"


# No number, no card


def test_a_run_without_scores_is_told_how_to_get_them(tmp_path: Path) -> None:
    assert f"make eval NAME={NAME}" in refusal(put(tmp_path / NAME, RUN, None))


def test_limited_scores_are_no_scores(tmp_path: Path) -> None:
    run = put(tmp_path / NAME, RUN, None)
    (run / "scores.limited.json").write_text(json.dumps(SCORES | {"limit": 20}))
    assert "a part of the items only" in refusal(run) and f"make eval NAME={NAME}" in refusal(run)


def test_a_run_that_was_never_trained_is_told_so(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    assert "accelerate launch recipes/smollm2_icd10_lora.py" in refusal(tmp_path / NAME)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda run, scores: run.update(status="running"), "'running', not finished"),
        (lambda run, scores: scores.update(limit=20), "20 items a task only"),
        (lambda run, scores: scores.update(fingerprint="0" * 64), "another state of the run"),
        (lambda run, scores: scores.update(template_hash="0" * 64), "another state of the run"),
        (lambda run, scores: scores.update(adapter_sha256="0" * 64), "another state of the run"),
        (lambda run, scores: scores.update(name="another"), "has name 'another'"),
        (lambda run, scores: run.update(name="another"), "has name 'another'"),
        (lambda run, scores: scores.update(schema=1), "has schema 1 where 2 is read"),
        (lambda run, scores: run.update(schema=2), "has schema 2 where 1 is read"),
        (lambda run, scores: scores.update(results=[]), "no primary result"),
        (lambda run, scores: scores["results"][0].pop("n"), "no 'n'"),
        (lambda run, scores: scores["results"][0]["adapter"].update(value=None), "adapter.value"),
        (lambda run, scores: scores["results"][0]["adapter"].update(value=float("nan")), "NaN"),
        (lambda run, scores: scores["results"][0]["adapter"].update(value=61.2), "not between 0 and 1"),
        (lambda run, scores: run["base"].pop("license"), "no 'license'"),
        (lambda run, scores: run["base"].update(license="mit"), "its record says 'apache-2.0'"),
        (lambda run, scores: run["corpora"]["icd10cm"].update(license="cc0-1.0"), "its record says 'mit'"),
        (lambda run, scores: run["base"].update(hub_id="/home/me/model"), "neither `org/name` on the Hub"),
        (lambda run, scores: run["corpora"]["icd10cm"].update(source=HOSTILE), "neither `org/name` on the Hub"),
        (lambda run, scores: run["train"].pop("tokens"), "{{ run.train.tokens | count }}"),
        (lambda run, scores: run["train"].update(last_loss=None), "{{ run.train.last_loss | number }}"),
        (lambda run, scores: run.pop("git"), "{{ run.git.commit"),
        (lambda run, scores: run["git"].pop("commit"), "{{ run.git.commit"),
        (lambda run, scores: scores["results"][0].pop("majority_class"), "majority_class"),
        (lambda run, scores: scores.update(seconds=12), "scores.seconds.items()"),
        (lambda run, scores: run["recipe"].update(format="xml"), "no format is called 'xml'"),
    ],
)  # fmt: skip
def test_a_thief_gets_a_sentence_and_no_card(tmp_path: Path, spoil: Spoil, said: str) -> None:
    assert said in refusal(spoilt(tmp_path, spoil))


def test_weights_that_changed_after_the_evaluation_are_noticed(good: Path) -> None:
    (good / "adapter" / "adapter_model.safetensors").write_bytes(b"trained once more")
    assert "adapter_sha256" in refusal(good)
    (good / "adapter" / "adapter_model.safetensors").unlink()
    assert "nobody can tell what was judged" in refusal(good)


def test_run_and_card_carry_one_name(good: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.md"
    other.write_text(TEMPLATE.read_text())
    assert "carry one name" in refusal(good, other)
    moved = good.rename(tmp_path / "other")
    assert "move the files to the folder of their run" in refusal(moved)


# Licences


@pytest.mark.parametrize("license", ["-", "", None, "other", "apache2"])
def test_an_unknown_licence_is_other_and_says_so(tmp_path: Path, license: str | None) -> None:
    run = spoilt(tmp_path, lambda run, _: run["corpora"].update(new=dict(RUN["corpora"]["icd10cm"], license=license)))
    if license in ("", None):
        run_json = json.loads((run / "run.json").read_text())
        run_json["corpora"]["new"]["license"] = license or "-"  # the table has nothing to show for an empty licence
        (run / "run.json").write_text(json.dumps(run_json))
    loaded = read(card.render(run, TEMPLATE))
    assert (loaded.data.license, loaded.data.get("license_name")) == ("other", "unknown")
    assert "Not cleared for publication" in loaded.text


def test_what_may_not_be_published_is_stopped_before_the_push(good: Path, tmp_path: Path) -> None:
    card.clear(good)
    new = dict(RUN["corpora"]["icd10cm"], license="other")
    with pytest.raises(MedslmError, match="not cleared for publication"):
        card.clear(spoilt(tmp_path / "other", lambda run, _: run["corpora"].update(new=new)))
    with pytest.raises(MedslmError, match="4 items"):
        card.clear(spoilt(tmp_path / "limited", lambda _, scores: scores.update(limit=4)))


def test_a_non_commercial_corpus_makes_the_adapter_non_commercial(tmp_path: Path) -> None:
    new = dict(RUN["corpora"]["icd10cm"], license="cc-by-nc-4.0")
    loaded = read(card.render(spoilt(tmp_path, lambda run, _: run["corpora"].update(new=new)), TEMPLATE))
    assert loaded.data.license == "cc-by-nc-4.0" and "forbids commercial use" in loaded.text


# Hostile names and careless templates


def test_a_hostile_name_stays_text(tmp_path: Path) -> None:
    def spoil(run: dict[str, Any], scores: dict[str, Any]) -> None:
        run["corpora"][HOSTILE] = dict(RUN["corpora"]["icd10cm"], version=HOSTILE)
        run["packages"][HOSTILE] = HOSTILE
        run["machine"]["gpu"] = HOSTILE
        for each in scores["results"]:
            each["task"] = each["metric"] = each["dataset"]["split"] = each["dataset"]["version"] = HOSTILE
        run["fingerprint"] = scores["fingerprint"] = "```\n# out of the fence"

    loaded = read(card.render(spoilt(tmp_path, spoil), TEMPLATE))
    assert [(r.dataset_name, r.metric_type) for r in loaded.data.eval_results or []] == [(HOSTILE, HOSTILE)] * 2
    assert "\n---" not in loaded.text and "\n# heading" not in loaded.text and "\n# out" not in loaded.text
    prose = re.sub(
        r"(?<![\\`])(`+)(?!`).+?(?<!`)\1(?!`)",
        "",
        re.sub(r"^```.*?^```$", "", loaded.text, flags=re.MULTILINE | re.DOTALL),
    )
    assert "{{ run.name }}" in prose, "a value is never filled in a second time"
    assert not re.search(r"(?<!\\)<script|(?<!\\)\[a|[^\\]\*\*c", prose)
    for table in re.findall(r"(?:^\|.*\n)+", loaded.text, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1, table


def write_template(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "cards" / f"{NAME}.md"
    path.parent.mkdir()
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("It scores 61.2 % of them.", "61.2"),
        ("It scores {{ 0.612 | percent }}.", "0.612"),
        ("It scores {{ 'about 61 %' }}.", "61"),
        ("It scores {{ run.name }} better in 3x less time.", "3x"),
        ("{% set best = 7 %}{{ best }}", "7"),
    ],
)
def test_a_number_typed_by_hand_is_found(good: Path, tmp_path: Path, text: str, said: str) -> None:
    assert f"typed by hand: {said}" in refusal(good, write_template(tmp_path, text))


def test_no_card_of_this_repository_types_a_number() -> None:
    for path in TEMPLATE.parent.glob("*.md"):
        assert card.typed_numbers(path.read_text()) == (), path


def test_identifiers_links_and_code_may_have_digits() -> None:
    text = "ICD-10-CM, SmolLM2-135M, K35.20, arXiv:2106.09685, https://x.org/1\n\n```python\nx[0]\n```\n"
    assert card.typed_numbers(text) == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("first\n{{ run.nothing }}", "line 2, asks for {{ run.nothing }}"),
        ("{{ nothing }}", "asks for {{ nothing }}"),
        ("{{ run.machine.gpu }}", "asks for {{ run.machine.gpu }}, but: it is null"),
        ("{{ run.train }}", "asks for {{ run.train }}"),
        ("{{ run.machine.gpu | code }}", "it is null"),
        ("first\n{% if %}", "line 2"),
    ],
)
def test_a_placeholder_without_a_value_is_named(good: Path, tmp_path: Path, text: str, said: str) -> None:
    assert said in refusal(good, write_template(tmp_path, text))


def test_a_card_that_is_not_there_is_asked_for(good: Path, tmp_path: Path) -> None:
    assert "write the card's prose" in refusal(good, tmp_path / f"{NAME}.md")


# Words for numbers


@pytest.mark.parametrize(
    ("low", "high", "p", "said"),
    [
        (0.01, 0.2, 0.001, "this gain"),
        (-0.2, -0.01, 0.001, "this loss: the untuned base is better"),
        (-0.01, 0.2, 0.2, "neither a gain nor a loss"),
        (0.0, 0.2, 0.2, "neither a gain nor a loss"),
        (-0.01, 0.2, 0.04, "disagree"),
        (0.01, 0.2, 0.06, "disagree"),
    ],
)
def test_the_verdict_follows_from_interval_and_test(low: float, high: float, p: float | None, said: str) -> None:
    measured = result("chapter_accuracy")
    measured["difference"] |= {"ci95": [low, high], "p_holm": p}
    assert said in results.verdict(measured)


def test_an_adapter_below_the_most_frequent_answer_is_not_praised() -> None:
    measured = result("chapter_accuracy") | {"majority_class": 0.6, "chance": 0.25}
    assert "does not clearly beat the most frequent answer, which scores 60.0 %" in results.verdict(measured)


@pytest.mark.parametrize(
    ("value", "said"), [("a|b", r"a\|b"), ("snake_case", "snake_case"), ("_x_", r"\_x\_"), ("a\n# b", "a # b")]
)
def test_text_is_escaped_where_it_would_be_markup(value: str, said: str) -> None:
    assert markdown.escaped(value) == said


def test_a_code_span_cannot_be_left() -> None:
    assert markdown.code("a`` b` c") == "``` a`` b` c ```"


@pytest.mark.parametrize(
    ("seconds", "said"), [(9.4, "9 s"), (75, "1 min 15 s"), (3661, "1 h 1 min"), (59.7, "1 min 0 s")]
)
def test_durations_are_in_units_people_use(seconds: float, said: str) -> None:
    assert markdown.duration(seconds) == said


def test_tables_in_code_are_left_alone() -> None:
    text = "| a | b |\n|---|--:|\n| long | 1 |\n\n```\n| a | b |\n|---|\n```"
    assert markdown.aligned(text).startswith("| a    | b |\n|------|--:|\n| long | 1 |\n\n```\n| a | b |\n|---|\n```")
