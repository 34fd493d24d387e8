"""Loads base models and adapters onto this machine's device; the only file that knows bitsandbytes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from medslm.errors import MedslmError
from medslm.models import source
from medslm.models.base import Base
from medslm.models.lora import Lora

if TYPE_CHECKING:  # importing this module imports no torch
    import torch
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def device() -> str:
    """`cuda` where there is a GPU, else `cpu`."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def gpu() -> str | None:
    """What the GPU calls itself; none on a CPU."""
    import torch

    return torch.cuda.get_device_name() if device() == "cuda" else None


def dtype(wanted: str = "auto") -> torch.dtype:
    """The type called `wanted`; `auto` is bfloat16 where the device multiplies it itself, else float16 or float32."""
    import torch

    if wanted != "auto":
        chosen: torch.dtype = getattr(torch, wanted)
        return chosen
    if device() == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32


def tokenizer(base: Base) -> PreTrainedTokenizerBase:
    """The base's tokenizer, with a padding token."""
    from transformers import AutoTokenizer

    loaded: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(source.find(base).folder)
    if loaded.pad_token is None:
        loaded.pad_token = loaded.eos_token
    return loaded


def model(base: Base, quantization: str = "none", wanted: str = "auto") -> PreTrainedModel:
    """The base model on this machine's device, for evaluation or as the frozen part of a training run.

    Raises `MedslmError` if bitsandbytes is missing or the memory does not suffice.
    """
    import torch
    from transformers import AutoModelForCausalLM

    options: dict[str, Any] = {"quantization_config": _nf4(dtype(wanted))} if quantization == "nf4" else {}
    try:
        loaded = AutoModelForCausalLM.from_pretrained(
            source.find(base).folder, dtype=dtype(wanted), device_map={"": _place()}, **options
        )
    except torch.OutOfMemoryError as error:
        raise MedslmError(
            f"{base.hub_id} does not fit into the GPU's free memory; close other programs, choose a smaller base or "
            "quantization=nf4"
        ) from error
    if quantization == "nf4":
        _keep_gradients(loaded)
    checked: PreTrainedModel = loaded.eval()
    return checked


def _place() -> str | int:
    """Each process of a launch has a GPU of its own (LOCAL_RANK, as torchrun and accelerate set it)."""
    import os

    return int(os.environ.get("LOCAL_RANK", 0)) if device() == "cuda" else "cpu"


def _nf4(compute: torch.dtype) -> Any:
    """4-bit NormalFloat with double quantisation (arXiv:2305.14314), named since the defaults are fp4 and float32."""
    try:
        import bitsandbytes  # noqa: F401
    except ImportError:
        raise MedslmError('quantization=nf4 needs bitsandbytes; `pip install "medslm[quant]"`') from None
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute,
    )


def _keep_gradients(quantized: PreTrainedModel) -> None:
    """Keep bitsandbytes 0.50 from repacking the weights of a CPU model in its first evaluation.

    On processors with AVX512-BF16 the repacked path has no autograd: training after an evaluation would go on with
    wrong gradients and only a warning. `tests/models/test_nf4.py` compares the gradients before and after one.
    """
    for module in quantized.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def with_new_adapter(base: PreTrainedModel, lora: Lora, gradient_checkpointing: bool = False) -> PeftModel:
    """The model with a fresh LoRA adapter in float32 (a T4 or V100 could not scale bfloat16 gradients).

    Raises `MedslmError` if one of the preset's target modules is not in the model.
    """
    import peft

    targets = lora.target_modules if isinstance(lora.target_modules, str) else list(lora.target_modules)
    if isinstance(targets, list):
        _require(targets, base)
    config = peft.LoraConfig(
        task_type="CAUSAL_LM",
        r=lora.r,
        lora_alpha=lora.lora_alpha,
        lora_dropout=lora.lora_dropout,
        target_modules=targets,
    )
    if getattr(base, "is_loaded_in_4bit", False):
        base = peft.prepare_model_for_kbit_training(
            base,
            use_gradient_checkpointing=gradient_checkpointing,
            gradient_checkpointing_kwargs={"use_reentrant": False},
        )
    return peft.get_peft_model(base, config, autocast_adapter_dtype=True)  # in float32, whatever the base is in


def _require(targets: list[str], base: PreTrainedModel) -> None:
    """PEFT is content with one target that is there; the others would silently learn nothing."""
    import torch

    names = [f".{name}" for name, _ in base.named_modules()]
    absent = [target for target in targets if not any(name.endswith(f".{target}") for name in names)]
    if absent:
        linear = {name.split(".")[-1] for name, part in base.named_modules() if isinstance(part, torch.nn.Linear)}
        raise MedslmError(
            f"LoRA targets {', '.join(absent)} are not in this base; its linear layers are {', '.join(sorted(linear))}"
        )


def with_adapter(base: PreTrainedModel, folder: Path) -> PeftModel:
    """The model with the adapter saved in `folder`, frozen. Raises `MedslmError` if it was made for another base."""
    import peft
    from safetensors import safe_open

    weights = folder / "adapter_model.safetensors"
    if not weights.is_file():
        raise MedslmError(f"{folder} holds no adapter: {weights.name} is not there")
    made_for = peft.PeftConfig.from_pretrained(str(folder)).base_model_name_or_path
    does_not_fit = f"the adapter in {folder} does not fit this base: it was made for {made_for}; name that base"
    try:
        adapted = peft.PeftModel.from_pretrained(base, str(folder)).eval()
    except (RuntimeError, ValueError) as error:
        raise MedslmError(does_not_fit) from error
    with safe_open(weights, framework="pt") as saved:
        tensors = set(saved.keys())
    if tensors != set(peft.get_peft_model_state_dict(adapted, save_embedding_layers=False)):
        raise MedslmError(does_not_fit)  # a base with more or fewer layers: PEFT loads what fits, and says nothing
    return adapted
