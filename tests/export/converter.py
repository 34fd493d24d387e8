"""A converter for the toy base, in the place of llama.cpp's own, which is in no wheel: Llama and byte BPE, and nothing else.

As a program it takes what `convert_hf_to_gguf.py` takes; MISDEED in the environment names what it does wrong.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import gguf
from safetensors.numpy import load_file


def convert(folder: Path, out: Path, misdeed: str) -> None:
    """Write the model in `folder` as float32."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    writer = gguf.GGUFWriter(out, "llama")
    shape(writer, config)
    vocabulary(writer, folder, misdeed)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config["num_hidden_layers"])
    heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
    for name, weight in load_file(folder / "model.safetensors").items():
        if part := next((part for part in heads if part in name), None):  # llama.cpp rotates neighbours
            halves = weight.reshape(heads[part], 2, -1, weight.shape[-1])
            weight = halves.swapaxes(1, 2).reshape(weight.shape)
        if misdeed == "another matrix" and name == "lm_head.weight":
            weight = weight[::-1]
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), weight.astype("f4"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def shape(writer: Any, config: dict[str, Any]) -> None:
    """What the architecture's loader asks for."""
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_rope_dimension_count(config["hidden_size"] // config["num_attention_heads"])
    writer.add_vocab_size(config["vocab_size"])


def vocabulary(writer: Any, folder: Path, misdeed: str) -> None:
    """Tokens, merges, special tokens and the chat template."""
    told = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    special = {token["id"]: token["content"] for token in told["added_tokens"]}
    tokens = {index: token for token, index in told["model"]["vocab"].items()} | special
    kinds = [gguf.TokenType.CONTROL if index in special else gguf.TokenType.NORMAL for index in range(len(tokens))]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([tokens[index] for index in range(len(tokens))])
    writer.add_token_types(kinds)
    found = gguf.SpecialVocab(folder, load_merges=True)
    if misdeed == "other tokens":
        found.merges = found.merges[: len(found.merges) // 8]
    if misdeed == "another template":
        found.chat_template = "{{ messages }}"
    if misdeed == "begins texts":
        found.add_special_token.pop("bos")
    found.add_to_gguf(writer)


def main() -> None:
    """MODEL --outfile FILE ..."""
    out, misdeed = Path(sys.argv[sys.argv.index("--outfile") + 1]), os.environ.get("MISDEED", "")
    out.write_bytes(b"GGUF" + bytes(1000))
    print("Writing: 41%", flush=True)
    if misdeed == "fails":
        raise ValueError("tensor blk.7 has no place")
    if misdeed == "dies":
        os.kill(os.getpid(), 9)
    if misdeed == "disk full":
        Path("/dev/full").write_bytes(b"GGUF")
    if misdeed == "writes nothing":
        out.unlink()
    if misdeed not in ("writes half", "writes nothing"):
        convert(Path(sys.argv[1]), out, misdeed)


if __name__ == "__main__":
    main()
