"""A run folder as training leaves it, small enough to write in a millisecond, and a base model that fits it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
from safetensors.numpy import save, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

HIDDEN = 16
MODULE = "base_model.model.model.layers.0.self_attn.q_proj"
CARD = "---\nbase_model: alice/base\nlibrary_name: peft\nlicense: mit\n---\n# A card\n"
MakeRun = Callable[..., Path]


def write_run(run: Path, *, seed: int = 0, card: str = CARD, base: str = "alice/base") -> Path:
    """A run whose adapter holds random numbers of `seed`, with what other programs leave beside it."""
    adapter, numbers = run / "adapter", numpy.random.default_rng(seed)
    (run / ".eval_results").mkdir(parents=True)
    adapter.mkdir()
    shapes = {"lora_A": (2, HIDDEN), "lora_B": (HIDDEN, 2)}
    tensors = {f"{MODULE}.{key}.weight": numbers.normal(size=shape).astype("f4") for key, shape in shapes.items()}
    save_file(tensors, adapter / "adapter_model.safetensors")
    lora = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]}
    texts = {
        "README.md": card,
        "run.json": json.dumps({"name": run.name, "seed": seed}),
        "scores.json": json.dumps({"accuracy": 0.5}),
        ".eval_results/medqa.yaml": "- value: 0.5\n",
        "adapter/adapter_config.json": json.dumps({**lora, "base_model_name_or_path": base}),
        "adapter/tokenizer_config.json": "{}",
        "adapter/chat_template.jinja": "{{ messages }}",
        "adapter/README.md": "written by another program\n",
        "events.log": "left by training",
    }
    for path, text in texts.items():
        (run / path).write_text(text, encoding="utf-8")
    for path in ("loss.png", "adapter/training_args.bin", "adapter/optimizer.pt"):
        (run / path).write_bytes(b"\x89PNG\0" + path.encode())
    return run


@pytest.fixture(scope="session")
def make_run() -> MakeRun:
    """`make_run(folder, seed=..., card=..., base=...)` writes one more run."""
    return write_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run that may be published."""
    return write_run(tmp_path / "runs" / "toy")


@pytest.fixture
def write_base() -> Callable[[], dict[str, bytes]]:
    """`write_base()` gives the files of a Llama of one layer and five words, so that no test needs torch to make one."""
    return base_files


def base_files() -> dict[str, bytes]:
    """Path -> content of the base model that `write_run` adapts."""
    words = {word: index for index, word in enumerate(["<unk>", "<s>", "</s>", "the", "patient"])}
    plain = Tokenizer(WordLevel(words, unk_token="<unk>"))
    plain.pre_tokenizer = Whitespace()
    shape = {"hidden_size": HIDDEN, "intermediate_size": HIDDEN, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": len(words), **shape}
    layer, square = "model.layers.0.", (HIDDEN, HIDDEN)
    shapes: dict[str, tuple[int, ...]] = {f"{layer}self_attn.{name}_proj.weight": square for name in "qkvo"}
    shapes |= {f"{layer}mlp.{name}_proj.weight": square for name in ("gate", "up", "down")}
    norms = ("model.norm", f"{layer}input_layernorm", f"{layer}post_attention_layernorm")
    shapes |= {f"{name}.weight": (HIDDEN,) for name in norms}
    shapes |= {name: (len(words), HIDDEN) for name in ("model.embed_tokens.weight", "lm_head.weight")}
    numbers = numpy.random.default_rng(0)
    tokens = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": "<unk>",
        "bos_token": "<s>",
        "eos_token": "</s>",
    }
    return {
        "config.json": json.dumps(config).encode(),
        "tokenizer.json": plain.to_str().encode(),
        "tokenizer_config.json": json.dumps(tokens).encode(),
        "model.safetensors": save({name: numbers.normal(size=size).astype("f4") for name, size in shapes.items()}),
    }
