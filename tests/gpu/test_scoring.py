"""Packed multiple choice on a GPU: one kernel for texts that share a beginning, and passes that fit its memory."""

from __future__ import annotations

import pytest
import torch

from infer.test_likelihoods import LETTERS, TEXTS, likelihoods, of_lm_eval, same, toy
from medslm.infer import scoring

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("model_type", ["llama", "qwen3", "gemma3_text", "gpt2", "mistral"])
def test_float32_scores_are_those_of_lm_evals_own_model_class(model_type: str) -> None:
    model = toy(model_type).to("cuda")
    assert same(likelihoods(model).score([*LETTERS, *TEXTS]), of_lm_eval(model, [*LETTERS, *TEXTS]))


@pytest.mark.parametrize("model_type", ["llama", "gemma3_text", "mistral"])
def test_the_kernels_scores_are_no_further_from_float32_than_padded_bfloat16_is(model_type: str) -> None:
    model = toy(model_type).to("cuda")
    exact = [total for total, _ in likelihoods(model).score(TEXTS)]
    model = model.to(torch.bfloat16)
    packed = [total for total, _ in likelihoods(model).score(TEXTS)]
    padded = [total for total, _ in of_lm_eval(model, TEXTS)]

    def off(totals: list[float]) -> float:
        return sum(abs(one - other) for one, other in zip(totals, exact)) / len(exact)

    assert off(packed) <= 1.5 * off(padded)


def test_passes_are_as_large_as_half_of_the_free_memory_allows() -> None:
    model = toy("llama").to("cuda")
    assert scoring.room(model) == scoring.ON_GPU
    free = torch.cuda.mem_get_info()[0]
    held = torch.empty(free - 2**29, dtype=torch.uint8, device="cuda")
    model.config.intermediate_size = 2**20
    assert 1_024 <= scoring.room(model) < scoring.ON_GPU
    del held
