"""The shape of a base, counted on its configuration: no weight is read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from medslm.models.lora import Lora

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


@dataclass(frozen=True)
class Linear:
    """A linear layer that is quantised: any but the output head."""

    name: str
    """Where it is in the model: `model.layers.0.self_attn.q_proj`."""

    inputs: int
    outputs: int

    @property
    def weights(self) -> int:
        """Parameters without the bias."""
        return self.inputs * self.outputs


@dataclass(frozen=True)
class Shape:
    """What the memory and the arithmetic of a causal language model follow from."""

    model_type: str
    """As transformers calls the architecture."""

    layers: int
    hidden: int
    """Width of a layer's input."""

    intermediate: int
    """Width between the MLP's two halves, or an expert's; the largest one where layers differ."""

    experts: int
    """Experts that each token goes through in a layer (gpt-oss: 4); 0 if its MLP is one for all."""

    heads: int
    query: int
    """Width of all queries together."""

    key_value: int
    """Width of all keys together, which is that of all values."""

    vocabulary: int
    linears: tuple[Linear, ...]
    embedding_parameters: int
    """Input embeddings and output head; once where they are tied."""

    other_parameters: int
    """Norms, biases and whatever else no quantisation touches."""

    scores: bool
    """True if attention keeps its scores, a number for each pair of tokens: no kernel knows sinks (gpt-oss)."""

    whole_layers: bool
    """True if each decoder layer is one hand-written function, which can recompute parts of itself."""

    norms_heads: bool
    """True if each head of queries and keys is normalised (Qwen3, Gemma 3)."""

    norms_sums: bool
    """True if what attention and MLP give is normalised before it is added (Gemma 3); known of whole layers only."""

    merged: bool
    """True if queries, keys and values are one linear layer, gate and up another (Phi-3); known of whole layers only."""

    plain_head: bool
    """True if the logits are hidden states times the head's weight and nothing else, so that they can be made in slices."""

    @classmethod
    def of(cls, config: PreTrainedConfig) -> Shape:
        """Build the model without memory (on torch's `meta` device) and count; half a second or less."""
        import torch
        from transformers import AutoModelForCausalLM

        from medslm.models.fast.family import FAMILY, bent, by_hand

        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
        text = config.get_text_config()
        family = FAMILY[text.model_type] if by_hand(text) else None
        linears = tuple(_linears(model))
        ends = {id(part.weight): part.weight.numel() for part in _ends(model)}
        everything = sum(parameter.numel() for parameter in model.parameters())
        head_size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        groups = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
        return cls(
            model_type=text.model_type,
            layers=text.num_hidden_layers,
            hidden=text.hidden_size,
            intermediate=_intermediate(text),
            experts=getattr(text, "num_experts_per_tok", None) or 0,
            heads=text.num_attention_heads,
            query=text.num_attention_heads * head_size,
            key_value=groups * head_size,
            vocabulary=model.get_input_embeddings().weight.shape[0],
            linears=linears,
            embedding_parameters=sum(ends.values()),
            other_parameters=everything - sum(ends.values()) - sum(linear.weights for linear in linears),
            scores=any(name.endswith(".sinks") for name, _ in model.named_parameters()),
            whole_layers=family is not None,
            norms_heads=any(name.endswith(".q_norm") for name, _ in model.named_modules()),
            norms_sums=family is not None and family.outer is not None,
            merged=family is not None and len(family.qkv) == 1,
            plain_head=not bent(text),
        )

    @property
    def linear_parameters(self) -> int:
        """Weights that are quantised."""
        return sum(linear.weights for linear in self.linears)

    @property
    def multiplied(self) -> int:
        """Weights that each token is multiplied with: linear layers, its experts (gate, up and down) and the head."""
        experts = 3 * self.layers * self.experts * self.hidden * self.intermediate
        return self.linear_parameters + experts + self.hidden * self.vocabulary

    @property
    def widest_product(self) -> int:
        """Weights of the largest matrix that is multiplied at once: gate and up side by side, or the largest layer."""
        joined = 2 * self.intermediate * self.hidden if self.whole_layers else 0
        return max([joined, *(linear.weights for linear in self.linears)])

    def trainable(self, lora: Lora) -> int:
        """Parameters of an adapter on this base: r x (inputs + outputs) for each layer that PEFT would choose."""
        return sum(lora.r * (linear.inputs + linear.outputs) for linear in self.linears if _chosen(linear.name, lora))

    def adapts_mlp(self, lora: Lora) -> bool:
        """True if an MLP carries an adapter."""
        return any(".mlp." in linear.name and _chosen(linear.name, lora) for linear in self.linears)


def _chosen(name: str, lora: Lora) -> bool:
    """PEFT's rule: `all-linear`, a regular expression of the whole name, or the ends of names."""
    targets = lora.target_modules
    if isinstance(targets, str):
        return targets.lower() == "all-linear" or re.fullmatch(targets, name) is not None
    return any(f".{name}".endswith(f".{target}") for target in targets)


def _ends(model: Any) -> list[Any]:
    head = model.get_output_embeddings()
    return [model.get_input_embeddings(), *([head] if head is not None else [])]


def _linears(model: Any) -> list[Linear]:
    """Linear layers but the head; GPT-2's transposed ones count, to PEFT and to bitsandbytes as well."""
    import torch
    from transformers.pytorch_utils import Conv1D

    found, head = [], model.get_output_embeddings()
    for name, part in model.named_modules():
        if isinstance(part, torch.nn.Linear) and part is not head:
            found.append(Linear(name, part.in_features, part.out_features))
        elif isinstance(part, Conv1D):
            found.append(Linear(name, *part.weight.shape))
    return found


def _intermediate(text: Any) -> int:
    """The MLP's inner width; GPT-2 calls it `n_inner`, and none means four times the outer one (its paper's choice)."""
    width = getattr(text, "intermediate_size", None) or getattr(text, "n_inner", None) or 4 * text.hidden_size
    return max(width) if isinstance(width, (list, tuple)) else int(width)
