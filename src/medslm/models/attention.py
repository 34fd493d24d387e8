"""Attention over packed documents, each of which sees itself only: its place in transformers, and the proof."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch

from medslm.errors import MedslmError
from medslm.models.passes import Pass, lay
from medslm.models.varlen import has_kernel
from medslm.models.varlen import isolated as isolated

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

NAME = "medslm-packed"
"""What the attention is called in transformers' AttentionInterface."""

PROVEN = (
    *("gemma", "gemma3_text", "gpt2", "gpt_oss", "granite", "llama", "mistral"),
    *("olmo2", "phi", "phi3", "qwen2", "qwen3", "smollm3"),
)
"""`model_type` of the architectures whose packed logits, loss and gradients the tests compare with unpacked ones."""

DRIFT = {torch.float32: 1e-2, torch.float16: 5e-2}
"""How far (relative to its norm) rounding may move a document's states when it is computed in other company."""

DRIFT_BFLOAT16 = 1e-1


def register() -> None:
    """Make `attend` known to transformers as `NAME`; a second call changes nothing.

    It gets no mask function: transformers then builds no mask, nor looks for document boundaries in the position ids,
    for which a GPU would have to wait.
    """
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attend)


def use(model: Any, longest: int = 0) -> None:
    """Switch a transformers model, or the base of a PEFT model, to attention over packed documents.

    `longest`: tokens of the longest document to come, if known. Raises `MedslmError`, saying why, if the documents of
    this architecture cannot be kept apart.
    """
    from transformers import PreTrainedModel

    base = unwrapped(model)
    if reason := _why_not(base.config):
        raise MedslmError(
            f"documents cannot be packed for a {base.config.model_type} model: {reason}; set packing=False"
        )
    _require_static_rotation(base.config, longest)
    register()
    base.set_attn_implementation(NAME)
    for part in base.modules():
        if isinstance(part, PreTrainedModel) and part.config._attn_implementation != NAME:
            raise MedslmError(
                f"{type(part).__name__} keeps its own attention, {part.config._attn_implementation}, in which packed "
                "documents would see each other; set packing=False"
            )


def body(model: Any) -> torch.nn.Module:
    """The part of a causal language model, or of a PEFT model around one, whose output is the last hidden state."""
    part: torch.nn.Module = unwrapped(model).base_model
    return part


def unwrapped(model: Any) -> PreTrainedModel:
    """The model without PEFT's wrapper."""
    base: PreTrainedModel = model.get_base_model() if hasattr(model, "get_base_model") else model
    return base


def arguments(p: Pass) -> dict[str, Any]:
    """What a transformers body takes beside `input_ids`, under the names of its `FlashAttentionKwargs`."""
    return {
        "position_ids": p.position_ids,
        "cu_seq_lens_q": p.boundaries,
        "cu_seq_lens_k": p.boundaries,
        "max_length_q": p.longest,
        "max_length_k": p.longest,
        "use_cache": False,
    }


def _why_not(config: PreTrainedConfig) -> str | None:
    if getattr(config, "attn_logit_softcapping", None):
        return "it caps its attention scores, which no kernel used here computes"
    if getattr(config, "use_bidirectional_attention", False) or not getattr(config, "is_causal", True):
        return "its tokens also see those that follow"
    if config.model_type not in PROVEN:
        return f"packed and unpacked results were compared for {', '.join(PROVEN)} only"
    return None


def _require_static_rotation(config: PreTrainedConfig, longest: int) -> None:
    """Some rotary embeddings turn every document of a pass otherwise once the longest exceeds a limit (Phi-4-mini: 4096).

    https://github.com/huggingface/transformers/blob/v5.17.0/src/transformers/modeling_rope_utils.py#L34
    """
    rope = getattr(config, "rope_parameters", None) or {}
    kinds = list(rope.values()) if all(isinstance(value, dict) for value in rope.values()) else [rope]
    for kind in kinds:
        if kind.get("rope_type") in ("longrope", "dynamic"):
            limit = kind.get("original_max_position_embeddings") or config.max_position_embeddings
            if longest > limit:
                raise MedslmError(
                    f"a document of {longest} tokens changes the positions of all others in its pass: this "
                    f"{config.model_type} model rotates them otherwise beyond {limit}; set max_length={limit} or "
                    "packing=False"
                )


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
    cu_seq_lens_q: torch.Tensor | None = None,
    max_length_q: int | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """`isolated` as transformers calls it: query (1, Hq, T, D), key and value (1, Hk, T, D) -> (1, T, Hq, D).

    Raises `MedslmError` where isolation cannot be guaranteed: without the boundaries, with a mask, with more rows than
    one, where tokens see those that follow, or where scores are capped.
    """
    if cu_seq_lens_q is None or max_length_q is None:
        raise MedslmError(
            "packed attention was called without the documents' boundaries, so they would see each other; call the "
            "body with attention.arguments(p), or give the model its own back: set_attn_implementation('sdpa')"
        )
    if attention_mask is not None or len(query) != 1 or key.shape[2] != query.shape[2]:
        raise MedslmError("packed attention takes one row of whole documents, without padding, mask or cache")
    if not kwargs.get("is_causal", getattr(module, "is_causal", True)):
        raise MedslmError(f"{type(module).__name__} lets tokens see those that follow; set packing=False")
    if softcap is not None:
        raise MedslmError(f"{type(module).__name__} caps its attention scores; set packing=False")
    if len(cu_seq_lens_q) > 2 and hasattr(module, "config"):
        _require_static_rotation(module.config, max_length_q)
    q, k, v = (tensor[0].transpose(0, 1) for tensor in (query, key, value))
    if torch.is_autocast_enabled(v.device.type):  # rotation leaves queries and keys in float32, which no kernel takes
        q, k, v = (tensor.to(torch.get_autocast_dtype(v.device.type)) for tensor in (q, k, v))
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    out = isolated(q, k, v, cu_seq_lens_q, max_length_q, scale, sliding_window, dropout, s_aux)
    return out[None], None


