"""Bases of the true shape with random weights, on which speed and memory are those of the published ones."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMIT = "0" * 40
"""The only commit of a made-up base."""

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TOKENS = 259
"""Bytes and three special tokens; the other rows of the embeddings belong to no text."""


@dataclass(frozen=True)
class Shape:
    """The sizes of a decoder, under transformers' names."""

    model_type: str
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    vocab_size: int
    tie_word_embeddings: bool
    max_position_embeddings: int
    rope: tuple[tuple[str, Any], ...] = (("rope_type", "default"), ("rope_theta", 10000.0))
    rms_norm_eps: float = 1e-5

    def fields(self) -> dict[str, Any]:
        """What the configuration is made of."""
        names = [name for name in self.__dataclass_fields__ if name not in ("rope", "model_type")]
        return {name: getattr(self, name) for name in names} | {"rope_parameters": dict(self.rope)}

    @property
    def linear_weights(self) -> int:
        """Parameters of the linear layers that carry LoRA, all layers together."""
        queries, keys = self.num_attention_heads * self.head_dim, self.num_key_value_heads * self.head_dim
        attention = self.hidden_size * (2 * queries + 2 * keys)
        return self.num_hidden_layers * (attention + 3 * self.hidden_size * self.intermediate_size)

    @property
    def head_weights(self) -> int:
        """Parameters of the output head."""
        return self.hidden_size * self.vocab_size

    def flop(self, lengths: Any, predicted: int) -> float:
        """Floating point operations that documents of `lengths` tokens (D,) need, forward and backward.

        A LoRA needs the base's product twice (no gradient of its weights), the head's for `predicted` tokens only, and
        causal attention: 2 x (2 x weights + attention), attention being counted as twice its forward pass.
        """
        products = 2 * (self.linear_weights * int(lengths.sum()) + self.head_weights * predicted)
        seen = float((lengths.astype("f8") * (lengths + 1) / 2).sum())  # pairs of tokens, one of which sees the other
        attention = 4 * self.num_attention_heads * self.head_dim * self.num_hidden_layers * seen
        return 2 * (products + attention)


LLAMA_3 = (
    ("rope_type", "llama3"),
    ("rope_theta", 500000.0),
    ("factor", 32.0),
    ("low_freq_factor", 1.0),
    ("high_freq_factor", 4.0),
    ("original_max_position_embeddings", 8192),
)
MILLION = (("rope_type", "default"), ("rope_theta", 1000000.0))

SHAPES = {
    "llama-3.2-3b": Shape("llama", 3072, 8192, 28, 24, 8, 128, 128256, True, 131072, LLAMA_3),
    "llama-3.2-1b": Shape("llama", 2048, 8192, 16, 32, 8, 64, 128256, True, 131072, LLAMA_3),
    "tinyllama-1.1b": Shape("llama", 2048, 5632, 22, 32, 4, 64, 32000, False, 2048),
    "qwen3-0.6b": Shape("qwen3", 1024, 3072, 28, 16, 8, 128, 151936, True, 40960, MILLION, 1e-6),
    "qwen3-1.7b": Shape("qwen3", 2048, 6144, 28, 16, 8, 128, 151936, True, 40960, MILLION, 1e-6),
    "qwen3-4b": Shape("qwen3", 2560, 9728, 36, 32, 8, 128, 151936, True, 40960, MILLION, 1e-6),
    "toy": Shape("llama", 64, 128, 2, 4, 2, 16, 512, True, 2048),
}


def hub_id(shape: str) -> str:
    """What the base is called in the Hub's cache."""
    return f"benchmark/{shape}"


def base(shape: str) -> Path:
    """The folder of the base in the Hub's cache (`HF_HUB_CACHE`), written on first use: all rivals load these files."""
    repository = Path(os.environ["HF_HUB_CACHE"]) / f"models--benchmark--{shape}"
    folder = repository / "snapshots" / COMMIT
    reference = repository / "refs" / "main"
    if not reference.is_file():
        _write(SHAPES[shape], folder)
        reference.parent.mkdir(parents=True, exist_ok=True)
        reference.write_text(COMMIT, encoding="utf-8")  # last: it says that the folder is whole
    return folder


def _write(shape: Shape, folder: Path) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(shape.model_type, **shape.fields(), bos_token_id=256, eos_token_id=257)
    config.pad_token_id, config.dtype = 258, torch.bfloat16
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    _tokenizer(shape.max_position_embeddings).save_pretrained(folder)
    stated = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if stated["hidden_size"] != shape.hidden_size or stated["dtype"] != "bfloat16":
        raise RuntimeError(f"{folder} was not written as asked: {stated}")
    (folder / "README.md").write_text("---\nlicense: mit\n---\nRandom weights.\n", encoding="utf-8")


def _tokenizer(longest: int) -> Any:
    """Bytes as tokens: no rival tokenizes anything here, but all of them ask for a tokenizer."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    plain = Tokenizer(models.BPE(vocab={letter: number for number, letter in enumerate(alphabet)}, merges=[]))
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=plain,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|pad|>",
        chat_template=CHATML,
        model_max_length=longest,
        padding_side="right",
    )
