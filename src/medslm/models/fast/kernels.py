"""Triton kernels for what stands between the matrix products: one program a row, each value read and written once.

They compute what `elementwise` writes out in torch; what torch.compile makes of that was two to twenty times as slow where
halves of rows are joined: of one H100's step of 534 ms with torch 2.11, the rotary embedding took 117 ms, and takes 7.
Rows are contiguous. `FP8` also gives each row in e4m3 with its scale, while it is in registers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import triton
import triton.language as tl

if TYPE_CHECKING:
    from medslm.models.fast.elementwise import Norm

Quantized = tuple[torch.Tensor, torch.Tensor]
"""Rows in e4m3 (T, K) and their scales (T, 1) in float32."""


def rms_norm(
    hidden: torch.Tensor, norm: Norm, fp8: bool, add: torch.Tensor | None = None
) -> tuple[torch.Tensor, Quantized | None]:
    """As `elementwise.rms_norm`."""
    rows, size = hidden.shape
    normal, quantized = torch.empty_like(hidden), room(rows, size, hidden, fp8)
    more, where = hidden if add is None else add, places(quantized, normal)
    kind = {"ONE_MORE": norm.one_more, "ADD": add is not None, "ONTO": False, "FP8": fp8}
    _rms_norm[(rows,)](hidden, more, norm.weight, normal, *where, norm.eps, size, **kind, **_block(size))
    return normal, quantized


def outer_norm(hidden: torch.Tensor, norm: Norm, onto: torch.Tensor) -> torch.Tensor:
    """As `elementwise.outer_norm`."""
    rows, size = hidden.shape
    total = torch.empty_like(hidden)
    kind = {"ONE_MORE": norm.one_more, "ADD": False, "ONTO": True, "FP8": False}
    _rms_norm[(rows,)](hidden, onto, norm.weight, total, total, total, norm.eps, size, **kind, **_block(size))
    return total


def rms_norm_backward(
    hidden: torch.Tensor, norm: Norm, gradient: torch.Tensor, past: torch.Tensor, fp8: bool
) -> tuple[torch.Tensor, torch.Tensor, Quantized | None]:
    """As `elementwise.rms_norm_backward`; the normalised states are written over `gradient`."""
    back, quantized = _back(hidden, norm, gradient, past, fp8)
    return back, gradient, quantized


def outer_norm_backward(
    hidden: torch.Tensor, norm: Norm, gradient: torch.Tensor, fp8: bool
) -> tuple[torch.Tensor, Quantized | None]:
    """As `elementwise.outer_norm_backward`."""
    return _back(hidden, norm, gradient, None, fp8)


def _back(
    hidden: torch.Tensor, norm: Norm, gradient: torch.Tensor, past: torch.Tensor | None, fp8: bool
) -> tuple[torch.Tensor, Quantized | None]:
    rows, size = hidden.shape
    back, quantized = torch.empty_like(hidden), room(rows, size, hidden, fp8)
    beside, where = gradient if past is None else past, places(quantized, back)
    kind = {"ONE_MORE": norm.one_more, "PAST": past is not None, "FP8": fp8}
    _rms_norm_backward[(rows,)](
        hidden, norm.weight, gradient, beside, back, *where, norm.eps, size, **kind, **_block(size)
    )
    return back, quantized


def gated(joined: torch.Tensor, gelu: bool, fp8: bool) -> tuple[torch.Tensor, Quantized | None]:
    """As `elementwise.gated`."""
    rows, size = joined.shape[0], joined.shape[1] // 2
    product, quantized = joined.new_empty(rows, size), room(rows, size, joined, fp8)
    _gated[(rows,)](joined, product, *places(quantized, product), size, gelu, fp8, **_block(size))
    return product, quantized


def gated_backward(
    joined: torch.Tensor, gradient: torch.Tensor, gelu: bool, fp8: bool
) -> tuple[torch.Tensor, torch.Tensor, Quantized | None]:
    """As `elementwise.gated_backward`, written over `joined` and `gradient`."""
    rows, size = gradient.shape
    quantized = room(rows, 2 * size, joined, fp8)
    _gated_backward[(rows,)](joined, gradient, *places(quantized, joined), size, gelu, fp8, **_block(size))
    return joined, gradient, quantized


def quantize(rows: torch.Tensor) -> Quantized:
    """As `elementwise.quantize`."""
    number, size = rows.shape
    values, scales = _eight_bits(number, size, rows)
    _quantize[(number,)](rows, values, scales, size, **_block(size))
    return values, scales


def cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """As `elementwise.cross_entropy`."""
    rows, size = logits.shape
    losses = torch.empty(rows, dtype=torch.float32, device=logits.device)
    _cross_entropy[(rows,)](logits, targets, losses, size, BLOCK=min(4096, triton.next_power_of_2(size)), num_warps=8)
    return losses


def unpack_nf4(weight: torch.Tensor, state: Any, into: torch.Tensor) -> None:
    """Doubly quantised NF4 (arXiv:2305.14314) as bitsandbytes packs it, dense, into `into` (N, K).

    One launch where bitsandbytes takes four; a small model has hundreds of weights to unpack in a pass.
    """
    number, inner = weight.numel(), state.state2
    grid = (triton.cdiv(number, 1024),)
    scales = (state.absmax, inner.code, inner.absmax, state.offset)
    sizes = (state.blocksize // 2, inner.blocksize)
    _unpack_nf4[grid](weight, *scales, state.code, into, number, *sizes, BLOCK=1024, num_warps=4)


def room(rows: int, size: int, like: torch.Tensor, fp8: bool) -> Quantized | None:
    """Where rows in e4m3 and their scales will stand, if they are wanted."""
    return _eight_bits(rows, size, like) if fp8 else None


def _eight_bits(rows: int, size: int, like: torch.Tensor) -> Quantized:
    values = torch.empty(rows, size, dtype=torch.float8_e4m3fn, device=like.device)
    return values, torch.empty(rows, 1, dtype=torch.float32, device=like.device)


def places(quantized: Quantized | None, instead: torch.Tensor) -> Quantized:
    """The two pointers that a kernel takes; any tensor will do if they are not used."""
    return quantized or (instead, instead)


def _block(size: int) -> dict[str, int]:
    block = triton.next_power_of_2(size)
    return {"BLOCK": block, "num_warps": 4 if block <= 1024 else 8 if block <= 4096 else 16}  # fewer spill registers


@triton.jit
def _keep(values, scales, row, columns, mask, y, width):
    """Store a row `y` in e4m3, with its scale."""
    scale = tl.maximum(tl.max(tl.abs(y), 0), 1e-12) / 448.0
    tl.store(values + row * width + columns, (y / scale).to(values.dtype.element_ty), mask)
    tl.store(scales + row, scale)


@triton.jit
def weigh(normal, weight, kind: tl.constexpr, ONE_MORE: tl.constexpr):
    """Normalised values times the norm's weight, in float32 (`elementwise.Norm`)."""
    return normal * (1.0 + weight) if ONE_MORE else normal.to(kind).to(tl.float32) * weight


