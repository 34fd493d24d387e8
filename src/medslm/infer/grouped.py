"""Attention of one new token to a static cache, without a copy of the cache for every query head."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # importing this module imports no torch
    import torch

NAME = "medslm-grouped"


@contextlib.contextmanager
def use(config: Any) -> Iterator[None]:
    """Let a model with SDPA attend without repeating the keys of grouped heads, for a while."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface

    before = config._attn_implementation
    if before == "sdpa":
        AttentionInterface.register(NAME, attend)
        AttentionMaskInterface.register(NAME, mask)
        config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = before


def attend(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attention_mask: Any, **options: Any
) -> tuple[torch.Tensor, None]:
    """transformers' SDPA, and for one token a row: the query heads of a group are so many queries of its one key head.

    With a mask, transformers writes each key head once per query head (`repeat_kv`), all of the static memory at every
    token. Query (B, heads, 1, D), key and value (B, groups, T, D), mask (B, 1, 1, T); returns (B, 1, heads, D).
    """
    from torch.nn.functional import scaled_dot_product_attention
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    batch, heads, length, depth = query.shape
    if length > 1 or options.get("position_bias") is not None:
        attended: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, **options
        )
        return attended
    grouped = query.reshape(batch, key.shape[1], -1, depth)
    out = scaled_dot_product_attention(grouped, key, value, attn_mask=attention_mask, scale=options.get("scaling"))
    return out.reshape(batch, 1, heads, -1), None


def mask(*places: Any, **options: Any) -> torch.Tensor | None:
    """transformers' mask for SDPA; for one token a row it is made additive once, and not again in every layer."""
    import torch
    from transformers.masking_utils import sdpa_mask

    seen: torch.Tensor | None = sdpa_mask(*places, **options)
    if seen is None or seen.shape[2] > 1:
        return seen
    dtype: torch.dtype = options["dtype"]
    return torch.zeros_like(seen, dtype=dtype).masked_fill_(~seen, torch.finfo(dtype).min)
