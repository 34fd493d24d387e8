"""The table of trainers: what is called accuracy is one, and a trainer that failed is not passed over."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

PATH = Path(__file__).parents[1] / "benchmarks" / "trainers.py"


def test_only_primary_metrics_are_called_accuracy() -> None:
    def told(primary: bool, base: float, adapter: float) -> dict[str, object]:
        return {"primary": primary, "base": {"value": base}, "adapter": {"value": adapter}}

    unreadable = told(False, 1.0, 0.0)
    found = runpy.run_path(str(PATH))["primary"]([told(True, 0.2, 0.6), unreadable, told(True, 0.4, 0.8)])
    assert found == pytest.approx({"base": 0.3, "adapter": 0.7})


def test_a_trainer_that_fails_is_told_and_ends_in_a_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main = runpy.run_path(str(PATH))["main"]
    failing = SimpleNamespace(run=lambda *_, **__: SimpleNamespace(returncode=9, stdout=""), PIPE=-1)
    monkeypatch.setitem(main.__globals__, "subprocess", failing)
    monkeypatch.setattr(sys, "argv", ["trainers.py", "--trainers", "peft"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1 and "| peft | failed with exit status 9 |" in capsys.readouterr().out
