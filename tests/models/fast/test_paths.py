"""Architectures whose layers lie elsewhere, or hold what is no plain product, are trained by what computes them."""

from __future__ import annotations

from typing import Any

import numpy
import pytest

from medslm.errors import MedslmError
from medslm.models import fast, load
from medslm.models.fast import paths
from medslm.models.lora import Lora
from models.toy_bases import build

LORA = Lora(r=4, lora_alpha=8)
EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}


@pytest.mark.filterwarnings("ignore:The following (alpha|rank)_pattern keys")  # PEFT speaks to itself of its experts
@pytest.mark.parametrize(
    ("model_type", "changes"),
    [("opt", {"ffn_dim": 48, "word_embed_proj_dim": 32}), ("gpt_neox", {}), ("mixtral", EXPERTS)],
)
def test_layers_are_found_wherever_a_body_holds_them_and_all_of_the_adapter_learns(
    model_type: str, changes: dict[str, Any]
) -> None:
    from medslm.models.passes import lay

    model = load.with_new_adapter(build(model_type, **changes), LORA).train()
    switched = fast.quicken(model)
    assert "linears, one function each" in switched["lora"]
    assert not fast.layered(model)
    tokens = numpy.arange(3, 20)
    fast.recompute(model, (3, 3))
    fast.total_loss(model, lay([(tokens, tokens)])).backward()
    second = [p.grad for name, p in model.named_parameters() if "lora_B" in name]
    assert second
    assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in second)


def test_a_body_whose_layers_are_not_found_is_a_sentence() -> None:
    model = build("llama")
    model.config.num_hidden_layers = 7
    with pytest.raises(MedslmError, match="the 7 layers of this llama model were not found"):
        paths._layers(model)
