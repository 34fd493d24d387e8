"""An adapter fits its base or is refused, and is trained in the type that its device can carry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel

from medslm.errors import MedslmError
from medslm.models import load
from medslm.models.base import Base
from medslm.models.lora import Lora
from medslm.models.source import Source

SMALL = Lora(r=4, lora_alpha=8)


def llama(**shape: int) -> Any:
    """A Llama like the toy base, or of another shape."""
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4} | shape
    return LlamaForCausalLM(LlamaConfig(**({"num_key_value_heads": 2, "vocab_size": 258} | shape)))


def saved(model: Any, folder: Path, lora: Lora = SMALL) -> Path:
    """A new adapter with weights that are not zero, saved as training saves it."""
    adapted = load.with_new_adapter(model, lora)
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter)
    adapted.peft_config["default"].base_model_name_or_path = "org/its-base"
    adapted.save_pretrained(str(folder), save_embedding_layers=False)
    return folder


def linear_layers_with_an_adapter(model: PeftModel) -> set[str]:
    return {name.split(".lora_A")[0].split(".")[-1] for name, _ in model.named_parameters() if ".lora_A." in name}


def test_the_base_is_loaded_for_evaluation_with_a_padding_token(toy_base: Base) -> None:
    model, tokens = load.model(toy_base), load.tokenizer(toy_base)
    assert not model.training
    assert tokens.pad_token is not None
    assert model.device.type == load.device()


@pytest.mark.parametrize("wanted", ["float32", "bfloat16", "float16"])
def test_the_base_is_loaded_in_the_type_that_the_recipe_wants(toy_base: Base, wanted: str) -> None:
    assert load.model(toy_base, wanted=wanted).dtype == load.dtype(wanted) == getattr(torch, wanted)


@pytest.mark.parametrize(
    ("gpu", "gpu_bf16", "cpu_bf16", "chosen"),
    [
        (True, True, False, torch.bfloat16),  # Ampere and later
        (True, False, True, torch.float16),  # V100, T4: bfloat16 is emulated there
        (False, False, True, torch.bfloat16),
        (False, False, False, torch.float32),
    ],
)
def test_auto_is_the_fastest_type_that_the_device_computes_by_itself(
    monkeypatch: pytest.MonkeyPatch, gpu: bool, gpu_bf16: bool, cpu_bf16: bool, chosen: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: gpu_bf16 or including_emulation
    )
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: cpu_bf16)
    assert load.dtype() == load.dtype("auto") == chosen


def test_memory_that_does_not_suffice_is_a_sentence(toy_base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers

    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", full)
    with pytest.raises(MedslmError, match=r"toy/tiny-chat does not fit into the GPU's free memory; .*quantization=nf4"):
        load.model(toy_base)


@pytest.mark.parametrize("wanted", ["bfloat16", "float16", "float32"])
def test_a_new_adapter_is_in_float32_and_is_all_that_is_trained(toy_base: Base, wanted: str) -> None:
    adapted = load.with_new_adapter(load.model(toy_base, wanted=wanted), SMALL)
    trained = {name: parameter.dtype for name, parameter in adapted.named_parameters() if parameter.requires_grad}
    assert all(".lora_" in name for name in trained)
    assert set(trained.values()) == {torch.float32}
    assert {parameter.dtype for parameter in adapted.parameters() if not parameter.requires_grad} == {
        load.dtype(wanted)
    }


def test_a_new_adapter_changes_no_answer_yet(toy_base: Base) -> None:
    base, ids = load.model(toy_base, wanted="float32"), torch.arange(20)[None]
    with torch.no_grad():
        before = base(ids).logits
        after = load.with_new_adapter(base, SMALL).eval()(ids).logits
    assert torch.equal(before, after)


def test_all_linear_layers_but_the_output_head_get_an_adapter(toy_base: Base) -> None:
    found = linear_layers_with_an_adapter(load.with_new_adapter(load.model(toy_base), SMALL))
    assert found == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


def test_only_the_targets_named_get_an_adapter(toy_base: Base) -> None:
    lora = Lora(r=4, lora_alpha=8, target_modules=("q_proj", "mlp.up_proj"))
    assert linear_layers_with_an_adapter(load.with_new_adapter(load.model(toy_base), lora)) == {"q_proj", "up_proj"}


@pytest.mark.parametrize("targets", [("query_key_value",), ("q_proj", "query_key_value"), ("proj",)])
def test_a_target_that_is_not_there_is_a_sentence_with_the_linear_layers(
    toy_base: Base, targets: tuple[str, ...]
) -> None:
    with pytest.raises(MedslmError) as refusal:
        load.with_new_adapter(load.model(toy_base), Lora(r=4, lora_alpha=8, target_modules=targets))
    assert str(refusal.value) == (
        f"LoRA targets {targets[-1]} are not in this base; its linear layers are down_proj, gate_proj, k_proj, "
        "lm_head, o_proj, q_proj, up_proj, v_proj"
    )


def test_a_saved_adapter_answers_as_before_and_is_frozen(toy_base: Base, tmp_path: Path) -> None:
    ids = torch.arange(20)[None]
    folder = saved(load.model(toy_base, wanted="float32"), tmp_path)
    loaded = load.with_adapter(load.model(toy_base, wanted="float32"), folder)
    again = load.with_adapter(load.model(toy_base, wanted="float32"), folder)
    with torch.no_grad():
        bare = load.model(toy_base, wanted="float32")(ids).logits
        assert torch.equal(loaded(ids).logits, again(ids).logits)
        assert not torch.allclose(loaded(ids).logits, bare)
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param({"hidden_size": 128}, id="wider"),
        pytest.param({"num_hidden_layers": 4}, id="deeper"),
        pytest.param({"intermediate_size": 64}, id="narrower inside"),
    ],
)
def test_an_adapter_of_another_base_is_a_sentence(toy_base: Base, tmp_path: Path, shape: dict[str, int]) -> None:
    folder = saved(llama(**shape), tmp_path)
    with pytest.raises(MedslmError, match="does not fit this base: it was made for org/its-base; name that base"):
        load.with_adapter(load.model(toy_base), folder)


@pytest.mark.filterwarnings("ignore:Found missing adapter keys:UserWarning")  # all that PEFT has to say
def test_an_adapter_of_a_shallower_base_is_a_sentence(tmp_path: Path) -> None:
    folder = saved(llama(num_hidden_layers=3), tmp_path)  # from three layers on, PEFT writes targets without layers
    with pytest.raises(MedslmError, match="does not fit this base"):
        load.with_adapter(llama(num_hidden_layers=4), folder)


def test_a_folder_without_an_adapter_is_a_sentence(toy_base: Base, tmp_path: Path) -> None:
    with pytest.raises(MedslmError, match=r"holds no adapter: adapter_model\.safetensors is not there"):
        load.with_adapter(load.model(toy_base), tmp_path)
    (tmp_path / "adapter_model.bin").write_bytes(b"a pickle")
    with pytest.raises(MedslmError, match="holds no adapter"):
        load.with_adapter(load.model(toy_base), tmp_path)


@pytest.mark.parametrize("cut", [0, 100, -1])
def test_an_adapter_that_was_cut_short_is_a_sentence(toy_base: Base, tmp_path: Path, cut: int) -> None:
    folder = saved(load.model(toy_base), tmp_path)
    weights = folder / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:cut])
    with pytest.raises(MedslmError, match=r"adapter_model\.safetensors is no whole file of weights .*pull it anew"):
        load.with_adapter(load.model(toy_base), folder)


def test_the_configuration_of_an_unknown_adapter_is_a_sentence(toy_base: Base, tmp_path: Path) -> None:
    folder = saved(load.model(toy_base), tmp_path)
    (folder / "adapter_config.json").write_text('{"peft_type": "NEWEST"}', encoding="utf-8")
    with pytest.raises(MedslmError, match=r"adapter_config\.json is none that PEFT .* reads \(.*pull it anew"):
        load.with_adapter(load.model(toy_base), folder)


def published(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Base:
    """The files of `folder` as those of a base on the Hub."""
    monkeypatch.setattr(load.source, "find", lambda base: Source("hub", folder, "0" * 40))
    return Base("org/odd", license="mit")


def test_a_base_that_does_not_write_from_left_to_right_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import T5Config

    T5Config(d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2).save_pretrained(tmp_path)
    with pytest.raises(MedslmError, match="org/odd is a t5 model, which does not write text from left to right"):
        load.model(published(tmp_path, monkeypatch))


def test_a_base_whose_files_cannot_be_read_is_a_sentence(
    toy_base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    folder = tmp_path / "base"
    shutil.copytree(load.source.find(toy_base).folder, folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    odd = published(folder, monkeypatch)
    with pytest.raises(MedslmError, match=r"the model of org/odd cannot be loaded \(.*\); choose another base"):
        load.model(odd)
    (folder / "tokenizer.json").write_text("{", encoding="utf-8")
    with pytest.raises(MedslmError, match="tokenizer of org/odd cannot be loaded"):
        load.tokenizer(odd)
    (folder / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(MedslmError, match="configuration of org/odd cannot be loaded"):
        load.config(odd)


def test_layers_that_peft_has_no_adapter_for_are_a_sentence() -> None:
    from transformers import MambaConfig, MambaForCausalLM

    model = MambaForCausalLM(MambaConfig(hidden_size=8, num_hidden_layers=1, vocab_size=9, state_size=4))
    with pytest.raises(MedslmError, match="no such adapter for a mamba model"):
        load.with_new_adapter(model, SMALL)
