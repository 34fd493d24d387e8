"""The sizes of published bases, so that their memory can be planned before a byte of them is fetched.

From the `config.json` of each repository on the Hub; what is not named is transformers' default for the architecture.
`tests/test_doctor.py` holds them to the published numbers of parameters. Tests and benchmarks make their bases of these.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from medslm import lock
from medslm.models.base import Base

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


def _of(kind: str, hidden: int, inner: int, layers: int, heads: int, groups: int, vocabulary: int, **more: Any) -> Any:
    """Fields of a configuration under transformers' own names; input embeddings and head are tied unless `more` says so."""
    return {
        "model_type": kind,
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": groups,
        "vocab_size": vocabulary,
        "tie_word_embeddings": True,
        **more,
    }


LLAMA_3_ROPE: dict[str, Any] = {"rope_type": "llama3", "rope_theta": 500_000.0, "factor": 32.0, "low_freq_factor": 1.0}
LLAMA_3_ROPE |= {"high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
LLAMA_3: dict[str, Any] = {"max_position_embeddings": 131_072, "rms_norm_eps": 1e-5, "rope_parameters": LLAMA_3_ROPE}
MILLION: dict[str, Any] = {"rope_type": "default", "rope_theta": 1_000_000.0}
QWEN_2: dict[str, Any] = {"max_position_embeddings": 32_768, "rope_parameters": MILLION}
QWEN_3: dict[str, Any] = {"head_dim": 128, "max_position_embeddings": 40_960, "rope_parameters": MILLION}
GEMMA_3 = {"head_dim": 256, "max_position_embeddings": 32_768, "sliding_window": 512}
GEMMA_3_LONG = GEMMA_3 | {"max_position_embeddings": 131_072, "sliding_window": 1024}
GEMMA_3_4B = _of("gemma3_text", 2560, 10_240, 34, 8, 4, 262_208, **GEMMA_3_LONG)
"""The part that reads text; the part that reads pictures is not trained."""

PHI_4: dict[str, Any] = {"max_position_embeddings": 131_072, "original_max_position_embeddings": 4096}
PHI_4 |= {"bos_token_id": 199_999, "eos_token_id": 199_999, "pad_token_id": 199_999}
PHI_4 |= {"rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 0.75}}
"""Without the factors by which it turns long texts, of which no size follows."""

SHAPES: Mapping[str, Mapping[str, Any]] = {
    "HuggingFaceTB/SmolLM2-135M-Instruct": _of("llama", 576, 1536, 30, 9, 3, 49_152, max_position_embeddings=8192),
    "HuggingFaceTB/SmolLM2-360M-Instruct": _of("llama", 960, 2560, 32, 15, 5, 49_152, max_position_embeddings=8192),
    "HuggingFaceTB/SmolLM2-1.7B-Instruct": _of("llama", 2048, 8192, 24, 32, 32, 49_152, max_position_embeddings=8192),
    "HuggingFaceTB/SmolLM3-3B": _of("smollm3", 2048, 11_008, 36, 16, 4, 128_256, max_position_embeddings=65_536),
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0": _of(
        "llama",
        2048,
        5632,
        22,
        32,
        4,
        32_000,
        tie_word_embeddings=False,
        max_position_embeddings=2048,
        rms_norm_eps=1e-5,
    ),
    "meta-llama/Llama-3.2-1B-Instruct": _of("llama", 2048, 8192, 16, 32, 8, 128_256, head_dim=64, **LLAMA_3),
    "meta-llama/Llama-3.2-3B-Instruct": _of("llama", 3072, 8192, 28, 24, 8, 128_256, head_dim=128, **LLAMA_3),
    "Qwen/Qwen2-0.5B-Instruct": _of("qwen2", 896, 4864, 24, 14, 2, 151_936, **QWEN_2),
    "Qwen/Qwen2.5-0.5B-Instruct": _of("qwen2", 896, 4864, 24, 14, 2, 151_936, **QWEN_2),
    "Qwen/Qwen2.5-1.5B-Instruct": _of("qwen2", 1536, 8960, 28, 12, 2, 151_936, **QWEN_2),
    "Qwen/Qwen2.5-3B-Instruct": _of("qwen2", 2048, 11_008, 36, 16, 2, 151_936, **QWEN_2),
    "Qwen/Qwen3-0.6B": _of("qwen3", 1024, 3072, 28, 16, 8, 151_936, **QWEN_3),
    "Qwen/Qwen3-1.7B": _of("qwen3", 2048, 6144, 28, 16, 8, 151_936, **QWEN_3),
    "Qwen/Qwen3-4B": _of("qwen3", 2560, 9728, 36, 32, 8, 151_936, **QWEN_3),
    "google/gemma-3-270m-it": _of("gemma3_text", 640, 2048, 18, 4, 1, 262_144, **GEMMA_3),
    "google/gemma-3-1b-it": _of("gemma3_text", 1152, 6912, 26, 4, 1, 262_144, **GEMMA_3),
    "google/gemma-3-4b-it": GEMMA_3_4B,
    "google/medgemma-4b-it": GEMMA_3_4B,
    "microsoft/Phi-4-mini-instruct": _of("phi3", 3072, 8192, 32, 24, 8, 200_064, **PHI_4),
    "openai-community/gpt2": {"model_type": "gpt2"},
    "openai/gpt-oss-20b": {"model_type": "gpt_oss", "num_hidden_layers": 24, "num_local_experts": 32},
}
"""By Hub id."""


def cached(base: Base) -> str | None:
    """The base's `config.json` in the Hub's cache on this disk, at the locked commit if it is locked; none if absent."""
    from huggingface_hub import constants, try_to_load_from_cache

    pinned = lock.commit(base.hub_id, "model")
    found = try_to_load_from_cache(base.hub_id, "config.json", cache_dir=constants.HF_HUB_CACHE, revision=pinned)
    return found if isinstance(found, str) else None


def config(base: Base) -> PreTrainedConfig | None:
    """The base's configuration: the cached one, else from `SHAPES`; nothing is ever fetched."""
    from transformers import AutoConfig

    if found := cached(base):
        loaded: PreTrainedConfig = AutoConfig.from_pretrained(found)
        return loaded
    return published(base.hub_id) if base.hub_id in SHAPES else None


def published(hub_id: str, **changes: Any) -> PreTrainedConfig:
    """The configuration in `SHAPES`, whatever the cache holds, with `changes` to its fields."""
    from transformers import CONFIG_MAPPING

    fields = {**SHAPES[hub_id], **changes}
    made: PreTrainedConfig = CONFIG_MAPPING[fields.pop("model_type")](**fields)
    return made
