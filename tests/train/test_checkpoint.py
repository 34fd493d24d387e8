"""What is left of a run that lost its power, its disk or a part of its files, and what a second start makes of it."""

from __future__ import annotations

import dataclasses
import errno
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import Trainer

import toy
from medslm.errors import MedslmError
from medslm.train import checkpoint, supervised

pytestmark = pytest.mark.usefixtures("toy_base")

RECIPE = toy.recipe("toy-kept", mixture={"icd10cm": 0.004}, global_batch_size=4, max_steps=4, eval_steps=2)


def record(folder: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return read


def change(path: Path, **values: Any) -> None:
    told = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(told | values), encoding="utf-8")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, toy_base: Any) -> Path:
    """A whole run, with the checkpoints of its steps 2 and 4."""
    folder = tmp_path_factory.mktemp("runs") / RECIPE.name
    supervised.train(RECIPE, folder)
    return folder


@pytest.fixture
def unfinished(finished: Path, tmp_path: Path) -> Path:
    """The same, as if it had ended with its last checkpoint, and been carried to another folder."""
    folder = tmp_path / "elsewhere" / RECIPE.name
    shutil.copytree(finished, folder)
    shutil.rmtree(folder / "adapter")
    change(folder / "run.json", status="running")
    return folder


@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", "done.json"])
def test_a_checkpoint_of_which_a_part_was_lost_is_not_gone_on_from(
    name: str, unfinished: Path, caplog: pytest.LogCaptureFixture
) -> None:
    victim = unfinished / "checkpoints" / "checkpoint-4" / name
    whole = victim.read_bytes()
    victim.write_bytes(whole[: len(whole) // 2])
    newest = checkpoint.last(unfinished / "checkpoints")
    assert newest is not None
    assert newest.name == "checkpoint-2"
    assert f"is damaged ({name} is not whole)" in caplog.text
    assert not victim.parent.exists()


@pytest.mark.parametrize(
    "name", ["optimizer.pt", "scheduler.pt", "rng_state.pth", "adapter_model.safetensors", "done.json"]
)
def test_a_checkpoint_that_lacks_a_file_is_not_gone_on_from(
    name: str, unfinished: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """transformers would go on without the moments of its optimiser, and say nothing."""
    (unfinished / "checkpoints" / "checkpoint-4" / name).unlink()
    newest = checkpoint.last(unfinished / "checkpoints")
    assert newest is not None
    assert newest.name == "checkpoint-2"
    assert "is damaged (it has no " in caplog.text


def test_a_copy_of_a_checkpoint_under_another_name_is_neither_gone_on_from_nor_removed(unfinished: Path) -> None:
    checkpoints = unfinished / "checkpoints"
    for name in ("checkpoint-4.bak", "checkpoint-4-copy", "checkpoint-best"):
        shutil.copytree(checkpoints / "checkpoint-4", checkpoints / name)
    assert checkpoint.last(checkpoints) == checkpoints / "checkpoint-4"
    assert len(list(checkpoints.glob("checkpoint-*"))) == 5


def test_what_a_killed_process_left_half_written_is_removed_and_nothing_else(unfinished: Path) -> None:
    checkpoints = unfinished / "checkpoints"
    left = [checkpoints / ".checkpoint-6.41-0123abcd", unfinished / ".adapter.41-0123abcd"]
    others = [checkpoints / ".nfs0001", unfinished / ".scores.json.41-0123abcd"]
    for path in (*left, *others):
        path.mkdir()
        (path / "model.safetensors").write_bytes(b"half")
    checkpoint.last(checkpoints)
    assert [path.exists() for path in (*left, *others)] == [False, False, True, True]


def test_checkpoints_without_a_record_of_their_recipe_are_not_gone_on_from(unfinished: Path) -> None:
    """Else removing the record of another recipe's run would pass its weights off as this one's."""
    (unfinished / "run.json").unlink()
    with pytest.raises(MedslmError, match=r"has checkpoints and no run\.json.*or remove .*toy-kept and train again"):
        supervised.train(dataclasses.replace(RECIPE, learning_rate=1e-4), unfinished)
    assert not (unfinished / "run.json").exists()
    assert (unfinished / "checkpoints" / "checkpoint-4").is_dir()


def test_a_step_whose_gradient_float16_could_not_hold_is_recorded_without_its_norm(unfinished: Path) -> None:
    state = unfinished / "checkpoints" / "checkpoint-4" / "trainer_state.json"
    history = json.loads(state.read_text(encoding="utf-8"))["log_history"]
    first = next(entry for entry in history if "grad_norm" in entry)
    first["grad_norm"] = float("inf")  # the scaler skips the step, and tries the next with smaller gradients
    change(state, log_history=history)
    supervised.train(RECIPE, unfinished)
    learnt = [point for point in record(unfinished)["curve"] if "loss" in point]
    assert [("grad_norm" in point) for point in learnt] == [False, True, True, True]


def test_weights_that_were_cut_off_cost_one_checkpoint_and_the_run_ends_as_it_would_have(
    finished: Path, unfinished: Path
) -> None:
    victim = unfinished / "checkpoints" / "checkpoint-4" / "adapter_model.safetensors"
    victim.write_bytes(victim.read_bytes()[:-100])
    supervised.train(RECIPE, unfinished)
    losses = [[p["loss"] for p in record(run)["curve"] if "loss" in p] for run in (unfinished, finished)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_whole_checkpoints_are_found_whole(finished: Path) -> None:
    for step in (2, 4):
        assert checkpoint.damage(finished / "checkpoints" / f"checkpoint-{step}") is None


def test_a_run_that_was_interrupted_behind_its_last_step_takes_no_step_more(finished: Path, unfinished: Path) -> None:
    supervised.train(RECIPE, unfinished)
    ours, whole = record(unfinished), record(finished)
    for name in ("steps", "examples", "tokens", "passes", "best_step"):
        assert ours["train"][name] == whole["train"][name]
    assert ours["adapter_sha256"] == whole["adapter_sha256"]
    assert ours["curve"] == whole["curve"]


def test_a_run_that_was_moved_still_ends_with_its_best_weights(unfinished: Path) -> None:
    """transformers keeps an absolute path; where that leads nowhere it warns, and keeps the last weights."""
    checkpoints = unfinished / "checkpoints"
    moved = {"best_global_step": 2, "best_model_checkpoint": "/nowhere/checkpoint-2"}
    change(checkpoints / "checkpoint-4" / "trainer_state.json", **moved)
    supervised.train(RECIPE, unfinished)
    assert record(unfinished)["train"]["best_step"] == 2
    best = load_file(checkpoints / "checkpoint-2" / "adapter_model.safetensors")
    torch.testing.assert_close(load_file(unfinished / "adapter" / "adapter_model.safetensors"), best)


@pytest.mark.parametrize("harm", ["gone", "damaged"])
def test_a_run_whose_best_weights_are_lost_is_not_gone_on_with(harm: str, unfinished: Path) -> None:
    checkpoints = unfinished / "checkpoints"
    change(checkpoints / "checkpoint-4" / "trainer_state.json", best_global_step=2)
    if harm == "gone":
        shutil.rmtree(checkpoints / "checkpoint-2")
    else:
        (checkpoints / "checkpoint-2" / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(MedslmError, match=r"checkpoint-2, whose weights have the lowest validation loss.*put it back"):
        supervised.train(RECIPE, unfinished)
    assert not (unfinished / "adapter").exists()


EMPTIED = '{"status": "running", "fingerprint": "", "fingerprint_fields": null, "speed": {}}'


@pytest.mark.parametrize("written", ["{}", "[]", '{"status": "run', '{"status": "running"}', EMPTIED])
def test_a_record_that_is_none_is_told_with_the_way_out_and_left_as_it_is(written: str, unfinished: Path) -> None:
    (unfinished / "run.json").write_text(written, encoding="utf-8")
    with pytest.raises(
        MedslmError, match=r"run\.json is not the record of a run.*or remove .*toy-kept and train again"
    ):
        supervised.train(RECIPE, unfinished)
    assert (unfinished / "run.json").read_text(encoding="utf-8") == written


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
        RuntimeError("[enforce fail at inline_container.cc:672] . PytorchStreamWriter failed writing file data/0"),
        RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 3220608 vs 3220560"),
    ],
    ids=["system", "safetensors", "torch", "torch's end"],
)
def test_a_disk_that_is_full_in_the_middle_is_a_sentence_and_the_run_goes_on_when_there_is_room(
    error: Exception, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, honest = tmp_path / RECIPE.name, Trainer._save_rng_state

    def full(trainer: Any, place: str) -> None:
        if trainer.state.global_step == 4:
            raise error
        honest(trainer, place)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_save_rng_state", full)
        with pytest.raises(MedslmError, match=r"cannot write .*checkpoint-4: .*free space, then start again"):
            supervised.train(RECIPE, folder)
    assert [path.name for path in (folder / "checkpoints").glob("checkpoint-*")] == ["checkpoint-2"]
    supervised.train(RECIPE, folder)
    assert record(folder)["train"]["best_eval_loss"] == pytest.approx(record(finished)["train"]["best_eval_loss"])


def test_what_is_no_matter_of_the_disk_is_not_called_so(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="mat1 and mat2"), checkpoint.writing(tmp_path):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")


def test_a_place_where_no_folder_can_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(MedslmError, match=r"cannot make .*choose another place with --runs"):
        checkpoint.require_space(tmp_path / "file" / "run", 1)


def test_a_step_that_takes_all_examples_is_said_to_be_smaller_than_was_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    large = dataclasses.replace(RECIPE, global_batch_size=5000, max_steps=1)
    supervised.train(large, tmp_path / RECIPE.name)
    number = record(tmp_path / RECIPE.name)["examples"]["train"]
    said = f"{number} examples a step, which are all there are: global_batch_size=5000 is never reached"
    assert said in capsys.readouterr().out
