"""A decoder layer of Llama's family as one function with its backward pass by hand.

    h1 = h + o(attention(rope(qkv(norm(h)))))        h2 = h1 + down(silu(gate) * up) with gate, up = gate_up(norm(h1))

What transformers and PEFT spread over some forty operations is here eight matrix products with their sums as epilogues,
and five kernels between them. Gemma 3 also normalises what o and down give, before it is added (`Family.outer`).
Normalised states and products of the gate are cheap and never kept; of the rest the layer keeps what its level says, and
computes what it did not keep once more on the way back.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from medslm.models import attention, prefixes
from medslm.models.fast import elementwise
from medslm.models.fast.elementwise import Angles, Heads, Norm, Quantized
from medslm.models.fast.family import FAMILY, GELU, activation
from medslm.models.fast.group import Group, Low

QKV, OUT, GATE_UP, DOWN = range(4)
"""The groups of a layer's linears, in order."""


@dataclass
class Tape:
    """What a layer's forward pass leaves for its backward pass. T tokens, H hidden size, I intermediate size."""

    hidden: torch.Tensor
    """(T, H): the layer's input; always kept, on the host if it is offloaded."""

    joined: torch.Tensor | None = None
    """(T, (queries + 2 keys) D): the heads before they are normalised (Qwen3 and Gemma 3 only)."""

    heads: tuple[torch.Tensor, ...] = ()
    """Queries, keys and values (T, heads, D) as attention took them."""

    mixed: torch.Tensor | None = None
    """(T, heads, D): what attention gave, with its own graph."""

    projected: torch.Tensor | None = None
    """(T, H): what o gave, before it is normalised (Gemma 3 only)."""

    middle: Any = None
    """(T, H): the states between attention and MLP."""

    gate_up: Any = None
    """(T, 2 I)."""

    contracted: torch.Tensor | None = None
    """(T, H): what down gave, before it is normalised (Gemma 3 only); kept at level 2, for another product gives it."""

    low: list[Low | None] = field(default_factory=lambda: [None] * 4)
    """x A^T of each group; small, and always kept."""


@dataclass(frozen=True)
class Call:
    """What all layers of one kind share in a pass."""

    angles: Angles | None
    mix: Callable[..., torch.Tensor]
    """Attention: queries (T, Hq, D), keys and values (T, Hk, D), a scale and a window or none -> (T, Hq, D)."""

    keep: bool
    """Whether a backward pass will come."""


