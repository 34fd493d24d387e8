"""Tokens per second, MFU, peak memory and loss of LoRA training: MedSLM, TRL, TRL with Liger, and Unsloth.

    python benchmarks/training.py --shape llama-3.2-3b --variants medslm-bf16 medslm-nf4 medslm-fp8 trl unsloth-bf16
    python benchmarks/training.py --shape tinyllama-1.1b --variants medslm-4gib unsloth-4gib --json out.json --plot out.png
    python benchmarks/training.py --shape toy --variants trl "medslm:tokens=2048" --steps 2      # on a CPU

All of them load the same files (random weights of the true shape) and learn from the same documents, one after the other.
Each rival has a process of its own, since some patch transformers; the variants of MedSLM share one. A token is one of a
document: padding does not count. A variant that fails is shown as failed.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from rivals.shapes import SHAPES  # noqa: E402
from rivals.variant import PRESETS, Variant, parse  # noqa: E402
from rivals.worker import MARK  # noqa: E402

COLORS = {"medslm": "tab:blue", "trl": "tab:gray", "unsloth": "tab:orange"}


def main() -> None:
    """Run every variant on every shape, print a line for each, and write what was asked for."""
    asked = arguments()
    variants = [parse(written) for written in asked.variants]
    runs = [{"shape": shape, "variant": variant} for shape in asked.shape for variant in variants]
    told = earlier(asked.add)
    results: list[dict[str, Any]] = told["results"]
    print(f"{'shape':<15}{'variant':<24}{'tok/s':>9}{'MFU':>8}{'peak GiB':>10}{'loss':>9}{'steps':>7}{'wall s':>8}")
    for result in results:
        print(line(result))
    with contextlib.ExitStack() as stack:
        cache = asked.cache or stack.enter_context(tempfile.TemporaryDirectory())
        Path(cache).mkdir(parents=True, exist_ok=True)
        for group in grouped(runs):
            for result in measured(group, asked, cache, told):
                results.append(result)
                print(line(result), flush=True)
                if asked.json:  # at once: whoever stops this keeps what was measured
                    asked.json.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    if told["ceiling"]:
        print(f"MFU against {told['ceiling'] / 1e12:.0f} TFLOP/s, the measured ceiling of a bfloat16 product")
    if asked.plot:
        draw(results, asked.plot)
    if any(result["status"] == "failed" for result in results):
        raise SystemExit("some variants failed; their last words are above")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", nargs="+", choices=SHAPES, default=[])
    parser.add_argument("--variants", nargs="+", default=[], help=f"of {', '.join(PRESETS)}, or runner:field=value,...")
    parser.add_argument("--documents", default="random", help="'random', or a .npz with tokens, lengths and completion")
    parser.add_argument("--mode", choices=("all", "completion"), default="all", help="which tokens carry loss")
    parser.add_argument("--number", type=int, default=1024, help="documents")
    parser.add_argument("--longest", type=int, default=2048, help="tokens of the longest document")
    parser.add_argument("--rank", type=int, default=16, help="of the LoRA, on all seven linears; alpha is twice that")
    parser.add_argument("--warmup", type=int, default=2, help="optimiser steps that are not timed")
    parser.add_argument("--steps", type=int, default=12, help="timed optimiser steps at most")
    parser.add_argument("--seconds", type=float, default=12.0, help="of timed steps; two are timed at least")
    parser.add_argument("--limit", type=float, default=150.0, help="seconds for one variant, with imports and loading")
    parser.add_argument("--cache", help="where the bases are written, and kept; a folder in memory saves time")
    parser.add_argument("--unsloth", help="a folder with Unsloth's packages, which only its processes see")
    parser.add_argument("--log", type=Path, help="what the trainers print goes to this file")
    parser.add_argument("--json", type=Path, help="everything that was measured; written anew after each variant")
    parser.add_argument("--plot", type=Path, help="bars, a panel for each shape")
    parser.add_argument("--add", type=Path, nargs="+", default=[], help="JSON files of earlier calls on this machine")
    asked = parser.parse_args()
    if bool(asked.shape) != bool(asked.variants) or not (asked.shape or asked.add):
        parser.error("name a --shape and --variants to measure, or --add what was measured to draw it")
    for name, least in (("number", 1), ("longest", 32), ("rank", 1), ("warmup", 0), ("steps", 1)):
        if getattr(asked, name) < least:
            parser.error(f"--{name} {getattr(asked, name)}: it is {least} or more")
    if asked.documents != "random" and not Path(asked.documents).is_file():
        parser.error(f"--documents {asked.documents}: there is no such file; 'random', or a .npz")
    return asked


def earlier(paths: list[Path]) -> dict[str, Any]:
    """What was measured before, on the same machine: its ceiling is kept, and its rows stand before the new ones."""
    told: dict[str, Any] = {"machine": {}, "versions": {}, "ceiling": None, "results": []}
    for path in paths:
        read = json.loads(path.read_text(encoding="utf-8"))
        if told["machine"] and read["machine"] != told["machine"]:
            raise SystemExit(
                f"{path} was measured on {read['machine']}, the others on {told['machine']}: not comparable"
            )
        told["results"] += read.pop("results")
        told["versions"] |= read.pop("versions")
        told |= read
    return told


def grouped(runs: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Runs that share a process, in the order in which their first one was asked for."""
    order = list(dict.fromkeys(run["variant"].process for run in runs))
    for process in order:
        yield [run for run in runs if run["variant"].process == process]