def way(model: Any, dtype: torch.dtype) -> str:
    """How documents of a pass are attended to in numbers of `dtype` where the model is, in the words of a run's record."""
    base = unwrapped(model)
    config = base.config.get_text_config()
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    if any(name.endswith(".sinks") for name, _ in base.named_parameters()):
        return "written out, document by document"
    kernel = has_kernel(torch.empty(0, size, dtype=dtype, device=base.device))
    return "torch varlen" if kernel else "SDPA, document by document"


@torch.no_grad()
def prove(model: Any) -> None:
    """Show on this very model that packed documents do not see each other, before it learns from any.

    Two documents of random tokens, 12 and 9, share a pass: changing either leaves every bit of the other's last hidden
    states as it was, and the second has the states that it has alone. A mixture of experts multiplies the tokens of all
    documents together by expert, so there the first holds within rounding too. Leaves training modes, gradients and
    random states as they are. Raises `MedslmError` otherwise.
    """
    config = unwrapped(model).config
    vocabulary = unwrapped(model).get_input_embeddings().num_embeddings
    tokens = torch.randint(vocabulary, (21,), generator=torch.Generator().manual_seed(0))
    first, second = tokens[:12], tokens[12:]
    with _at_rest(model):
        one, two = _states(model, first, second)
        _, beside_another = _states(model, (first + 1) % vocabulary, second)
        before_another, _ = _states(model, first, (second + 1) % vocabulary)
        (alone,) = _states(model, second)
    if not all(states.isfinite().all() for states in (one, two, alone)):
        raise MedslmError(f"this {config.model_type} model's hidden states are not finite in {two.dtype}; change dtype")
    routed = getattr(config, "num_local_experts", 0) > 1
    same = _close if routed else torch.equal
    if not (same(two, beside_another) and same(one, before_another)):
        raise MedslmError(
            f"packed documents of this {config.model_type} model see each other: changing one changed another's hidden "
            "states; set packing=False"
        )
    if not _close(two, alone):
        raise MedslmError(
            f"a packed document of this {config.model_type} model is not computed as it is alone (hidden states differ "
            f"by {_drift(two, alone):.1%}): its positions do not begin anew; set packing=False"
        )


@torch.no_grad()
def prove_order(model: Any) -> None:
    """Show on a model whose documents are not packed that no token sees those that follow, which it would copy.

    Leaves training modes, gradients and random states as they are. Raises `MedslmError` otherwise.
    """
    base = unwrapped(model)
    vocabulary = base.get_input_embeddings().num_embeddings
    tokens = torch.randint(vocabulary, (1, 12), generator=torch.Generator().manual_seed(0))
    other = tokens.clone()
    other[0, -1] = (other[0, -1] + 1) % vocabulary
    with _at_rest(model):
        one, two = (body(model)(input_ids=row.to(base.device), use_cache=False)[0][0, :-1] for row in (tokens, other))
    if not _close(one, two):
        raise MedslmError(
            f"tokens of this {base.config.model_type} model see those that follow, so it would learn to copy its answers; "
            "choose a base that writes from left to right (`medslm list bases`)"
        )


def _states(model: Any, *documents: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The last hidden states (L, D) of each document in one pass over all."""
    p = lay([(tokens.numpy(), tokens.numpy()) for tokens in documents]).to(unwrapped(model).device)
    states = body(model)(input_ids=p.input_ids, **arguments(p)).last_hidden_state[0]
    parts: tuple[torch.Tensor, ...] = states.split_with_sizes([len(tokens) for tokens in documents])
    return parts


def _drift(states: torch.Tensor, expected: torch.Tensor) -> float:
    return float((states.float() - expected.float()).norm() / expected.float().norm())


def _close(states: torch.Tensor, expected: torch.Tensor) -> bool:
    return _drift(states, expected) <= DRIFT.get(expected.dtype, DRIFT_BFLOAT16)


@contextlib.contextmanager
def _at_rest(model: torch.nn.Module) -> Iterator[None]:
    """In evaluation mode; each module in training before is so again afterwards, the others are not."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
