"""Triton kernels of the rotary embedding, with the normalisation of heads where a base has one; see `kernels`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import triton
import triton.language as tl

from medslm.models.fast.kernels import Quantized, places, room, weigh

if TYPE_CHECKING:
    from medslm.models.fast.elementwise import Angles, Heads


def rope(joined: torch.Tensor, out: torch.Tensor, angles: Angles, heads: Heads) -> None:
    """As `elementwise.rope`, into `out`, which may be `joined` itself where heads are not normalised."""
    sizes = _sizes(heads, joined.shape[1], angles)
    _rope[(len(joined),)](joined, out, *angles, *_weights(heads, joined), **sizes, num_warps=4)


def rope_backward(
    parts: tuple[torch.Tensor, ...], joined: torch.Tensor | None, angles: Angles, heads: Heads, fp8: bool
) -> tuple[torch.Tensor, Quantized | None]:
    """As `elementwise.rope_backward`."""
    rows, _, size = parts[0].shape
    back = parts[0].new_empty(rows, (heads.queries + 2 * heads.keys) * size)
    quantized = room(rows, back.shape[1], back, fp8)
    before = back if joined is None else joined
    contiguous = [part.contiguous() for part in parts]
    where, sizes = places(quantized, back), _sizes(heads, back.shape[1], angles)
    rest = size - angles[0].shape[1]
    sizes["REST"] = triton.next_power_of_2(rest) if rest else 0
    _rope_backward[(rows,)](
        *contiguous, before, back, *where, *angles, *_weights(heads, back), **sizes, FP8=fp8, num_warps=4
    )
    return back, quantized


def _weights(heads: Heads, instead: torch.Tensor) -> tuple[Any, ...]:
    """Of the heads' norms, and what is added to a mean square."""
    if heads.norms is None:
        return instead, instead, 0.0
    query, key = heads.norms
    return query.weight, key.weight, query.eps


def _sizes(heads: Heads, width: int, angles: Angles) -> dict[str, Any]:
    """Of a row `width` wide. `half` of a head's dimensions that are rotated is paired with the other half."""
    size, half = width // (heads.queries + 2 * heads.keys), angles[0].shape[1] // 2
    if heads.norms is not None and size != 2 * half:
        raise ValueError(f"heads of {size} that are normalised are rotated as a whole, not {2 * half} of them")
    up = triton.next_power_of_2
    return {
        "queries": heads.queries,
        "keys": heads.keys,
        "size": size,
        "half": half,
        "NORM": heads.norms is not None,
        "ONE_MORE": heads.norms is not None and heads.norms[0].one_more,
        "QUERIES": up(heads.queries),
        "KEYS": up(heads.keys),
        "HALF": up(half),
    }


@triton.jit
def _turn(
    joined, out, start, number, weight, eps, c1, c2, s1, s2, size, half,
    NORM: tl.constexpr, ONE_MORE: tl.constexpr, HEADS: tl.constexpr, HALF: tl.constexpr,
):  # fmt: skip
    """Rotate `number` heads from `start` on; what is behind their two halves stays as it is."""
    head, lane = tl.arange(0, HEADS)[:, None], tl.arange(0, HALF)[None, :]
    mask = (head < number) & (lane < half)
    at = start + head * size + lane
    a, b = tl.load(joined + at, mask, 0.0).to(tl.float32), tl.load(joined + at + half, mask, 0.0).to(tl.float32)
    kind: tl.constexpr = out.dtype.element_ty
    if NORM:
        scale = tl.rsqrt((tl.sum(a * a, 1) + tl.sum(b * b, 1)) / size + eps)[:, None]
        w1 = tl.load(weight + lane, lane < half, 0.0).to(tl.float32)
        w2 = tl.load(weight + half + lane, lane < half, 0.0).to(tl.float32)
        a, b = weigh(a * scale, w1, kind, ONE_MORE), weigh(b * scale, w2, kind, ONE_MORE)
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
    joined, out, cos, sin, query_weight, key_weight, eps, queries, keys, size, half,
    NORM: tl.constexpr, ONE_MORE: tl.constexpr, QUERIES: tl.constexpr, KEYS: tl.constexpr, HALF: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    c1, c2, s1, s2 = _angles(cos, sin, row, half, HALF)
    at = row * (queries + 2 * keys) * size
    _turn(joined, out, at, queries, query_weight, eps, c1, c2, s1, s2, size, half, NORM, ONE_MORE, QUERIES, HALF)
    at += queries * size
    _turn(joined, out, at, keys, key_weight, eps, c1, c2, s1, s2, size, half, NORM, ONE_MORE, KEYS, HALF)
    if NORM:  # into another tensor, which wants the values too
        a, b = _two(joined, at + keys * size, keys, size, half, KEYS, HALF)
        _lay(out, at + keys * size, keys, a, b, size, half, KEYS, HALF)