def measured(
    runs: list[dict[str, Any]], asked: argparse.Namespace, cache: str, told: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """One result for each run. A process that dies or takes too long costs one variant; another goes on with the rest."""
    while runs:
        done = 0
        for number, result in worker(runs, asked, cache, told):
            done = number + 1
            yield described(runs[number], asked) | result
        runs = runs[done:]


def worker(
    runs: list[dict[str, Any]], asked: argparse.Namespace, cache: str, told: dict[str, Any]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number and result of each run, as one process tells them; the last one may have been its end."""
    names = ("documents", "mode", "number", "longest", "rank", "warmup", "steps", "seconds")
    job: dict[str, Any] = {name: getattr(asked, name) for name in names}
    job |= {"ceiling": told["ceiling"], "runs": [{**run, "variant": run["variant"].as_dict()} for run in runs]}
    with tempfile.NamedTemporaryFile("w", suffix=".json", dir=cache) as file:
        json.dump(job, file)
        file.flush()
        variables = environment(cache, asked.unsloth if runs[0]["variant"].runner == "unsloth" else None)
        began, current, last = time.perf_counter(), 0, ""
        with Process([sys.executable, "-m", "rivals.worker", file.name], variables, asked.log) as process:
            while True:
                said = process.line(asked.limit - (time.perf_counter() - began))
                if said is None:
                    why = process.why_over(asked.limit, last)
                    if why:
                        yield current, {"status": "failed", "error": why, "wall_seconds": time.perf_counter() - began}
                    return
                if not said.startswith(MARK):
                    last = said.strip() or last
                    continue
                message = json.loads(said.removeprefix(MARK))
                if "begins" in message:
                    current = message["begins"]
                elif "number" in message:
                    yield message.pop("number"), message
                    began = time.perf_counter()
                    if current == len(runs) - 1:
                        return
                else:
                    told["versions"] |= message.pop("versions")
                    told |= message


def environment(cache: str, site: str | None) -> dict[str, str]:
    """No network, no telemetry, all caches in one folder, and the packages of `site` after all others."""
    paths = [str(HERE), str(HERE.parent / "src"), *filter(None, [os.environ.get("PYTHONPATH"), site])]
    quiet = {
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "WANDB_MODE": "disabled",
        "UNSLOTH_DISABLE_STATISTICS": "1",
        "PYTHONUNBUFFERED": "1",
    }
    places = {
        "HF_HOME": f"{cache}/hf",
        "HF_HUB_CACHE": f"{cache}/hub",
        "MEDSLM_CACHE": f"{cache}/medslm",
        "UNSLOTH_COMPILE_LOCATION": f"{cache}/unsloth",
    }
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **quiet, **places}


class Process:
    """A child in a process group of its own, read line by line with a time limit; all of the group ends with it."""

    def __init__(self, command: list[str], variables: dict[str, str], log: Path | None) -> None:
        self._child = subprocess.Popen(
            command,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._log = log
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()
        self._reader.join()
        assert self._child.stdout is not None
        self._child.stdout.close()

    def line(self, seconds: float) -> str | None:
        """The next line; none when the time is over or the child has ended."""
        try:
            return self._lines.get(timeout=max(0.0, seconds))
        except queue.Empty:
            return None

    def why_over(self, limit: float, last: str) -> str:
        """Why there is no further line; empty if all went well."""
        try:
            code = self._child.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return f"took more than {limit:.0f} s; last line: {last}"
        return f"the process ended with code {code}; last line: {last}" if code else ""

    def _read(self) -> None:
        assert self._child.stdout is not None
        with open(self._log or os.devnull, "a", encoding="utf-8") as log:
            for said in self._child.stdout:
                log.write(said)
                self._lines.put(said)
        self._lines.put(None)


def described(run: dict[str, Any], asked: argparse.Namespace) -> dict[str, Any]:
    """What was asked of a run, beside what was measured."""
    variant: Variant = run["variant"]
    how = {name: getattr(asked, name) for name in ("mode", "documents", "longest", "rank")}
    return {"shape": run["shape"], "label": variant.label, "variant": variant.as_dict(), **how}


def line(result: dict[str, Any]) -> str:
    """The row of the table."""
    head = f"{result['shape']:<15}{result['label'][:23]:<24}"
    if result["status"] == "failed":
        return f"{head}   failed after {result['wall_seconds']:.0f} s: {result['error']}"
    mfu = "-" if result["mfu"] is None else f"{result['mfu']:.1%}"
    peak = "-" if result["peak_gib"] is None else f"{result['peak_gib']:.1f}"
    numbers = f"{result['tokens_per_second']:>9,.0f}{mfu:>8}{peak:>10}{result['loss']:>9.3f}"
    batch = result["chosen"].get("batch", result["variant"]["batch"])
    note = f"  (batch {batch})" if batch != result["variant"]["batch"] else ""
    return f"{head}{numbers}{result['steps']:>7}{result['wall_seconds']:>8.0f}{note}"


def draw(results: list[dict[str, Any]], path: Path) -> None:
    """Horizontal bars of tokens per second with the peak memory beside them, a panel for each shape."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    panels = {shape: list(rows) for shape, rows in itertools.groupby(sorted(results, key=order), lambda r: r["shape"])}
    heights = [len(rows) for rows in panels.values()]
    size = (9, 0.42 * sum(heights) + 0.9 * len(heights))
    figure, axes = pyplot.subplots(len(panels), 1, figsize=size, squeeze=False, height_ratios=heights)
    for axis, (shape, rows) in zip(axes[:, 0], panels.items()):
        speeds = [row.get("tokens_per_second", 0.0) for row in rows]
        names = [row["label"] for row in rows]
        bars = axis.barh(names, speeds, color=[COLORS[row["variant"]["runner"]] for row in rows])
        axis.bar_label(bars, labels=[beside(row) for row in rows], padding=4, fontsize=8)
        axis.set_xlim(0, max([*speeds, 1.0]) * 1.45)
        axis.set_title(shape, loc="left", fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
    axes[-1, 0].set_xlabel("tokens per second (padding does not count)")
    figure.tight_layout()
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def order(result: dict[str, Any]) -> tuple[int, float]:
    """By shape, the fastest on top (bars are drawn from the bottom)."""
    return list(SHAPES).index(result["shape"]), result.get("tokens_per_second", 0.0)


def beside(result: dict[str, Any]) -> str:
    """What stands at the end of a bar."""
    if result["status"] == "failed":
        return "failed"
    said = [f"{result['tokens_per_second']:,.0f}"]
    if result["mfu"] is not None:
        said.append(f"{result['mfu']:.0%} MFU")
    if result["peak_gib"] is not None:
        said.append(f"{result['peak_gib']:.1f} GiB")
    return " · ".join(said)


if __name__ == "__main__":
    main()
