"""Packed reading by hand gives the logits of transformers' and PEFT's own layers, and leaves them as they were."""

from __future__ import annotations

import contextlib
from typing import Any

import peft
import pytest
import torch

from medslm.models import fast, prefixes
from medslm.models.fast import paths
from medslm.models.fast.layer import Layer
from models.fast import plain
from models.test_prefixes import branches


@pytest.fixture(autouse=True)
def on_any_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same functions written out in torch, which no machine but a test prefers to transformers' own."""
    monkeypatch.setattr(paths, "has_kernels", lambda device: True)


def logits(model: Any, by_hand: bool) -> torch.Tensor:
    ids, positions, along = branches()
    with torch.no_grad(), prefixes.use(model), fast.reading(model) if by_hand else contextlib.nullcontext():
        assert any(isinstance(part.forward, Layer) for part in model.modules()) is by_hand
        found: torch.Tensor = model(input_ids=ids % 97, position_ids=positions, use_cache=False, paths=along).logits
    assert not any(isinstance(part.forward, Layer) for part in model.modules())
    return found


def agree(model: Any) -> torch.Tensor:
    expected = logits(model, by_hand=False)
    torch.testing.assert_close(logits(model, by_hand=True), expected, rtol=1e-4, atol=1e-4)
    return expected


@pytest.mark.parametrize("name", plain.FAMILY)
def test_base_and_adapter_read_by_hand_as_they_do_themselves(name: str) -> None:
    agree(plain.base(plain.FAMILY[name]).eval())
    model = plain.adapted(plain.FAMILY[name]).eval()
    adapted = agree(model)
    with model.disable_adapter():
        assert not torch.equal(agree(model), adapted)


def test_weights_that_change_between_two_readings_are_seen() -> None:
    model = plain.adapted(plain.FAMILY["llama"]).eval()
    before = agree(model)
    for name, parameter in model.named_parameters():
        if "q_proj.base_layer" in name or "lora_B" in name:
            parameter.data += 0.1
    assert not torch.equal(agree(model), before)


def test_adapters_that_are_not_computed_by_hand_keep_their_own_way() -> None:
    model = plain.adapted(plain.FAMILY["llama"]).eval()
    model.merge_adapter()
    with fast.reading(model):
        assert not any(isinstance(part.forward, Layer) for part in model.modules())
    model.unmerge_adapter()
    other = peft.get_peft_model(plain.base(plain.FAMILY["llama"]), peft.IA3Config(task_type="CAUSAL_LM"))
    with fast.reading(other):
        assert not any(isinstance(part.forward, Layer) for part in other.modules())
    dora = peft.get_peft_model(
        plain.base(plain.FAMILY["llama"]),
        peft.LoraConfig(task_type="CAUSAL_LM", use_dora=True, target_modules=["q_proj"]),
    )
    with fast.reading(dora):
        assert not any(isinstance(part.forward, Layer) for part in dora.modules())


def test_without_kernels_nothing_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    model = plain.adapted(plain.FAMILY["llama"]).eval()
    with fast.reading(model):
        assert not any(isinstance(part.forward, Layer) for part in model.modules())
