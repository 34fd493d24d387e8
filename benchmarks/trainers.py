"""Trains one base on the same rows with each trainer, and prints a table: loss, accuracy, tokens a second, peak memory.

    python benchmarks/trainers.py                                          # SmolLM2-135M, 12 steps
    python benchmarks/trainers.py --steps 200 --limit 300 --dtype bfloat16   # on a GPU

Each trainer has a process of its own, or the peak of one would be the peak of all. `unsloth` runs only in the environment
of `make env-unsloth`: name it with --trainers.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

KINDS: dict[str, dict[str, Any]] = {
    "peft": {"lora": "all-linear-r16"},
    "dora": {"lora": "all-linear-dora-r16"},
    "rslora": {"lora": "all-linear-rslora-r64"},
    "pissa": {"lora": "all-linear-pissa-r16"},
    "full": {"lora": "none", "trainer": "full"},
    "unsloth": {"lora": "all-linear-r16", "trainer": "unsloth"},
}
LEARNING_RATE = {"full": 5e-5, "rslora": 2e-4}
"""Where it is not 1e-3; an adapter learns at rates that would spoil whole weights."""

COLUMNS = ("trainer", "learns", "loss before", "after", "accuracy base", "trained", "tok/s", "host GiB", "GPU GiB")


def main() -> None:
    """Run each trainer in its process, and print the table; exit status 1 if one of them failed."""
    asked = _parser().parse_args()
    if asked.one:
        print(json.dumps(train(asked.one, asked, Path(asked.folder))), flush=True)
        return
    print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS), flush=True)
    failed = False
    with tempfile.TemporaryDirectory() as scratch:
        for kind in asked.trainers:
            command = [sys.executable, __file__, *sys.argv[1:], "--one", kind, "--folder", asked.folder or scratch]
            done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
            if done.returncode:
                failed = True
                print(f"| {kind} | failed with exit status {done.returncode} |", flush=True)
            else:
                print(row(kind, json.loads(done.stdout.splitlines()[-1])), flush=True)
    if failed:
        raise SystemExit(1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainers", nargs="+", choices=list(KINDS), default=[k for k in KINDS if k != "unsloth"])
    parser.add_argument("--base", default="smollm2-135m-instruct")
    parser.add_argument("--corpus", default="icd10cm")
    parser.add_argument("--passes", type=float, default=0.075)
    parser.add_argument("--suite", default="icd10cm")
    parser.add_argument("--format", default="toon")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--limit", type=int, default=0, help="items of the suite to judge on; 0 judges nothing")
    parser.add_argument("--folder", default="", help="where the runs are kept; by default nowhere")
    parser.add_argument("--one", choices=list(KINDS), help=argparse.SUPPRESS)
    return parser


def train(kind: str, asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """What one run measured."""
    from medslm import environment, files
    from medslm.recipe import Sft

    environment.prepare()
    environment.quiet()
    recipe = Sft(
        name=f"trainer-{kind}",
        base=asked.base,
        mixture={asked.corpus: asked.passes},
        suite=asked.suite,
        format=asked.format,
        dtype=asked.dtype,
        max_length=256,
        global_batch_size=8,
        max_steps=asked.steps,
        learning_rate=LEARNING_RATE.get(kind, 1e-3),
        validation_fraction=0.005,
        eval_steps=max(1, asked.steps // 2),
        **KINDS[kind],
    )
    from medslm.train.trainers import early

    early.load(recipe)
    from medslm.train import supervised

    run = folder / recipe.name
    supervised.train(recipe, run)
    record = files.read_json(run / "run.json", "this benchmark")
    return {"trainable": record["trainable_parameters"], "train": record["train"], "accuracy": accuracy(run, asked)}


def accuracy(run: Path, asked: argparse.Namespace) -> dict[str, float] | None:
    """The primary metrics of the suite, of base and trained model; none if it was not asked for."""
    if not asked.limit:
        return None
    from medslm.evals import run as judging
    from medslm.evals import scores

    found = scores.read(judging.evaluate_run(run, limit=asked.limit, available=True), "this benchmark")
    return primary(found["results"])


def primary(results: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Side -> mean of the tasks' primary metrics; the others (unreadable replies, say) mean other things."""
    chosen = [one for one in results if one["primary"]]
    return {side: sum(one[side]["value"] for one in chosen) / len(chosen) for side in ("base", "adapter")}


def row(kind: str, found: dict[str, Any]) -> str:
    """One line of the table."""
    trained, judged = found["train"], found["accuracy"] or {}
    memory = trained["peak_memory_gib"]
    cells = [
        kind,
        f"{found['trainable'] / 1e6:.2f} M",
        f"{trained['first_eval_loss']:.3f}",
        f"{trained['best_eval_loss']:.3f}",
        *(f"{judged[side]:.3f}" if side in judged else "-" for side in ("base", "adapter")),
        f"{trained['tokens_per_second']:,.0f}",
        *("-" if memory[place] is None else f"{memory[place]:.2f}" for place in ("host", "device")),
    ]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
