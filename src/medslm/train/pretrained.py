"""What a finished pretraining leaves: the whole model, samples of it, the curve and the record."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from medslm import files
from medslm.data.example import Example
from medslm.data.formats.render import Renderer
from medslm.errors import MedslmError
from medslm.models import drawing
from medslm.models.whole import FOLDER
from medslm.recipe import Pretrain
from medslm.train import curve, record, result
from medslm.train.loop import Loop
from medslm.train.planning import say


def finish(
    recipe: Pretrain,
    folder: Path,
    tokenizer: PreTrainedTokenizerBase,
    renderer: Renderer,
    loop: Loop,
    known: dict[str, Any],
) -> None:
    """Save the model, draw samples and the curve, write `run.json`, and say what came out and what to do next."""
    progress, model = loop.progress, loop.model
    save(model, tokenizer, folder / FOLDER)
    drawn = samples(recipe, model, tokenizer, renderer, known["instructions"])
    files.write_json(folder / "samples.json", drawn)
    curve.draw(progress.curve, progress.best_step, recipe.name, folder / "loss.png", "token")
    measured = {
        "steps": progress.step,
        "examples": progress.step * recipe.global_batch_size,
        "tokens": progress.tokens,
        "seconds": round(progress.seconds, 1),
        "tokens_per_second": round(progress.tokens / progress.seconds, 1),
        "peak_memory_gib": record.peak_memory_gib(),
        **result.losses(progress.curve, progress.best_step),
        "best_step": progress.best_step,
    }
    known["base"]["parameters"] = model.num_parameters()
    weights = {
        "trainable_parameters": model.num_parameters(),
        "weights_sha256": files.sha256(folder / FOLDER / "model.safetensors"),
    }
    told = {"status": "finished"} | weights | {"train": measured, "curve": progress.curve, "samples": drawn}
    files.write_json(folder / "run.json", known | told)
    prompt = next(filter(None, recipe.prompts), "Once upon a time")
    say(
        f"{progress.step} steps, {progress.tokens:,} tokens in {progress.seconds:.0f} s; validation loss "
        f"{measured['first_eval_loss']:.3f} -> {measured['best_eval_loss']:.3f}; curve in {folder / 'loss.png'}, samples "
        f"in {folder / 'samples.json'}\nNext: medslm generate {recipe.name} {shlex.quote(prompt)}"
    )


def save(model: Any, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Weights in float32 as safetensors, configuration and tokenizer: what `from_pretrained` reads, anywhere."""
    tokenizer.model_max_length = model.config.n_positions
    with files.beside(folder) as temporary:
        model.save_pretrained(str(temporary))
        tokenizer.save_pretrained(str(temporary))


def asked(
    recipe: Pretrain, tokenizer: PreTrainedTokenizerBase, renderer: Renderer, instructions: list[str]
) -> list[list[int]]:
    """The tokens of each of the recipe's prompts. Raises `MedslmError` for one that leaves no room to write."""
    found = []
    for prompt in recipe.prompts:
        text = prompt
        if not recipe.on_text:
            text = renderer.prompt(Example("asked", next(iter(instructions), ""), prompt, "", family=""))
        ids = renderer.ids(text) or [int(tokenizer.eos_token_id)]  # which is what stands before every document
        if len(ids) >= recipe.max_length:
            raise MedslmError(
                f"prompts has {prompt!r}, which is {len(ids)} tokens of max_length={recipe.max_length}: there is no room "
                "to write; shorten it"
            )
        found.append(ids)
    return found


def samples(
    recipe: Pretrain, model: Any, tokenizer: PreTrainedTokenizerBase, renderer: Renderer, instructions: list[str]
) -> list[dict[str, str]]:
    """A continuation of, or an answer to, each of the recipe's prompts, drawn with its temperature and `top_k`."""
    model.set_attn_implementation("sdpa")
    model.eval()
    torch.manual_seed(recipe.seed)
    drawn = []
    for prompt, ids in zip(recipe.prompts, asked(recipe, tokenizer, renderer, instructions)):
        reply = drawing.draw(model, ids, recipe.max_new_tokens, recipe.temperature, recipe.top_k)
        drawn.append({"prompt": prompt, "written": tokenizer.decode(reply, skip_special_tokens=True)})
    return drawn
