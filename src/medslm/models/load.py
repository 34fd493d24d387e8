"""Loads base models and adapters onto this machine's device."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medslm.errors import MedslmError
from medslm.models import nf4, source
from medslm.models.base import Base
from medslm.models.lora import Lora

if TYPE_CHECKING:  # importing this module imports no torch
    import torch
    from peft import PeftModel
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase


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


@contextlib.contextmanager
def _reading(base: Base, part: str) -> Iterator[None]:
    """Turn what transformers and safetensors say of files that they cannot read into a `MedslmError`."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, ImportError, SafetensorError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise MedslmError(
            f"the {part} of {base.hub_id} cannot be loaded ({reason}); choose another base (`medslm list bases`), or "
            "fetch its files anew if they are damaged"
        ) from error


def positions(config: PreTrainedConfig) -> int | None:
    """Tokens that a model with this configuration reads at most; none if it sets no bound."""
    room: int | None = getattr(config.get_text_config(decoder=True), "max_position_embeddings", None)
    return room


def config(base: Base) -> PreTrainedConfig:
    """The base's configuration, of the whole model if it reads images as well.

    Raises `MedslmError` if it cannot be read, or is of no model that writes text from left to right.
    """
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    with _reading(base, "configuration"):
        read: PreTrainedConfig = AutoConfig.from_pretrained(source.find(base).folder)
    kinds = {read.model_type, read.get_text_config().model_type}
    if read.is_encoder_decoder or not kinds & MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.keys():
        raise MedslmError(
            f"{base.hub_id} is a {read.model_type} model, which does not write text from left to right; choose a base "
            "that does (`medslm list bases`)"
        )
    return read


def tokenizer(base: Base) -> PreTrainedTokenizerBase:
    """The base's tokenizer, with a padding token. Raises `MedslmError` if its files cannot be read."""
    from transformers import AutoTokenizer

    folder = source.find(base).folder
    with _reading(base, "tokenizer"):
        loaded: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder)
    if loaded.pad_token is None:
        loaded.pad_token = loaded.eos_token
    return loaded


def model(base: Base, quantization: str = "none", wanted: str = "auto") -> PreTrainedModel:
    """The base model on this machine's device, for evaluation or as the frozen part of a training run.

    Of a base that reads images as well it is the text part alone. `fp8` is loaded as it is stored: `fast.quicken`
    converts it once its adapter is there. Raises `MedslmError` if bitsandbytes is missing, the GPU cannot multiply 8-bit
    numbers, the weights cannot be quantised once more or cannot be read, or the memory does not suffice.
    """
    import torch
    from transformers import AutoModelForCausalLM

    from medslm.models import text_part

    if quantization == "fp8":
        from medslm.models import fast

        fast.require_fp8(dtype(wanted))
    found, read = source.find(base), config(base)
    place = {"dtype": dtype(wanted), "device_map": {"": _place()}}
    options = place | text_part.options(read) | _weights(base, read, quantization, wanted)
    try:
        with _reading(base, "model"):
            loaded = AutoModelForCausalLM.from_pretrained(found.folder, **options)
    except torch.OutOfMemoryError as error:
        raise MedslmError(
            f"{base.hub_id} does not fit into the GPU's free memory; close other programs, choose a smaller base or "
            "quantization=nf4"
        ) from error
    text_part.mark(loaded, read)
    if quantization == "nf4":
        nf4.keep_gradients(loaded)
    checked: PreTrainedModel = loaded.eval()
    return checked


def _weights(base: Base, config: Any, quantization: str, wanted: str) -> dict[str, Any]:
    """In what the weights are kept: as they are stored, in NF4, or in `wanted` where they are stored in MXFP4.

    MXFP4 (gpt-oss) has no backward pass, and its experts are no linear layers, so NF4 would leave them as they are.
    """
    stored = (getattr(config, "quantization_config", None) or {}).get("quant_method")
    if stored and quantization != "none":
        raise MedslmError(
            f"{base.hub_id} is stored in {stored} already and cannot be loaded in {quantization}; use quantization=none"
        )
    if stored == "mxfp4":
        from transformers import Mxfp4Config

        return {"quantization_config": Mxfp4Config(dequantize=True)}
    return {"quantization_config": nf4.config(dtype(wanted))} if quantization == "nf4" else {}


