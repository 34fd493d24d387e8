"""Texts that share a beginning in one row have the logits that each has alone."""

from __future__ import annotations

import itertools
from typing import Any

import numpy
import pytest
import torch

from medslm.errors import MedslmError
from medslm.models import prefixes
from models import toy_bases

START, ENDS = 9, (6, 1, 12)  # tokens; longer together than the toys' windows of 5


def texts() -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    start, *ends = (torch.randint(toy_bases.VOCABULARY, (size,), generator=draw) for size in (START, *ENDS))
    return [torch.cat([start, end]) for end in ends]


def branches() -> tuple[torch.Tensor, torch.Tensor, prefixes.Paths]:
    """Tokens and positions (1, T) of the start once and each end, and their paths."""
    whole = texts()
    bounds = numpy.cumsum([START, *ENDS])
    ids = torch.cat([whole[0][:START], *(text[START:] for text in whole)])[None]
    positions = torch.cat([torch.arange(START), *(torch.arange(START, START + end) for end in ENDS)])[None]
    start = numpy.arange(START)
    seen = [start, *(numpy.concatenate([start, numpy.arange(*pair)]) for pair in itertools.pairwise(bounds))]
    return ids, positions, prefixes.paths(seen, [START, *ENDS])


@pytest.mark.parametrize("model_type", sorted(toy_bases.OWN))
def test_logits_are_those_of_each_text_alone(model_type: str) -> None:
    model = toy_bases.build(model_type).eval()
    ids, positions, along = branches()
    with torch.no_grad():
        expected = [model(input_ids=text[None], use_cache=False).logits[0] for text in texts()]
        with prefixes.use(model):
            found = model(input_ids=ids, position_ids=positions, use_cache=False, paths=along).logits[0]
    start, *ends = found.split([START, *ENDS])
    for logits, end in zip(expected, ends, strict=True):
        torch.testing.assert_close(torch.cat([start, end]), logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("options", [{}, {"attention_mask": torch.ones(1, 1, 4, 4)}, {"softcap": 50.0}])
def test_attention_whose_paths_do_not_say_all_is_refused(options: dict[str, Any]) -> None:
    states = torch.zeros(1, 2, 4, 8)
    along = None if not options else prefixes.paths([numpy.arange(4)], [4])
    mask = options.pop("attention_mask", None)
    with pytest.raises(MedslmError, match=r"takes one row of tokens with its `paths`|caps its attention scores"):
        prefixes.attend(torch.nn.Linear(1, 1), states, states, states, mask, paths=along, **options)


def test_a_model_without_boundaries_of_its_own_is_refused_and_keeps_its_attention() -> None:
    model = toy_bases.build("gemma2")
    assert "caps its attention scores" in prefixes.refusal(model)
    with pytest.raises(MedslmError, match="documents cannot be packed"), prefixes.use(model):
        pass
    assert model.config._attn_implementation == "eager"
    assert prefixes.refusal(toy_bases.build("llama")) == ""
