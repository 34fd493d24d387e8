"""`accelerate launch recipes/<name>.py`, on one process and on two."""

from __future__ import annotations

from pathlib import Path

import pytest

from launching import RECIPE, SMALL, launch, record

THIEF = """
import os, runpy, sys
import torch
from medslm.models import fast

honest = fast.total_loss

def total_loss(model, one):
    loss = honest(model, one)
    if os.environ["RANK"] == "1" and loss.requires_grad and one.tokens > 300:
        raise torch.OutOfMemoryError("CUDA out of memory")
    return loss

fast.total_loss = total_loss
sys.argv[0] = "recipes/smollm2_icd10_lora.py"
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""The recipe on a machine where the second process has less memory than the first."""


@pytest.mark.usefixtures("toy_base")
def test_one_process_and_two_give_the_same_loss_curve_and_so_do_two_of_which_one_backs_off(tmp_path: Path) -> None:
    curves = {}
    (tmp_path / "robbed.py").write_text(THIEF, encoding="utf-8")
    robbed = str(tmp_path / "robbed.py")
    for config, world_size, recipe in (("single", 1, RECIPE), ("two_cpu", 2, RECIPE), ("two_cpu", 2, robbed)):
        runs = tmp_path / f"{config} {Path(recipe).stem}"
        done = launch(*SMALL, "--runs", str(runs), config=config, recipe=recipe)
        assert done.returncode == 0, done.stderr
        assert ("memory did not suffice" in done.stdout) == (recipe == robbed)
        run = record(runs)
        assert run["machine"]["world_size"] == world_size  # the obvious flags would silently run one process
        assert run["train"]["examples"] == 4 * 8
        curves[runs.name] = [(point["step"], point.get("loss"), point.get("eval_loss")) for point in run["curve"]]
    single, *others = curves.values()
    for other in others:
        assert [step for step, *_ in single] == [step for step, *_ in other]
        for one, two in zip(single, other, strict=True):
            assert one[1:] == pytest.approx(two[1:], abs=1e-3)
