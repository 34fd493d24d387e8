"""Small random models with an adapter, and the loss and gradients that transformers and PEFT give them."""

from __future__ import annotations

import copy

import numpy
import peft
import torch
import transformers
from torch.nn import functional

from medslm.models import attention, fast
from medslm.models.passes import Pass, lay

SHAPE = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}
LONGROPE = {"rope_type": "longrope", "rope_theta": 10_000.0, "original_max_position_embeddings": 64}
"""Phi-4-mini's way: cosines and sines come times a factor above one."""

FAMILY = {
    "llama": transformers.LlamaConfig(**SHAPE, head_dim=8),
    "llama with biases": transformers.LlamaConfig(**SHAPE, head_dim=8, attention_bias=True),
    "mistral with a window": transformers.MistralConfig(**SHAPE, sliding_window=5),
    "qwen2": transformers.Qwen2Config(**SHAPE),
    "qwen3": transformers.Qwen3Config(**SHAPE, head_dim=16),
    "gemma": transformers.GemmaConfig(**SHAPE, head_dim=16),
    "gemma3, windows in two layers of three": transformers.Gemma3TextConfig(
        **SHAPE,
        head_dim=16,
        query_pre_attn_scalar=24,
        sliding_window=5,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
    ),
    "phi3": transformers.Phi3Config(**SHAPE, pad_token_id=0),
    "phi3 with a window, heads rotated in part": transformers.Phi3Config(
        **SHAPE,
        pad_token_id=0,
        sliding_window=5,
        rope_parameters={
            **LONGROPE,
            "partial_rotary_factor": 0.75,
            "short_factor": [1.0, 1.5, 2.0],
            "long_factor": [2.0, 3.0, 4.0],
        },
    ),
    "smollm3, one layer without rotation": transformers.SmolLM3Config(
        **SHAPE, pad_token_id=0, no_rope_layers=[1, 0, 1]
    ),
    "smollm3 with a window": transformers.SmolLM3Config(
        **SHAPE, pad_token_id=0, no_rope_layers=[1, 0, 1], use_sliding_window=True, sliding_window=5
    ),
}
OTHERS = {
    "gpt2": transformers.GPT2Config(
        vocab_size=97, n_embd=32, n_layer=2, n_head=4, n_positions=128, attn_pdrop=0, resid_pdrop=0, embd_pdrop=0
    ),
    "granite": transformers.GraniteConfig(**SHAPE, residual_multiplier=0.5),
}
TARGETS = {"gpt2": ["c_attn", "c_proj", "c_fc"]}


def base(config: transformers.PreTrainedConfig) -> transformers.PreTrainedModel:
    """The same model for the same configuration."""
    torch.manual_seed(1)
    model = transformers.AutoModelForCausalLM.from_config(copy.deepcopy(config))
    for name, parameter in model.named_parameters():
        if name.endswith("norm.weight"):  # ones, or Gemma's zeros, would not tell one kind of norm from the other
            parameter.data += 0.2 * torch.randn_like(parameter)
    return model


def adapted(
    config: transformers.PreTrainedConfig,
    targets: str | list[str] = "all-linear",
    dropout: float = 0.0,
    dora: bool = False,
) -> peft.PeftModel:
    """A small random model with an adapter that does something."""
    lora = peft.LoraConfig(
        task_type="CAUSAL_LM",
        r=4,
        lora_alpha=6,
        target_modules=TARGETS.get(config.model_type, targets),
        lora_dropout=dropout,
        use_dora=dora,
        fan_in_fan_out=config.model_type == "gpt2",
    )
    model = peft.get_peft_model(base(config), lora)
    for name, parameter in model.named_parameters():
        if "lora_B" in name or name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.1)
    return model.train()


def documents(lengths: tuple[int, ...]) -> list[tuple[numpy.ndarray, numpy.ndarray]]:
    """Tokens and labels; the first part of each carries no loss."""
    random = numpy.random.default_rng(0)
    tokens = [random.integers(0, 97, length) for length in lengths]
    return [(one, numpy.where(numpy.arange(len(one)) < len(one) // 3, -100, one)) for one in tokens]


def packed(lengths: tuple[int, ...] = (7, 12, 3)) -> Pass:
    """A pass over documents of these lengths."""
    return lay(documents(lengths))


def curve(model: peft.PeftModel, steps: int, fused: bool = False) -> torch.Tensor:
    """The loss at each step of a short training; of the plain path where the model has not been quickened."""
    optimizer = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad], lr=2e-2, fused=fused)
    quickened = model.config._attn_implementation == attention.NAME
    losses, one = [], packed((9, 5, 14))
    for _ in range(steps):
        loss = (fast.total_loss if quickened else alone)(model, one) / len(one.targets)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.detach())
    return torch.stack(losses)


def alone(model: peft.PeftModel, one: Pass) -> torch.Tensor:
    """The loss by transformers' own code, a document at a time."""
    labels = torch.full_like(one.input_ids[0], -100)
    labels[one.predicts + 1] = one.targets
    total = torch.zeros((), device=one.input_ids.device)
    for start, end in zip(one.boundaries.tolist(), one.boundaries.tolist()[1:]):
        logits = model(input_ids=one.input_ids[:, start:end], use_cache=False).logits[0]
        total = total + functional.cross_entropy(
            logits[:-1].float(), labels[start + 1 : end], reduction="sum", ignore_index=-100
        )
    return total


def gradients(model: peft.PeftModel, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    """Of every LoRA matrix."""
    model.zero_grad()
    loss.backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.requires_grad}


def quick(model: peft.PeftModel, level: int = 0, **options: bool) -> peft.PeftModel:
    """The same model with the fast paths."""
    quickened = copy.deepcopy(model)
    attention.use(quickened)
    fast.quicken(quickened, [level] * quickened.config.num_hidden_layers, **options)
    return quickened


def agree(model: peft.PeftModel, quickened: peft.PeftModel, one: Pass, tolerance: float = 1e-4) -> None:
    expected, loss = alone(model, one), fast.total_loss(quickened, one)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
    wanted, found = gradients(model, expected), gradients(quickened, loss)
    assert wanted.keys() == found.keys()
    for name, gradient in wanted.items():
        assert gradient.abs().max() > 0, name
        torch.testing.assert_close(
            found[name], gradient, rtol=tolerance, atol=tolerance * float(gradient.abs().max()), msg=name
        )
