"""How many bytes of GPU memory a training step takes at its peak; every constant that a measurement sets is here.

The peak is the largest of three phases: the end of the forward pass, when all that is saved is there and the output head
makes its logits; the backward pass of one layer, beside what earlier layers have saved; and the optimiser's step. A
layer's forward pass needs less than its backward pass. `benchmarks/memory.py` prints this beside what a GPU measures.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from medslm.models.lora import Lora
from medslm.train.memory.shape import Shape

MIB, GIB = 2**20, 2**30

NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Per weight: 4 bits, an 8-bit scale to 64 weights, a float32 scale to 256 such scales (arXiv:2305.14314, section 3)."""

FP8_BYTES = 2.0
"""Per weight: e4m3 once for the layer and once transposed for its backward pass; the rows' scales are below 0.1 %."""

ADAPTER_BYTES = GRADIENT_BYTES = 4
"""Per trainable parameter: the adapter is in float32, and so are its gradients."""

OPTIMIZER_BYTES = {"adamw_torch_fused": 8, "paged_adamw_8bit": 2}
"""Per trainable parameter: both moments, in float32 or in 8 bits (arXiv:2110.02861)."""

LOGIT_COPIES = 1
"""Logits in the base's type; the kernel writes their gradient over them (`medslm.models.fast.kernels`)."""

WHOLE_LOGIT_BYTES = 14
"""Per logit where the model's own head makes all of them: in the base's type and float32, their logarithms, gradients."""

HEAD_HIDDEN = 5
"""Hidden widths per token at the output head: the last norm's input in float32 (2) and its output, the positions that are
predicted, and their gradient."""

LAYER_HIDDEN = 2
"""Hidden widths per token in a layer's backward pass: the gradient that comes in, and what the layer before it gave."""

LAYER_MLP = 1
"""Intermediate widths: the gradient of gate times up. Those of gate and up are written over them, the product over it."""

LAYER_MLP_FP8 = 1
"""And the gradients of gate and up once more in e4m3, of one byte each."""

LAYER_MLP_DROPPED = 2
"""And what the adapter gives to that gradient, before and after its dropout."""

LAYER_QUERY = 6
"""Widths of the queries: the gradients of attention's output and of the queries, a float32 sum of the latter (2), and
the keys' and values' gradients for each query head before they are summed (2)."""

COMPOSED_HIDDEN = 10
"""Where layers are not hand-written, autograd keeps so many hidden widths per token and layer: the inputs of up to four
norms in float32 (8), and of the linears behind them."""

COMPOSED_MLP = 4
"""And so many intermediate widths: gate, its activation, up, their product."""

EXPERT_MLP, EXPERT_HIDDEN = 6, 1
"""The same for each expert of a token, of the experts' width: gate and up side by side (2), gate once it is clamped, its
sigmoid, their product, and up plus one (gpt-oss); and what the expert gives, of the hidden one."""

EXPERT_LAYER_MLP, EXPERT_LAYER_HIDDEN = 8, 2
"""What an expert's backward pass makes: gradients of gate and up, which are every other column of one matrix, so that each
is put into a matrix of zeros (2 x 2) and both are added (2), and of the product and its halves (2); and of both ends."""

SCORE_BYTES, LAYER_SCORE_BYTES = 6, 20
"""Of each pair of tokens and head where attention keeps its scores: the shares in float32 and in the base's type; and what
the backward pass of a document makes of them, five times in float32."""

COMPOSED_LAYER_HIDDEN = 8
"""As `LAYER_HIDDEN`: norms go back in float32."""

COMPOSED_LAYER_MLP = 4
"""As `LAYER_MLP`, with nothing written over: the gradients of gate and up (2), of their product, and the product."""

TOKEN_BYTES = 1024
"""Per token of a pass, once: ids, positions, cosines and sines."""

WORKSPACE_BYTES = 96 * MIB
"""What cuBLAS, cuBLASLt and the attention kernels keep in torch's allocator (32 MiB for each handle on Hopper)."""

