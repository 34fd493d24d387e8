"""A finished run of the toy world, whose adapter is random and large enough to matter."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import toy
from medslm import files
from medslm.data.formats.render import Renderer
from medslm.models import load
from medslm.models.base import Base

OURS = Path(__file__).parent
MakeRun = Callable[..., Path]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """simple-icd-10-cm 1.5.0 reads its data that way when imported: https://pypi.org/project/simple-icd-10-cm/"""
    for item in items:
        if OURS in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore:(read_text|open_text) is deprecated:DeprecationWarning"))
            item.add_marker(
                pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
            )


def record(base: Base, quantization: str = "none") -> dict[str, Any]:
    """`run.json`, as far as an export reads it."""
    terms = {"id": "mit", "name": None, "link": None, "flags": [], "reasons": ["the base is under mit"]}
    return {
        "name": "toy-run",
        "status": "finished",
        "recipe": {"base": base.hub_id, "format": "toon", "quantization": quantization, "suite": "icd10cm"},
        "base": {"hub_id": base.hub_id, "license": "mit", "source": "hub", "revision": toy.COMMIT},
        "gates": {"license": terms},
        "weights": "adapter/adapter_model.safetensors",
        "template_hash": Renderer(load.tokenizer(base), "toon").template_hash,
    }


def adapt(model: Any, folder: Path, **changes: Any) -> None:
    """Save an adapter of random matrices for `model`, which is used up."""
    import peft

    kind = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", **changes}
    torch.manual_seed(1)
    made = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", **kind))
    for name, weight in made.named_parameters():
        if "lora_" in name and "magnitude" not in name:
            weight.data = torch.randn_like(weight) * 0.2
    made.peft_config["default"].base_model_name_or_path = toy.HUB_ID
    made.save_pretrained(str(folder), save_embedding_layers=False)


@pytest.fixture(scope="session")
def make_run(toy_base: Base) -> MakeRun:
    """`make_run(folder, quantization=..., use_dora=...)` writes a run with such an adapter."""

    def write(folder: Path, quantization: str = "none", **changes: Any) -> Path:
        adapt(load.model(dataclasses.replace(toy_base), wanted="float32"), folder / "adapter", **changes)
        load.tokenizer(toy_base).save_pretrained(str(folder / "adapter"))
        files.write_json(folder / "run.json", json.loads(json.dumps(record(toy_base, quantization))))
        return folder

    return write


@pytest.fixture(scope="session")
def run(make_run: MakeRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    return make_run(tmp_path_factory.mktemp("runs") / "toy-run")


@pytest.fixture
def whole_run(toy_base: Base, tmp_path: Path) -> Path:
    """A finished run of all weights, kept in bfloat16."""
    folder = tmp_path / "runs" / "toy-run"
    model = load.model(dataclasses.replace(toy_base), wanted="float32")
    for weight in model.parameters():
        weight.data += 0.01
    model.to(torch.bfloat16).save_pretrained(str(folder / "model"))
    load.tokenizer(toy_base).save_pretrained(str(folder / "model"))
    told = record(toy_base) | {"weights": "model/model.safetensors"}
    files.write_json(folder / "run.json", json.loads(json.dumps(told)))
    return folder
