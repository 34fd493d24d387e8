"""The recipe that thinks before it answers, as a user takes it: train, judge, report, card, push, pull, plain PEFT."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from evals import world as exams
from hub_server import HubServer, run_client
from launching import launch
from medslm.data.builders import medical_o1
from plain_peft import load_without_medslm
from recipes import world

NAME = "llama32-3b-medical-cot-qlora"
BASE = "meta-llama/Llama-3.2-3B-Instruct"
LEARNT, EXAMINED = 140, 6
LINEAR = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
CASES = ["chest-pain", "cardiac-symptoms", "diabetes-classification"]
CARD = "---\nlicense: apache-2.0\nconfigs:\n- config_name: en\n  data_files: rows.jsonl\n---\n"
SHORT = (
    "import pathlib, sys; from medslm import cli; from medslm.evals import harness; "
    "harness.TASKS = harness.evaluate.__kwdefaults__['tasks'] = pathlib.Path(sys.argv.pop(1)); cli.main()"
)
"""The command with other YAMLs: a toy never ends its turn, and 1,536 tokens of each reply would take minutes."""
IN_CI = ("--gpu", "auto", "--max-steps", "2", "--eval-steps", "2", "--logging-steps", "1")


def rows() -> list[dict[str, str]]:
    """Rows in the published schema: so many that may be learnt, and so many whose questions are the exam's."""
    found: dict[bool, list[dict[str, str]]] = {True: [], False: []}
    number, wanted = 0, {True: EXAMINED, False: LEARNT}
    while any(len(found[side]) < wanted[side] for side in wanted):
        draw = random.Random(f"reasoning {number}")
        row = {
            "Question": world.words(draw, 14),
            "Complex_CoT": world.words(draw, 6),
            "Response": world.words(draw, 4),
        }
        side = medical_o1.held_out(next(medical_o1.reasoned(row)))
        if len(found[side]) < wanted[side]:
            found[side].append(row)
        number += 1
    return found[False] + found[True]


