"""The loss of the positions that carry it, a slice of them at a time."""

from __future__ import annotations

import copy

import pytest
import torch
import transformers

from medslm.models import attention, fast
from medslm.models.fast import head
from models.fast import plain


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("positions", [1, 256, 300])
def test_slices_sum_to_the_loss_and_gradient_of_the_whole(
    monkeypatch: pytest.MonkeyPatch, positions: int, bias: bool
) -> None:
    monkeypatch.setattr(head, "SLICE", 1)  # the smallest slice there is: 256 positions
    torch.manual_seed(0)
    hidden, weight = torch.randn(positions, 8, requires_grad=True), torch.randn(31, 8)
    added, targets = torch.randn(31) if bias else None, torch.randint(31, (positions,))
    expected = torch.nn.functional.cross_entropy(
        hidden @ weight.t() + (0 if added is None else added), targets, reduction="sum"
    )
    (wanted,) = torch.autograd.grad(expected * 0.5, hidden)
    loss = head.LinearCrossEntropy.apply(hidden, weight, added, targets)
    (found,) = torch.autograd.grad(loss * 0.5, hidden)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(found, wanted)


def test_without_gradients_none_is_computed() -> None:
    hidden, weight = torch.randn(3, 8), torch.randn(31, 8)
    assert not head.LinearCrossEntropy.apply(hidden, weight, None, torch.tensor([1, 2, 3])).requires_grad


def test_logits_that_are_bent_after_the_head_keep_the_models_own_way() -> None:
    """Granite divides its logits; the fused head would not."""
    config = transformers.GraniteConfig(**plain.SHAPE, logits_scaling=8.0)
    model = plain.adapted(config)
    quick = copy.deepcopy(model)
    attention.use(quick)
    assert fast.quicken(quick)["head"] == "the model's own"
    plain.agree(model, quick, plain.packed())
