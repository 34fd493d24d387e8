"""Training on a base in 4 bits has the gradients of the weights it stands for, before and after an evaluation.

On a processor with AVX512-BF16, bitsandbytes 0.50 repacks the weights in the first evaluation, and what is repacked has
no autograd. The guard is taken away here to see that it is needed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import bitsandbytes
import pytest
import torch

from medslm.errors import MedslmError
from medslm.models import load, nf4
from medslm.models.base import Base
from medslm.models.lora import Lora

IDS = torch.arange(64).reshape(2, 32)


def adapted(base: Any) -> Any:
    """With an adapter whose matrices are not zero, or half of the gradients would be."""
    model = load.with_new_adapter(base, Lora(r=4, lora_alpha=8))
    torch.manual_seed(0)
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def gradients(model: Any) -> torch.Tensor:
    """The adapter's gradients of one loss, in one vector."""
    model.train()
    model.zero_grad()
    model(input_ids=IDS, labels=IDS).loss.backward()
    found = [parameter.grad.flatten().float() for parameter in model.parameters() if parameter.requires_grad]
    return torch.cat(found)


def evaluate(model: Any) -> torch.Tensor:
    """What an evaluation in the middle of training does."""
    model.eval()
    with torch.no_grad():
        logits: torch.Tensor = model(input_ids=IDS).logits
    return logits


def quantised_layers(model: Any) -> dict[str, Any]:
    return {name: part for name, part in model.named_modules() if isinstance(part, bitsandbytes.nn.Linear4bit)}


def dequantised(base: Base) -> Any:
    """The base in float32, with each weight that NF4 has rounded as it was rounded."""
    model = load.model(base, wanted="float32")
    for name, layer in quantised_layers(load.model(base, "nf4", "float32")).items():
        weight = bitsandbytes.functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state)
        model.get_submodule(name).weight.data.copy_(weight)
    return model


def likeness(one: torch.Tensor, other: torch.Tensor) -> float:
    return torch.cosine_similarity(one, other, dim=0).item()


@pytest.mark.parametrize(("wanted", "least"), [("float32", 0.9999), ("bfloat16", 0.99)])
def test_gradients_are_those_of_the_dequantised_weights_before_and_after_an_evaluation(
    toy_base: Base, wanted: str, least: float
) -> None:
    true = gradients(adapted(dequantised(toy_base)))
    model = adapted(load.model(toy_base, "nf4", wanted))
    before = gradients(model)
    assert likeness(before, true) > least
    evaluate(model)
    assert torch.equal(gradients(model), before)
    assert likeness(before, gradients(adapted(load.model(toy_base, wanted="float32")))) < 0.999  # NF4 was on


@pytest.mark.filterwarnings("ignore:.*autograd kernel was not registered:UserWarning")
def test_without_the_guard_an_evaluation_spoils_the_gradients_where_the_processor_repacks(
    toy_base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this fails where there is AVX512-BF16, bitsandbytes has been mended: delete the guard."""
    monkeypatch.setattr(nf4, "keep_gradients", lambda _: None)
    model = adapted(load.model(toy_base, "nf4", "float32"))
    before = gradients(model)
    evaluate(model)
    spoilt = likeness(before, gradients(model)) < 0.99
    assert spoilt == bool(bitsandbytes.functional.has_avx512bf16())


@pytest.mark.parametrize("guarded", [True, False])
def test_the_guard_keeps_any_processor_from_repacking(
    toy_base: Base, monkeypatch: pytest.MonkeyPatch, guarded: bool
) -> None:
    class Repacked(Exception):
        pass

    def repack(*_: Any) -> None:
        raise Repacked

    monkeypatch.setattr(bitsandbytes.nn.modules, "has_avx512bf16", lambda: True)
    monkeypatch.setattr(bitsandbytes.nn.modules, "_convert_weight_packed_for_cpu", repack)
    if not guarded:
        monkeypatch.setattr(nf4, "keep_gradients", lambda _: None)
    model = load.model(toy_base, "nf4", "float32")
    if guarded:
        assert torch.isfinite(evaluate(model)).all()
    else:
        with pytest.raises(Repacked):
            evaluate(model)


@pytest.mark.parametrize("wanted", ["float32", "bfloat16"])
def test_the_weights_are_nf4_with_double_quantisation_and_computed_in_the_type_wanted(
    toy_base: Base, wanted: str
) -> None:
    plain, layers = load.model(toy_base), quantised_layers(load.model(toy_base, "nf4", wanted))
    linear = {name for name, part in plain.named_modules() if isinstance(part, torch.nn.Linear)}
    assert set(layers) == linear - {"lm_head"}
    for name, layer in layers.items():
        state = layer.weight.quant_state
        assert (state.quant_type, state.nested, layer.compute_dtype) == ("nf4", True, load.dtype(wanted))
        assert layer.weight.nbytes == plain.get_submodule(name).weight.numel() // 2  # 4 bits
        assert state.absmax.dtype == torch.uint8  # the scales are quantised as well


def test_the_adapter_on_a_base_in_4_bits_is_in_float32(toy_base: Base) -> None:
    model = adapted(load.model(toy_base, "nf4", "bfloat16"))
    assert {parameter.dtype for parameter in model.parameters() if parameter.requires_grad} == {torch.float32}


def test_an_adapter_trained_in_4_bits_is_loaded_again_in_4_bits_and_in_full(toy_base: Base, tmp_path: Path) -> None:
    model = adapted(load.model(toy_base, "nf4", "float32"))
    model.save_pretrained(str(tmp_path), save_embedding_layers=False)
    again = load.with_adapter(load.model(toy_base, "nf4", "float32"), tmp_path)
    assert torch.equal(evaluate(again), evaluate(model))
    assert torch.isfinite(evaluate(load.with_adapter(load.model(toy_base), tmp_path))).all()


def test_a_missing_bitsandbytes_is_a_sentence(toy_base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(MedslmError, match=r'quantization=nf4 needs bitsandbytes; `pip install "medslm\[quant\]"`'):
        load.model(toy_base, "nf4")