class Layer:
    """Takes the place of a decoder layer's `forward` for packed passes; anything else goes to the layer's own."""

    def __init__(self, layer: Any, config: Any, dtype: torch.dtype, fp8: bool, level: int, offload: bool) -> None:
        family, inner, mlp = FAMILY[config.model_type], layer.self_attn, layer.mlp
        self.level, self.offload = level, offload
        self._own = layer.forward
        self.groups = (
            Group(inner, family.qkv, dtype, fp8),
            Group(inner, ("o_proj",), dtype, fp8),
            Group(mlp, family.gate_up, dtype, fp8),
            Group(mlp, ("down_proj",), dtype, fp8),
        )
        """Query, key and value; output; gate and up; down."""
        self._norms = _norms(layer, family.norms, config)
        self._outer = _norms(layer, family.outer, config) if family.outer else None
        of_heads = _norms(inner, ("q_norm", "k_norm"), config) if hasattr(inner, "q_norm") else None
        self._heads = Heads(config.num_attention_heads, config.num_key_value_heads, of_heads)
        self._rotates = getattr(inner, "use_rope", True)  # every fourth layer of SmolLM3 does not
        self._gelu = GELU[activation(config)]
        self._scale = inner.scaling
        # where the attention module knows no window of its own (Mistral, Phi-3), that of the configuration holds
        self._window = getattr(inner if hasattr(inner, "sliding_window") else config, "sliding_window", None)

    @property
    def parameters(self) -> list[torch.nn.Parameter]:
        """The LoRA matrices of all groups, in order."""
        return [parameter for group in self.groups for parameter in group.parameters]

    def __call__(self, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """As the layer's own `forward`."""
        mix = _mix(kwargs)
        if mix is None or kwargs.get("past_key_values") is not None:
            own: torch.Tensor = self._own(hidden_states, *args, **kwargs)
            return own
        cos, sin = kwargs["position_embeddings"]
        call = Call((cos[0], sin[0]) if self._rotates else None, mix, torch.is_grad_enabled())
        done: torch.Tensor = _Function.apply(hidden_states.squeeze(0), self, call, *self.parameters)  # type: ignore[no-untyped-call]
        return done.unsqueeze(0)

    def run(self, hidden: torch.Tensor, call: Call) -> tuple[torch.Tensor, Tape]:
        """The layer's output (T, H) and what was kept on the way."""
        tape = Tape(hidden)
        self._attend(tape, call)
        self._expand(tape, self._project(tape))
        output = self._contract(tape)
        if self._outer is None:
            return output.add_(tape.middle), tape
        tape.contracted = output
        return elementwise.outer_norm(output, self._outer[1], tape.middle), tape

    def _through(self, number: int, tape: Tape, x: torch.Tensor, rows: Quantized | None = None) -> torch.Tensor:
        """What a group of linears makes of x (T, K), which `rows` is in e4m3. (T, N)"""
        y, tape.low[number] = self.groups[number].forward(x, tape.low[number], rows)
        return y

    def _attend(self, tape: Tape, call: Call) -> None:
        """From the layer's input to what attention gives."""
        normal, rows = elementwise.rms_norm(tape.hidden, self._norms[0], self.groups[QKV].fp8)
        joined = self._through(QKV, tape, normal, rows)
        turned = elementwise.rope(joined, call.angles, self._heads)
        tape.joined = None if turned is joined else joined
        tape.heads = tuple(part.detach().requires_grad_(call.keep) for part in self._heads.split(turned))
        with torch.set_grad_enabled(call.keep):
            tape.mixed = call.mix(*tape.heads, scale=self._scale, window=self._window)

    def _project(self, tape: Tape) -> torch.Tensor | None:
        """To the states between attention and MLP; what is given back is still to be added to them."""
        tape.middle = self._through(OUT, tape, _flat(tape.mixed))
        if self._outer is None:
            return tape.hidden  # the next norm adds it while it reads both
        tape.projected, tape.middle = tape.middle, elementwise.outer_norm(tape.middle, self._outer[0], tape.hidden)
        return None

    def _expand(self, tape: Tape, add: torch.Tensor | None = None) -> None:
        """From the states between attention and MLP, to which `add` is still to be added, to gate and up."""
        normal, rows = elementwise.rms_norm(tape.middle, self._norms[1], self.groups[GATE_UP].fp8, add)
        tape.gate_up = self._through(GATE_UP, tape, normal, rows)

    def _contract(self, tape: Tape) -> torch.Tensor:
        """From gate and up to what the MLP gives."""
        product, rows = elementwise.gated(tape.gate_up, self._gelu, self.groups[DOWN].fp8)
        return self._through(DOWN, tape, product, rows)

    def drop(self, tape: Tape) -> None:
        """Let go of what this level computes again."""
        if self.level >= 1:
            tape.gate_up = None
        if self.level >= 2:
            tape.projected = tape.middle = None
        if self.level >= 3:
            tape.joined, tape.heads, tape.mixed, tape.contracted = None, (), None, None
        if self.offload and tape.hidden.device.type == "cuda":
            away = torch.empty_like(tape.hidden, device="cpu", pin_memory=True)
            tape.hidden = away.copy_(tape.hidden, non_blocking=True)

    def restore(self, tape: Tape, call: Call) -> None:
        """Compute again what was let go."""
        tape.hidden = tape.hidden.to(self._norms[0].weight.device, non_blocking=True)
        with torch.no_grad():
            if tape.mixed is None:
                self._attend(tape, call)
            add = self._project(tape) if tape.middle is None else None
            if tape.gate_up is None:
                self._expand(tape, add)
            if self._outer is not None and tape.contracted is None:
                tape.contracted = self._contract(tape)

    def back(self, of_output: torch.Tensor, tape: Tape, call: Call) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """The gradient of the layer's input (T, H) and those of `parameters`."""
        _, o, gate_up, down = self.groups
        of_contracted, rows = self._back_outer(1, tape.contracted, of_output, None, down.fp8)
        tape.contracted = None
        of_product, of_low = down.backward(of_contracted, tape.low[DOWN], rows)
        of_gate_up, product, rows = elementwise.gated_backward(tape.gate_up, of_product, self._gelu, gate_up.fp8)
        tape.gate_up = None
        last = down.gradients(of_contracted, tape.low[DOWN], of_low, product)
        del product, of_product, of_contracted
        of_normal, of_low = gate_up.backward(of_gate_up, tape.low[GATE_UP], rows)
        of_middle, normal, rows = elementwise.rms_norm_backward(
            tape.middle, self._norms[1], of_normal, of_output, o.fp8 and self._outer is None
        )
        tape.middle = None
        third = gate_up.gradients(of_gate_up, tape.low[GATE_UP], of_low, normal)
        del of_gate_up, normal, of_normal
        of_hidden, first = self._back_attention(of_middle, rows, tape, call)
        return of_hidden, [*first, *third, *last]

    def _back_attention(
        self, of_middle: torch.Tensor, rows: Quantized | None, tape: Tape, call: Call
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        qkv, o = self.groups[QKV], self.groups[OUT]
        of_projected, rows = self._back_outer(0, tape.projected, of_middle, rows, o.fp8)
        tape.projected = None
        of_mixed, of_low = o.backward(of_projected, tape.low[OUT], rows)
        second = o.gradients(of_projected, tape.low[OUT], of_low, _flat(tape.mixed))
        del of_projected
        assert tape.mixed is not None
        of_heads = torch.autograd.grad(tape.mixed, tape.heads, of_mixed.view(tape.mixed.shape))
        tape.mixed, tape.heads = None, ()
        of_joined, rows = elementwise.rope_backward(of_heads, tape.joined, call.angles, self._heads, qkv.fp8)
        del of_heads, of_mixed
        of_normal, of_low = qkv.backward(of_joined, tape.low[QKV], rows)
        of_hidden, normal, _ = elementwise.rms_norm_backward(tape.hidden, self._norms[0], of_normal, of_middle, False)
        return of_hidden, [*qkv.gradients(of_joined, tape.low[QKV], of_low, normal), *second]

    def _back_outer(
        self, number: int, given: Any, gradient: torch.Tensor, rows: Quantized | None, fp8: bool
    ) -> tuple[torch.Tensor, Quantized | None]:
        """From the gradient of a sum of states to that of what o or down has given to it, and that in e4m3."""
        if self._outer is None:
            return gradient, rows
        found: tuple[torch.Tensor, Quantized | None]
        found = elementwise.outer_norm_backward(given, self._outer[number], gradient, fp8)
        return found


def _mix(given: dict[str, Any]) -> Callable[..., torch.Tensor] | None:
    """Attention over packed documents, or over texts that share beginnings; none where a call says nothing of either."""
    if (boundaries := given.get("cu_seq_lens_q")) is not None:
        return functools.partial(attention.isolated, boundaries=boundaries, longest=given["max_length_q"])
    if (paths := given.get("paths")) is not None:
        return functools.partial(prefixes.along, paths=paths)
    return None


def _norms(owner: Any, names: tuple[str, str], config: Any) -> tuple[Norm, Norm]:
    """Two normalisation modules of transformers."""
    one_more = FAMILY[config.model_type].one_more
    first, second = (Norm(getattr(owner, name).weight, config.rms_norm_eps, one_more) for name in names)
    return first, second


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
