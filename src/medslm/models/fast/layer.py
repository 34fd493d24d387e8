"""A decoder layer of the Llama family as one function with its backward pass by hand.

    h1 = h + o(attention(rope(qkv(norm(h)))))        h2 = h1 + down(silu(gate) * up) with gate, up = gate_up(norm(h1))

What transformers and PEFT spread over some forty operations is here eight matrix products with their sums as epilogues,
and five kernels between them. Normalised states and SiLU products are cheap and never kept; of the rest the layer keeps
what its level says, and computes what it did not keep once more on the way back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from medslm.models import attention
from medslm.models.fast import elementwise
from medslm.models.fast.elementwise import Heads
from medslm.models.fast.group import Group, Low

FAMILY = frozenset({"llama", "mistral", "qwen2", "qwen3"})
"""`model_type` of the architectures whose layers are these."""


@dataclass
class Tape:
    """What a layer's forward pass leaves for its backward pass. T tokens, H hidden size, I intermediate size."""

    hidden: torch.Tensor | None = None
    """(T, H): the layer's input; always kept, on the host if it is offloaded."""

    joined: torch.Tensor | None = None
    """(T, (queries + 2 keys) D): the heads before they are normalised (Qwen3 only)."""

    heads: tuple[torch.Tensor, ...] = ()
    """Queries, keys and values (T, heads, D) as attention took them."""

    mixed: torch.Tensor | None = None
    """(T, heads, D): what attention gave, with its own graph."""

    middle: torch.Tensor | None = None
    """(T, H): the states between attention and MLP."""

    gate_up: Any = None
    """(T, 2 I)."""

    low: tuple[Low | None, ...] = (None, None, None, None)
    """x A^T of the four groups: qkv, o, gate_up, down; small, and always kept."""


@dataclass(frozen=True)
class Call:
    """What all layers of a pass share."""

    cos: torch.Tensor
    """(T, D)"""

    sin: torch.Tensor
    boundaries: torch.Tensor
    longest: int
    keep: bool
    """Whether a backward pass will come."""


