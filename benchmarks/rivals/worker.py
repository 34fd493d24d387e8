"""One process of the benchmark: runs the variants named in a file, and prints one line of JSON for each.

    python -m rivals.worker JOB.json

A variant that fails is a line as well; what else is printed is for the log.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

MARK = "@@benchmark "
"""Begins the lines that are meant for the parent."""

PACKAGES = (
    *("torch", "triton", "transformers", "trl", "peft", "bitsandbytes", "liger-kernel"),
    *("unsloth", "unsloth_zoo", "xformers"),
)


def main() -> None:
    """Say what machine this is, then measure one variant after the other."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    if job["runs"][0]["variant"]["runner"] == "unsloth":
        import unsloth  # noqa: F401  (it must come before what it patches)
    elif job["runs"][0]["variant"]["runner"] == "medslm":
        from medslm import environment

        environment.prepare()
        environment.quiet()
    from rivals import measure

    ceiling = job["ceiling"] or measure.ceiling()
    tell({"machine": machine(), "versions": versions(), "ceiling": ceiling})
    for number, run in enumerate(job["runs"]):
        tell({"begins": number})
        tell({"number": number, **attempt(job, run, ceiling)})


def tell(what: dict[str, Any]) -> None:
    """To the parent."""
    print(MARK + json.dumps(what), flush=True)


def attempt(job: dict[str, Any], run: dict[str, Any], ceiling: float | None) -> dict[str, Any]:
    """What was measured, or why nothing was."""
    started = time.perf_counter()
    try:
        measured = {"status": "measured", **measured_run(job, run, ceiling)}
    except Exception as error:  # noqa: BLE001 (a rival may fail in any way, and the others shall still run)
        traceback.print_exc()
        said = str(error).strip().splitlines() or [""]
        measured = {"status": "failed", "error": f"{type(error).__name__}: {said[-1]}"[:500]}
    return {**measured, "wall_seconds": time.perf_counter() - started}


def measured_run(job: dict[str, Any], run: dict[str, Any], ceiling: float | None) -> dict[str, Any]:
    """Train one variant and look at it from outside."""
    from rivals import documents, measure, shapes
    from rivals.runners import RUNNERS
    from rivals.variant import Variant

    variant, shape = Variant(**run["variant"]), shapes.SHAPES[run["shape"]]
    made = documents.read(job["documents"], job["mode"], shape.vocab_size, job["number"], job["longest"])
    shapes.base(run["shape"])
    measure.clean()
    measure.cap(variant.cap)
    meter = measure.Meter(job["warmup"], job["seconds"], job["steps"])
    try:
        chosen = RUNNERS[variant.runner](variant, run["shape"], made, job["rank"], meter)
        peaks = measure.peaks()
    finally:
        measure.cap(0)
        measure.clean()
    found = meter.result()
    work = shape.flop(made.lengths, round(made.share * made.lengths.sum())) / made.lengths.sum()
    mfu = found["tokens_per_second"] * work / ceiling if ceiling else None
    return {**found, **peaks, "flop_per_token": work, "mfu": mfu, "chosen": chosen}


def machine() -> dict[str, Any]:
    """What computes here."""
    import torch

    if not torch.cuda.is_available():
        return {"device": "cpu", "threads": torch.get_num_threads()}
    seen = torch.cuda.get_device_properties(0)
    return {"device": seen.name, "memory_gib": seen.total_memory / 2**30, "cpus": len(os.sched_getaffinity(0))}


def versions() -> dict[str, str]:
    """Of the packages that decide the speed, those that are installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


if __name__ == "__main__":
    main()
