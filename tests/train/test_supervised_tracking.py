"""W&B beside a fine-tuning: two runs of one process are two runs there, and an outage costs the curve alone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb

import toy
from medslm.recipe import Sft
from medslm.train import supervised

pytestmark = pytest.mark.usefixtures("toy_base")


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A user without a key."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    os.environ |= {"HOME": str(tmp_path), "WANDB_SILENT": "true"}
    yield
    wandb.teardown()


def recipe(name: str, **fields: Any) -> Sft:
    return toy.recipe(name, mixture={"icd10cm": 0.02}, global_batch_size=4, max_steps=1, eval_steps=1, **fields)


def told(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return found


def test_an_outage_of_wandb_is_said_and_the_run_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.environ |= {"WANDB_API_KEY": "0" * 40, "WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_INIT_TIMEOUT": "1"}
    supervised.train(recipe("toy-outage"), tmp_path / "toy-outage")
    run = told(tmp_path / "toy-outage")
    assert run["status"] == "finished" and run["tracking"]["wandb"].startswith("failed: ")
    said = capsys.readouterr().out
    assert "W&B: not logged" in said and "0" * 40 not in said + json.dumps(run)


def test_no_path_of_this_machine_and_no_setting_but_numbers_leaves_for_wandb(tmp_path: Path) -> None:
    folder = tmp_path / "toy-told"
    supervised.train(recipe("toy-told"), folder)
    (path,) = (folder / "wandb").glob("offline-run-*/*.wandb")
    kept = path.read_bytes()
    assert b"train/loss" in kept and b"eval/loss" in kept and b"learning_rate" in kept
    for secret in (str(tmp_path), os.environ["HF_HOME"], "output_dir", "peft_config"):
        assert secret.encode() not in kept, secret


def test_two_runs_of_one_process_are_logged_apart(tmp_path: Path) -> None:
    for seed, name in enumerate(("toy-one", "toy-two")):
        supervised.train(recipe(name, seed=seed), tmp_path / name)
        run = told(tmp_path / name)
        assert run["tracking"] == {"wandb": "offline", "id": run["fingerprint"][:16]}
        (path,) = (tmp_path / name / "wandb").glob(f"offline-run-*/run-{run['tracking']['id']}.wandb")
        assert path.stat().st_size and wandb.run is None
