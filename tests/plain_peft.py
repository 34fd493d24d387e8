"""A published adapter in the hands of somebody who has never heard of this library."""

from __future__ import annotations


def load_without_medslm(adapter: str, question: str) -> dict[str, object]:
    """Load and ask it with PEFT and transformers alone; runs in a process of its own."""
    import sys

    import torch
    from peft import PeftConfig, PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base_id = PeftConfig.from_pretrained(adapter).base_model_name_or_path
    base = AutoModelForCausalLM.from_pretrained(base_id, dtype="auto")
    tokenizer = AutoTokenizer.from_pretrained(adapter)
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": question}], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    with torch.no_grad():
        before = base(**ids).logits
        model = PeftModel.from_pretrained(base, adapter)
        changed = bool((model(**ids).logits != before).any())
        reply = model.generate(**ids, max_new_tokens=8, do_sample=False)
    written = tokenizer.decode(reply[0, ids["input_ids"].shape[1] :], skip_special_tokens=True)
    return {"base": base_id, "changed": changed, "reply": written, "medslm": "medslm" in sys.modules}
