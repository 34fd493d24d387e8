"""The command `medslm export`: what a run learnt as files for other programs, kept if they still are the same."""

from __future__ import annotations

import shlex
import signal
from pathlib import Path
from typing import Annotated

import tyro

from medslm import ending
from medslm.places import Runs, elsewhere, folder_of


def export(
    name: Annotated[str, tyro.conf.Positional],
    *,
    to: str,
    out: Path,
    type: str = "",
    converter: Path | None = None,
    items: int = 16,
    max_drift: float | None = None,
    max_fall: float | None = None,
    data: tuple[str, ...] = (),
    runs: Path = Runs,
) -> None:
    """Write a run's adapter, merged into its base, or its whole model in a format, read it back, and keep it if it agrees.

    Nothing is published; export.json in the folder has every number.

    Args:
        name: The run.
        to: safetensors, gguf, compressed-tensors or onnx.
        out: New folder, which appears whole or not at all.
        type: Of the numbers: of gguf f16, bf16, f32, q8_0, q4_k_m, ...; of compressed-tensors W4A16, W8A16.
        converter: gguf: convert_hf_to_gguf.py (or MEDSLM_LLAMA_CPP); onnx: optimum-cli (or MEDSLM_OPTIMUM).
        items: Of each task of the run's suite, on which what was learnt and the export are compared.
        max_drift: Mean divergence from what was learnt, in nats a token; by default the format's own bound.
        max_fall: By how much the share of right answers to those items may fall; by default the format's own bound.
        data: Benchmarks in files, NAME=PATH each, where there is no Hub.
        runs: Folder of the runs.
    """
    from medslm.data import given
    from medslm.export import run as room
    from medslm.export.formats import Options

    folder = folder_of(name, runs)
    given.use(data)
    options = Options(type=type, converter=converter)
    with ending.by(signal.SIGTERM, signal.SIGHUP):
        made = room.export(folder, to, out, options, items=items, max_drift=max_drift, max_fall=max_fall)
    word = "adapter" if made.record["merge"] else "model"
    found = made.record["drift"]
    print(
        f"Read back by {made.record['loader']}: {found['divergence']:.2g} nats a token from the {word} (bound "
        f"{made.record['bound']['drift']:g}), the same first choice at {100 * found['top1']:.1f} % of {found['positions']} "
        f"places, {found['prompts']} prompts"
    )
    for task, score in found["scores"].items():
        print(
            f"  {task}: {word} {100 * score['adapter']:.1f} %, export {100 * score['export']:.1f} % of {score['items']}"
        )
    if served := made.record["served"]:
        print(
            f"  {served['loader']}: {served['divergence']:.2g} nats at the first place of {served['prompts']} replies"
        )
    for note in made.record["notes"]:
        print(f"note: {note}")
    print(
        f"{len(made.record['files'])} files, {made.record['seconds']:.0f} s, every number in {made.folder / room.RECORD}"
    )
    then = f"medslm serve {name} --export {shlex.quote(str(made.folder))}{elsewhere(runs)}"
    print(f"Next: {then if to != 'onnx' else f'{made.folder / room.CARD} says how it is loaded'}")