@triton.jit
def _rms_norm(
    hidden, other, weight, normal, values, scales, eps, size, ONE_MORE: tl.constexpr, ADD: tl.constexpr,
    ONTO: tl.constexpr, FP8: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """`other` is what is added to the states before they are normalised (ADD) or afterwards (ONTO)."""
    row, columns = tl.program_id(0).to(tl.int64), tl.arange(0, BLOCK)
    mask = columns < size
    at = row * size + columns
    x = tl.load(hidden + at, mask, 0.0).to(tl.float32)
    w = tl.load(weight + columns, mask, 0.0).to(tl.float32)
    kind: tl.constexpr = normal.dtype.element_ty
    if ADD:
        x = (x + tl.load(other + at, mask, 0.0).to(tl.float32)).to(kind)
        tl.store(hidden + at, x, mask)
        x = x.to(tl.float32)
    y = weigh(x * tl.rsqrt(tl.sum(x * x, 0) / size + eps), w, kind, ONE_MORE).to(kind)
    if ONTO:
        y = (y.to(tl.float32) + tl.load(other + at, mask, 0.0).to(tl.float32)).to(kind)
    tl.store(normal + at, y, mask)
    if FP8:
        _keep(values, scales, row, columns, mask, y.to(tl.float32), size)


@triton.jit
def _rms_norm_backward(
    hidden, weight, gradient, past, back, values, scales, eps, size, ONE_MORE: tl.constexpr, PAST: tl.constexpr,
    FP8: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """With PAST, the normalised states are written over the gradient."""
    row, columns = tl.program_id(0).to(tl.int64), tl.arange(0, BLOCK)
    mask = columns < size
    at = row * size + columns
    x = tl.load(hidden + at, mask, 0.0).to(tl.float32)
    w = tl.load(weight + columns, mask, 0.0).to(tl.float32)
    through = tl.load(gradient + at, mask, 0.0).to(tl.float32) * (1.0 + w if ONE_MORE else w)
    scale = tl.rsqrt(tl.sum(x * x, 0) / size + eps)
    kind: tl.constexpr = back.dtype.element_ty
    y = x * scale
    whole = scale * (through - y * (tl.sum(through * y, 0) / size))
    if PAST:
        whole += tl.load(past + at, mask, 0.0).to(tl.float32)
        tl.store(gradient + at, weigh(y, w, kind, ONE_MORE).to(kind), mask)
    whole = whole.to(kind)
    tl.store(back + at, whole, mask)
    if FP8:
        _keep(values, scales, row, columns, mask, whole.to(tl.float32), size)


@triton.jit
def _sigmoid(gate, GELU: tl.constexpr):
    """What SiLU or GELU multiply x with, and the derivative of what it is the sigmoid of (`elementwise`)."""
    if GELU:
        square = 0.044715 * gate * gate
        sigmoid = tl.sigmoid(1.5957691216057308 * gate * (1.0 + square))
        slope = 1.5957691216057308 * (1.0 + 3.0 * square)
    else:
        sigmoid, slope = tl.sigmoid(gate), 1.0
    return sigmoid, slope


@triton.jit
def _gated(joined, product, values, scales, size, GELU: tl.constexpr, FP8: tl.constexpr, BLOCK: tl.constexpr):
    row, columns = tl.program_id(0).to(tl.int64), tl.arange(0, BLOCK)
    mask = columns < size
    at = joined + row * 2 * size + columns
    gate, up = tl.load(at, mask, 0.0).to(tl.float32), tl.load(at + size, mask, 0.0).to(tl.float32)
    kind = product.dtype.element_ty
    sigmoid, _ = _sigmoid(gate, GELU)
    y = ((gate * sigmoid).to(kind).to(tl.float32) * up).to(kind)
    tl.store(product + row * size + columns, y, mask)
    if FP8:
        _keep(values, scales, row, columns, mask, y.to(tl.float32), size)


@triton.jit
def _gated_backward(joined, gradient, values, scales, size, GELU: tl.constexpr, FP8: tl.constexpr, BLOCK: tl.constexpr):
    row, columns = tl.program_id(0).to(tl.int64), tl.arange(0, BLOCK)
    mask = columns < size
    at = joined + row * 2 * size + columns
    gate, up = tl.load(at, mask, 0.0).to(tl.float32), tl.load(at + size, mask, 0.0).to(tl.float32)
    back = tl.load(gradient + row * size + columns, mask, 0.0).to(tl.float32)
    sigmoid, slope = _sigmoid(gate, GELU)
    active = gate * sigmoid
    kind = joined.dtype.element_ty
    of_gate = (back * up * sigmoid * (1 + gate * slope * (1 - sigmoid))).to(kind)
    of_up = (back * active).to(kind)
    tl.store(at, of_gate, mask)
    tl.store(at + size, of_up, mask)
    tl.store(gradient + row * size + columns, (active.to(kind).to(tl.float32) * up).to(kind), mask)
    if FP8:
        one, two = of_gate.to(tl.float32), of_up.to(tl.float32)
        scale = tl.maximum(tl.maximum(tl.max(tl.abs(one), 0), tl.max(tl.abs(two), 0)), 1e-12) / 448.0
        place = values + row * 2 * size + columns
        tl.store(place, (one / scale).to(values.dtype.element_ty), mask)
        tl.store(place + size, (two / scale).to(values.dtype.element_ty), mask)
        tl.store(scales + row, scale)


@triton.jit
def _quantize(rows, values, scales, size, BLOCK: tl.constexpr):
    row, columns = tl.program_id(0).to(tl.int64), tl.arange(0, BLOCK)
    mask = columns < size
    x = tl.load(rows + row * size + columns, mask, 0.0).to(tl.float32)
    _keep(values, scales, row, columns, mask, x, size)


@triton.jit
def _unpack_nf4(
    packed, absmax, codes, outer, offset, levels, into, number,
    BYTES: tl.constexpr, OUTER: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = place < number
    byte = tl.load(packed + place, mask, 0).to(tl.int32)
    block = place // BYTES
    scale = tl.load(codes + tl.load(absmax + block, mask, 0).to(tl.int32)) * tl.load(outer + block // OUTER, mask, 0.0)
    scale += tl.load(offset)
    first, second = tl.load(levels + (byte >> 4)) * scale, tl.load(levels + (byte & 15)) * scale
    both = tl.program_id(0).to(tl.int64) * 2 * BLOCK + tl.arange(0, 2 * BLOCK)
    tl.store(into + both, tl.interleave(first, second).to(into.dtype.element_ty), both < 2 * number)


@triton.jit
def _cross_entropy(logits, targets, losses, SIZE: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    at, target = logits + row * SIZE, tl.load(targets + row)
    chosen = tl.load(at + target).to(tl.float32)  # before any thread writes: the reductions below wait for all
    most, total = float("-inf"), 0.0
    for start in range(0, SIZE, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        x = tl.load(at + columns, columns < SIZE, float("-inf")).to(tl.float32)
        higher = tl.maximum(most, tl.max(x, 0))
        total = total * tl.exp(most - higher) + tl.sum(tl.exp(x - higher), 0)
        most = higher
    tl.store(losses + row, tl.log(total) + most - chosen)
    for start in range(0, SIZE, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        x = tl.load(at + columns, columns < SIZE, float("-inf")).to(tl.float32)
        share = tl.exp(x - most) / total
        share = tl.where(columns == target, share - 1.0, share)
        tl.store(at + columns, share.to(logits.dtype.element_ty), columns < SIZE)
