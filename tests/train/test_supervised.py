"""What is learned, what is kept, and what a second start does; on the toy model, with the real corpus and the real TRL."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainerCallback

import toy
from medslm.errors import MedslmError
from medslm.models import load
from medslm.models.base import resolve
from medslm.models.lora import loras
from medslm.recipe import Sft
from medslm.train import record, supervised
from medslm.train.progress import Guard

pytestmark = pytest.mark.usefixtures("toy_base")

RECIPE = Sft(
    name="toy-icd10-lora",
    base=toy.HUB_ID,
    lora="all-linear-r16",
    mixture={"icd10cm": 0.02},
    suite="icd10cm",
    format="toon",
    dtype="float32",
    max_length=640,
    global_batch_size=4,
    per_device_train_batch_size=2,
    max_steps=6,
    learning_rate=5e-3,
    eval_steps=2,
    logging_steps=1,
    validation_fraction=0.005,
)


class Interruption(TrainerCallback):
    """Pulls the plug after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == self.step:
            raise KeyboardInterrupt


def curve(folder: Path) -> dict[int, float]:
    points = json.loads((folder / "run.json").read_text(encoding="utf-8"))["curve"]
    return {point["step"]: point["loss"] for point in points if "loss" in point}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, toy_base: Any) -> Path:
    """One whole run of RECIPE."""
    folder = tmp_path_factory.mktemp("runs") / RECIPE.name
    supervised.train(RECIPE, folder)
    return folder


def test_only_the_answer_and_its_end_of_turn_carry_loss(tmp_path: Path) -> None:
    planned = supervised.plan(RECIPE, tmp_path)
    model = load.with_new_adapter(load.model(resolve(RECIPE.base), wanted=RECIPE.dtype), loras[RECIPE.lora])
    batch = next(iter(supervised.trainer(planned, model, [], Guard(0.0)).get_train_dataloader()))
    for ids, labels in zip(batch["input_ids"], batch["labels"], strict=True):
        learned = planned.tokenizer.decode(labels[labels != -100])
        whole = planned.tokenizer.decode(ids)
        assert learned.startswith("chapter: ")
        assert "\ncode: " in learned
        assert learned.endswith("<|im_end|>")
        assert learned.count("<|im_end|>") == 1
        assert whole.split("<|im_start|>assistant\n")[1].startswith(learned)


def test_our_loss_on_a_cpu_is_that_over_all_positions_and_so_are_its_gradients(tmp_path: Path) -> None:
    """The reference is written out: TRL 1.15 cannot score on a CPU where a CUDA build of torch brought Triton along."""
    planned = supervised.plan(RECIPE, tmp_path)
    model = load.with_new_adapter(load.model(resolve(RECIPE.base), wanted=RECIPE.dtype), loras[RECIPE.lora])
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.02)
    trainer = supervised.trainer(planned, model, [], Guard(0.0))
    model.train()
    batch = next(iter(trainer.get_train_dataloader()))
    tokens = (batch["labels"] != -100).sum()

    def reference() -> torch.Tensor:
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
        targets = batch["labels"][:, 1:].flatten()
        return (
            torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets, ignore_index=-100, reduction="sum")
            / tokens
        )

    seen = []
    for loss_of in (reference, lambda: trainer.compute_loss(model, dict(batch), num_items_in_batch=tokens)):
        model.zero_grad()
        loss = loss_of()
        loss.backward()
        seen.append((loss.detach(), [p.grad.clone() for p in model.parameters() if p.grad is not None]))
    (expected, gradients), (ours, our_gradients) = seen
    assert len(gradients) == len(our_gradients) > 0
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(our_gradients, gradients, rtol=1e-3, atol=1e-6)


