"""Attention within documents is what one dense masked softmax over the row gives, forward and backward."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medslm.models.varlen import isolated

LENGTHS = st.lists(st.integers(1, 12), min_size=1, max_size=6)


def tensors(tokens: int, heads: int, groups: int) -> list[torch.Tensor]:
    """Query, key, value and sinks."""
    source = torch.Generator().manual_seed(tokens)
    shapes = [(tokens, heads, 8), (tokens, groups, 8), (tokens, groups, 8), (heads,)]
    return [torch.randn(shape, generator=source, dtype=torch.float64).requires_grad_() for shape in shapes]


def dense(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    sinks: torch.Tensor | None,
    lengths: list[int],
    window: int | None,
) -> torch.Tensor:
    """All T x T scores of a row, those that must not count set to minus infinity."""
    owner = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    place = torch.arange(len(query))
    behind = place[:, None] - place
    seen = (owner[:, None] == owner) & (behind >= 0) & (behind < (window or len(query)))
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    scores = torch.einsum("qhd,khd->hqk", query, key) * 0.3
    scores = scores.masked_fill(~seen, -torch.inf)
    if sinks is not None:
        scores = torch.cat([scores, sinks[:, None, None].expand(-1, len(query), 1)], dim=-1)
    return torch.einsum("hqk,khd->qhd", scores.softmax(-1)[..., : len(query)], value)


@pytest.mark.parametrize("sunk", [False, True])
@given(lengths=LENGTHS, heads=st.sampled_from([(4, 4), (4, 2), (4, 1)]), window=st.none() | st.integers(1, 14))
@settings(max_examples=40, deadline=None)
def test_it_is_a_masked_softmax(sunk: bool, lengths: list[int], heads: tuple[int, int], window: int | None) -> None:
    query, key, value, every = tensors(sum(lengths), *heads)
    sinks = every if sunk else None
    inputs = [query, key, value, *([every] if sunk else [])]
    boundaries = torch.tensor([0, *lengths]).cumsum(0).int()
    found = isolated(query, key, value, boundaries, max(lengths), 0.3, window, sinks=sinks)
    expected = dense(query, key, value, sinks, lengths, window)
    exact = {"rtol": 1e-9, "atol": 1e-12}
    torch.testing.assert_close(found, expected, **exact)
    upstream = torch.randn(expected.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for one, other in zip(
        torch.autograd.grad(found, inputs, upstream), torch.autograd.grad(expected, inputs, upstream)
    ):
        torch.testing.assert_close(one, other, **exact)


def test_boundaries_of_another_row_are_refused() -> None:
    query, key, value, _ = tensors(5, 2, 2)
    with pytest.raises(RuntimeError, match="split_with_sizes"):
        isolated(query, key, value, torch.tensor([0, 2, 4], dtype=torch.int32), 2, 1.0)
