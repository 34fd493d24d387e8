"""`accelerate launch recipes/<name>.py`, on one process and on two."""

from __future__ import annotations

from pathlib import Path

import pytest

from launching import SMALL, launch, record


@pytest.mark.usefixtures("toy_base")
def test_one_process_and_two_give_the_same_loss_curve(tmp_path: Path) -> None:
    curves = {}
    for config, world_size in (("single", 1), ("two_cpu", 2)):
        done = launch(*SMALL, "--runs", str(tmp_path / config), config=config)
        assert done.returncode == 0, done.stderr
        run = record(tmp_path / config)
        assert run["machine"]["world_size"] == world_size  # the obvious flags would silently run one process
        assert run["train"]["examples"] == 4 * 8
        curves[config] = [(point["step"], point.get("loss"), point.get("eval_loss")) for point in run["curve"]]
    assert [step for step, *_ in curves["single"]] == [step for step, *_ in curves["two_cpu"]]
    for one, two in zip(curves["single"], curves["two_cpu"], strict=True):
        assert one[1:] == pytest.approx(two[1:], abs=1e-3)