def test_a_finished_run_leaves_adapter_record_and_curve(finished: Path) -> None:
    run = json.loads((finished / "run.json").read_text(encoding="utf-8"))
    assert run["status"] == "finished"
    assert run["train"]["steps"] == 6
    assert run["train"]["best_eval_loss"] < run["train"]["first_eval_loss"]
    assert run["train"]["best_eval_loss"] == min(p["eval_loss"] for p in run["curve"] if "eval_loss" in p)
    assert {"recipe", "fingerprint", "base", "corpora", "template_hash", "packages", "git", "machine"} <= set(run)
    assert run["base"]["revision"] == toy.COMMIT
    assert (finished / "loss.png").read_bytes().startswith(b"\x89PNG")
    config = json.loads((finished / "adapter" / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["base_model_name_or_path"] == toy.HUB_ID  # not the folder of this machine's cache
    assert not (finished / "adapter" / "README.md").exists()


def test_no_path_and_no_host_of_this_machine_is_in_the_record(finished: Path) -> None:
    import platform

    text = (finished / "run.json").read_text(encoding="utf-8")
    assert str(finished) not in text
    assert str(Path.home()) not in text
    assert platform.node() not in text


def test_an_interrupted_run_goes_on_and_ends_as_if_nothing_had_happened(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, build = tmp_path / RECIPE.name, supervised.trainer

    def with_interruption(*arguments: Any) -> Any:
        built = build(*arguments)
        built.add_callback(Interruption(3))
        return built

    monkeypatch.setattr(supervised, "trainer", with_interruption)
    with pytest.raises(KeyboardInterrupt):
        supervised.train(RECIPE, folder)
    assert json.loads((folder / "run.json").read_text(encoding="utf-8"))["status"] == "running"
    assert not (folder / "adapter").exists()
    monkeypatch.setattr(supervised, "trainer", build)
    supervised.train(RECIPE, folder)
    assert curve(folder) == pytest.approx(curve(finished), rel=1e-5)


def test_a_checkpoint_cut_off_in_the_middle_is_not_resumed_from(
    finished: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import shutil

    from medslm.train import checkpoint

    folder = tmp_path / "checkpoints"
    shutil.copytree(finished / "checkpoints", folder)
    newest = checkpoint.last(folder)
    assert newest is not None
    assert newest.name == "checkpoint-6"
    (newest / "seconds.json").unlink()
    before = checkpoint.last(folder)
    assert before is not None
    assert before != newest
    assert "cut off" in caplog.text


def test_a_finished_run_is_not_trained_again(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (finished / "run.json").stat().st_mtime_ns
    supervised.train(RECIPE, finished)
    assert (finished / "run.json").stat().st_mtime_ns == before
    assert "finished already" in capsys.readouterr().out


def test_another_recipe_in_the_same_folder_is_refused_and_the_difference_shown(finished: Path) -> None:
    other = dataclasses.replace(RECIPE, learning_rate=1e-3)
    with pytest.raises(MedslmError, match=r"learning_rate 0\.005 -> 0\.001"):
        supervised.train(other, finished)


def test_a_loss_that_is_no_number_stops_the_run(tmp_path: Path) -> None:
    hopeless = dataclasses.replace(RECIPE, learning_rate=1e30, max_grad_norm=1e30, warmup_steps=0)
    with pytest.raises(MedslmError, match="is not a number at step"):
        supervised.train(hopeless, tmp_path / RECIPE.name)


def test_too_little_disk_is_said_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 100, 0))
    with pytest.raises(MedslmError, match="GiB free"):
        supervised.train(RECIPE, tmp_path / RECIPE.name)
    assert not (tmp_path / RECIPE.name / "run.json").exists()


def test_too_little_gpu_memory_is_answered_with_what_to_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any, **options: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(supervised.CompletionTrainer, "compute_loss", full)
    with pytest.raises(MedslmError, match="halve per_device_train_batch_size"):
        supervised.train(RECIPE, tmp_path / RECIPE.name)


@pytest.mark.parametrize("field", ["base", "lora", "format"])
def test_a_misspelt_preset_is_answered_with_the_nearest(field: str, tmp_path: Path) -> None:
    names = {"base": "smolm2-135m-instruct", "lora": "all-linear-r61", "format": "tone"}
    with pytest.raises(MedslmError, match="did you mean"):
        supervised.train(dataclasses.replace(RECIPE, **{field: names[field]}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_misspelt_corpus_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(MedslmError, match="did you mean 'icd10cm'"):
        supervised.train(dataclasses.replace(RECIPE, mixture={"icd10cn": 1.0}), tmp_path / "run")


def test_a_max_length_that_fits_nothing_is_said(tmp_path: Path) -> None:
    with pytest.raises(MedslmError, match="max_length=16"):
        supervised.train(dataclasses.replace(RECIPE, max_length=16), tmp_path / "run")


def test_records_name_no_package_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "PACKAGES", ("torch", "no-such-package"))
    assert set(record.packages()) == {"torch"}
