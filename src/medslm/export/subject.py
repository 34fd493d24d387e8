"""What is exported: a finished run, its base as it was trained on, and the questions by which an export is compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medslm import files
from medslm.data.formats.render import Renderer
from medslm.errors import MedslmError
from medslm.evals import admission, documents
from medslm.evals.admission import MADE_BY
from medslm.hub import learnt
from medslm.infer import records
from medslm.models import load, source
from medslm.models.base import Base, resolve
from medslm.models.whole import FOLDER

PROMPTS = 16  # the fewest on which an export may be judged
LONGER = "longer than the positions"


@dataclass(frozen=True)
class Subject:
    """A finished run and what belongs to it."""

    folder: Path
    record: Mapping[str, Any]
    """`run.json`"""

    base: Base
    tokenizer: Any
    renderer: Renderer

    @property
    def name(self) -> str:
        """Of the run; files are called after it."""
        return str(self.record["name"])

    @property
    def weights(self) -> Path:
        """The file that the run has left: an adapter, or a whole model."""
        return self.folder / learnt.of(self.record).weights

    @property
    def whole(self) -> bool:
        """True if all weights have learnt, so that there is nothing to merge."""
        return learnt.of(self.record).whole

    @property
    def word(self) -> str:
        """What a sentence calls what was learnt."""
        return learnt.of(self.record).word

    @property
    def adapter(self) -> Path:
        """Its folder."""
        return self.folder / "adapter"


@dataclass(frozen=True)
class Passage:
    """Tokens, of which those from `start` on are to be predicted."""

    ids: tuple[int, ...]
    start: int

    @property
    def answer(self) -> tuple[int, ...]:
        """What is to be predicted. (P,)"""
        return self.ids[self.start :]


@dataclass(frozen=True)
class Item:
    """One question of the run's suite: the passages of its rival answers, or the one of its key."""

    task: str
    id: str
    prompt: str
    passages: tuple[Passage, ...]

    right: int | None
    """Which passage is the key; none where the answer is written and its only passage is the key."""


def find(run: Path) -> Subject:
    """The run in that folder. Raises `MedslmError` for one that is not finished, or by whose exam nothing can be compared,
    and where this machine has other weights of the base, or writes other prompts, than the training run."""
    record = records.read(run / "run.json", MADE_BY, ("recipe.base", "recipe.suite", "recipe.format"))
    if record.get("status") != "finished":
        raise MedslmError(f"the run in {run} is not finished; start its recipe again, it goes on where it stopped")
    if learnt.of(record).pretrained:
        raise MedslmError(
            f"{run} was pretrained, and no exam tells whether an export of it still is the same model; {run / FOLDER} is "
            "in transformers' own form, which llama.cpp's converter, vLLM and Optimum read as it is"
        )
    if not record["recipe"]["suite"]:
        raise MedslmError(
            f"{run} has no suite, by whose questions an export is compared with what was learnt; train it with --suite "
            "(`medslm list suites`)"
        )
    base = resolve(record["recipe"]["base"])
    admission.refuse_another_base(run, record, base)
    refuse_damaged(run, record)
    admission.refuse_other_weights(record["base"], base)
    if not learnt.of(record).whole:
        refuse_quantized(source.find(base).folder, base)
    tokenizer = load.tokenizer(base)
    renderer = Renderer(tokenizer, record["recipe"]["format"])
    admission.refuse_another_template(record["template_hash"], renderer)
    return Subject(run, record, base, tokenizer, renderer)


def refuse_damaged(run: Path, record: Mapping[str, Any]) -> None:
    """Raise `MedslmError` if the weights are not those that the run has left; older records do not tell which these are."""
    kept = learnt.of(record)
    told, weights = record.get(kept.digest), run / kept.weights
    if told and (found := files.sha256(weights)) != told:
        raise MedslmError(
            f"{weights} is damaged or another one: its SHA-256 is {found[:12]}..., and the run has left {told[:12]}...; "
            "restore it, or train again"
        )


def refuse_quantized(folder: Path, base: Base) -> None:
    """Raise `MedslmError` if the base's weights are stored quantised: a merge would round the adapter away."""
    stored = files.read_json(folder / "config.json", "the base's authors").get("quantization_config")
    if stored:
        raise MedslmError(
            f"the weights of {base.hub_id} are stored as {stored.get('quant_method', 'quantised')}, and an adapter merged "
            "into them would be rounded with them; train on the full-precision base and export that run, or serve base "
            "and adapter side by side"
        )


def items(subject: Subject, each: int) -> tuple[list[Item], dict[str, str], int]:
    """`each` items of every task of the recipe's suite, spread over it; benchmark -> why its items cannot be had; and how
    many were left out, since the base has fewer positions than they have tokens.

    Raises `MedslmError` where they are fewer than `PROMPTS` different prompts.
    """
    if each < 1:
        raise MedslmError(f"--items {each}: an export is compared on that many items of each task; give at least 1")
    exam = admission.examine(subject.record["recipe"]["suite"], own=True, limit=each, available=True)
    tasks = [task for task in exam.suite.tasks if task.form == "asked"]
    found = [
        _item(task.name, document, subject.renderer)
        for task in tasks
        for document in documents.render(task, subject.renderer, each)
    ]
    room = load.positions(load.config(subject.base))
    short = [item for item in found if room is None or max(len(passage.ids) for passage in item.passages) <= room]
    prompts, too_long = len({item.prompt for item in short}), len(found) - len(short)
    if prompts < PROMPTS:
        raise MedslmError(
            f"an export is compared on at least {PROMPTS} prompts, but {each} items of each task of suite "
            f"'{exam.name}' make {prompts}"
            + (f", {too_long} being {LONGER} of {subject.base.hub_id} ({room})" if too_long else "")
            + "; raise --items, or give the suite's benchmarks with --data NAME=PATH"
        )
    return short, dict(exam.missing), too_long


def _item(task: str, document: Mapping[str, Any], renderer: Renderer) -> Item:
    choices, prompt = document["choices"], document["prompt"]
    answers = choices or [document["target"] + renderer.end_of_turn]
    right = document["letters"].index(document["key"]) if choices else None
    before = renderer.ids(prompt)
    return Item(task, document["id"], prompt, tuple(_passage(before, prompt + one, renderer) for one in answers), right)


def _passage(before: list[int], whole: str, renderer: Renderer) -> Passage:
    ids = renderer.ids(whole)
    shared = next((place for place, pair in enumerate(zip(before, ids)) if pair[0] != pair[1]), len(before))
    return Passage(tuple(ids), min(shared, len(ids) - 1))
