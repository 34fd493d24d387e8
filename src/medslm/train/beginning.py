"""What a pretraining begins from: a tokenizer, and random weights or those of an earlier run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from huggingface_hub import ModelCard
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerBase

from medslm import files, snapshot
from medslm.errors import MedslmError
from medslm.models.base import resolve
from medslm.models.whole import FOLDER
from medslm.recipe import Pretrain
from medslm.train import positions

TOKENIZER = [
    "tokenizer*",
    "vocab.*",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "config.json",
    "*.jinja",
    "README.md",  # which states the licence
]


@dataclass(frozen=True)
class Beginning:
    """Tokenizer, weights, and where both are from."""

    tokenizer: PreTrainedTokenizerBase

    base: dict[str, Any]
    """What `run.json` says of it: name, Hub id, license, source, revision."""

    weights: Path | None
    """Folder of the first weights; none for random ones."""


def find(recipe: Pretrain, folder: Path) -> Beginning:
    """The tokenizer, and the run that `recipe.start` names, beside `folder`.

    Raises `MedslmError` if that run is not there or not finished, or the tokenizer has more tokens than `vocab_size`.
    """
    beginning = _of_run(recipe, folder.parent / recipe.start) if recipe.start else _of_base(recipe)
    if beginning.tokenizer.eos_token is None:
        raise MedslmError(f"the tokenizer of {recipe.base} has no token that ends a text; choose another base")
    if len(beginning.tokenizer) > recipe.vocab_size:
        raise MedslmError(
            f"vocab_size={recipe.vocab_size:,}, and the tokenizer of {recipe.base} has {len(beginning.tokenizer):,} "
            "tokens; set vocab_size to at least that"
        )
    return beginning


def _of_base(recipe: Pretrain) -> Beginning:
    base = resolve(recipe.base)
    found = snapshot.fetch(base.hub_id, "model", TOKENIZER)  # of its weights none are wanted
    stated = base.license or _stated(found.folder / "README.md")
    named = {"name": recipe.base, "hub_id": base.hub_id, "license": stated}
    return Beginning(_tokenizer(found.folder), named | {"source": "hub", "revision": found.commit}, None)


def _stated(card: Path) -> str:
    """The licence that a model's own card states."""
    try:
        stated = ModelCard.load(card).data.get("license") if card.is_file() else None
    except (ValueError, yaml.YAMLError):  # a card that cannot be read states nothing
        stated = None
    return str(stated or "unknown")


def _of_run(recipe: Pretrain, run: Path) -> Beginning:
    told = files.read_json(run / "run.json", f"accelerate launch recipes/{recipe.start.replace('-', '_')}.py")
    if told["status"] != "finished" or not (run / FOLDER).is_dir():
        raise MedslmError(
            f"start={recipe.start}: {run} holds no finished run of a whole model; end it with "
            f"`accelerate launch recipes/{recipe.start.replace('-', '_')}.py`"
        )
    terms = told["gates"]["license"]
    license = terms["name"] or terms["id"]  # the Hub calls a licence `other` that it has no word for
    named = {"name": recipe.start, "hub_id": recipe.start, "license": license}
    revision = {"source": "run", "revision": told["weights_sha256"]}
    return Beginning(_tokenizer(run / FOLDER), named | revision, run / FOLDER)


def _tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder)
    return tokenizer


def config(recipe: Pretrain, end: int) -> GPT2Config:
    """The shape of the recipe; `end` is the token that ends a text, and begins one."""
    return GPT2Config(
        vocab_size=recipe.vocab_size,
        n_positions=recipe.max_length,
        n_embd=recipe.n_embd,
        n_layer=recipe.n_layer,
        n_head=recipe.n_head,
        resid_pdrop=recipe.dropout,
        embd_pdrop=recipe.dropout,
        attn_pdrop=recipe.dropout,
        bos_token_id=end,
        eos_token_id=end,
    )


def model(recipe: Pretrain, beginning: Beginning) -> tuple[GPT2LMHeadModel, positions.Extended | None]:
    """The first weights in float32, on the CPU, and what was done to their positions.

    Raises `MedslmError` if the weights of the earlier run have another shape.
    """
    wanted = config(recipe, int(beginning.tokenizer.eos_token_id))
    if beginning.weights is None:
        torch.manual_seed(recipe.seed)
        return GPT2LMHeadModel(wanted), None
    learnt = GPT2LMHeadModel.from_pretrained(beginning.weights, dtype=torch.float32)
    names = ("n_layer", "n_embd", "n_head", "vocab_size")
    if other := [f"{name} {getattr(learnt.config, name)}" for name in names if _differ(name, learnt.config, wanted)]:
        raise MedslmError(
            f"start={recipe.start} has {', '.join(other)}, and the recipe says "
            f"{', '.join(f'{name} {getattr(wanted, name)}' for name in names)}; say what it has"
        )
    for name in ("resid_pdrop", "embd_pdrop", "attn_pdrop"):
        setattr(learnt.config, name, recipe.dropout)
    for part in learnt.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = recipe.dropout
    return positions.extend(learnt, recipe.max_length)


def _differ(name: str, one: GPT2Config, other: GPT2Config) -> bool:
    return bool(getattr(one, name) != getattr(other, name))
