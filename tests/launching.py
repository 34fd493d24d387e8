"""Starts a recipe as a user does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import toy

ROOT = Path(__file__).parents[1]
RECIPE = "recipes/smollm2_icd10_lora.py"
SMALL = (
    *("--base", toy.HUB_ID, "--dtype", "float32", "--max-length", "640", "--mixture", "icd10cm=0.02"),
    *("--global-batch-size", "8", "--max-steps", "4", "--eval-steps", "2"),
    *("--logging-steps", "1", "--validation-fraction", "0.01"),
)


def launch(
    *options: str, config: str = "single", recipe: str = RECIPE, **variables: str
) -> subprocess.CompletedProcess[str]:
    """`accelerate launch` with one of the project's launch files."""
    command = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch"]
    command += ["--config_file", f"recipes/launch/{config}.yaml", recipe, *options]
    return subprocess.run(
        command, check=False, cwd=ROOT, env={**os.environ, **variables}, capture_output=True, text=True, timeout=300
    )


def record(runs: Path, name: str = "smollm2-icd10-lora") -> dict[str, Any]:
    """The run's `run.json`."""
    read: dict[str, Any] = json.loads((runs / name / "run.json").read_text(encoding="utf-8"))
    return read