@dataclass(frozen=True)
class Place:
    """A Hub with the toy of the base and the corpus, and one user's machine."""

    hub: HubServer
    home: Path
    token: str

    @property
    def runs(self) -> Path:
        return self.home / "runs"

    @property
    def run(self) -> Path:
        return self.runs / NAME

    def variables(self, token: str = "") -> dict[str, str]:
        hub = {"HF_ENDPOINT": self.hub.endpoint, "HF_HOME": str(self.home / "hf"), "HF_HUB_OFFLINE": "0"}
        hub |= {"HF_DATASETS_OFFLINE": "0"}
        return hub | {"HF_TOKEN": token, "WANDB_MODE": "offline", "MEDSLM_CACHE": str(self.home / "cache")}

    def medslm(self, *words: str, token: str = "") -> str:
        """What the command prints; it must succeed."""
        done = subprocess.run(
            [sys.executable, "-c", SHORT, str(self.home / "tasks"), *words],
            check=False,
            cwd=world.ROOT,
            env={**os.environ, **self.variables(token)},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def json(self, path: str) -> Any:
        return json.loads((self.run / path).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The recipe's own two steps on a toy of its base; without a GPU the base stays unquantised, or no card is written."""
    folder = tmp_path_factory.mktemp("reasoning")
    with HubServer(folder / "hub") as hub:
        hub.create(BASE)
        hub.commit(BASE, {path.name: path.read_bytes() for path in world.save(BASE, folder / "base").iterdir()})
        hub.create(medical_o1.SOURCE.hub_id, "datasets")
        text = "".join(json.dumps(row) + "\n" for row in rows())
        hub.commit(medical_o1.SOURCE.hub_id, {"README.md": CARD.encode(), "rows.jsonl": text.encode()}, "datasets")
        found = Place(hub, folder / "home", hub.token("alice"))
        options = (*IN_CI, "--quantization", "none", "--runs", str(found.runs))
        recipe = f"recipes/{NAME.replace('-', '_')}.py"
        done = launch(*options, recipe=recipe, **found.variables())
        assert done.returncode == 0, done.stderr
        exams.tasks(found.home / "tasks", max_gen_toks=160)
        yield found


def test_it_learns_as_the_recipe_says(place: Place) -> None:
    run = place.json("run.json")
    recipe = run["recipe"]
    assert (recipe["learning_rate"], recipe["weight_decay"], recipe["warmup_steps"]) == (5e-4, 0.01, 25)
    assert (recipe["global_batch_size"], recipe["max_length"], recipe["num_train_epochs"]) == (16, 2048, 1)
    assert (recipe["format"], recipe["suite"], recipe["mixture"]) == (
        "think", "medical-o1", {"medical-o1-reasoning": 1.0}
    )  # fmt: skip
    assert world.RECIPES[NAME].quantization == "nf4"
    config = place.json("adapter/adapter_config.json")
    assert (config["r"], config["lora_alpha"]) == (16, 16)
    assert {name.rpartition(".")[2] for name in config["target_modules"]} == LINEAR
    assert (run["examples"]["validation"], run["examples"]["train"]) == (100, LEARNT - 100)
    assert run["corpora"]["medical-o1-reasoning"]["skipped"] == {"the question is kept for the exam": EXAMINED}
    assert run["status"] == "finished" and run["train"]["steps"] == 2


def logged(folder: Path) -> dict[str, float]:
    """What the offline run of W&B holds at its end: metric -> its last value.

    The file is a log of LevelDB's form, in blocks of 32 KiB, of protocol buffers
    (https://github.com/google/leveldb/blob/main/doc/log_format.md), behind seven bytes of its own.
    """
    from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[import-not-found,import-untyped,unused-ignore]

    (path,) = folder.glob("wandb/offline-run-*/*.wandb")
    data, place, part = path.read_bytes(), 7, b""
    found: dict[str, float] = {}
    while place + 7 <= len(data):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
            continue
        size, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        part += data[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):  # whole, or the last part
            record, part = Record(), b""
            record.ParseFromString(data[place - size : place] if kind == 1 else part)
            for item in record.history.item:
                found["/".join(item.nested_key) or item.key] = json.loads(item.value_json)
    return found


def test_the_curves_are_logged_without_a_question(place: Place) -> None:
    found = logged(place.run)
    assert {"train/loss", "train/learning_rate", "train/grad_norm", "eval/loss"} <= found.keys(), found
    assert ("train/gpu_memory_gib" in found) == (place.json("run.json")["machine"]["device"] == "cuda")


def test_base_and_adapter_are_judged_and_shown_beside_each_other_and_the_adapter_loads_everywhere(place: Place) -> None:
    where = ("--runs", str(place.runs))
    judged = place.medslm("eval", NAME, *where)
    scores = place.json("scores.json")
    (before_and_after,) = (found for found in scores["results"] if found["metric"] == "rougeL")
    assert before_and_after["n"] == EXAMINED
    assert {"base", "adapter", "difference"} <= before_and_after.keys() and "rougeL" in judged

    cases = scores["studies"]["cases"]["as-trained"]
    assert [case["id"] for case in cases["cases"]] == CASES and not cases["left_out"]
    for case in cases["cases"]:
        assert {side: of["tokens"] > 0 for side, of in case["sides"].items()} == {"base": True, "adapter": True}
    report = place.medslm("report", NAME, *where)
    place.medslm("card", NAME, *where)
    card = (place.run / "README.md").read_text(encoding="utf-8")
    for text in (report, card):
        assert all(f"\n{name}: A " in text for name in CASES) and "not scored" in text
    assert f"generate {NAME} '{cases['cases'][0]['input']}'" in report
    assert "Built with Llama" in card and "rougeL" in card

    place.medslm("push", NAME, "--to", "alice", *where, token=place.token)
    place.medslm("pull", f"alice/{NAME}", token=place.token)
    asked = cases["cases"][0]["input"]
    said = place.medslm("generate", f"alice/{NAME}", asked, "--max-new-tokens", "8", token=place.token)
    assert said.strip()
    arguments = {"adapter": f"alice/{NAME}", "question": asked}
    saw = run_client(place.hub, place.home, load_without_medslm, token=place.token, **arguments)
    assert saw["base"] == BASE and saw["changed"] and saw["reply"] and not saw["medslm"]