@triton.jit
def _two(rows, start, number, size, half, HEADS: tl.constexpr, HALF: tl.constexpr):
    """The first and the second half of what is rotated of `number` heads from `start` on."""
    head, lane = tl.arange(0, HEADS)[:, None], tl.arange(0, HALF)[None, :]
    mask, at = (head < number) & (lane < half), start + head * size + lane
    return tl.load(rows + at, mask, 0.0), tl.load(rows + at + half, mask, 0.0)


@triton.jit
def _lay(out, start, number, a, b, size, half, HEADS: tl.constexpr, HALF: tl.constexpr):
    """Store what `_two` loads."""
    head, lane = tl.arange(0, HEADS)[:, None], tl.arange(0, HALF)[None, :]
    mask, at = (head < number) & (lane < half), start + head * size + lane
    tl.store(out + at, a.to(out.dtype.element_ty), mask)
    tl.store(out + at + half, b.to(out.dtype.element_ty), mask)


@triton.jit
def _turn_back(
    part, before, start, row, number, weight, eps, c1, c2, s1, s2, size, half,
    kind: tl.constexpr, NORM: tl.constexpr, ONE_MORE: tl.constexpr, HEADS: tl.constexpr, HALF: tl.constexpr,
):  # fmt: skip
    """The gradient of `number` heads before they were rotated, and normalised."""
    g1, g2 = _two(part, row * number * size, number, size, half, HEADS, HALF)
    g1, g2 = g1.to(tl.float32), g2.to(tl.float32)
    a, b = g1 * c1 + g2 * s2, g2 * c2 - g1 * s1
    if NORM:
        lane = tl.arange(0, HALF)[None, :]
        x1, x2 = _two(before, start, number, size, half, HEADS, HALF)
        x1, x2 = x1.to(tl.float32), x2.to(tl.float32)
        scale = tl.rsqrt((tl.sum(x1 * x1, 1) + tl.sum(x2 * x2, 1)) / size + eps)[:, None]
        w1 = tl.load(weight + lane, lane < half, 0.0).to(tl.float32)
        w2 = tl.load(weight + half + lane, lane < half, 0.0).to(tl.float32)
        a, b = a * (1.0 + w1 if ONE_MORE else w1), b * (1.0 + w2 if ONE_MORE else w2)
        x1, x2 = x1 * scale, x2 * scale
        mean = ((tl.sum(a * x1, 1) + tl.sum(b * x2, 1)) / size)[:, None]
        a, b = scale * (a - x1 * mean), scale * (b - x2 * mean)
    return a.to(kind), b.to(kind)


@triton.jit
def _rest(rows, start, number, size, turned, HEADS: tl.constexpr, REST: tl.constexpr):
    """What is not rotated of `number` heads from `start` on."""
    head, lane = tl.arange(0, HEADS)[:, None], turned + tl.arange(0, REST)[None, :]
    return tl.load(rows + start + head * size + lane, (head < number) & (lane < size), 0.0)


