"""How each trainer is started: as its own documentation does, and nothing of it replaced but the clock."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rivals import measure, shapes
from rivals.documents import Documents
from rivals.measure import Meter
from rivals.variant import Variant

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def medslm(variant: Variant, shape: str, documents: Documents, rank: int, meter: Meter) -> dict[str, Any]:
    """`supervised.train`, the recipe's own path, with rows that are made already. Returns what `run.json` says of it."""
    from medslm import files
    from medslm.train import memory, planning, supervised

    recipe, build, plan = _recipe(variant, shape, rank, documents), supervised.trainer, planning.plan
    budget = memory.budget

    def watched(*arguments: Any, **options: Any) -> Any:
        built = build(*arguments, **options)
        measure.clean()
        meter.watch(built)
        return built

    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / recipe.name
        try:
            supervised.trainer, planning.plan = watched, lambda recipe, folder: _plan(recipe, folder, documents)
            if variant.cap and recipe.gpu == "auto":  # a card of a size that none is sold in
                memory.budget = lambda gpu: int(variant.cap * measure.GIB)
            supervised.train(recipe, run)
        finally:
            supervised.trainer, planning.plan, memory.budget = build, plan, budget
        kept = files.read_json(run / "run.json", "this benchmark")
    return {"speed": kept["speed"], "train": kept["train"]}


def _recipe(variant: Variant, shape: str, rank: int, documents: Documents) -> Any:
    from medslm.recipe import Sft
    from medslm.train.memory.card import PRESETS

    sold = f"{variant.cap:g}gb"
    return Sft(
        name="benchmark",
        base=shapes.hub_id(shape),
        lora=f"all-linear-r{rank}",
        suite="icd10cm",
        mixture={"benchmark": 1.0},
        quantization=variant.quantization,
        tokens_per_pass=variant.tokens,
        recompute=variant.recompute or "auto",
        gpu=sold if sold in PRESETS else "auto",
        global_batch_size=variant.documents,
        max_length=int(documents.lengths.max()),
        num_train_epochs=100,  # the clock ends it
        lr_scheduler_type="constant",
        warmup_steps=0,
        eval_steps=10**6,
        logging_steps=10**6,
    )


def _plan(recipe: Any, folder: Path, documents: Documents) -> Any:
    """What `planning.plan` would have made of a corpus of these documents."""
    import numpy

    from medslm.data.formats.render import Renderer
    from medslm.data.rows import Rows
    from medslm.models import load
    from medslm.models.base import resolve
    from medslm.recipe import Fingerprint
    from medslm.train.planning import Plan

    gates = {
        "contamination": {"policy": "report", "screened": {}, "missing": []},
        "deidentification": {"policy": "off"},
        "quality": {"findings": {}, "answers": {}, "near_copies_across_validation": 0},
        "license": {"id": "mit", "name": "none", "flags": []},
    }
    rows = documents.labelled()
    few = rows.select(range(min(8, len(rows))))
    tokenizer = load.tokenizer(resolve(recipe.base))
    built = Rows(rows, few, {}, gates, {}, numpy.asarray(documents.lengths))
    return Plan(recipe, folder, tokenizer, Renderer(tokenizer, recipe.format), built, Fingerprint(recipe.as_dict()), 1)


def trl(variant: Variant, shape: str, documents: Documents, rank: int, meter: Meter) -> dict[str, Any]:
    """TRL's `SFTTrainer` with PEFT and bitsandbytes. Returns the rows of a pass that fitted."""
    import torch
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig
    from trl import SFTTrainer

    folder = shapes.base(shape)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    lora = LoraConfig(task_type="CAUSAL_LM", r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules=TARGETS)
    options: dict[str, Any] = {}
    if variant.quantization == "nf4":
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )

    def build(batch: int, scratch: str) -> Any:
        torch.manual_seed(0)
        place = {"": 0 if torch.cuda.is_available() else "cpu"}
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.bfloat16, device_map=place, attn_implementation="sdpa", **options
        )
        chosen = _sft(variant, documents, batch, scratch)
        return SFTTrainer(
            model=model,
            args=chosen,
            train_dataset=documents.masked(),
            processing_class=tokenizer,
            peft_config=lora,
        )

    return {"batch": _largest(variant.batch, build, meter)}


