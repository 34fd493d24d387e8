"""What a pretrained or wholly tuned run writes: a text continued, or a question answered as in training."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path

from medslm.data.example import Example
from medslm.data.formats.render import Renderer
from medslm.errors import MedslmError
from medslm.infer import records
from medslm.models import drawing
from medslm.models.whole import FOLDER

COLDEST = 1e-3
"""The least temperature by which logits are divided: below it they leave what float32 holds."""


@dataclass(frozen=True)
class Drawn:
    """How replies are drawn."""

    max_new_tokens: int = 128
    temperature: float = 0.8
    """By which logits are divided; 0 takes the likeliest token each time."""

    top_k: int = 50
    """Tokens among which is drawn."""

    seed: int = 0


def weights(run: Path) -> Path | None:
    """The folder of a whole model: `model` in a run, the run's own folder as it came from the Hub; none for an adapter."""
    for folder in (run / FOLDER, run):
        if (folder / "config.json").is_file() and (run / "run.json").is_file():
            return folder
    return None


def is_whole(run: Path) -> bool:
    """True if the folder is a run, or one that was pulled, that keeps a model of its own, and not an adapter."""
    return weights(run) is not None


def write(run: Path, text: str, instruction: str | None = None, how: Drawn | None = None) -> str:
    """What the model of a finished run writes behind `text`, or answers to it.

    Raises `MedslmError` for a run without a model, values out of range, and a text longer than the model reads.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from medslm.models import load

    how = how or Drawn()
    for name, value, least in (("max_new_tokens", how.max_new_tokens, 1), ("top_k", how.top_k, 1)):
        if value < least:
            raise MedslmError(f"{name}={value}; it must be at least {least}")
    if how.temperature != 0 and not COLDEST <= how.temperature < math.inf:
        raise MedslmError(
            f"temperature={how.temperature}; it must be 0, which takes the likeliest, or a number from {COLDEST} on"
        )
    if not -(2**63) <= how.seed < 2**64:
        raise MedslmError(f"seed={how.seed}; it must be a whole number of at most 64 bits")
    told = records.read(run / "run.json", "accelerate launch", ("recipe.format", "instructions"))
    folder = weights(run)
    if folder is None:
        raise MedslmError(f"{run} holds no model: {run / FOLDER} is not there; end the run with `accelerate launch`")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).to(load.device()).eval()
    renderer = Renderer(tokenizer, told["recipe"]["format"])
    ids = renderer.ids(_asked(renderer, told, text, instruction)) or [int(tokenizer.eos_token_id)]
    if 0 < (room := model.config.max_position_embeddings - len(ids)) < how.max_new_tokens:
        told_room = f"{len(ids):,} of the model's {len(ids) + room:,} positions are taken by the text"
        print(f"note: {told_room}: it writes {room:,} tokens at most, not {how.max_new_tokens:,}", file=sys.stderr)
    torch.manual_seed(how.seed)
    reply = drawing.draw(model, ids, how.max_new_tokens, how.temperature, how.top_k)
    written: str = tokenizer.decode(reply, skip_special_tokens=True)
    return written


def _asked(renderer: Renderer, told: dict[str, object], text: str, instruction: str | None) -> str:
    """Running text is continued as it is; anything else is asked in the words of the training."""
    if renderer.format.layout is not None and not renderer.format.layout.prompted:
        if instruction is not None:
            raise MedslmError("the model continues texts and was never told what to do; leave out --instruction")
        renderer.completion(Example("asked", "", text, "", family=""))  # refuses what no document of training held
        return text
    known = told["instructions"]
    chosen = instruction if instruction is not None else next(iter(known), "")  # type: ignore[call-overload]
    return renderer.prompt(Example("asked", chosen, text, "", family=""))
