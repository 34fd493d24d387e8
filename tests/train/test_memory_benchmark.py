"""The benchmark of all recipes runs on a CPU with tiny layers, in the order asked for, and says what it leaves out."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy
import pytest

from medslm.train.batches import Order, side_by_side
from medslm.train.loop import COMPILED_FROM

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "recipes.py"
NAMES = ["tinyllama-icd-qlora", "qwen2-0-5b-alpaca-unsloth", "gpt2-medical-o1-sft", "qwen2-0-5b-alpaca-baseline"]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """The script in a process of its own: it puts things in the place of the Hub."""
    there = os.pathsep.join(path for path in sys.path if path)
    told = {**os.environ, "PYTHONPATH": there, "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, str(SCRIPT), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=240, env=told)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], dict[str, dict[str, object]]]:
    out = tmp_path_factory.mktemp("recipes") / "out.json"
    done = run("--toy", "--only", *NAMES, "--seconds", "0", "--json", str(out))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines(), json.loads(out.read_text(encoding="utf-8"))


def test_recipes_are_measured_in_the_order_in_which_they_are_named(told: tuple[list[str], dict[str, object]]) -> None:
    lines, found = told
    assert [line.split()[0] for line in lines[1:]] == list(found)
    assert list(found) == NAMES
    assert lines[0].split()[-5:] == ["peak", "GiB", "off", "tok/s", "s"]


def test_an_adapter_and_all_weights_are_trained_for_three_steps_at_least(
    told: tuple[list[str], dict[str, dict[str, object]]],
) -> None:
    adapter, _, _, whole = told[1].values()
    assert (adapter["steps"], whole["steps"]) == (3, 3)
    assert adapter["paths"] != whole["paths"]
    assert all(one["tokens_per_second"] and one["predicted_gib"] for one in (adapter, whole))


def test_a_gpt2_is_trained_in_its_own_loop(told: tuple[list[str], dict[str, dict[str, object]]]) -> None:
    gpt2 = told[1]["gpt2-medical-o1-sft"]
    assert gpt2["steps"] == COMPILED_FROM and gpt2["tokens_per_second"]
    assert "predicted_gib" not in gpt2


def test_unsloths_recipe_is_left_to_a_process_of_its_own(told: tuple[list[str], dict[str, object]]) -> None:
    assert told[0][2].endswith("not here: with --unsloth, in the environment of make env-unsloth")
    done = run("--unsloth")
    assert done.returncode == 1
    assert done.stderr == "Unsloth is not installed here; `make env-unsloth` makes an environment for it\n"


def test_a_steps_speed_is_that_of_the_middle_one(script: ModuleType) -> None:
    assert script.speed([(100, 50.0), (100, 1.0), (100, 20.0), (300, 2.0)]) == 100


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The benchmark, as a module."""
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    spec = importlib.util.spec_from_file_location("benchmark_of_recipes", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_recipe_that_there_is_not_is_refused_with_those_that_there_are(script: ModuleType) -> None:
    with pytest.raises(SystemExit, match=r"no such recipe: tinyllama-cid; there are .*tinyllama-icd-qlora"):
        script.recipes(["tinyllama-cid"], False)


def test_the_third_step_of_a_run_has_the_fullest_pass(script: ModuleType) -> None:
    (recipe,) = script.recipes(["tinyllama-legal-qlora"], False)
    tokens, rows = script.arranged(recipe, 4096), recipe.global_batch_size
    assert sorted(tokens) == sorted(script.lengths(recipe))
    assert tokens.max() == recipe.max_length
    order = Order(len(tokens), rows, recipe.seed)
    order.set_epoch(0)
    laid = [side_by_side([(numpy.zeros(size, "i8"),) * 2 for size in tokens[step]], 4096) for step in order]
    fullest = [max(one.tokens for one in step) for step in laid]
    assert fullest[2] == max(fullest) <= 4096
