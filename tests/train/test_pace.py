"""Less memory when it runs out, and the same learnt: the thief takes what a pass would need."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import toy
from medslm.errors import MedslmError
from medslm.models import fast
from medslm.models.passes import Pass, lay
from medslm.train import pace, supervised
from medslm.train.batches import Batch
from medslm.train.pace import Pace

pytestmark = pytest.mark.usefixtures("toy_base")

RECIPE = toy.recipe("toy-paced", mixture={"icd10cm": 0.004}, global_batch_size=8, num_train_epochs=2, eval_steps=3)


def run(folder: Path, **changed: Any) -> dict[str, Any]:
    supervised.train(dataclasses.replace(RECIPE, **changed), folder)
    read: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return read


def curve(record: dict[str, Any]) -> dict[str, float]:
    return {f"{p['step']} {name}": p[name] for p in record["curve"] for name in p if name != "step"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, toy_base: Any) -> dict[str, Any]:
    """The run in which each step is one pass."""
    return run(tmp_path_factory.mktemp("whole") / "run")


def thief(patch: pytest.MonkeyPatch, enough: Callable[[Pass], bool], learning: bool = True) -> None:
    """Memory suffices for a pass of training, or of evaluation, only if it is `enough`."""
    honest = fast.total_loss

    def total_loss(model: Any, one: Pass) -> torch.Tensor:
        loss = honest(model, one)
        if loss.requires_grad == learning and not enough(one):
            if learning:
                loss.backward()  # half of the work is done, and its gradients are there
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return loss

    patch.setattr(supervised.fast, "total_loss", total_loss)


@pytest.mark.parametrize("how", [{"tokens_per_pass": 256}, {"packing": False}, {"recompute": "attention-kept"}])
def test_the_curve_does_not_depend_on_how_examples_are_laid_out(
    how: dict[str, Any], whole: dict[str, Any], tmp_path: Path
) -> None:
    other = run(tmp_path / "run", **how)
    assert curve(other) == pytest.approx(curve(whole), rel=2e-4)
    assert other["train"]["tokens"] == whole["train"]["tokens"]
    assert other["fingerprint"] == whole["fingerprint"]
    assert other["recipe"] != whole["recipe"]


def test_the_record_says_how_it_was_computed_and_how_full_the_passes_were(whole: dict[str, Any]) -> None:
    train, examples = whole["train"], whole["examples"]["train"]
    steps = 2 * -(-examples // 8)
    assert (train["steps"], train["passes"], train["examples"]) == (steps, steps, 2 * examples)
    assert examples % 8  # the last step of an epoch is a short one
    assert train["fill"] == pytest.approx(train["tokens"] / (train["passes"] * train["tokens_per_pass"]), abs=1e-4)
    assert {"tokens_per_pass", "levels", "offload", "optim", "memory", "paths", "backed_off"} <= set(whole["speed"])
    assert whole["speed"]["backed_off"] == []


@pytest.mark.parametrize("learning", [True, False])
def test_a_run_without_memory_halves_its_passes_and_learns_the_same(
    learning: bool,
    whole: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    thief(monkeypatch, lambda one: one.tokens <= 512, learning)
    robbed = run(tmp_path / "run")
    assert curve(robbed) == pytest.approx(curve(whole), rel=2e-4)
    assert robbed["speed"]["backed_off"] == ["2,048 -> 1,024 tokens in a pass", "1,024 -> 512 tokens in a pass"]
    assert robbed["train"]["tokens_per_pass"] == 512
    assert robbed["train"]["passes"] == 2 * whole["train"]["passes"] - 2  # but for the last step of each epoch
    assert capsys.readouterr().out.count("memory did not suffice") == 2


def test_when_passes_cannot_be_shorter_layers_recompute_more(
    whole: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, ...]] = []
    honest = fast.recompute

    def recompute(model: Any, levels: Any, offload: bool = False) -> None:
        asked.append(tuple(levels))
        honest(model, levels, offload)

    monkeypatch.setattr(pace.fast, "recompute", recompute)
    thief(monkeypatch, lambda one: bool(asked) and asked[-1] == (2, 2))
    robbed = run(tmp_path / "run", packing=False)
    assert asked == [(1, 1), (2, 2)]
    assert curve(robbed) == pytest.approx(curve(whole), rel=2e-4)
    assert len(robbed["speed"]["backed_off"]) == 2


def test_when_nothing_suffices_the_sentence_says_what_to_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    thief(monkeypatch, lambda one: False)
    with pytest.raises(MedslmError, match=r"does not suffice for one example of up to \d+ tokens.*lower max_length"):
        run(tmp_path / "run")


def test_memory_that_does_not_suffice_for_the_optimiser_is_a_sentence_and_the_run_can_start_again(
    whole: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(self: Any, closure: Any = None) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", step)
        with pytest.raises(MedslmError, match=r"not suffice for the step of adamw_torch_fused.*optim=paged_adamw_8bit"):
            run(tmp_path / "run")
    assert curve(run(tmp_path / "run")) == pytest.approx(curve(whole), rel=1e-5)


def test_when_nothing_suffices_to_judge_the_sentence_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    thief(monkeypatch, lambda one: False, learning=False)
    with pytest.raises(MedslmError, match="does not suffice for one example"):
        run(tmp_path / "run")


class Frozen(torch.nn.Module):
    """What `Pace` asks of a model."""

    device = torch.device("cpu")


def small(*lengths: int) -> Batch:
    documents = [(lay_ids := torch.arange(length).numpy(), lay_ids) for length in lengths]
    return Batch(documents, 100, [lay(documents)], sum(lengths), sum(lengths) - len(lengths))


def test_the_second_attempt_draws_the_random_numbers_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """So dropout of an attempt that failed leaves no trace in what follows."""
    monkeypatch.setattr(pace.fast, "recompute", lambda *_: None)
    drawn: list[torch.Tensor] = []
    forgotten: list[int] = []

    def compute(batch: Batch) -> torch.Tensor:
        drawn.append(torch.rand(3))
        if len(drawn) < 3:
            raise torch.OutOfMemoryError
        return drawn[-1]

    paced = Pace(Frozen(), 100, (0, 0), False, 10)
    found = paced.compute(small(10, 9, 8), compute, lambda: forgotten.append(len(drawn)))
    assert torch.equal(found, drawn[0])
    assert forgotten == [1, 2]


def test_a_batch_laid_out_before_is_laid_out_anew_for_less_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace.fast, "recompute", lambda *_: None)
    paced = Pace(Frozen(), 20, (0,), False, 10)
    seen = paced.compute(small(10, 9, 8), lambda batch: [one.tokens for one in batch.passes], lambda: None)
    assert sorted(seen) == [8, 19]


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    def compute(batch: Batch) -> None:
        raise RuntimeError("an illegal memory access was encountered")

    with pytest.raises(RuntimeError, match="illegal"):
        Pace(Frozen(), 100, (0,), False, 10).compute(small(5), compute, lambda: None)


def test_the_hosts_memory_running_out_is_backed_off_from_as_well(
    whole: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """torch has no class for it: what its allocator says is the only sign."""
    honest = fast.total_loss

    def total_loss(model: Any, one: Pass) -> torch.Tensor:
        if one.tokens > 512:
            torch.empty(2**60, dtype=torch.uint8)
        return honest(model, one)

    monkeypatch.setattr(supervised.fast, "total_loss", total_loss)
    robbed = run(tmp_path / "run")
    assert curve(robbed) == pytest.approx(curve(whole), rel=2e-4)
    assert robbed["speed"]["backed_off"] == ["2,048 -> 1,024 tokens in a pass", "1,024 -> 512 tokens in a pass"]
    assert "this machine's memory did not suffice" in capsys.readouterr().out


def test_layers_that_recompute_all_or_nothing_are_not_tried_at_levels_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    thief(monkeypatch, lambda one: False)
    with pytest.raises(MedslmError, match="does not suffice for one example"):
        run(tmp_path / "run", packing=False, lora="all-linear-dora-r16")
    said = [line for line in capsys.readouterr().out.splitlines() if "did not suffice" in line]
    assert [line.split(": ")[1] for line in said] == [
        "every layer recomputes at level 3 of 3 or above; the step is computed again"
    ]
