"""On a GPU: each kernel against what it stands for, and the fast paths against transformers' and PEFT's own."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers

from medslm.models import attention, fast
from medslm.models.fast import elementwise
from models.fast import plain

pytestmark = pytest.mark.gpu

WIDE = {**plain.SHAPE, "hidden_size": 256, "intermediate_size": 512}  # 8-bit products want multiples of 16
FAMILY = {
    "llama": transformers.LlamaConfig(**WIDE, head_dim=64),
    "mistral with a window": transformers.MistralConfig(**WIDE, head_dim=64, sliding_window=5),
    "qwen2": transformers.Qwen2Config(**WIDE),
    "qwen3": transformers.Qwen3Config(**WIDE, head_dim=128),
}


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Call a function of `elementwise` as it is written, on whatever device."""

    def call(name: str, *inputs: Any) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(elementwise, "has_kernels", lambda device: False)
            return getattr(elementwise, name)(*inputs)

    return call


def near(found: Any, wanted: Any, tolerance: float = 1e-2) -> None:
    """By the norm of the difference; rows in e4m3 as the numbers that they stand for."""
    if wanted is None:
        assert found is None
    elif isinstance(wanted, tuple) and len(wanted) == 2 and wanted[0].dtype == elementwise.FP8:
        near(found[0].float() * found[1], wanted[0].float() * wanted[1], 3e-2)
    elif isinstance(wanted, tuple):
        for one, other in zip(found, wanted, strict=True):
            near(one, other, tolerance)
    else:
        assert found.shape == wanted.shape and found.dtype == wanted.dtype
        assert float((found.double() - wanted.double()).norm()) <= tolerance * float(wanted.double().norm())


@pytest.mark.parametrize("fp8", [False, True])
@pytest.mark.parametrize("size", [48, 3072, 5632])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_row_kernels_are_what_is_written(written: Any, dtype: torch.dtype, size: int, fp8: bool) -> None:
    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, device="cuda").to(dtype)

    from medslm.models.fast import kernels

    rows, weight, gradient, past, joined = (
        draw(37, size),
        draw(size),
        draw(37, size),
        draw(37, size),
        draw(37, 2 * size),
    )
    copies = lambda *tensors: [one.clone() for one in tensors]  # noqa: E731
    near(kernels.rms_norm(rows, weight, 1e-5, fp8), written("rms_norm", rows, weight, 1e-5, fp8))
    ours, theirs = copies(rows, rows)
    near(kernels.rms_norm(ours, weight, 1e-5, fp8, past), written("rms_norm", theirs, weight, 1e-5, fp8, past))
    near(ours, theirs)
    near(
        kernels.rms_norm_backward(rows, weight, 1e-5, gradient.clone(), past, fp8),
        written("rms_norm_backward", rows, weight, 1e-5, gradient.clone(), past, fp8),
    )
    near(kernels.swiglu(joined, fp8), written("swiglu", joined, fp8))
    near(
        kernels.swiglu_backward(*copies(joined, gradient), fp8),
        written("swiglu_backward", *copies(joined, gradient), fp8),
    )
    near(kernels.quantize(rows), written("quantize", rows))


@pytest.mark.parametrize("normed", [False, True])
@pytest.mark.parametrize("size", [64, 96, 128])
def test_the_rotation_is_what_is_written(written: Any, size: int, normed: bool) -> None:
    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, device="cuda", dtype=torch.bfloat16)

    from medslm.models.fast import rotation

    heads = elementwise.Heads(6, 2, (draw(size), draw(size)) if normed else None, 1e-6)
    joined, cos, sin = draw(37, 10 * size), draw(37, size), draw(37, size)
    out = torch.empty_like(joined) if normed else joined.clone()
    rotation.rope(joined if normed else out, out, cos, sin, heads)
    near(out, written("rope", joined.clone(), cos, sin, heads))
    parts = draw(37, 6, size), draw(37, 2, size), draw(37, 2, size)
    before = joined if normed else None
    for fp8 in (False, True):
        near(
            rotation.rope_backward(parts, before, cos, sin, heads, fp8),
            written("rope_backward", parts, before, cos, sin, heads, fp8),
        )


@pytest.mark.parametrize("vocabulary", [97, 4096, 128_256])
def test_the_loss_kernel_is_what_is_written(written: Any, vocabulary: int) -> None:
    from medslm.models.fast import kernels

    logits = (torch.randn(37, vocabulary, device="cuda") * 4).bfloat16()
    targets = torch.randint(vocabulary, (37,), device="cuda")
    ours, theirs = logits.clone(), logits.clone()
    near(kernels.cross_entropy(ours, targets), written("cross_entropy", theirs, targets), 1e-5)
    near(ours, theirs)


@pytest.mark.parametrize("level", range(4))
@pytest.mark.parametrize("kind", ["bfloat16", "fp8"])
@pytest.mark.parametrize("name", FAMILY)
def test_loss_and_gradients_are_those_of_the_plain_path(name: str, kind: str, level: int) -> None:
    """bfloat16 within its rounding; e4m3 rounds each factor to 4 bits, which averages out in the sums."""
    model = plain.adapted(FAMILY[name])
    reference = copy.deepcopy(model).to("cuda")
    quick = model.to("cuda", torch.bfloat16)
    for parameter in quick.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    attention.use(quick)
    attention.prove(quick)
    fast.quicken(quick, [level] * 3, fp8=kind == "fp8")
    one = plain.packed((100, 37, 64)).to("cuda")
    expected, loss = plain.alone(reference, one), fast.total_loss(quick, one)
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=0.01)
    wanted, found = plain.gradients(reference, expected), plain.gradients(quick, loss)
    for matrix, gradient in wanted.items():
        likeness = torch.nn.functional.cosine_similarity(gradient.flatten(), found[matrix].flatten(), 0)
        assert float(likeness) > (0.999 if kind == "bfloat16" else 0.95), matrix


def test_inputs_on_the_host_give_the_same_gradients() -> None:
    quick = plain.adapted(FAMILY["llama"]).to("cuda")
    attention.use(quick)
    fast.quicken(quick, [3] * 3)
    one = plain.packed((100, 37, 64)).to("cuda")
    wanted = plain.gradients(quick, fast.total_loss(quick, one))
    fast.recompute(quick, [3] * 3, offload=True)
    for matrix, gradient in plain.gradients(quick, fast.total_loss(quick, one)).items():
        assert torch.equal(gradient, wanted[matrix]), matrix


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shape", [(64, 96), (33, 64), (512, 2048)])
def test_four_bits_are_unpacked_as_bitsandbytes_unpacks_them(shape: tuple[int, int], dtype: torch.dtype) -> None:
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    from medslm.models.fast import kernels

    weight = torch.randn(shape, device="cuda").to(dtype)
    packed, state = quantize_4bit(weight, quant_type="nf4", compress_statistics=True)
    into = torch.full_like(weight, float("nan"))
    kernels.unpack_nf4(packed, state, into)
    near(into, dequantize_4bit(packed, state), 5e-3)
    near(into, weight, 0.15)