@triton.jit
def _lay_rest(out, start, number, rest, size, turned, HEADS: tl.constexpr, REST: tl.constexpr):
    """Store what `_rest` loads."""
    head, lane = tl.arange(0, HEADS)[:, None], turned + tl.arange(0, REST)[None, :]
    tl.store(out + start + head * size + lane, rest.to(out.dtype.element_ty), (head < number) & (lane < size))


@triton.jit
def _most(a):
    return tl.max(tl.max(tl.abs(a.to(tl.float32)), 1), 0)


@triton.jit
def _rope_backward(
    of_queries, of_keys, of_values, before, back, values, scales, cos, sin, query_weight, key_weight, eps, queries, keys,
    size, half, NORM: tl.constexpr, ONE_MORE: tl.constexpr, QUERIES: tl.constexpr, KEYS: tl.constexpr,
    HALF: tl.constexpr, REST: tl.constexpr, FP8: tl.constexpr,
):  # fmt: skip
    """`REST`: lanes for the dimensions of a head that are not rotated, if any."""
    row = tl.program_id(0).to(tl.int64)
    c1, c2, s1, s2 = _angles(cos, sin, row, half, HALF)
    first = row * (queries + 2 * keys) * size
    second = first + queries * size
    third = second + keys * size
    kind: tl.constexpr = back.dtype.element_ty
    qa, qb = _turn_back(
        of_queries, before, first, row, queries, query_weight, eps, c1, c2, s1, s2, size, half,
        kind, NORM, ONE_MORE, QUERIES, HALF,
    )  # fmt: skip
    ka, kb = _turn_back(
        of_keys, before, second, row, keys, key_weight, eps, c1, c2, s1, s2, size, half,
        kind, NORM, ONE_MORE, KEYS, HALF,
    )  # fmt: skip
    va, vb = _two(of_values, row * keys * size, keys, size, half, KEYS, HALF)
    _lay(back, first, queries, qa, qb, size, half, QUERIES, HALF)
    _lay(back, second, keys, ka, kb, size, half, KEYS, HALF)
    _lay(back, third, keys, va, vb, size, half, KEYS, HALF)
    if REST:
        qr = _rest(of_queries, row * queries * size, queries, size, 2 * half, QUERIES, REST)
        kr = _rest(of_keys, row * keys * size, keys, size, 2 * half, KEYS, REST)
        vr = _rest(of_values, row * keys * size, keys, size, 2 * half, KEYS, REST)
        _lay_rest(back, first, queries, qr, size, 2 * half, QUERIES, REST)
        _lay_rest(back, second, keys, kr, size, 2 * half, KEYS, REST)
        _lay_rest(back, third, keys, vr, size, 2 * half, KEYS, REST)
    if FP8:
        most = tl.maximum(tl.maximum(_most(qa), _most(qb)), tl.maximum(_most(ka), _most(kb)))
        most = tl.maximum(most, tl.maximum(_most(va), _most(vb)))
        if REST:
            most = tl.maximum(most, tl.maximum(_most(qr), tl.maximum(_most(kr), _most(vr))))
        scale = tl.maximum(most, 1e-12) / 448.0
        _lay(values, first, queries, qa.to(tl.float32) / scale, qb.to(tl.float32) / scale, size, half, QUERIES, HALF)
        _lay(values, second, keys, ka.to(tl.float32) / scale, kb.to(tl.float32) / scale, size, half, KEYS, HALF)
        _lay(values, third, keys, va.to(tl.float32) / scale, vb.to(tl.float32) / scale, size, half, KEYS, HALF)
        if REST:
            _lay_rest(values, first, queries, qr.to(tl.float32) / scale, size, 2 * half, QUERIES, REST)
            _lay_rest(values, second, keys, kr.to(tl.float32) / scale, size, 2 * half, KEYS, REST)
            _lay_rest(values, third, keys, vr.to(tl.float32) / scale, size, 2 * half, KEYS, REST)
        tl.store(scales + row, scale)