def _place() -> str | int:
    """Each process of a launch has a GPU of its own (LOCAL_RANK, as torchrun and accelerate set it)."""
    import os

    return int(os.environ.get("LOCAL_RANK", 0)) if device() == "cuda" else "cpu"


def with_new_adapter(base: PreTrainedModel, lora: Lora) -> PeftModel:
    """The model with a fresh LoRA adapter in float32 (a T4 or V100 could not scale bfloat16 gradients).

    Raises `MedslmError` if one of the preset's target modules is not in the model.
    """
    import peft

    from medslm.models import text_part

    targets = lora.target_modules if isinstance(lora.target_modules, str) else list(lora.target_modules)
    if isinstance(targets, list):
        _require(targets, base)
    config = peft.LoraConfig(
        task_type="CAUSAL_LM",
        r=lora.r,
        lora_alpha=lora.lora_alpha,
        lora_dropout=lora.lora_dropout,
        target_modules=targets,
        use_dora=lora.use_dora,
        use_rslora=lora.use_rslora,
        init_lora_weights=lora.init_lora_weights,  # type: ignore[arg-type]  # PEFT lists its words
        fan_in_fan_out=any(_transposed(part) for part in base.modules()),
    )
    base.requires_grad_(False)  # and nothing more: PEFT's preparation for 4 bits would widen every norm to float32
    try:
        adapted = peft.get_peft_model(base, config, autocast_adapter_dtype=True)  # in float32, whatever the base is in
    except ValueError as error:  # layers that PEFT knows no adapter for, as of Mamba
        raise MedslmError(
            f"PEFT makes no such adapter for a {base.config.model_type} model ({str(error).splitlines()[0]}); choose "
            "another LoRA preset or another base"
        ) from error
    if text_part.is_part(base):
        adapted.__class__ = text_part.Adapter
    return adapted


def _transposed(part: Any) -> bool:
    """Whether a layer keeps its weight as (inputs, outputs), as GPT-2's do."""
    return type(part).__name__ == "Conv1D"


def _require(targets: list[str], base: PreTrainedModel) -> None:
    """PEFT is content with one target that is there; the others would silently learn nothing."""
    import torch

    names = [f".{name}" for name, _ in base.named_modules()]
    absent = [target for target in targets if not any(name.endswith(f".{target}") for name in names)]
    if absent:
        kinds = [(name, isinstance(part, torch.nn.Linear) or _transposed(part)) for name, part in base.named_modules()]
        linear = {name.split(".")[-1] for name, is_linear in kinds if is_linear}
        raise MedslmError(
            f"LoRA targets {', '.join(absent)} are not in this base; its linear layers are {', '.join(sorted(linear))}"
        )


def with_adapter(base: PreTrainedModel, folder: Path, fp8: bool = False) -> PeftModel:
    """The model with the adapter saved in `folder`, frozen; `fp8` as it was trained on e4m3.

    Raises `MedslmError` if it was made for another base.
    """
    import peft
    from safetensors import SafetensorError

    from medslm.models import text_part

    weights = folder / "adapter_model.safetensors"
    if not weights.is_file():
        raise MedslmError(f"{folder} holds no adapter: {weights.name} is not there")
    try:
        config = peft.PeftConfig.from_pretrained(str(folder))
    except (ValueError, KeyError, TypeError) as error:
        raise MedslmError(
            f"{folder / 'adapter_config.json'} is none that PEFT {peft.__version__} reads ({error}); pull it anew, or "
            "upgrade peft if a newer one wrote it"
        ) from error
    made_for = config.base_model_name_or_path
    does_not_fit = f"the adapter in {folder} does not fit this base: it was made for {made_for}; name that base"
    try:
        adapted = peft.PeftModel.from_pretrained(base, str(folder), **text_part.reading(base, config)).eval()
    except SafetensorError as error:  # cut short, or the pointer to a file that lies elsewhere
        raise MedslmError(f"{weights} is no whole file of weights ({error}); pull it anew") from error
    except (RuntimeError, ValueError) as error:
        raise MedslmError(does_not_fit) from error
    if text_part.names(base, weights) != set(peft.get_peft_model_state_dict(adapted, save_embedding_layers=False)):
        raise MedslmError(does_not_fit)  # a base with more or fewer layers: PEFT loads what fits, and says nothing
    if fp8:
        from medslm.models import fast

        fast.quicken(adapted, fp8=True)
    return adapted
