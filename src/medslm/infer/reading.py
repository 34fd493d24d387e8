"""Prompts of unlike lengths read in one forward pass, before decoding goes on from their keys and values."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from medslm.errors import MedslmError

if TYPE_CHECKING:  # importing this module imports no torch
    import torch


def require_room(model: Any, tokens: int) -> None:
    """Raise `MedslmError` if prompt and reply together are longer than the model reads."""
    room = getattr(model.config.get_text_config(decoder=True), "max_position_embeddings", None)
    if room is not None and tokens > room:
        raise MedslmError(f"prompt and reply make up to {tokens} tokens, but the model reads {room}; shorten them")


def until_stop(ids: list[int], stops: Collection[int]) -> list[int]:
    """What comes before the first of `stops`."""
    return ids[: next((place for place, token in enumerate(ids) if token in stops), len(ids))]


def read(model: Any, prompts: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor, Any]:
    """Logits behind the last token (B, 1, V), mask (B, T), and all keys and values (no window is cut) of prompts."""
    from transformers import DynamicCache

    ids, mask, shared, cache = begin(model, prompts)
    output = model(
        input_ids=ids[:, shared:],
        attention_mask=mask,
        position_ids=(mask.cumsum(-1) - 1).clamp(min=0)[:, shared:],
        past_key_values=DynamicCache() if cache is None else cache,
        use_cache=True,
        logits_to_keep=1,
    )
    return output.logits, mask, output.past_key_values


def begin(model: Any, prompts: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor, int, Any]:
    """Token ids and mask (B, T), padded; the length, keys and values of the start that all share, which is read once.

    The shared start (system turn, instruction) comes first, then the padding, then what is each prompt's own.
    """
    import torch
    from transformers import DynamicCache

    width, shared, cache = max(map(len, prompts)), _shared(model, prompts), None
    gaps = [width - len(row) for row in prompts]
    padded = [[*row[:shared], *[row[-1]] * gap, *row[shared:]] for row, gap in zip(prompts, gaps)]  # masked: any token
    seen = [[1] * shared + [0] * gap + [1] * (width - gap - shared) for gap in gaps]
    ids, mask = torch.tensor(padded, device=model.device), torch.tensor(seen, device=model.device)
    if shared:
        cache = DynamicCache()
        model(input_ids=ids[:1, :shared], past_key_values=cache, use_cache=True, logits_to_keep=1)
        cache.batch_select_indices(torch.zeros(len(prompts), dtype=torch.long, device=model.device))
    return ids, mask, shared, cache


def _shared(model: Any, prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all prompts start with, less one if a prompt is no longer than that: each goes on from its own.

    None in a model with sliding windows: these count places, and the padding behind the start would fill them.
    """
    from transformers import DynamicCache

    if len(prompts) == 1 or any(DynamicCache(config=model.config.get_text_config(decoder=True)).is_sliding):
        return 0
    shortest = min(prompts, key=len)
    differs = (place for place, token in enumerate(shortest) if any(row[place] != token for row in prompts))
    return min(next(differs, len(shortest)), len(shortest) - 1)
