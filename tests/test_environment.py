"""The stack's settings are defaults: what the user has set stays."""

from __future__ import annotations

import importlib.metadata
import os
from pathlib import Path

import pytest

import medslm
from medslm import environment


def test_settings_are_made_and_the_users_own_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    monkeypatch.delenv("HF_HUB_DISABLE_TELEMETRY", raising=False)
    environment.prepare()
    assert (os.environ["OMP_WAIT_POLICY"], os.environ["HF_HUB_DISABLE_TELEMETRY"]) == ("ACTIVE", "1")


def test_the_cache_is_where_the_user_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDSLM_CACHE", "/big/disk")
    assert environment.cache() == Path("/big/disk")
    monkeypatch.delenv("MEDSLM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert environment.cache() == Path("/xdg/medslm")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert environment.cache() == Path.home() / ".cache" / "medslm"


def test_versions_are_told_of_what_is_installed_and_of_this_library_in_any_case(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    assert set(environment.versions(["medslm", "torch", "no-such-package"])) == {"medslm", "torch"}
    monkeypatch.setattr(importlib.metadata, "version", none)
    assert environment.versions(["medslm", "torch"]) == {"medslm": medslm.__version__}
