"""The one path that everything hangs on: train, evaluate, card, push, pull, generate, and plain PEFT at the end of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import toy
from hub_server import HubServer, run_client
from launching import ROOT, SMALL, launch, record
from plain_peft import load_without_medslm

NAME = "smollm2-icd10-lora"


def medslm(hub: HubServer, home: Path, *words: str, token: str = "") -> subprocess.CompletedProcess[str]:
    """The command line of a user who is logged in with `token`."""
    variables = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0", "HF_TOKEN": token}
    return subprocess.run(
        [sys.executable, "-m", "medslm", *words],
        check=False,
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=300,
    )


def publish_toy(folder: str) -> str:
    """Put the toy base on the Hub under its id."""
    from huggingface_hub import HfApi

    api = HfApi()
    api.create_repo("toy/tiny-chat", private=False)
    return api.upload_folder(repo_id="toy/tiny-chat", folder_path=folder).oid


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[HubServer, Path, Path, str]:
    """A Hub that holds the toy base, a home that has it, and the recipe trained on it."""
    folder = tmp_path_factory.mktemp("spine")
    with HubServer(folder / "hub") as hub:
        owner = hub.token("toy")
        toy.save(folder / "base")
        commit = run_client(hub, folder, publish_toy, token=owner, folder=str(folder / "base"))
        home = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "0"}
        done = launch(*SMALL, "--learning-rate", "0.01", "--max-steps", "24", "--runs", str(folder / "runs"), **home)
        assert done.returncode == 0, done.stderr
        base = record(folder / "runs")["base"]
        assert base.pop("parameters") > 100_000
        assert base == {
            "name": toy.HUB_ID,
            "hub_id": toy.HUB_ID,
            "license": "mit",
            "source": "hub",
            "revision": commit,
        }
        yield hub, folder / "hf", folder / "runs", hub.token("alice")


def test_from_data_to_a_published_adapter_that_loads_again(trained: tuple[HubServer, Path, Path, str]) -> None:
    hub, home, runs, token = trained
    where = ("--runs", str(runs))

    limited = medslm(hub, home, "eval", NAME, "--limit", "4", *where)
    assert limited.returncode == 0, limited.stderr
    refused = medslm(hub, home, "card", NAME, *where)
    assert refused.returncode == 2
    assert "eval" in refused.stderr  # a limited evaluation can never reach a card

    judged = medslm(hub, home, "eval", NAME, *where)
    assert judged.returncode == 0, judged.stderr
    scores = json.loads((runs / NAME / "scores.json").read_text(encoding="utf-8"))
    assert all(result["n"] >= 500 for result in scores["results"] if result["task"] == "icd10cm_coding")
    assert "chapter_accuracy" in judged.stdout

    beside = medslm(hub, home, "compare", NAME, "--plot", str(home / "beside.png"), *where)
    assert beside.returncode == 0, beside.stderr
    assert "icd10cm_coding" in beside.stdout and (home / "beside.png").stat().st_size > 0
    carded = medslm(hub, home, "card", NAME, *where)
    assert carded.returncode == 0, carded.stderr

    pushed = medslm(hub, home, "push", NAME, "--to", "alice", *where, token=token)
    assert pushed.returncode == 0, pushed.stderr
    assert token not in pushed.stdout + pushed.stderr

    stranger = medslm(hub, home, "pull", f"alice/{NAME}")
    assert stranger.returncode == 2  # private unless told otherwise
    pulled = medslm(hub, home, "pull", f"alice/{NAME}", token=token)
    assert pulled.returncode == 0, pulled.stderr

    asked = medslm(hub, home, "generate", f"alice/{NAME}", "Typhoid fever", "--max-new-tokens", "40", token=token)
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.strip()

    saw = run_client(
        hub, home.parent, load_without_medslm, token=token, adapter=f"alice/{NAME}", question="Typhoid fever"
    )
    assert saw == {"base": toy.HUB_ID, "changed": True, "reply": saw["reply"], "medslm": False}
