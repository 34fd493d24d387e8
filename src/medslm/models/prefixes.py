"""Attention over texts packed into one row that share beginnings: each beginning is read once, without a cache.

Rivals of one question share its prompt, and prompts share their instruction. The keys of a shared beginning are computed
in the same pass and layer as the keys of what follows it, so one gather puts before each text all that it sees.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import scaled_dot_product_attention

from medslm.errors import MedslmError
from medslm.models import attention, varlen

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

NAME = "medslm-prefixes"
"""What the attention is called in transformers' AttentionInterface."""


@dataclass(frozen=True)
class Paths:
    """R branches of T tokens together: what each adds, and the places in the row of all that it sees."""

    queries: torch.Tensor
    """(R + 1,) int32: branch `r` adds the tokens `[queries[r], queries[r + 1])`."""

    keys: torch.Tensor
    """(R + 1,) int32: it sees `places[keys[r]:keys[r + 1]]`, its own tokens last and each of these up to itself."""

    places: torch.Tensor | None
    """(K,) int64; none where nothing is shared, and the keys are the row as it is."""

    lengths: tuple[tuple[int, int], ...]
    """Tokens that each branch adds and sees, on the host."""

    _masks: dict[tuple[Any, ...], torch.Tensor] = field(default_factory=dict, compare=False, repr=False)

    def mask(self, added: int, seen: int, window: int | None, like: torch.Tensor) -> torch.Tensor:
        """(L, K) to be added to the scores of a branch, made for the first layer and kept for the others."""
        key = (added, seen, window, like.dtype, like.device)
        if key not in self._masks:
            visible = varlen.visible(added, seen, window, like.device)
            self._masks[key] = torch.zeros_like(visible, dtype=like.dtype).masked_fill_(~visible, -torch.inf)
        return self._masks[key]

    def to(self, device: torch.device | str) -> Paths:
        """The same on `device`."""
        places = None if self.places is None else self.places.to(device, non_blocking=True)
        queries, keys = (part.to(device, non_blocking=True) for part in (self.queries, self.keys))
        return Paths(queries, keys, places, self.lengths)


def paths(seen: Sequence[Array], added: Sequence[int]) -> Paths:
    """Of branches that see the places `seen[r]` (K_r,), the last `added[r]` of which are their own, in order."""
    import numpy

    lengths = tuple((own, len(places)) for own, places in zip(added, seen))
    bounds = [numpy.cumsum([0, *column]).astype(numpy.int32) for column in zip(*lengths)]
    alone = all(own == keys for own, keys in lengths)
    places = None if alone else torch.from_numpy(numpy.concatenate(seen))
    return Paths(torch.from_numpy(bounds[0]), torch.from_numpy(bounds[1]), places, lengths)


@contextlib.contextmanager
def use(model: Any, longest: int = 0) -> Iterator[None]:
    """Let a model, or the base of a PEFT model, attend along `Paths` for a while; then it has its own attention again.

    `longest`: tokens of the longest text to come. Raises `MedslmError` for what `attention.use` refuses.
    """
    from transformers import AttentionInterface, PreTrainedModel

    base = attention.unwrapped(model)
    parts = [part for part in base.modules() if isinstance(part, PreTrainedModel)]
    before = [(part.config, part.config._attn_implementation) for part in parts]
    try:
        attention.use(model, longest)
        AttentionInterface.register(NAME, attend)
        base.set_attn_implementation(NAME)
        yield
    finally:
        for config, implementation in before:
            config._attn_implementation = implementation


def refusal(model: Any, longest: int = 0) -> str:
    """Why `use` refuses this model; empty if it does not."""
    try:
        with use(model, longest):
            return ""
    except MedslmError as error:
        return str(error).rpartition("; ")[0]  # without its advice, which is for training


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    paths: Paths | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """As transformers calls it: query (1, Hq, T, D), key and value (1, Hk, T, D) -> (1, T, Hq, D).

    Raises `MedslmError` without paths, and where they would not say what is seen.
    """
    if paths is None or attention_mask is not None or len(query) != 1 or key.shape[2] != query.shape[2]:
        raise MedslmError(
            "attention along paths takes one row of tokens with its `paths`, without padding, mask or cache; give the "
            "model its own attention back: set_attn_implementation('sdpa')"
        )
    if softcap is not None or not kwargs.get("is_causal", getattr(module, "is_causal", True)):
        raise MedslmError(f"{type(module).__name__} caps its attention scores, or lets tokens see those that follow")
    q, k, v = (tensor[0].transpose(0, 1) for tensor in (query, key, value))
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    return along(q, k, v, paths, scale, sliding_window, s_aux)[None], None


def along(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    paths: Paths,
    scale: float,
    window: int | None,
    sinks: torch.Tensor | None = None,
) -> torch.Tensor:
    """Attention of all branches: query (T, Hq, D), key and value (T, Hk, D) -> (T, Hq, D)."""
    longest = max(keys for _, keys in paths.lengths)
    window = None if window is None or window >= longest else window
    if paths.places is not None:
        key, value = key.index_select(0, paths.places), value.index_select(0, paths.places)
    if sinks is None and varlen.has_kernel(query):
        bounds, most = (paths.queries, paths.keys), (max(added for added, _ in paths.lengths), longest)
        return varlen.kernel(query, key, value, bounds, most, scale, window)
    added, seen = ([pair[side] for pair in paths.lengths] for side in (0, 1))
    branches = zip(torch.split(query, added), torch.split(key, seen), torch.split(value, seen), strict=True)
    return torch.cat([_branch(q, k, v, scale, window, sinks, paths) for q, k, v in branches])


def _branch(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scale: float,
    window: int | None,
    sinks: torch.Tensor | None,
    paths: Paths,
) -> torch.Tensor:
    """One branch: (L, Hq, D), (K, Hk, D), (K, Hk, D) -> (L, Hq, D)."""
    added, seen, heads = len(query), len(key), query.shape[1]
    grouped = key.shape[1] != heads
    if grouped and (query.is_cuda or sinks is not None):  # fused CUDA kernels for float32 know no groups
        key, value = (tensor.repeat_interleave(heads // tensor.shape[1], dim=1) for tensor in (key, value))
        grouped = False
    q, k, v = (tensor.transpose(0, 1)[None] for tensor in (query, key, value))  # (1, H, L, D)
    if sinks is not None:
        visible = varlen.visible(added, seen, window, query.device)
        return varlen.with_sinks(q, k, v, scale, visible, 0.0, sinks)[0].transpose(0, 1)
    banded = window is not None and seen > window
    mask = paths.mask(added, seen, window, query) if banded or 1 < added < seen else None
    causal = mask is None and added == seen
    out = scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal, scale=scale, enable_gqa=grouped)
    return out[0].transpose(0, 1)
