"""What is told of a run's curve is told of the weights that were kept."""

from __future__ import annotations

from typing import Any

from medslm.train import result

CURVE: list[dict[str, Any]] = [
    {"step": 0, "eval_loss": 1.0},
    {"step": 1, "loss": 3.0},
    {"step": 1, "eval_loss": 1.5},
    {"step": 2, "loss": 2.0},
    {"step": 2, "eval_loss": 1.25},
]


def test_the_best_loss_is_that_of_the_kept_weights_and_not_of_the_untrained_ones() -> None:
    told = {"first_loss": 3.0, "last_loss": 2.0, "first_eval_loss": 1.0}
    assert result.losses(CURVE, 2) == told | {"best_eval_loss": 1.25}
    assert result.losses(CURVE, None) == told | {"best_eval_loss": 1.25}  # no checkpoint: the last weights
    assert result.losses(CURVE, 1) == told | {"best_eval_loss": 1.5}


def test_a_point_that_a_resumed_run_measured_again_is_there_once() -> None:
    assert result.once([*CURVE[:3], {"step": 1, "eval_loss": 1.5}, *CURVE[3:]]) == CURVE