def unsloth(variant: Variant, shape: str, documents: Documents, rank: int, meter: Meter) -> dict[str, Any]:
    """Unsloth's `FastLanguageModel` in its `SFTTrainer`. Returns the rows of a pass that fitted, and its attention."""
    import unsloth as package
    from trl import SFTTrainer

    folder = shapes.base(shape)
    checkpointing = "unsloth" if variant.recompute == "all" else False

    def build(batch: int, scratch: str) -> Any:
        import torch

        model, tokenizer = package.FastLanguageModel.from_pretrained(
            model_name=str(folder),
            max_seq_length=_longest(documents),
            dtype=torch.bfloat16,
            load_in_4bit=variant.quantization == "nf4",
            use_gradient_checkpointing=checkpointing,
            **({"load_in_fp8": True} if variant.quantization == "fp8" else {}),
        )
        model = package.FastLanguageModel.get_peft_model(
            model,
            r=rank,
            target_modules=TARGETS,
            lora_alpha=2 * rank,
            lora_dropout=0,
            bias="none",
            use_gradient_checkpointing=checkpointing,
            random_state=0,
        )
        return SFTTrainer(
            model=model,
            args=_sft(variant, documents, batch, scratch),
            train_dataset=documents.masked(),
            processing_class=tokenizer,
        )

    return {"batch": _largest(variant.batch, build, meter), "attention": _unsloth_attention()}


def _unsloth_attention() -> str:
    """Which kernels Unsloth found here: it is slower where xformers and flash-attn have none for this torch."""
    try:
        from unsloth.utils import attention_dispatch
    except Exception as error:  # noqa: BLE001 (its CPU backend raises what it likes)
        return f"unknown ({type(error).__name__})"
    return str(attention_dispatch.select_attention_backend(use_varlen=True))


def _longest(documents: Documents) -> int:
    return max(int(documents.lengths.max()), 32)


def _sft(variant: Variant, documents: Documents, batch: int, scratch: str) -> Any:
    """One configuration for TRL and Unsloth: what is not the trainer's own default is needed to compare them."""
    import torch
    from trl import SFTConfig

    on_gpu = torch.cuda.is_available()
    checkpointing = {} if variant.recompute == "all" else {"gradient_checkpointing": False}  # True in TRL
    kernels = {"use_liger_kernel": True} if variant.liger else {}
    return SFTConfig(
        output_dir=scratch,
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=variant.accumulate * variant.batch // batch,
        max_steps=10**4,  # the clock ends it
        max_length=_longest(documents),
        packing=variant.packing,
        completion_only_loss=True,  # the mask says what carries loss
        learning_rate=2e-4,
        lr_scheduler_type="constant",
        bf16=on_gpu,
        use_cpu=not on_gpu,
        dataloader_pin_memory=on_gpu,
        seed=0,
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **checkpointing,
        **kernels,
    )


def _largest(batch: int, build: Callable[[int, str], Any], meter: Meter) -> int:
    """Train with `batch` rows a pass, or with half of them where they do not fit, and so on. Returns how many fitted."""
    import torch

    while True:
        try:
            _fit(batch, build, meter)
        except torch.OutOfMemoryError:
            if batch == 1:
                raise
        else:
            return batch
        batch //= 2
        meter.reset()
        measure.clean()  # outside of the clause: the exception holds the tensors


def _fit(batch: int, build: Callable[[int, str], Any], meter: Meter) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        trainer = build(batch, scratch)
        meter.watch(trainer)
        measure.clean()
        trainer.train()


RUNNERS: dict[str, Callable[[Variant, str, Documents, int, Meter], dict[str, Any]]] = {
    "medslm": medslm,
    "trl": trl,
    "unsloth": unsloth,
}
