"""On a GPU, in the environment of `make env-unsloth`: Unsloth learns what our trainer learns, and says what our engine says.

    make test-unsloth

It has a process of its own: Unsloth changes transformers for all that comes after it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import toy
from infer.apart import BASE, answered
from infer.asked import NATS, begins
from medslm.models.base import Base

pytestmark = pytest.mark.unsloth

EXAMPLES = 60
"""All there are: a step is an epoch, so that neither trainer's order of rows makes a difference."""

PROGRAM = """
import sys
from medslm import environment, recipe
environment.prepare()
asked = recipe.Sft(
    name="toy-trained", base=sys.argv[3], lora="all-linear-r16", mixture={"icd10cm": 0.012}, suite="icd10cm", format="toon",
    dtype="bfloat16", max_length=640, global_batch_size=60, max_steps=6, learning_rate=1e-3, eval_steps=3, logging_steps=1,
    validation_fraction=0.005, lr_scheduler_type="constant", warmup_steps=0, trainer=sys.argv[1],
)
from medslm.train.trainers import early
early.load(asked)
from pathlib import Path
from medslm.train import supervised
supervised.train(asked, Path(sys.argv[2]))
"""


def trained(trainer: str, folder: Path) -> dict[str, Any]:
    """The record of a run of six steps."""
    subprocess.run([sys.executable, "-c", PROGRAM, trainer, str(folder), BASE], check=True, timeout=600)
    found: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return found


def test_unsloth_learns_the_same_rows_to_the_same_loss_and_leaves_the_same_record(
    tmp_path: Path,
) -> None:
    theirs, ours = (trained(name, tmp_path / name) for name in ("unsloth", "peft"))
    assert set(ours) == set(theirs)
    assert theirs["examples"] == ours["examples"]
    assert theirs["train"]["examples"] == ours["train"]["examples"] == 6 * EXAMPLES
    assert theirs["examples"]["train"] == EXAMPLES
    assert theirs["trainable_parameters"] == ours["trainable_parameters"]
    # neither has learnt anything yet: any difference would be a row or a mask
    assert theirs["train"]["first_eval_loss"] == pytest.approx(ours["train"]["first_eval_loss"], rel=5e-3)
    assert theirs["train"]["best_eval_loss"] == pytest.approx(ours["train"]["best_eval_loss"], rel=2e-2)
    assert theirs["train"]["best_eval_loss"] < theirs["train"]["first_eval_loss"]


def test_what_unsloth_has_trained_is_loaded_by_plain_peft(tmp_path: Path) -> None:
    record = trained("unsloth", tmp_path / "run")
    program = (
        "import sys; from pathlib import Path; from medslm import environment; environment.prepare()\n"
        "from medslm.models import load; from medslm.models.base import resolve\n"
        "from medslm.train import compress, planning; from medslm.recipe import Sft; import json\n"
        "run = Path(sys.argv[1]); record = json.loads((run / 'run.json').read_text())\n"
        "model = load.with_adapter(load.model(resolve(record['recipe']['base']), wanted='float32'), run / 'adapter')\n"
        "print(compress.mean_loss(model, planning.plan(Sft(**record['recipe']), run).rows.validation))"
    )
    said = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "run")], check=True, capture_output=True, text=True, timeout=600
    )
    assert float(said.stdout.split()[-1]) == pytest.approx(record["train"]["best_eval_loss"], rel=2e-2)


def test_a_base_that_unsloth_does_not_pad_is_refused_with_what_it_said(toy_base: Base, tmp_path: Path) -> None:
    asked = [sys.executable, "-c", PROGRAM, "unsloth", str(tmp_path / "run"), toy.HUB_ID]
    done = subprocess.run(asked, check=False, capture_output=True, text=True, timeout=600)
    assert done.returncode
    assert f"MedslmError: Unsloth does not load {toy.HUB_ID} (Could not find a valid pad token" in done.stderr
    assert "trainer=peft and --engine transformers do" in done.stderr


def test_unsloths_engine_answers_streams_and_scores_as_ours() -> None:
    theirs, ours = (answered(engine) for engine in ("unsloth", "transformers"))
    assert begins(theirs["ids"], ours["ids"]), (theirs["replies"], ours["replies"])
    assert theirs["streamed"][:10] == theirs["replies"][0][:10]
    for one, two, tokens in zip(theirs["scores"], ours["scores"], ours["lengths"], strict=True):
        assert one == pytest.approx(two, abs=NATS * tokens)
