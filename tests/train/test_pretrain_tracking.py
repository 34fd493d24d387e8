"""The curve of a pretraining in W&B: its numbers and no word of what was learnt, and a run that goes on without it."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb
from wandb.proto import wandb_internal_pb2

import toy_text
import toy_world
from medslm.errors import MedslmError
from medslm.recipe import Pretrain
from medslm.train import pretrain
from medslm.train.loop import Loop

pytestmark = pytest.mark.usefixtures("toy_base")
PROMPT = "The small owl waits"


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A user without a key, in the toy world."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    monkeypatch.setattr(os, "environ", os.environ.copy())
    for name in [name for name in os.environ if name not in variables]:
        del os.environ[name]
    toy_world.settle(monkeypatch)
    os.environ |= {"HOME": str(tmp_path), "WANDB_SILENT": "true"}
    yield
    wandb.teardown()


@pytest.fixture
def recipe(tmp_path: Path) -> Pretrain:
    mixture = {toy_text.stories(tmp_path / "stories.jsonl"): 1.0}
    shape: dict[str, Any] = {**toy_text.SHAPE, **toy_text.QUICK, "max_steps": 2, "max_length": 16}
    return Pretrain(name="toy-logged", mixture=mixture, prompts=(PROMPT,), **shape)


BLOCK = 32768


def pieces(content: bytes) -> Iterator[bytes]:
    """The records of a log in LevelDB's format, as W&B keeps one behind a header of seven bytes."""
    place, whole = 7, b""
    while place + 7 <= len(content):
        if BLOCK - place % BLOCK < 7:
            place += BLOCK - place % BLOCK
            continue
        length, kind = struct.unpack("<HB", content[place + 4 : place + 7])
        whole += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield whole
            whole = b""


def logged(path: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The points and the settings in an offline run's file."""
    points, settings = [], {}
    for data in pieces(path.read_bytes()):
        found = wandb_internal_pb2.Record()
        found.ParseFromString(data)
        if found.history.item:
            points.append(
                {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in found.history.item}
            )
        for update in (*found.run.config.update, *found.config.update):
            settings[update.key or ".".join(update.nested_key)] = json.loads(update.value_json)
    return points, settings


def told(folder: Path) -> Any:
    return json.loads((folder / "run.json").read_text(encoding="utf-8"))


def test_without_a_key_every_point_is_kept_offline_in_the_run_and_the_record_says_so(
    recipe: Pretrain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / recipe.name
    pretrain.train(recipe, folder)
    run = told(folder)
    assert run["tracking"] == {"wandb": "offline", "id": run["fingerprint"][:16]}
    assert f"W&B: offline, in {folder / 'wandb'}" in capsys.readouterr().out
    (path,) = (folder / "wandb").glob("offline-run-*/*.wandb")
    points, settings = logged(path)
    curve = [{name: value for name, value in point.items() if name != "step"} for point in run["curve"]]
    for kept, point in zip(curve, points, strict=True):
        for name, value in kept.items():
            assert point[f"eval/{name[5:]}" if name.startswith("eval_") else f"train/{name}"] == pytest.approx(value)
    assert [point["train/global_step"] for point in points] == [point["step"] for point in run["curve"]]
    assert all(point["train/tokens_per_second"] > 0 for point in points if "train/loss" in point)
    assert "tokens_per_second" not in json.dumps(run["curve"])  # or a resumed run would not be the same run
    assert settings["learning_rate"] == recipe.learning_rate and "base" not in settings and "mixture" not in settings


def test_no_text_and_no_path_leaves_for_wandb(recipe: Pretrain, tmp_path: Path) -> None:
    folder = tmp_path / recipe.name
    pretrain.train(recipe, folder)
    kept = b"".join(path.read_bytes() for path in (folder / "wandb").rglob("*") if path.is_file())
    assert recipe.name.encode() in kept  # so that what follows can fail
    for secret in (PROMPT, "sleeps", "stories.jsonl"):
        assert secret.encode() not in kept, secret
    assert not list(
        (folder / "wandb").rglob("wandb-metadata.json")
    )  # which has the command line, the host and the user


def test_an_outage_of_wandb_is_said_and_the_run_goes_on(
    recipe: Pretrain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    os.environ |= {"WANDB_API_KEY": "0" * 40, "WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_INIT_TIMEOUT": "1"}
    pretrain.train(recipe, tmp_path / recipe.name)
    run = told(tmp_path / recipe.name)
    assert run["status"] == "finished" and run["tracking"]["wandb"].startswith("failed: ")
    said = capsys.readouterr().out
    assert "W&B: not logged" in said and "0" * 40 not in said + json.dumps(run)


def test_two_runs_of_one_process_are_logged_apart_and_one_that_fails_ends_there_too(
    recipe: Pretrain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretrain.train(recipe, tmp_path / recipe.name)
    other = dataclasses.replace(recipe, name="toy-broken", seed=7)
    judge = Loop.judge
    monkeypatch.setattr(Loop, "judge", lambda self, rows: math.nan if self.progress.step else judge(self, rows))
    with pytest.raises(MedslmError, match="eval_loss is not a number at step 2"):
        pretrain.train(other, tmp_path / other.name)
    first, second = told(tmp_path / recipe.name), told(tmp_path / other.name)
    assert first["tracking"]["id"] != second["tracking"]["id"] == second["fingerprint"][:16]
    (path,) = (tmp_path / other.name / "wandb").glob(f"offline-run-*/run-{second['tracking']['id']}.wandb")
    assert len(logged(path)[0]) >= 2 and wandb.run is None
