"""Where the curves go: online with a key, offline without one, nowhere if told so, and never a question."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

from medslm.train import tracking


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without a key, whose variables are put back afterwards."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_without_a_key_it_is_offline(tmp_path: Path) -> None:
    report_to, line = tracking.configure(tmp_path, "identity")
    assert report_to == ["wandb"]
    assert os.environ["WANDB_MODE"] == "offline"
    assert "wandb sync" in line


def test_with_a_key_in_the_environment_it_is_online(tmp_path: Path) -> None:
    os.environ["WANDB_API_KEY"] = "secret"
    report_to, line = tracking.configure(tmp_path, "identity")
    assert report_to == ["wandb"]
    assert os.environ["WANDB_MODE"] == "online"
    assert "secret" not in line


def test_with_a_key_from_wandb_login_it_is_online(nobody: Path) -> None:
    (nobody / ".netrc").write_text("machine api.wandb.ai\n login user\n password secret\n", encoding="utf-8")
    (nobody / ".netrc").chmod(0o600)
    assert tracking.has_key()


def test_a_broken_netrc_is_no_key(nobody: Path) -> None:
    (nobody / ".netrc").write_text("machine machine machine", encoding="utf-8")
    assert not tracking.has_key()


def test_the_users_own_choice_holds(tmp_path: Path) -> None:
    os.environ |= {"WANDB_MODE": "disabled", "WANDB_API_KEY": "secret"}
    assert tracking.configure(tmp_path, "identity")[0] == []


def test_without_wandb_the_run_goes_on_and_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    report_to, line = tracking.configure(tmp_path, "identity")
    assert report_to == []
    assert "pip install wandb" in line


def test_no_console_output_and_no_code_is_logged(tmp_path: Path) -> None:
    tracking.configure(tmp_path, "identity")
    assert os.environ["WANDB_CONSOLE"] == "off"
    assert os.environ["WANDB_LOG_MODEL"] == "false"
