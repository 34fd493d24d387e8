"""The record of a run: what was asked, on what it ran, what came out; `run.json` is the only place it is kept."""

from __future__ import annotations

import json
import platform
import resource
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from medslm import environment
from medslm.data.formats.render import Renderer
from medslm.data.rows import Rows
from medslm.errors import MedslmError
from medslm.models import load, source
from medslm.models.base import resolve
from medslm.models.lora import loras
from medslm.recipe import Fingerprint, Run
from medslm.train import checkpoint

if TYPE_CHECKING:
    from medslm.train.planning import Plan

SCHEMA = 1
STARTED = {"status", "fingerprint", "fingerprint_fields", "speed"}
"""What the record of a run has from its start, and a second start asks for."""

PACKAGES = ("medslm", "torch", "transformers", "trl", "peft", "accelerate", "datasets", "bitsandbytes")


def packages() -> dict[str, str]:
    """Version of each package that decides a result; those not installed are left out."""
    return environment.versions(PACKAGES)


def git() -> dict[str, Any]:
    """Commit and dirtiness of the working tree that the recipe file lies in; null outside of git."""

    def ask(*words: str) -> str | None:
        try:
            answer = subprocess.run(
                ["git", "-C", str(Path(sys.argv[0]).resolve().parent), *words],
                capture_output=True,
                text=True,
                timeout=20,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return answer.stdout.strip() if answer.returncode == 0 else None

    commit, changes = ask("rev-parse", "HEAD"), ask("status", "--porcelain")
    return {"commit": commit, "dirty": None if commit is None or changes is None else bool(changes)}


def python() -> str:
    """`3.11.7`."""
    return platform.python_version()


def machine(world_size: int, dtype: str) -> dict[str, Any]:
    """What it ran on; no host name, no user, no path."""
    return {
        "device": load.device(),
        "gpu": load.gpu(),
        "cpus": environment.cpus(),
        "system": platform.system(),
        "world_size": world_size,
        "dtype": dtype,
    }


def peak_memory_gib() -> dict[str, float | None]:
    """Most memory held by this process: resident on the host, reserved by the allocator on the device."""
    import torch

    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss counts bytes on macOS, KiB on Linux
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
    device = torch.cuda.max_memory_reserved() / 2**30 if torch.cuda.is_available() else None
    return {"host": round(host, 3), "device": None if device is None else round(device, 3)}


def gpu_memory() -> dict[str, float]:
    """`gpu_memory_gib`: most memory reserved on this process's GPU so far; nothing where there is none."""
    device = peak_memory_gib()["device"]
    return {} if device is None else {"gpu_memory_gib": device}


def started(run: Path) -> dict[str, Any] | None:
    """The record of an earlier start in this folder; none if there was none.

    Raises `MedslmError` if it is none of ours, or if there are checkpoints of which nothing says what recipe made them.
    """
    path = run / "run.json"
    if not path.exists():
        if checkpoint.numbered(run / "checkpoints"):
            raise MedslmError(
                f"{run} has checkpoints and no run.json, which says what recipe they are of, so they cannot be gone on "
                f"with; put the record back, or remove {run} and train again"
            )
        return None
    try:
        record: Any = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        record = None
    if not _ours(record):
        raise MedslmError(
            f"{path} is not the record of a run, so it cannot be gone on with; put the record back, or remove {run} and "
            "train again"
        )
    found: dict[str, Any] = record
    return found


def _ours(record: Any) -> bool:
    if not (isinstance(record, dict) and record.keys() >= STARTED):
        return False
    return isinstance(record["fingerprint_fields"], dict) and isinstance(record["speed"], dict)


def refuse_another(run: Path, earlier: Mapping[str, Any], fingerprint: Fingerprint) -> None:
    """Raise `MedslmError` with the differing fields if the folder holds the run of another fingerprint."""
    if earlier["fingerprint"] != fingerprint.digest:
        fields = "; ".join(fingerprint.differences(earlier["fingerprint_fields"]))
        raise MedslmError(
            f"{run} holds a run of another recipe ({fields}); give this one another --name or --runs folder, "
            f"or remove {run}"
        )


def identity(planned: Plan) -> dict[str, Any]:
    """The part of `run.json` that is known before training."""
    recipe, base = planned.recipe, resolve(planned.recipe.base)
    found = source.find(base)
    return common(planned, recipe.dtype) | {
        "base": {
            "name": recipe.base,
            "hub_id": base.hub_id,
            "license": base.license or found.license,
            "source": found.kind,
            "revision": found.revision,
        },
        "lora": asdict(loras[recipe.lora]),
    }


class Planned(Protocol):
    """What plans of all kinds of recipes have."""

    @property
    def recipe(self) -> Run: ...
    @property
    def rows(self) -> Rows: ...
    @property
    def renderer(self) -> Renderer: ...
    @property
    def fingerprint(self) -> Fingerprint: ...
    @property
    def world_size(self) -> int: ...


def common(planned: Planned, dtype: str) -> dict[str, Any]:
    """The part of it that does not depend on which weights learn."""
    recipe, built = planned.recipe, planned.rows
    return {
        "schema": SCHEMA,
        "name": recipe.name,
        "recipe": recipe.as_dict(),
        "fingerprint": planned.fingerprint.digest,
        "fingerprint_fields": dict(planned.fingerprint.fields),
        "corpora": built.corpora,
        "gates": built.gates,
        "examples": {"train": len(built.train), "validation": len(built.validation), "too_long": _too_long(built)},
        "template_hash": planned.renderer.template_hash,
        "end_of_turn": planned.renderer.end_of_turn,
        "instructions": sorted(built.fields),
        "fields": built.fields,
        "packages": packages(),
        "python": python(),
        "git": git(),
        "machine": machine(planned.world_size, str(load.dtype(dtype)).removeprefix("torch.")),
    }


def _too_long(built: Rows) -> int:
    """Examples that were dropped since they are longer than `max_length`."""
    return sum(report["too_long"] for report in built.corpora.values())
