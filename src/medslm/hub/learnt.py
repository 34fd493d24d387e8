"""What a run has learnt, as its record tells it: an adapter, all weights of a base, or a model from random weights."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medslm import files
from medslm.errors import MedslmError
from medslm.hub import client
from medslm.models.whole import FOLDER

ADAPTER, MODEL = "adapter_model.safetensors", "model.safetensors"
PUBLISHED = "published.json"
"""In the folder of a run with a whole model: where it was pushed, so that a run that starts from it can name it."""

LARGEST = math.log(sys.float_info.max)
"""Loss in nats whose perplexity is still a number."""

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Learnt:
    """Which weights a run leaves, and what they were measured by."""

    weights: str
    """Path in the run's folder."""

    digest: str
    """Key of `run.json` and of scores under which the SHA-256 of these weights stands."""

    library: str
    """Which loads them: the Hub's `library_name`."""

    relation: str | None
    """The Hub's `base_model_relation`; none for a model from random weights."""

    pretrained: bool = False
    """Measured by the loss on what was held out, and not beside a base."""

    @property
    def whole(self) -> bool:
        """True for a model of its own, which needs no base beside it."""
        return self.library == "transformers"

    @property
    def word(self) -> str:
        """What a sentence calls it."""
        return "model" if self.whole else "adapter"

    @property
    def file(self) -> str:
        """Name of the weights, also in a repository, at whose root they lie."""
        return Path(self.weights).name


def of(run: Record) -> Learnt:
    """What the run with this record leaves, or will leave when it is finished."""
    if "start" in run.get("recipe", {}):  # a recipe of pretraining
        relation = "finetune" if run["recipe"]["start"] else None
        return Learnt(f"{FOLDER}/{MODEL}", "weights_sha256", "transformers", relation, pretrained=True)
    weights = run.get("weights", f"adapter/{ADAPTER}")  # records had no such key before there was anything else
    if Path(weights).parent.name == FOLDER:
        return Learnt(weights, "adapter_sha256", "transformers", "finetune")
    return Learnt(weights, "adapter_sha256", "peft", "adapter")


def base_on_hub(folder: Path, run: Record) -> str | None:
    """The Hub id of the weights that the run in `folder` began with; none for random ones, and for an earlier run's that
    were not pushed, or not in the state in which they were the first.

    Raises `MedslmError` for a name that is none of the Hub's.
    """
    base = run.get("base", {})
    if not of(run).pretrained:
        return str(base.get("hub_id"))
    path = folder.resolve().parent / str(run["recipe"]["start"]) / PUBLISHED
    if not run["recipe"]["start"] or not path.is_file():
        return None
    published = files.read_json(path, f"medslm push {path.parent.name}")
    client.check_repo_id(str(published.get("repo_id")))
    return str(published["repo_id"]) if published.get("weights_sha256") == base.get("revision") else None


def nameless_start(folder: Path) -> str | None:
    """The earlier run whose weights the one in `folder` began with, if `base_on_hub` cannot name them."""
    run = files.read_json(folder / "run.json", "accelerate launch")
    start = run.get("recipe", {}).get("start")
    return str(start) if start and base_on_hub(folder, run) is None else None


def note_published(folder: Path, repo_id: str, commit: str) -> None:
    """Keep where a whole model was pushed. Raises `MedslmError` if the folder cannot be written."""
    run = files.read_json(folder / "run.json", "accelerate launch")
    told = {"repo_id": repo_id, "commit": commit, "weights_sha256": run[of(run).digest]}
    files.write_json(folder / PUBLISHED, told)


def perplexity(loss: float) -> float:
    """Of a mean negative log-likelihood in nats. Raises `ValueError` for a loss that has none."""
    if not 0 <= loss < LARGEST:
        raise ValueError(f"a loss of {loss} has no perplexity")
    return math.exp(loss)


def check_measured(folder: Path, run: Record, train: str) -> None:
    """Raise `MedslmError` unless the record of a pretraining says what it measured on exactly these weights."""
    learnt, told = of(run), run.get("train")
    loss = told.get("best_eval_loss") if isinstance(told, Mapping) else None
    if isinstance(loss, bool) or not isinstance(loss, (int, float)) or not 0 <= loss < LARGEST:
        raise MedslmError(
            f"{folder / 'run.json'} has no validation loss ({loss!r}), by which a pretraining is measured; train again "
            f"with `{train}`"
        )
    weights = folder / learnt.weights
    if not weights.is_file():
        raise MedslmError(f"{weights} is not there, so nobody can tell what was measured; restore it or train again")
    if (found := files.sha256(weights)) != run.get(learnt.digest):
        raise MedslmError(
            f"{weights} has the SHA-256 {found[:12]}..., and run.json was measured on "
            f"{str(run.get(learnt.digest))[:12]}...: restore the weights of the run or train again"
        )
