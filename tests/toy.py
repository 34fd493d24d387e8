"""The toy world: a language model that trains in seconds, under a Hub id of its own."""

from __future__ import annotations

from functools import cache as once
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medslm.recipe import Sft

HUB_ID = "toy/tiny-chat"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CARD = "---\nlicense: mit\n---\nA toy.\n"


def recipe(name: str, **fields: Any) -> Sft:
    """A recipe of this base on ICD-10-CM statements, that takes seconds and can be compared to the last digit."""
    from medslm.recipe import Sft

    usual: dict[str, Any] = {"base": HUB_ID, "lora": "all-linear-r16", "suite": "icd10cm", "format": "toon"}
    usual |= {"dtype": "float32", "max_length": 640, "learning_rate": 5e-3, "logging_steps": 1}
    return Sft(name=name, **{**usual, "validation_fraction": 0.005, **fields})


@once
def cache(hub: Path) -> Path:
    """Lay the model out as the Hub's client keeps a downloaded snapshot; returns the snapshot's folder."""
    repository = hub / f"models--{HUB_ID.replace('/', '--')}"
    snapshot = repository / "snapshots" / COMMIT
    save(snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT, encoding="utf-8")
    return snapshot


def save(folder: Path) -> None:
    """A Llama of 2 layers and a byte tokenizer with ChatML, seeded."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokens = tokenizer()
    tokens.save_pretrained(folder)
    torch.manual_seed(0)
    end = tokens.convert_tokens_to_ids("<|im_end|>")
    shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    shape |= {"num_key_value_heads": 2, "max_position_embeddings": 1024, "vocab_size": len(tokens)}
    LlamaForCausalLM(LlamaConfig(**shape, eos_token_id=end, pad_token_id=end, bos_token_id=None)).save_pretrained(
        folder
    )
    (folder / "README.md").write_text(CARD, encoding="utf-8")


def tokenizer():  # type: ignore[no-untyped-def]
    """A byte-level BPE of some 500 tokens, learned from what the answers are made of, with the two tokens of ChatML."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    from medslm.data.builders import icd10cm

    plain = Tokenizer(models.BPE())
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=600, initial_alphabet=alphabet, show_progress=False)
    plain.train_from_iterator([icd10cm.CODING, "chapter: code: Answer in TOON", *icd10cm.chapters().values()], trainer)
    special = {"eos_token": "<|im_end|>", "pad_token": "<|im_end|>", "additional_special_tokens": ["<|im_start|>"]}
    return PreTrainedTokenizerFast(tokenizer_object=plain, chat_template=CHATML, **special)
