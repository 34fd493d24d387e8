"""What loads from the Hub loads from this server: datasets, transformers and peft, each knowing only a name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hub_server import HubServer, run_client


def publish_and_load(folder: str) -> dict[str, Any]:
    """Publish a tiny model, its tokenizer, an adapter and a data set; load each by name in one process."""
    from pathlib import Path

    import torch
    from datasets import load_dataset
    from huggingface_hub import HfApi
    from peft import LoraConfig, PeftModel, get_peft_model
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    api, root = HfApi(), Path(folder)
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    words = {word: index for index, word in enumerate(["<unk>", "<s>", "</s>", "the", "patient", "is", "well"])}
    plain = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    named = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>"}
    PreTrainedTokenizerFast(tokenizer_object=plain, **named).save_pretrained(root / "base")
    LlamaForCausalLM(LlamaConfig(vocab_size=len(words), **shape)).save_pretrained(root / "base")
    for repo_id, kind in (("alice/base", "model"), ("alice/adapter", "model"), ("alice/notes", "dataset")):
        api.create_repo(repo_id, repo_type=kind, private=True)
    api.upload_folder(repo_id="alice/base", folder_path=root / "base")
    base = AutoModelForCausalLM.from_pretrained("alice/base")
    tokenizer = AutoTokenizer.from_pretrained("alice/base")
    tuned = get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
    ids = tokenizer("the patient is well", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        expected = tuned(ids).logits
    tuned.save_pretrained(root / "adapter")
    api.upload_folder(repo_id="alice/adapter", folder_path=root / "adapter")
    api.upload_folder(repo_id="alice/notes", folder_path=root / "notes", repo_type="dataset")
    fresh = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained("alice/base"), "alice/adapter")
    with torch.no_grad():
        equal = torch.allclose(fresh(ids).logits, expected)
    rows = load_dataset("alice/notes", split="train")
    head = api.dataset_info("alice/notes").sha
    pinned = load_dataset("alice/notes", split="test", revision=head)
    return {"equal": equal, "ids": ids.tolist(), "rows": rows[:], "pinned": pinned[:]}


def test_models_tokenizers_adapters_and_data_sets_load_by_name(hub: HubServer, tmp_path: Path) -> None:
    notes = tmp_path / "files" / "notes"
    notes.mkdir(parents=True)
    rows = [{"note": "fever", "days": 3}, {"note": "cough, é", "days": 5}]
    for split in ("train", "test"):
        (notes / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    folder, token = str(tmp_path / "files"), hub.token("alice")
    saw = run_client(hub, tmp_path, publish_and_load, token=token, xet=True, folder=folder)
    columns = {"note": ["fever", "cough, é"], "days": [3, 5]}
    assert saw == {"equal": True, "ids": [[3, 4, 5, 6]], "rows": columns, "pinned": columns}
    assert hub.asked("GET", "xet-read-token")
