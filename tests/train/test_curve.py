"""The loss curve."""

from __future__ import annotations

from pathlib import Path

import pytest

from medslm.train import curve

CURVE = [
    {"step": 0, "eval_loss": 4.0},
    {"step": 1, "loss": 3.0},
    {"step": 2, "loss": 2.0},
    {"step": 2, "eval_loss": 1.5},
]


def test_training_and_validation_points_are_told_apart() -> None:
    assert curve.points(CURVE, "loss") == ([1, 2], [3.0, 2.0])
    assert curve.points(CURVE, "eval_loss") == ([0, 2], [4.0, 1.5])


def test_the_picture_is_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    curve.draw(CURVE, 2, "toy", tmp_path / "loss.png")
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")

    def full(self: object, *arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full)
    with pytest.raises(Exception, match="No space left"):
        curve.draw(CURVE, 2, "toy", tmp_path / "second.png")
    assert [path.name for path in tmp_path.iterdir()] == ["loss.png"]
