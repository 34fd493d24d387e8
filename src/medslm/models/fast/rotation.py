"""Triton kernels of the rotary embedding, with the normalisation of heads where a base has one; see `kernels`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import triton
import triton.language as tl

from medslm.models.fast.kernels import Quantized, places, room

if TYPE_CHECKING:
    from medslm.models.fast.elementwise import Heads


def rope(joined: torch.Tensor, out: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, heads: Heads) -> None:
    """As `elementwise.rope`, into `out`, which may be `joined` itself where heads are not normalised."""
    _rope[(len(joined),)](joined, out, cos, sin, *_norms(heads, joined), *_heads(heads, cos), num_warps=4)


def rope_backward(
    parts: tuple[torch.Tensor, ...],
    joined: torch.Tensor | None,
    cos: torch.Tensor,
    sin: torch.Tensor,
    heads: Heads,
    fp8: bool,
) -> tuple[torch.Tensor, Quantized | None]:
    """As `elementwise.rope_backward`."""
    rows, size = len(cos), cos.shape[1]
    back = cos.new_empty(rows, (heads.queries + 2 * heads.keys) * size, dtype=parts[0].dtype)
    quantized = room(rows, back.shape[1], back, fp8)
    before = back if joined is None else joined
    contiguous = [part.contiguous() for part in parts]
    where = places(quantized, back)
    _rope_backward[(rows,)](
        *contiguous, before, back, *where, cos, sin, *_norms(heads, back), *_heads(heads, cos), fp8, num_warps=4
    )
    return back, quantized


def _norms(heads: Heads, instead: torch.Tensor) -> tuple[Any, ...]:
    return (*(heads.weights or (instead, instead)), heads.eps)


def _heads(heads: Heads, cos: torch.Tensor) -> tuple[Any, ...]:
    half = cos.shape[1] // 2
    up = triton.next_power_of_2
    return heads.queries, heads.keys, half, heads.weights is not None, up(heads.queries), up(heads.keys), up(half)


@triton.jit
def _turn(
    joined,
    out,
    start,
    number,
    weight,
    eps,
    c1,
    c2,
    s1,
    s2,
    half,
    NORM: tl.constexpr,
    HEADS: tl.constexpr,
    HALF: tl.constexpr,
):
    """Rotate `number` heads from `start` on."""
    head, lane = tl.arange(0, HEADS)[:, None], tl.arange(0, HALF)[None, :]
    mask = (head < number) & (lane < half)
    at = start + head * 2 * half + lane
    a, b = tl.load(joined + at, mask, 0.0).to(tl.float32), tl.load(joined + at + half, mask, 0.0).to(tl.float32)
    kind = out.dtype.element_ty
    if NORM:
        scale = tl.rsqrt((tl.sum(a * a, 1) + tl.sum(b * b, 1)) / (2 * half) + eps)[:, None]
        w1 = tl.load(weight + lane, lane < half, 0.0).to(tl.float32)
        w2 = tl.load(weight + half + lane, lane < half, 0.0).to(tl.float32)
        a, b = (a * scale).to(kind).to(tl.float32) * w1, (b * scale).to(kind).to(tl.float32) * w2
    tl.store(out + at, (a * c1 - b * s1).to(kind), mask)
    tl.store(out + at + half, (b * c2 + a * s2).to(kind), mask)


@triton.jit
def _angles(cos, sin, row, half, HALF: tl.constexpr):
    lane = tl.arange(0, HALF)[None, :]
    mask, at = lane < half, row * 2 * half + lane
    c1, c2 = tl.load(cos + at, mask, 0.0).to(tl.float32), tl.load(cos + at + half, mask, 0.0).to(tl.float32)
    s1, s2 = tl.load(sin + at, mask, 0.0).to(tl.float32), tl.load(sin + at + half, mask, 0.0).to(tl.float32)
    return c1, c2, s1, s2


@triton.jit
def _rope(
    joined, out, cos, sin, query_weight, key_weight, eps, queries, keys, half,
    NORM: tl.constexpr, QUERIES: tl.constexpr, KEYS: tl.constexpr, HALF: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    c1, c2, s1, s2 = _angles(cos, sin, row, half, HALF)
    start = row * (queries + 2 * keys) * 2 * half
    _turn(joined, out, start, queries, query_weight, eps, c1, c2, s1, s2, half, NORM, QUERIES, HALF)
    start += queries * 2 * half
    _turn(joined, out, start, keys, key_weight, eps, c1, c2, s1, s2, half, NORM, KEYS, HALF)
    if NORM:  # into another tensor, which wants the values too
        start += keys * 2 * half
        head, lane = tl.arange(0, KEYS)[:, None], tl.arange(0, HALF)[None, :]
        mask, at = (head < keys) & (lane < half), start + head * 2 * half + lane
        tl.store(out + at, tl.load(joined + at, mask, 0.0), mask)
        tl.store(out + at + half, tl.load(joined + at + half, mask, 0.0), mask)


@triton.jit
def _turn_back(
    part,
    before,
    start,
    row,
    number,
    weight,
    eps,
    c1,
    c2,
    s1,
    s2,
    half,
    kind: tl.constexpr,
    NORM: tl.constexpr,
    HEADS: tl.constexpr,
    HALF: tl.constexpr,
):
    """The gradient of `number` heads before they were rotated, and normalised."""
    head, lane = tl.arange(0, HEADS)[:, None], tl.arange(0, HALF)[None, :]
    mask = (head < number) & (lane < half)
    at = row * number * 2 * half + head * 2 * half + lane
    g1, g2 = tl.load(part + at, mask, 0.0).to(tl.float32), tl.load(part + at + half, mask, 0.0).to(tl.float32)
    a, b = g1 * c1 + g2 * s2, g2 * c2 - g1 * s1
    if NORM:
        from_ = before + start + head * 2 * half + lane
        x1, x2 = tl.load(from_, mask, 0.0).to(tl.float32), tl.load(from_ + half, mask, 0.0).to(tl.float32)
        scale = tl.rsqrt((tl.sum(x1 * x1, 1) + tl.sum(x2 * x2, 1)) / (2 * half) + eps)[:, None]
        a *= tl.load(weight + lane, lane < half, 0.0).to(tl.float32)
        b *= tl.load(weight + half + lane, lane < half, 0.0).to(tl.float32)
        x1, x2 = x1 * scale, x2 * scale
        mean = ((tl.sum(a * x1, 1) + tl.sum(b * x2, 1)) / (2 * half))[:, None]
        a, b = scale * (a - x1 * mean), scale * (b - x2 * mean)
    return a.to(kind), b.to(kind)


@triton.jit
def _lay(out, start, number, a, b, half, HEADS: tl.constexpr, HALF: tl.constexpr):
    head, lane = tl.arange(0, HEADS)[:, None], tl.arange(0, HALF)[None, :]
    mask, at = (head < number) & (lane < half), start + head * 2 * half + lane
    tl.store(out + at, a.to(out.dtype.element_ty), mask)
    tl.store(out + at + half, b.to(out.dtype.element_ty), mask)


@triton.jit
def _most(a, b):
    return tl.maximum(tl.max(tl.max(tl.abs(a.to(tl.float32)), 1), 0), tl.max(tl.max(tl.abs(b.to(tl.float32)), 1), 0))


@triton.jit
def _rope_backward(
    of_queries, of_keys, of_values, before, back, values, scales, cos, sin, query_weight, key_weight, eps, queries, keys,
    half, NORM: tl.constexpr, QUERIES: tl.constexpr, KEYS: tl.constexpr, HALF: tl.constexpr, FP8: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    c1, c2, s1, s2 = _angles(cos, sin, row, half, HALF)
    first = row * (queries + 2 * keys) * 2 * half
    second = first + queries * 2 * half
    third = second + keys * 2 * half
    kind: tl.constexpr = back.dtype.element_ty
    qa, qb = _turn_back(
        of_queries, before, first, row, queries, query_weight, eps, c1, c2, s1, s2, half, kind, NORM, QUERIES, HALF
    )
    ka, kb = _turn_back(
        of_keys, before, second, row, keys, key_weight, eps, c1, c2, s1, s2, half, kind, NORM, KEYS, HALF
    )
    head, lane = tl.arange(0, KEYS)[:, None], tl.arange(0, HALF)[None, :]
    mask, at = (head < keys) & (lane < half), row * keys * 2 * half + head * 2 * half + lane
    va, vb = tl.load(of_values + at, mask, 0.0), tl.load(of_values + at + half, mask, 0.0)
    _lay(back, first, queries, qa, qb, half, QUERIES, HALF)
    _lay(back, second, keys, ka, kb, half, KEYS, HALF)
    _lay(back, third, keys, va, vb, half, KEYS, HALF)
    if FP8:
        most = tl.maximum(tl.maximum(_most(qa, qb), _most(ka, kb)), _most(va, vb))
        scale = tl.maximum(most, 1e-12) / 448.0
        _lay(values, first, queries, qa.to(tl.float32) / scale, qb.to(tl.float32) / scale, half, QUERIES, HALF)
        _lay(values, second, keys, ka.to(tl.float32) / scale, kb.to(tl.float32) / scale, half, KEYS, HALF)
        _lay(values, third, keys, va.to(tl.float32) / scale, vb.to(tl.float32) / scale, half, KEYS, HALF)
        tl.store(scales + row, scale)
