"""Every recipe's card is filled in from what its run has left, says what is common once, and types no number."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from medslm.data.license import effective
from medslm.data.suites import suites
from medslm.hub import card
from medslm.models.base import resolve
from medslm.recipe import Sft
from recipes import world

CARDS = world.ROOT / "model_cards"
PARTS = [
    CARDS / "_parts" / f"{part}.md" for part in ("results", "use", "data", "training", "judging", "licence", "check")
]
WEIGHTS = b"weights"
SPLIT = {"recipes": [name for name in world.RECIPES if "{% include" in (CARDS / f"{name}.md").read_text("utf-8")]}


def run_of(recipe: Sft) -> dict[str, Any]:
    """What `run.json` says of a finished run, as far as cards ask."""
    base = resolve(recipe.base)
    corpus = {"version": "c" * 40, "format": recipe.format, "read": 90, "train": 80, "skipped": {}, "unusable": 0}
    corpus |= {"contaminated": 3, "repeated": 1, "near": 0, "too_long": 2}
    licenses = {name: world.corpora[name].license for name in recipe.mixture}
    lora = {"r": 16, "lora_alpha": 32, "lora_dropout": 0.0, "target_modules": "all-linear"}
    measured = {"steps": 7, "examples": 50, "tokens": 900, "seconds": 9.5, "tokens_per_second": 95.0}
    measured |= {"peak_memory_gib": {"host": 2.3, "device": 3.1}, "first_loss": 3.2, "last_loss": 0.5}
    gates = {"contamination": {"policy": "drop", "screened": {}, "missing": {}}}
    gates["deidentification"] = {"policy": "off", "engine": None, "examples": {}, "identifiers": {}}
    gates["quality"] = {"policy": "exact", "findings": {}, "languages": {}, "answers": {}}
    gates["quality"]["near_copies_across_validation"] = 0
    gates["lengths"] = {"p50": 80, "max": 120}
    asked = re.search(r'{% set instruction = "(.*)" %}', (CARDS / f"{recipe.name}.md").read_text(encoding="utf-8"))
    return {
        "schema": 1,
        "name": recipe.name,
        "status": "finished",
        "recipe": recipe.as_dict(),
        "fingerprint": "f" * 64,
        "base": {
            "name": recipe.base,
            "hub_id": base.hub_id,
            "license": base.license,
            "source": "hub",
            "revision": "b" * 40,
            "parameters": 10**9,
        },
        "corpora": {
            name: {**corpus, "source": world.corpora[name].source.name.replace("local:", "org/"), "license": license}
            for name, license in licenses.items()
        },
        "gates": gates | {"license": {"id": "", "name": None, "flags": []}},
        "examples": {"train": 80, "validation": 4, "too_long": 2},
        "template_hash": "c" * 64,
        "end_of_turn": world.family(base.hub_id).end,
        "instructions": [asked[1]] if asked else ["Answer."],
        "lora": lora,
        "trainable_parameters": 10**6,
        "packages": {"torch": "2.13.0"},
        "python": "3.11.7",
        "git": {"commit": "d" * 40, "dirty": False},
        "machine": {"device": "cuda", "gpu": "a card", "cpus": 2, "world_size": 1, "dtype": "bfloat16"},
        "train": measured | {"best_eval_loss": 0.6, "best_step": 5},
        "curve": [{"step": 5, "loss": 3.21, "learning_rate": 0.0001}],
    }


def scores_of(recipe: Sft) -> dict[str, Any]:
    """What `scores.json` says: every metric of the recipe's own suite."""
    suite = suites[recipe.suite]
    side = {"value": 0.5, "ci95": [0.4, 0.6], "n": 99}
    difference = {"value": 0.1, "ci95": [0.05, 0.15], "n": 99, "p": 0.01, "test": "McNemar"}
    results = [
        {
            "protocol": "as-trained",
            "quantization": recipe.quantization,
            "task": task.name,
            "metric": metric.name,
            "unit": metric.unit,
            "higher_is_better": metric.higher_is_better,
            "primary": metric.name == task.primary,
            "n": 99,
            "dataset": {"source": "org/exam", "version": "e" * 40, "split": "test"},
            "base": side,
            "adapter": side,
            "difference": difference,
            "majority_class": None,
            "chance": None,
        }
        for task in suite.tasks
        for metric in task.metrics
    ]
    empty = {"as-trained": {}}
    return {
        "schema": 2,
        "name": recipe.name,
        "suite": recipe.suite,
        "limit": None,
        "fingerprint": "f" * 64,
        "template_hash": "c" * 64,
        "adapter_sha256": hashlib.sha256(WEIGHTS).hexdigest(),
        "lm_eval": "0.4.13",
        "packages": {"torch": "2.13.0"},
        "hardware": {"device": "cuda", "gpu": "a card", "dtype": "bfloat16", "batch_size": 8},
        "results": results,
        "unparseable": empty,
        "changed": empty,
        "picks": {},
        "subjects": [],
        "missing": {},
        "notes": [],
        "told": {},
        "engine": "transformers",
        "seconds": {"as-trained": 136.0},
        "reused": {"as-trained": 0},
    }


def rendered(recipe: Sft, folder: Path) -> str:
    (folder / recipe.name / "adapter").mkdir(parents=True)
    (folder / recipe.name / "adapter" / "adapter_model.safetensors").write_bytes(WEIGHTS)
    for file, told in (("run", run_of(recipe)), ("scores", scores_of(recipe))):
        (folder / recipe.name / f"{file}.json").write_text(json.dumps(told), encoding="utf-8")
    return card.render(folder / recipe.name, CARDS / f"{recipe.name}.md")


@pytest.mark.parametrize("name", world.RECIPES)
def test_a_recipes_card_is_filled_in(name: str, tmp_path: Path) -> None:
    recipe = world.RECIPES[name]
    text = rendered(recipe, tmp_path)
    terms = effective(resolve(recipe.base).license, {c: world.corpora[c].license for c in recipe.mixture})
    assert text.startswith("---\n") and "{{" not in text and "{%" not in text
    assert re.search(r"^> \*\*Not (for|as|to|legal) ", text, re.MULTILINE)  # what it must not be used for, at the head
    assert ("Not cleared for publication" in text) != terms.publishable
    assert ("Built with Llama" in text) == resolve(recipe.base).license.startswith("llama")
    for corpus in recipe.mixture:
        assert f"`{corpus}`" in text
    for python in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        compile(python, name, "exec")
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({len(line) for line in table.splitlines()}) == 1 and len(table.splitlines()) >= 3, table
    swallowed = re.findall(
        r"^\|.*\n(?!\||\n|#|\Z).*", text, re.MULTILINE
    )  # Markdown takes such a line for one more row
    assert not swallowed, swallowed


@pytest.mark.parametrize("path", [*PARTS, *sorted(CARDS.glob("*.md"))], ids=lambda path: path.stem)
def test_no_card_and_no_part_of_one_types_a_number(path: Path) -> None:
    assert card.typed_numbers(path.read_text(encoding="utf-8")) == ()


@pytest.mark.parametrize("name", SPLIT["recipes"])
def test_what_is_common_is_said_once(name: str) -> None:
    text = (CARDS / f"{name}.md").read_text(encoding="utf-8")
    assert {f'{{% include "_parts/{part.name}" %}}' for part in PARTS} <= {*text.splitlines()}


def test_two_cards_do_not_say_the_same() -> None:
    first = {name: (CARDS / f"{name}.md").read_text(encoding="utf-8").split("{% include")[0] for name in world.RECIPES}
    assert len({text.split("# {{ run.name }}")[1] for text in first.values()}) == len(first)
