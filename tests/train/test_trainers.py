"""Every trainer learns from the same rows, goes on where it stopped, and leaves weights that other libraries load."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from transformers import AutoModelForCausalLM, TrainerCallback

import toy
from medslm import files
from medslm.errors import MedslmError
from medslm.models import load, source
from medslm.models.base import resolve
from medslm.models.lora import loras
from medslm.models.passes import lay
from medslm.recipe import Sft
from medslm.train import batches, planning, supervised
from medslm.train.trainers import chosen, early
from medslm.train.trainers.full import Full

pytestmark = pytest.mark.usefixtures("toy_base")

RECIPE = toy.recipe("toy-trained", mixture={"icd10cm": 0.02}, global_batch_size=4, max_steps=3, eval_steps=1)
HOW: dict[str, dict[str, Any]] = {
    "peft": {},
    "dora": {"lora": "all-linear-dora-r16"},
    "rslora": {"lora": "all-linear-rslora-r64"},
    "pissa": {"lora": "all-linear-pissa-r16"},
    "full": {"trainer": "full", "lora": "none", "learning_rate": 1e-3},
}


def recipe(trainer: str, **how: Any) -> Sft:
    return dataclasses.replace(RECIPE, **HOW[trainer], **how)


def record(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return found


Runs = Callable[[str], Path]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, toy_base: Any) -> Runs:
    """The folder of one run of three steps of a trainer, trained when it is first asked for."""
    root, done = tmp_path_factory.mktemp("runs"), set()

    def run(trainer: str) -> Path:
        if trainer not in done:
            supervised.train(recipe(trainer), root / trainer)
            done.add(trainer)
        return root / trainer

    return run


@pytest.fixture(params=HOW)
def trained(request: pytest.FixtureRequest, runs: Runs) -> tuple[str, Path]:
    """Each trainer and its run."""
    return request.param, runs(request.param)


def logits(model: Any, ids: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.eval()(input_ids=ids).logits
    return found


def base() -> Any:
    return load.model(resolve(toy.HUB_ID), wanted="float32")


def reloaded(trainer: str, folder: Path) -> Any:
    """The result as anybody loads it: no function of ours is called."""
    if trainer == "full":
        return AutoModelForCausalLM.from_pretrained(folder / "model")
    original = AutoModelForCausalLM.from_pretrained(source.find(resolve(toy.HUB_ID)).folder)
    return peft.PeftModel.from_pretrained(original, str(folder / "adapter"))


def validation_loss(model: Any, planned: planning.Plan) -> float:
    """Mean over the completion tokens, one document after the other."""
    total, tokens = 0.0, 0
    for ids, labels in batches.Documents(planned.rows.validation).__getitems__(range(len(planned.rows.validation))):
        one = lay([(ids, labels)])
        found = logits(model, one.input_ids)[0, one.predicts]
        total += float(torch.nn.functional.cross_entropy(found, one.targets, reduction="sum"))
        tokens += len(one.targets)
    return total / tokens


def test_what_is_kept_has_the_validation_loss_of_the_record_when_other_libraries_load_it(
    trained: tuple[str, Path],
) -> None:
    trainer, folder = trained
    planned = planning.plan(recipe(trainer), folder)
    kept = record(folder)["train"]["best_eval_loss"]
    assert validation_loss(reloaded(trainer, folder), planned) == pytest.approx(kept, rel=1e-4)
    assert validation_loss(base(), planned) == pytest.approx(record(folder)["train"]["first_eval_loss"], rel=1e-3)


def test_every_trainer_leaves_the_same_record(trained: tuple[str, Path]) -> None:
    trainer, folder = trained
    run = record(folder)
    assert (run["status"], run["train"]["steps"], run["recipe"]["trainer"]) == (
        "finished",
        3,
        HOW[trainer].get("trainer", "peft"),
    )
    assert run["train"]["best_eval_loss"] < run["train"]["first_eval_loss"]
    assert run["adapter_sha256"] == files.sha256(folder / run["weights"])
    assert str(Path.home()) not in (folder / "run.json").read_text(encoding="utf-8")
    parameters = base().num_parameters()
    assert run["base"]["parameters"] == parameters
    assert (run["trainable_parameters"] == parameters) == (trainer == "full")
    assert not (folder / ("adapter" if trainer == "full" else "model")).exists()


def test_nothing_in_what_is_kept_names_a_path_of_this_machine(trained: tuple[str, Path]) -> None:
    _, folder = trained
    kept = (folder / record(folder)["weights"]).parent
    local = str(source.find(resolve(toy.HUB_ID)).folder)
    for path in kept.glob("*.json"):
        assert local not in path.read_text(encoding="utf-8"), path.name
        assert str(folder) not in path.read_text(encoding="utf-8"), path.name


class Interruption(TrainerCallback):
    """Pulls the plug in the third step."""

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == 3:
            raise KeyboardInterrupt


@pytest.mark.parametrize("trainer", ["dora", "pissa", "full"])  # the others are computed as in test_supervised.py
def test_an_interrupted_run_goes_on_and_ends_as_if_nothing_had_happened(
    trainer: str, runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = runs(trainer)
    folder, build = tmp_path / "run", supervised.trainer

    def with_interruption(*arguments: Any) -> Any:
        built = build(*arguments)
        built.add_callback(Interruption())
        return built

    with monkeypatch.context() as patch:
        patch.setattr(supervised, "trainer", with_interruption)
        with pytest.raises(KeyboardInterrupt):
            supervised.train(recipe(trainer), folder)
    assert not (folder / record(whole)["weights"]).exists()
    supervised.train(recipe(trainer), folder)
    assert curve(folder) == pytest.approx(curve(whole), rel=1e-4)


def curve(folder: Path) -> dict[int, float]:
    return {point["step"]: point["loss"] for point in record(folder)["curve"] if "loss" in point}


@pytest.mark.parametrize(
    "how",
    [{}, {"tokens_per_pass": 256}, {"packing": False}, {"recompute": "all"}],
    ids=["auto", "packed tightly", "one document a pass", "recomputed"],
)
def test_a_step_of_all_weights_has_the_loss_and_gradients_of_transformers_own(
    how: dict[str, Any], tmp_path: Path
) -> None:
    asked = recipe("full", **how)
    planned = planning.plan(asked, tmp_path)
    kind = chosen.of(asked)
    model = kind.build(planned, None).train()
    execution = planning.choose(planned)
    supervised.quicken(asked, execution, model, kind)
    documents = batches.Documents(planned.rows.train).__getitems__(range(5))
    ours = sum(kind.total_loss(model, one) for one in batches.side_by_side(documents, execution.tokens_per_pass))
    ours.backward()
    reference = base().requires_grad_(True).train()
    theirs = torch.zeros(())
    for ids, labels in documents:
        one = lay([(ids, labels)])
        found = reference(input_ids=one.input_ids).logits[0, one.predicts]
        theirs = theirs + torch.nn.functional.cross_entropy(found, one.targets, reduction="sum")
    theirs.backward()
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-4)
    expected = {name: parameter.grad for name, parameter in reference.named_parameters()}
    assert all(gradient is not None for gradient in expected.values())
    got = {name: parameter.grad for name, parameter in model.named_parameters()}
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-4)


def test_weights_stay_in_float32_and_are_kept_as_they_were_computed(tmp_path: Path) -> None:
    asked = dataclasses.replace(recipe("full"), dtype="bfloat16", max_steps=1)
    supervised.train(asked, tmp_path / "run")
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "run" / "model", dtype="auto")
    assert loaded.dtype == torch.bfloat16
    planned = planning.plan(asked, tmp_path / "run")
    kind = chosen.of(asked)
    assert isinstance(kind, Full)
    assert kind.build(planned, None).dtype == torch.float32
    kept = record(tmp_path / "run")
    assert kept["speed"]["paths"]["base"] == "float32, computed in bfloat16"
    assert validation_loss(loaded, planned) == pytest.approx(kept["train"]["best_eval_loss"], rel=2e-2)


def test_an_adapter_that_is_scaled_by_the_root_of_its_rank_says_so_to_peft(tmp_path: Path) -> None:
    model = load.with_new_adapter(base(), loras["all-linear-rslora-r64"])
    layer = next(part for part in model.modules() if isinstance(part, peft.tuners.lora.Linear))
    assert layer.scaling["default"] == pytest.approx(16 / 8)


def test_a_pissa_run_is_not_continued_on_weights_that_were_decomposed_otherwise(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    asked = recipe("pissa")
    planned = planning.plan(asked, tmp_path)
    kind = chosen.of(asked)
    kind.build(planned, None)
    kind.build(planned, tmp_path / "checkpoints" / "checkpoint-1")
    weights = tmp_path / "checkpoints" / "start" / "adapter_model.safetensors"
    turned = {name: -value if "lora_A" in name else value for name, value in load_file(weights).items()}
    save_file(turned, weights)
    with pytest.raises(MedslmError, match="decomposes the base's weights otherwise"):
        kind.build(planned, tmp_path / "checkpoints" / "checkpoint-1")


@pytest.mark.parametrize("quantization", ["nf4", "fp8"])
def test_what_is_quantised_cannot_learn(quantization: str) -> None:
    with pytest.raises(
        MedslmError, match=f"trainer=full and quantization={quantization}; quantised weights are frozen"
    ):
        recipe("full", quantization=quantization)


def test_all_weights_and_an_adapter_are_a_contradiction() -> None:
    with pytest.raises(MedslmError, match="lora=all-linear-r16; it must be none with trainer=full"):
        dataclasses.replace(RECIPE, trainer="full")
    with pytest.raises(MedslmError, match="lora=none; it must be none with trainer=full, and only with it"):
        dataclasses.replace(RECIPE, lora="none")


def test_pissa_on_quantised_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MedslmError, match="is PiSSA, which takes the base's largest directions out of its weights"):
        supervised.train(recipe("pissa", quantization="nf4"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("trainer", "whose"), [("full", "trainer=full"), ("dora", "lora=all-linear-dora-r16")])
def test_parts_of_a_layer_cannot_be_recomputed_where_layers_are_transformers_own(
    trainer: str, whose: str, tmp_path: Path
) -> None:
    with pytest.raises(MedslmError, match=f"recompute=mlp needs layers written by hand, which {whose} has not"):
        supervised.train(recipe(trainer, recompute="mlp"), tmp_path / "run")


def test_a_trainer_is_part_of_what_is_learnt() -> None:
    assert recipe("full").learnt()["trainer"] == "full"


def test_unsloth_that_is_not_installed_is_answered_with_its_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(early.importlib.util, "find_spec", lambda name: None)
    asked = dataclasses.replace(RECIPE, trainer="unsloth")
    for ask in (lambda: early.load(asked), lambda: supervised.train(asked, tmp_path / "run")):
        with pytest.raises(MedslmError, match=r"not installed here.*`make env-unsloth`.*\.venv-unsloth/bin/accelerate"):
            ask()
    assert not (tmp_path / "run").exists()
    early.load(RECIPE)


def test_unsloth_without_a_gpu_or_for_another_kind_of_adapter_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(early.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(MedslmError, match="trainer=unsloth needs a CUDA GPU"):
        early.require(dataclasses.replace(RECIPE, trainer="unsloth"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for lora in ("all-linear-dora-r16", "all-linear-pissa-r16"):
        with pytest.raises(MedslmError, match=f"lora={lora} is another kind"):
            early.require(dataclasses.replace(RECIPE, trainer="unsloth", lora=lora))


@pytest.mark.parametrize("how", [{"quantization": "fp8"}, {"recompute": "mlp"}, {"recompute": "offload"}])
def test_what_unsloth_has_not_is_refused(how: dict[str, str]) -> None:
    with pytest.raises(MedslmError, match=f"{next(iter(how))}={next(iter(how.values()))}.*with trainer=unsloth"):
        dataclasses.replace(RECIPE, trainer="unsloth", **how)
