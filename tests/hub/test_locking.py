"""`medslm lock` writes what the Hub says, keeps what it could not learn, and invents nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hub_server import HubServer, run_client
from medslm import lock
from medslm.lock import Lock

RECIPE = """
from medslm import recipe

RECIPE = recipe.Sft(
    name="locked", base="org/base", lora="all-linear-r16", suite="icd10cm",
    mixture={"org/rows": 1.0, "org/program": 1.0, "org/gone": 1.0, "icd10cm": 1.0},
)
"""
OLD, OTHER = "1" * 40, "2" * 40


def write_lock(recipes: list[str]) -> dict[str, Any]:
    """What locking says."""
    from pathlib import Path

    from medslm import asking, environment

    environment.prepare()
    from medslm.errors import MedslmError
    from medslm.hub import locking

    asking.PAUSES = (0.01,)
    try:
        locked = locking.write(map(Path, recipes))
    except MedslmError as error:
        return {"error": str(error)}
    return {"path": str(locked.path), "changed": sorted(locked.changed), "left": locked.left}


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    (tmp_path / "locked.py").write_text(RECIPE, encoding="utf-8")
    return str(tmp_path / "locked.py")


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubServer]:
    """A Hub with a base, rows, and a program that the Hub has converted."""
    with HubServer(tmp_path / "hub") as server:
        server.create("org/base")
        server.create("org/rows", "datasets")
        server.create("org/program", "datasets")
        server.commit("org/program", {"program.py": b"import os"}, "datasets")
        server.repo("org/program", "datasets").commit({}, "refs/convert/parquet", "parquet", "", "hub")
        yield server


def test_the_commits_of_the_hub_are_locked_and_other_lines_stay(hub: HubServer, tmp_path: Path, recipe: str) -> None:
    lock.write(tmp_path / "hub.lock.toml", Lock({"org/base": OLD, "org/unasked": OTHER}, {"org/gone": OTHER}))
    said = run_client(hub, tmp_path, write_lock, recipes=[recipe])
    found = lock.read(tmp_path / "hub.lock.toml")
    assert found.models == {"org/base": hub.repo("org/base").branches["main"], "org/unasked": OTHER}
    program = hub.repo("org/program", "datasets").branches["refs/convert/parquet"]
    rows = hub.repo("org/rows", "datasets").branches["main"]
    assert found.datasets == {"org/gone": OTHER, "org/program": program, "org/rows": rows}
    assert said["changed"] == ["org/base", "org/program", "org/rows"]
    assert "org/gone is not on the Hub" in said["left"]["org/gone"]


def test_a_second_lock_changes_nothing(hub: HubServer, tmp_path: Path, recipe: str) -> None:
    run_client(hub, tmp_path, write_lock, recipes=[recipe])
    before = (tmp_path / "hub.lock.toml").read_bytes()
    assert run_client(hub, tmp_path, write_lock, recipes=[recipe])["changed"] == []
    assert (tmp_path / "hub.lock.toml").read_bytes() == before


@pytest.mark.parametrize("how", ["HF_HUB_OFFLINE", "HF_ENDPOINT"])
def test_without_the_hub_the_lock_stays_as_it_was(hub: HubServer, tmp_path: Path, recipe: str, how: str) -> None:
    run_client(hub, tmp_path, write_lock, recipes=[recipe])  # what is cached is not taken for the newest
    lock.write(tmp_path / "hub.lock.toml", Lock({"org/base": OLD}))
    before = (tmp_path / "hub.lock.toml").read_bytes()
    variables = {how: "1" if how == "HF_HUB_OFFLINE" else "http://127.0.0.1:9"}
    said = run_client(hub, tmp_path, write_lock, variables=variables, recipes=[recipe])
    assert "nothing was locked, hub.lock.toml is as it was: org/base could not be fetched" in said["error"]
    assert (tmp_path / "hub.lock.toml").read_bytes() == before


def test_without_recipes_all_that_is_registered_is_asked_for(hub: HubServer, tmp_path: Path) -> None:
    hub.create("openai/gsm8k", "datasets")
    said = run_client(hub, tmp_path, write_lock, recipes=[])
    assert said["changed"] == ["openai/gsm8k"]
    assert "HuggingFaceTB/SmolLM2-135M-Instruct" in said["left"]