class Layer:
    """Takes the place of a decoder layer's `forward` for packed passes; anything else goes to the layer's own."""

    def __init__(self, layer: Any, config: Any, dtype: torch.dtype, fp8: bool, level: int, offload: bool) -> None:
        inner, mlp = layer.self_attn, layer.mlp
        self.level, self.offload = level, offload
        self._own = layer.forward
        self._qkv = Group(inner, ("q_proj", "k_proj", "v_proj"), dtype, fp8)
        self._o = Group(inner, ("o_proj",), dtype, fp8)
        self._gate_up = Group(mlp, ("gate_proj", "up_proj"), dtype, fp8)
        self._down = Group(mlp, ("down_proj",), dtype, fp8)
        self._norms = (layer.input_layernorm, layer.post_attention_layernorm)
        self._heads = Heads(config.num_attention_heads, config.num_key_value_heads, *_head_norms(inner))
        self._scale = inner.scaling
        windowed = getattr(inner, "sliding_window", None) if config.model_type != "mistral" else config.sliding_window
        self._window = windowed

    @property
    def groups(self) -> tuple[Group, ...]:
        """Query, key and value; output; gate and up; down."""
        return self._qkv, self._o, self._gate_up, self._down

    @property
    def parameters(self) -> list[torch.nn.Parameter]:
        """The LoRA matrices of all groups, in order."""
        return [parameter for group in self.groups for parameter in group.parameters]

    def __call__(self, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """As the layer's own `forward`."""
        boundaries = kwargs.get("cu_seq_lens_q")
        if boundaries is None or kwargs.get("past_key_values") is not None:
            own: torch.Tensor = self._own(hidden_states, *args, **kwargs)
            return own
        cos, sin = kwargs["position_embeddings"]
        call = Call(cos[0], sin[0], boundaries, kwargs["max_length_q"], torch.is_grad_enabled())
        done: torch.Tensor = _Function.apply(hidden_states.squeeze(0), self, call, *self.parameters)  # type: ignore[no-untyped-call]
        return done.unsqueeze(0)

    def run(self, hidden: torch.Tensor, call: Call) -> tuple[torch.Tensor, Tape]:
        """The layer's output (T, H) and what was kept on the way."""
        tape = Tape(hidden)
        low_qkv = self._attend(tape, call)
        tape.middle, low_o = self._o.forward(_flat(tape.mixed))
        low_gate_up = self._expand(tape, add=hidden)
        product, rows = elementwise.swiglu(tape.gate_up, self._down.fp8)
        output, low_down = self._down.forward(product, rows=rows)
        tape.low = (low_qkv, low_o, low_gate_up, low_down)
        return output.add_(tape.middle), tape

    def _attend(self, tape: Tape, call: Call) -> Low | None:
        """From the layer's input to what attention gives."""
        normal, rows = _normal(self._norms[0], tape.hidden, self._qkv.fp8)
        joined, low = self._qkv.forward(normal, tape.low[0], rows)
        turned = elementwise.rope(joined, call.cos, call.sin, self._heads)
        tape.joined = None if turned is joined else joined
        tape.heads = tuple(part.detach().requires_grad_(call.keep) for part in self._heads.split(turned))
        with torch.set_grad_enabled(call.keep):
            queries, keys, values = tape.heads
            tape.mixed = attention.isolated(
                queries, keys, values, call.boundaries, call.longest, self._scale, self._window
            )
        return low

    def _expand(self, tape: Tape, add: torch.Tensor | None = None) -> Low | None:
        """From the states between attention and MLP, to which `add` is still to be added, to gate and up."""
        normal, rows = _normal(self._norms[1], tape.middle, self._gate_up.fp8, add)
        tape.gate_up, low = self._gate_up.forward(normal, tape.low[2], rows)
        return low

    def drop(self, tape: Tape) -> None:
        """Let go of what this level computes again."""
        if self.level >= 1:
            tape.gate_up = None
        if self.level >= 2:
            tape.middle = None
        if self.level >= 3:
            tape.joined, tape.heads, tape.mixed = None, (), None
        if self.offload and tape.hidden is not None and tape.hidden.device.type == "cuda":
            away = torch.empty_like(tape.hidden, device="cpu", pin_memory=True)
            tape.hidden = away.copy_(tape.hidden, non_blocking=True)

    def restore(self, tape: Tape, call: Call) -> None:
        """Compute again what was let go."""
        assert tape.hidden is not None
        tape.hidden = tape.hidden.to(call.cos.device, non_blocking=True)
        with torch.no_grad():
            if tape.mixed is None:
                self._attend(tape, call)
            add = None
            if tape.middle is None:
                tape.middle, _ = self._o.forward(_flat(tape.mixed), tape.low[1])
                add = tape.hidden
            if tape.gate_up is None:
                self._expand(tape, add)

    def back(self, of_output: torch.Tensor, tape: Tape, call: Call) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """The gradient of the layer's input (T, H) and those of `parameters`."""
        of_product, of_low = self._down.backward(of_output, tape.low[3])
        of_gate_up, product, rows = elementwise.swiglu_backward(tape.gate_up, of_product, self._gate_up.fp8)
        tape.gate_up = None
        down = self._down.gradients(of_output, tape.low[3], of_low, product)
        del product, of_product
        of_normal, of_low = self._gate_up.backward(of_gate_up, tape.low[2], rows)
        of_middle, normal, rows = _normal_backward(self._norms[1], tape.middle, of_normal, of_output, self._o.fp8)
        tape.middle = None
        gate_up = self._gate_up.gradients(of_gate_up, tape.low[2], of_low, normal)
        del of_gate_up, normal, of_normal
        of_hidden, first = self._back_attention(of_middle, rows, tape, call)
        return of_hidden, [*first, *gate_up, *down]

    def _back_attention(
        self, of_middle: torch.Tensor, rows: elementwise.Quantized | None, tape: Tape, call: Call
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        of_mixed, of_low = self._o.backward(of_middle, tape.low[1], rows)
        o = self._o.gradients(of_middle, tape.low[1], of_low, _flat(tape.mixed))
        assert tape.mixed is not None
        of_heads = torch.autograd.grad(tape.mixed, tape.heads, of_mixed.view(tape.mixed.shape))
        tape.mixed, tape.heads = None, ()
        of_joined, rows = elementwise.rope_backward(
            of_heads, tape.joined, call.cos, call.sin, self._heads, self._qkv.fp8
        )
        del of_heads, of_mixed
        of_normal, of_low = self._qkv.backward(of_joined, tape.low[0], rows)
        of_hidden, normal, _ = _normal_backward(self._norms[0], tape.hidden, of_normal, of_middle, False)
        qkv = self._qkv.gradients(of_joined, tape.low[0], of_low, normal)
        return of_hidden, [*qkv, *o]


def _head_norms(inner: Any) -> tuple[tuple[torch.Tensor, torch.Tensor] | None, float]:
    if not hasattr(inner, "q_norm"):
        return None, 0.0
    return (inner.q_norm.weight, inner.k_norm.weight), inner.q_norm.variance_epsilon


def _normal(
    norm: Any, hidden: Any, fp8: bool, add: torch.Tensor | None = None
) -> tuple[torch.Tensor, elementwise.Quantized | None]:
    """What a normalisation module of transformers gives."""
    done: tuple[torch.Tensor, elementwise.Quantized | None]
    done = elementwise.rms_norm(hidden, norm.weight, norm.variance_epsilon, fp8, add)
    return done


def _normal_backward(
    norm: Any, hidden: Any, gradient: torch.Tensor, past: torch.Tensor, fp8: bool
) -> tuple[torch.Tensor, torch.Tensor, elementwise.Quantized | None]:
    done: tuple[torch.Tensor, torch.Tensor, elementwise.Quantized | None]
    done = elementwise.rms_norm_backward(hidden, norm.weight, norm.variance_epsilon, gradient, past, fp8)
    return done


class _Function(torch.autograd.Function):
    """`Layer.run` and `Layer.back` as one node of autograd's graph."""

    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, layer: Layer, call: Call, *parameters: torch.Tensor) -> torch.Tensor:
        """(T, H) -> (T, H)"""
        output, tape = layer.run(hidden.detach(), call)
        if call.keep:
            layer.drop(tape)
            ctx.layer, ctx.call, ctx.tape = layer, call, tape
        return output

    @staticmethod
    def backward(ctx: Any, *of_output: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Gradients of `hidden` and of the LoRA matrices; the tape is used up."""
        tape, ctx.tape = ctx.tape, None
        if tape is None:
            raise RuntimeError("a packed layer can go backwards once; retain_graph is not supported")
        with torch.no_grad():
            ctx.layer.restore(tape, ctx.call)
            of_hidden, found = ctx.layer.back(of_output[0].contiguous(), tape, ctx.call)
        return (of_hidden, None, None, *found)


def _flat(heads: torch.Tensor | None) -> torch.Tensor:
    """(T, heads, D) -> (T, heads D), outside of attention's graph."""
    assert heads is not None
    return heads.detach().flatten(1)
