"""Bases of the true shape with random weights, on which speed and memory are those of the published ones."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medslm.models import shapes as published

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

    settings: Mapping[str, Any]
    """`model_type` and the fields of its configuration."""

    def fields(self) -> dict[str, Any]:
        """What the configuration is made of, beside its type."""
        return {name: value for name, value in self.settings.items() if name != "model_type"}

    def __getattr__(self, name: str) -> Any:
        """A field of the configuration: `hidden_size`, `vocab_size`, ..."""
        try:
            return self.__dict__["settings"][name]
        except KeyError:
            raise AttributeError(f"the configuration names no {name}") from None

    @property
    def query(self) -> int:
        """Width of all queries together."""
        heads = self.num_attention_heads
        return heads * self.settings.get("head_dim", self.hidden_size // heads)

    @property
    def linear_weights(self) -> int:
        """Parameters of the linear layers that carry LoRA, all layers together."""
        keys = self.query // self.num_attention_heads * self.num_key_value_heads
        attention = self.hidden_size * (2 * self.query + 2 * keys)
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
        return 2 * (products + 4 * self.query * self.num_hidden_layers * seen)


TOY = {"model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "head_dim": 16}
TOY |= {"num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 512, "max_position_embeddings": 2048}
TOY |= {"tie_word_embeddings": True, "rms_norm_eps": 1e-5}

SHAPES = {
    "llama-3.2-3b": Shape(published.SHAPES["meta-llama/Llama-3.2-3B-Instruct"]),
    "llama-3.2-1b": Shape(published.SHAPES["meta-llama/Llama-3.2-1B-Instruct"]),
    "tinyllama-1.1b": Shape(published.SHAPES["TinyLlama/TinyLlama-1.1B-Chat-v1.0"]),
    "qwen3-0.6b": Shape(published.SHAPES["Qwen/Qwen3-0.6B"]),
    "qwen3-1.7b": Shape(published.SHAPES["Qwen/Qwen3-1.7B"]),
    "qwen3-4b": Shape(published.SHAPES["Qwen/Qwen3-4B"]),
    "toy": Shape(TOY),
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
    tokenizer(shape.max_position_embeddings).save_pretrained(folder)
    stated = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if stated["hidden_size"] != shape.hidden_size or stated["dtype"] != "bfloat16":
        raise RuntimeError(f"{folder} was not written as asked: {stated}")
    (folder / "README.md").write_text("---\nlicense: mit\n---\nRandom weights.\n", encoding="utf-8")


def tokenizer(longest: int) -> Any:
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
