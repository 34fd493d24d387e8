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
from medslm.models.passes import Pass
from medslm.recipe import Sft
from medslm.train import batches, planning, record, supervised
from medslm.train.pace import Done, Pace
from medslm.train.progress import Guard

pytestmark = pytest.mark.usefixtures("toy_base")

RECIPE = toy.recipe("toy-icd10-lora", mixture={"icd10cm": 0.02}, global_batch_size=4, max_steps=6, eval_steps=2)


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


def build(recipe: Sft, folder: Path) -> supervised.CompletionTrainer:
    """The trainer of a run, with LoRA matrices that already change the model."""
    planned = planning.plan(recipe, folder)
    execution = planning.choose(planned)
    model = load.with_new_adapter(load.model(resolve(recipe.base), wanted=recipe.dtype), loras[recipe.lora])
    torch.manual_seed(0)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.02)
    supervised.quicken(recipe, execution, model)
    pace = Pace.of(model, execution, Done())
    return supervised.trainer(planned, execution.optim, pace, Guard(0.0, pace.done), [])


def test_only_the_answer_and_its_end_of_turn_carry_loss(tmp_path: Path) -> None:
    fitting = build(RECIPE, tmp_path)
    batch = next(iter(fitting.get_train_dataloader()))
    decode = fitting.processing_class.decode
    learnt = [decode(labels[labels != -100]) for _, labels in batch.documents]
    assert len(learnt) == 4
    for answer, (ids, _) in zip(learnt, batch.documents, strict=True):
        assert answer.startswith("chapter: ")
        assert "\ncode: " in answer
        assert answer.endswith("<|im_end|>")
        assert answer.count("<|im_end|>") == 1
        assert decode(ids).split("<|im_start|>assistant\n")[1].startswith(answer)
    predicted = [decode(document) for one in batch.passes for document in split(one)]
    assert sorted(predicted) == sorted(learnt)


def split(one: Pass) -> list[torch.Tensor]:
    """The targets of each document of a pass."""
    document = torch.bucketize(one.predicts, one.boundaries, right=True)
    return [one.targets[document == number + 1] for number in range(one.documents)]


@pytest.mark.parametrize("how", [{}, {"tokens_per_pass": 256}, {"packing": False}, {"recompute": "all"}])
def test_a_steps_loss_and_gradients_are_those_of_padded_rows_over_all_positions(
    how: dict[str, Any], tmp_path: Path
) -> None:
    """The reference is written out: transformers' own model, PEFT's own LoRA, a padded batch, every position scored."""
    fitting = build(dataclasses.replace(RECIPE, **how), tmp_path)
    batch = next(iter(fitting.get_train_dataloader()))
    fitting.accelerator.prepare(fitting.model)
    loss = fitting.training_step(fitting.model, batch)
    ours = {name: p.grad for name, p in fitting.model.named_parameters() if p.requires_grad}
    reference = load.with_new_adapter(load.model(resolve(RECIPE.base), wanted="float32"), loras[RECIPE.lora])
    values = {name: parameter.detach() for name, parameter in fitting.model.named_parameters() if name in ours}
    assert not reference.load_state_dict(values, strict=False).unexpected_keys
    expected = padded_loss(reference, batch)
    expected.backward()
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-5, atol=1e-6)
    theirs = {name: p.grad for name, p in reference.named_parameters() if p.requires_grad}
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-6)


def padded_loss(model: Any, batch: batches.Batch) -> torch.Tensor:
    """Mean over the completion tokens."""
    pad = torch.nn.utils.rnn.pad_sequence
    ids, labels = ([torch.tensor(document[part]).long() for document in batch.documents] for part in (0, 1))
    mask = pad([torch.ones_like(row) for row in ids], batch_first=True)
    logits = model(input_ids=pad(ids, batch_first=True), attention_mask=mask).logits[:, :-1]
    targets = pad(labels, batch_first=True, padding_value=-100)[:, 1:].flatten()
    assert int((targets != -100).sum()) == batch.predicted
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets, ignore_index=-100)


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


