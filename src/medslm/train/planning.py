"""What a run will be, decided and said before the first weight is loaded."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from accelerate import PartialState
from pyarrow import compute
from transformers import PreTrainedTokenizerBase

from medslm import files
from medslm.data import rows, screening
from medslm.data.formats.render import Renderer
from medslm.data.suites import suites
from medslm.errors import MedslmError
from medslm.models import load, source
from medslm.models.base import resolve
from medslm.models.lora import loras
from medslm.recipe import Fingerprint, Sft
from medslm.train import batches, execution
from medslm.train.execution import Execution


@dataclass(frozen=True)
class Plan:
    """Everything that is decided before the first weight is loaded."""

    recipe: Sft
    folder: Path
    tokenizer: PreTrainedTokenizerBase
    renderer: Renderer
    rows: rows.Rows
    fingerprint: Fingerprint
    world_size: int


def plan(recipe: Sft, folder: Path) -> Plan:
    """Resolve every name and build the rows; bad input raises `MedslmError` here, before anything is written."""
    base, lora, exam = resolve(recipe.base), loras[recipe.lora], suites[recipe.suite]
    load.config(base)  # refuses what writes no text before anything is prepared for it
    world_size = PartialState(cpu=load.device() == "cpu").num_processes
    recipe.share(world_size)
    tokenizer = load.tokenizer(base)
    renderer = Renderer(tokenizer, recipe.format)
    license = base.license or source.find(base).license
    built = rows.build(recipe, tokenizer, license, (task.benchmark for task in exam.tasks))
    decided = {
        **recipe.learnt(),
        "lora_fields": asdict(lora),
        "base_revision": source.find(base).revision,
        "corpora": {name: report["version"] for name, report in built.corpora.items()},
        "template_hash": renderer.template_hash,
        "examples": [len(built.train), len(built.validation)],
    }
    fingerprint = Fingerprint(files.as_json(decided))
    return Plan(recipe, folder, tokenizer, renderer, built, fingerprint, world_size)


def choose(planned: Plan, begun: str | None = None) -> Execution:
    """How the run is executed here; `begun` and what is raised are those of `execution.choose`."""
    rows, recipe = planned.rows, planned.recipe
    _require_embedded(planned)
    share = recipe.share(planned.world_size)
    return execution.choose(recipe, batches.lengths(rows.train), batches.lengths(rows.validation), share, begun)


def _require_embedded(planned: Plan) -> None:
    """Raise `MedslmError` for rows with a token that the base has no embedding of.

    Rows are read only where the tokenizer has more tokens than the base, which of itself is no mistake: Gemma 3's has one
    for images.
    """
    base = resolve(planned.recipe.base)
    room = int(load.config(base).get_text_config().vocab_size)
    if len(planned.tokenizer) <= room:
        return
    for part in (planned.rows.train, planned.rows.validation):
        chunks = part.select_columns(["input_ids"]).with_format("arrow").iter(batch_size=1000)
        most = max(int(compute.max(chunk.column(0).combine_chunks().flatten()).as_py()) for chunk in chunks)
        if most >= room:
            raise MedslmError(
                f"the rows hold token {most} ({planned.tokenizer.convert_ids_to_tokens(most)}), and {base.hub_id} has "
                f"embeddings of {room}: tokens were added to its tokenizer and not to its weights; use the tokenizer that "
                "these weights were published with"
            )


def say(line: str) -> None:
    """Print on one process only."""
    if PartialState().is_main_process:
        print(line, flush=True)


def describe(planned: Plan, chosen: Execution) -> None:
    """Say what is about to happen, and everything that was dropped."""
    recipe, built = planned.recipe, planned.rows
    what = "all weights" if recipe.trainer == "full" else f"{recipe.lora} by {recipe.trainer}"
    say(f"{recipe.name}: {recipe.base}, {what}, quantization {recipe.quantization}, on {load.device()}")
    for line in screening.lines(built.corpora, built.gates):
        say(f"  {line}")
    say(f"  {len(built.train)} to train on, {len(built.validation)} held out for validation")
    say(f"  {_examples_a_step(recipe.global_batch_size, len(built.train))} on {planned.world_size} process(es)")
    for line in chosen.lines:
        say(f"  {line}")


def _examples_a_step(asked: int, there: int) -> str:
    """How many of them a step takes: as many as are asked for, or all that there are."""
    if asked <= there:
        return f"{asked} examples a step"
    return f"{there} examples a step, which are all there are: global_batch_size={asked} is never reached,"