SLACK = 0.03
"""What the allocator holds and cannot use, of everything else: blocks are rounded up and pages are torn."""


@dataclass(frozen=True)
class Job:
    """What is trained; the recipe decides it."""

    shape: Shape
    lora: Lora
    quantization: str
    """`none`, `nf4` or `fp8`."""

    dtype_bytes: int = 2
    """Bytes of a number of the base's type."""

    longest: int = 0
    """Tokens of the longest row; asked only where attention keeps its scores."""

    @cached_property
    def trainable(self) -> int:
        """Parameters of the adapter."""
        return self.shape.trainable(self.lora)

    @cached_property
    def saved(self) -> tuple[int, ...]:
        """Bytes per token that a layer keeps for its backward pass, at the levels 0 to 3 of `medslm.models.fast`."""
        shape, each = self.shape, self.dtype_bytes
        low = (4 if shape.merged else 7) * self.lora.r  # x A^T of each linear
        joined, statistics = shape.query + 2 * shape.key_value, 4 * shape.heads  # of attention's softmax, float32
        heads = joined + shape.query
        if not shape.whole_layers:
            normed = 2 * (shape.query + shape.key_value) if shape.norms_heads else 0
            experts = shape.experts * (EXPERT_MLP * shape.intermediate + EXPERT_HIDDEN * shape.hidden)
            mlp = experts or COMPOSED_MLP * shape.intermediate
            kept = COMPOSED_HIDDEN * shape.hidden + heads + normed + mlp + low
            scores = SCORE_BYTES * shape.heads * self.longest if shape.scores else 0
            return (each * kept + statistics + scores, *[each * shape.hidden] * 3)
        least = shape.hidden + low
        summand = shape.hidden if shape.norms_sums else 0  # what o, and what down, gave before it was normalised
        attended = least + heads + (joined if shape.norms_heads else 0) + summand
        between = attended + shape.hidden + summand
        whole = between + 2 * shape.intermediate
        return (*(each * kept + statistics for kept in (whole, between, attended)), each * least)

    @cached_property
    def fixed(self) -> dict[str, int]:
        """Bytes that are there all the time, but the optimiser's."""
        shape, trainable = self.shape, self.trainable
        weight = {"none": float(self.dtype_bytes), "nf4": NF4_BYTES, "fp8": FP8_BYTES}[self.quantization]
        return {
            "base, linear layers": int(weight * shape.linear_parameters),
            "base, the rest": self.dtype_bytes * (shape.embedding_parameters + shape.other_parameters),
            "adapter": ADAPTER_BYTES * trainable,
            "adapter, joined for its products": self.dtype_bytes * self.joined * shape.layers,
            "gradients": GRADIENT_BYTES * trainable,
            "library workspaces": WORKSPACE_BYTES,
        }

    def optimizer(self, optim: str) -> int:
        """Bytes of the optimiser's state."""
        return OPTIMIZER_BYTES[optim] * self.trainable

    @cached_property
    def joined(self) -> int:
        """Numbers of one layer's joined LoRA matrices, zeros off their blocks included (`medslm.models.fast.group`)."""
        shape = self.shape
        if not shape.whole_layers or not self.trainable:
            return self.trainable // shape.layers
        hidden, inner, heads = shape.hidden, shape.intermediate, shape.query + 2 * shape.key_value
        of_qkv, of_gate_up = (1, 1) if shape.merged else (3, 2)  # linears side by side, each with a rank of its own
        attention = of_qkv * (hidden + heads) + shape.query + hidden
        mlp = of_gate_up * (hidden + 2 * inner) + inner + hidden
        return self.lora.r * (attention + (mlp if shape.adapts_mlp(self.lora) else 0))

    @cached_property
    def layer_bytes(self) -> int:
        """Bytes that one layer's backward pass makes for any tokens: a dense NF4 matrix, gradients of `joined`, scores."""
        dense = self.dtype_bytes * self.shape.widest_product if self.quantization == "nf4" else 0
        scores = LAYER_SCORE_BYTES * self.shape.heads * self.longest**2 if self.shape.scores else 0
        return dense + GRADIENT_BYTES * self.joined + scores

    @cached_property
    def layer_bytes_per_token(self) -> int:
        """Bytes per token that one layer's backward pass makes beside what level 0 saves: in the MLP or in attention,
        when gate and up are free again."""
        shape = self.shape
        hidden = (LAYER_HIDDEN if shape.whole_layers else COMPOSED_LAYER_HIDDEN) * shape.hidden
        if shape.experts:
            mlp = shape.experts * (EXPERT_LAYER_MLP * shape.intermediate + EXPERT_LAYER_HIDDEN * shape.hidden)
            return self.dtype_bytes * (hidden + mlp)
        attention = LAYER_QUERY * shape.query + 2 * shape.key_value - 2 * shape.intermediate
        return self.dtype_bytes * (hidden + max(self._mlp_widths * shape.intermediate, attention))

    @cached_property
    def _mlp_widths(self) -> int:
        """Intermediate widths that the MLP's backward pass makes."""
        if not self.shape.whole_layers:
            return COMPOSED_LAYER_MLP
        dropped = self.lora.lora_dropout > 0 and self.shape.adapts_mlp(self.lora)
        return LAYER_MLP + LAYER_MLP_FP8 * (self.quantization == "fp8") + LAYER_MLP_DROPPED * dropped

    def head_bytes(self, tokens: int) -> int:
        """Bytes of the output head's pass if every token is predicted."""
        shape = self.shape
        hidden = HEAD_HIDDEN * self.dtype_bytes * shape.hidden * tokens
        if not shape.plain_head:
            return hidden + WHOLE_LOGIT_BYTES * tokens * shape.vocabulary
        return hidden + LOGIT_COPIES * self.dtype_bytes * min(self.slice_positions, tokens) * shape.vocabulary

    @cached_property
    def slice_positions(self) -> int:
        """Positions whose logits exist at once, as the head slices them."""
        from medslm.models.fast.head import SLICE

        return max(256, SLICE // self.shape.vocabulary // 256 * 256)


@dataclass(frozen=True)
class Choice:
    """How it is computed; the planner decides it."""

    tokens: int
    """Tokens a pass, at most."""

    levels: tuple[int, ...]
    """What each layer recomputes: 0 nothing to 3 everything (`medslm.models.fast.quicken`)."""

    offload: bool = False
    """The layers' inputs wait in the host's memory."""

    optim: str = "adamw_torch_fused"


@dataclass(frozen=True)
class Phase:
    """A moment of a training step, in bytes."""

    name: str
    saved: int
    """Activations that wait for their backward pass."""

    working: int
    """What lives in this phase only."""


def phases(job: Job, choice: Choice) -> Iterator[Phase]:
    """The moments that can be the peak. Of layers of one level the last one's backward pass needs the most."""
    tokens, done = choice.tokens, 0
    away = job.dtype_bytes * job.shape.hidden if choice.offload else 0
    saved = 2 * away * tokens  # one input on its way, one in use
    for level, layers in itertools.groupby(choice.levels):
        number = len(list(layers))
        done, kept = done + number, job.saved[level] - away
        saved += number * kept * tokens
        working = (job.saved[0] - kept + job.layer_bytes_per_token) * tokens + job.layer_bytes
        yield Phase(f"the backward pass of layer {done} of {job.shape.layers}", saved, working)
    yield Phase("the output head", saved, job.head_bytes(tokens))
    yield Phase("the optimiser's step", 0, 0)


def peak(job: Job, choice: Choice) -> tuple[Phase, dict[str, int]]:
    """The phase that needs most, and its parts in bytes: their sum is the prediction."""
    most = max(phases(job, choice), key=lambda phase: phase.saved + phase.working)
    parts = {
        **job.fixed,
        "optimiser": job.optimizer(choice.optim),
        "saved activations": most.saved,
        "working memory": most.working + TOKEN_BYTES * choice.tokens,
    }
    return most, {**parts, "allocator's slack": int(SLACK * sum(parts.values()))}