def interrupt(folder: Path, monkeypatch: pytest.MonkeyPatch, after: int = 3, **how: Any) -> None:
    """Start RECIPE's run in `folder` and pull the plug after a step; each second one leaves a checkpoint."""
    build = supervised.trainer

    def with_interruption(*arguments: Any) -> Any:
        built = build(*arguments)
        built.add_callback(Interruption(after))
        return built

    with monkeypatch.context() as patch:
        patch.setattr(supervised, "trainer", with_interruption)
        with pytest.raises(KeyboardInterrupt):
            supervised.train(dataclasses.replace(RECIPE, **how), folder)


def test_an_interrupted_run_goes_on_and_ends_as_if_nothing_had_happened(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / RECIPE.name
    interrupt(folder, monkeypatch)
    assert json.loads((folder / "run.json").read_text(encoding="utf-8"))["status"] == "running"
    assert not (folder / "adapter").exists()
    supervised.train(RECIPE, folder)
    assert curve(folder) == pytest.approx(curve(finished), rel=1e-5)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"packing": False}),
        ({}, {"tokens_per_pass": 256, "recompute": "mlp"}),
        ({"packing": False}, {"recompute": "all"}),
        ({"tokens_per_pass": 256, "optim": "adamw_torch_fused"}, {}),
    ],
    ids=lambda how: "-".join(how) or "auto",
)
def test_a_run_may_go_on_computed_in_another_way_and_learns_the_same(
    before: dict[str, Any], after: dict[str, Any], finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / RECIPE.name
    interrupt(folder, monkeypatch, **before)
    supervised.train(dataclasses.replace(RECIPE, **after), folder)
    assert curve(folder) == pytest.approx(curve(finished), rel=2e-4)
    ours, whole = (json.loads((run / "run.json").read_text(encoding="utf-8")) for run in (folder, finished))
    assert {name: ours["recipe"][name] for name in after} == after
    assert ours["train"]["tokens"] == whole["train"]["tokens"]
    passes = {"packing": 4, "tokens_per_pass": 2}  # of a step of four examples
    each = [next((passes[name] for name in how if name in passes), 1) for how in (before, after)]
    assert ours["train"]["passes"] == 2 * each[0] + 4 * each[1]


def test_a_wish_that_this_machine_cannot_meet_leaves_an_interrupted_run_as_it_is(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / RECIPE.name
    interrupt(folder, monkeypatch)
    for how in ({"gpu": "8gb"}, {"recompute": "offload"}, {"optim": "paged_adamw_8bit"}, {"tokens_per_pass": 9}):
        with pytest.raises(MedslmError, match=next(iter(how))):
            supervised.train(dataclasses.replace(RECIPE, **how), folder)
    supervised.train(RECIPE, folder)
    assert curve(folder) == pytest.approx(curve(finished), rel=1e-5)


def test_the_optimiser_of_a_run_is_free_until_its_first_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was begun on a GPU in 8 bits and lost before anything was kept starts anew on a CPU."""

    def as_if_in_8_bits(folder: Path) -> None:
        kept = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        kept["speed"]["optim"] = "paged_adamw_8bit"
        (folder / "run.json").write_text(json.dumps(kept), encoding="utf-8")

    early, late = tmp_path / "early", tmp_path / "late"
    interrupt(early, monkeypatch, after=1)
    as_if_in_8_bits(early)
    supervised.train(RECIPE, early)
    assert json.loads((early / "run.json").read_text(encoding="utf-8"))["speed"]["optim"] == "adamw_torch_fused"
    interrupt(late, monkeypatch, after=3)
    as_if_in_8_bits(late)
    with pytest.raises(MedslmError, match="begun with optim=paged_adamw_8bit"):
        supervised.train(RECIPE, late)


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
