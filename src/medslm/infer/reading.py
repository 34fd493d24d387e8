"""Prompts of unlike lengths read in one forward pass, before decoding goes on from their keys and values."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from medslm.errors import MedslmError
from medslm.models import load

if TYPE_CHECKING:  # importing this module imports no torch
    import torch


@dataclass(frozen=True)
class Asked:
    """A reply that is wanted."""

    prompt: Sequence[int]
    """One token or more."""

    chances: Sequence[float] = ()
    """For each token of the reply the number in [0, 1) that chooses it; none: the likeliest token is taken."""


@dataclass(frozen=True)
class Written:
    """A reply."""

    tokens: list[int]
    """Without the stop."""

    ended: bool
    """By a stop, and not by the bound."""


def require_room(model: Any, tokens: int) -> None:
    """Raise `MedslmError` if prompt and reply together are longer than the model reads."""
    room = load.positions(model.config)
    if room is not None and tokens > room:
        raise MedslmError(f"prompt and reply make up to {tokens} tokens, but the model reads {room}; shorten them")


def until_stop(ids: list[int], stops: Collection[int]) -> list[int]:
    """What comes before the first of `stops`."""
    return ids[: next((place for place, token in enumerate(ids) if token in stops), len(ids))]


@dataclass(frozen=True)
class Opening:
    """The start that prompts share (system turn, instruction), read once."""

    tokens: int
    cache: Any
    """Its keys and values, of one row."""


def opening(model: Any, prompts: Sequence[Sequence[int]]) -> Opening | None:
    """Read what all prompts start with; none if that is nothing, or a window slides over it."""
    import torch
    from transformers import DynamicCache

    shared = _shared(model, prompts)
    if not shared:
        return None
    ids, cache = torch.tensor([prompts[0][:shared]], device=model.device), DynamicCache()
    model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
    return Opening(shared, cache)


def read(
    model: Any, prompts: Sequence[Sequence[int]], start: Opening | None = None
) -> tuple[torch.Tensor, torch.Tensor, Any]:
    """Logits behind the last token (B, 1, V), mask (B, T), and all keys and values (no window is cut) of prompts."""
    from transformers import DynamicCache

    ids, mask, shared, cache = begin(model, prompts, start)
    output = model(
        input_ids=ids[:, shared:],
        attention_mask=mask,
        position_ids=(mask.cumsum(-1) - 1).clamp(min=0)[:, shared:],
        past_key_values=DynamicCache() if cache is None else cache,
        use_cache=True,
        logits_to_keep=1,
    )
    return output.logits, mask, output.past_key_values


def begin(
    model: Any, prompts: Sequence[Sequence[int]], start: Opening | None = None
) -> tuple[torch.Tensor, torch.Tensor, int, Any]:
    """Token ids and mask (B, T), padded; the length, keys and values of the start, which all share; none: it is read.

    The shared start comes first, then the padding, then what is each prompt's own.
    """
    import torch
    from transformers import DynamicCache

    start = opening(model, prompts) if start is None else start
    width, shared, cache = max(map(len, prompts)), 0 if start is None else start.tokens, None
    gaps = [width - len(row) for row in prompts]
    padded = [[*row[:shared], *[row[-1]] * gap, *row[shared:]] for row, gap in zip(prompts, gaps)]  # masked: any token
    seen = [[1] * shared + [0] * gap + [1] * (width - gap - shared) for gap in gaps]
    ids, mask = torch.tensor(padded, device=model.device), torch.tensor(seen, device=model.device)
    if start is not None:
        cache = DynamicCache()
        for index, layer in enumerate(start.cache.layers):
            cache.update(*(part.expand(len(prompts), -1, -1, -1) for part in (layer.keys, layer.values)), index)
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
