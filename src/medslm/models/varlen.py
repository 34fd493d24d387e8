"""Causal attention within each document of a packed row: one CUDA kernel, or document by document."""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

import torch
from torch.nn.functional import dropout as drop
from torch.nn.functional import scaled_dot_product_attention


def isolated(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    boundaries: torch.Tensor,
    longest: int,
    scale: float,
    window: int | None = None,
    dropout: float = 0.0,
    sinks: torch.Tensor | None = None,
) -> torch.Tensor:
    """Causal attention within each document: query (T, Hq, D), key and value (T, Hk, D) -> (T, Hq, D); differentiable.

    `boundaries`: (documents + 1,) int32 on the query's device; `window`: a token sees itself and `window - 1` before
    it; `sinks`: (Hq,) scores of a key without value that every token sees (gpt-oss, arXiv:2508.10925).
    """
    if window is not None and window >= longest:
        window = None
    if dropout == 0.0 and sinks is None and has_kernel(query):
        return kernel(query, key, value, (boundaries, boundaries), (longest, longest), scale, window)
    lengths = boundaries.diff().tolist()
    documents = zip(*(torch.split(tensor, lengths) for tensor in (query, key, value)), strict=True)
    return torch.cat([_document(q, k, v, scale, window, dropout, sinks) for q, k, v in documents])


def has_kernel(query: torch.Tensor) -> bool:
    """FlashAttention's: Ampere or later, 16-bit floats, heads of up to 256 in steps of 8 (arXiv:2307.08691)."""
    if not query.is_cuda or query.dtype not in (torch.bfloat16, torch.float16):
        return False
    size = query.shape[-1]
    return size <= 256 and size % 8 == 0 and torch.cuda.get_device_capability(query.device) >= (8, 0)


def kernel(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    bounds: tuple[torch.Tensor, torch.Tensor],
    longest: tuple[int, int],
    scale: float,
    window: int | None,
) -> torch.Tensor:
    """All documents in one kernel: `bounds` and `longest` of the queries and of the keys, whose ends are aligned.

    torch 2.11 takes fewer key heads unasked, later ones only with `enable_gqa`.
    """
    from torch.nn.attention.varlen import varlen_attn

    options: dict[str, Any] = {"enable_gqa": key.shape[1] != query.shape[1]} if _asks_for_groups() else {}
    behind = -1 if window is None else window - 1
    out = varlen_attn(query, key, value, *bounds, *longest, scale=scale, window_size=(behind, 0), **options)
    assert isinstance(out, torch.Tensor)  # and no log-sum-exp, which was not asked for
    return out


@cache
def _asks_for_groups() -> bool:
    """Whether this torch wants to be told that there are fewer key heads than query heads."""
    from torch.nn.attention.varlen import varlen_attn

    return "enable_gqa" in inspect.signature(varlen_attn).parameters


def _document(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scale: float,
    window: int | None,
    dropout: float,
    sinks: torch.Tensor | None,
) -> torch.Tensor:
    """One document: (L, Hq, D), (L, Hk, D), (L, Hk, D) -> (L, Hq, D)."""
    length, heads = query.shape[:2]
    grouped = key.shape[1] != heads
    if grouped and (query.is_cuda or sinks is not None):  # fused CUDA kernels for float32 know no groups
        key, value = (tensor.repeat_interleave(heads // tensor.shape[1], dim=1) for tensor in (key, value))
        grouped = False
    q, k, v = (tensor.transpose(0, 1)[None] for tensor in (query, key, value))  # (1, H, L, D)
    if sinks is not None:
        return with_sinks(q, k, v, scale, visible(length, length, window, query.device), dropout, sinks)[0].transpose(
            0, 1
        )
    banded = window is not None and length > window
    mask = visible(length, length, window, query.device) if banded else None
    out = scaled_dot_product_attention(
        q, k, v, attn_mask=mask, dropout_p=dropout, is_causal=not banded, scale=scale, enable_gqa=grouped
    )
    return out[0].transpose(0, 1)


def visible(added: int, seen: int, window: int | None, device: torch.device) -> torch.Tensor:
    """(L, K) bool: whether one of the last `added` of `seen` tokens sees each of them."""
    behind = torch.arange(seen - added, seen, device=device)[:, None] - torch.arange(seen, device=device)
    return behind >= 0 if window is None else (behind >= 0) & (behind < window)


def with_sinks(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scale: float,
    mask: torch.Tensor,
    dropout: float,
    sinks: torch.Tensor,
) -> torch.Tensor:
    """As gpt-oss defines it: a column of sinks takes part in the softmax, which is in float32, and is dropped after."""
    precise = torch.promote_types(query.dtype, torch.float32)
    scores = (query @ key.transpose(-1, -2) * scale).to(precise).masked_fill(~mask, -torch.inf)  # (1, H, L, L)
    column = sinks.to(precise).view(1, -1, 1, 1).expand(*scores.shape[:-1], 1)
    weights = torch.cat([scores, column], dim=-1).softmax(dim=-1)[..., :-1]
    return drop(weights, dropout).to(value.dtype) @ value
