"""Greedy answers from a base and an adapter, asked exactly as in training, by any engine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medslm.data.example import Example
from medslm.data.formats.render import Renderer
from medslm.errors import MedslmError
from medslm.infer import records
from medslm.infer.engine import Engine, Limits, Wanted
from medslm.infer.engines import engines
from medslm.models import source
from medslm.models.base import Base, resolve

NEEDED = ("instructions", "fields", "base.source", "base.revision", "recipe.format", "recipe.quantization")
"""What is read of the `run.json` beside an adapter."""


@dataclass(frozen=True)
class Asked:
    """How a text is turned into the prompt that the adapter was trained on."""

    base: Base
    instruction: str
    fields: tuple[str, ...]
    format: str
    notes: tuple[str, ...]
    """What the user should know: an assumption made, or weights other than those trained on."""


def asked(adapter: Path, instruction: str | None) -> Asked:
    """Read from the adapter's folder how it is to be asked; a `run.json` beside the weights or above them tells.

    Raises `MedslmError` if there is no adapter, or an instruction is needed and cannot be known.
    """
    config = records.read(adapter / "adapter_config.json", "medslm pull", ("base_model_name_or_path",))
    base = resolve(config["base_model_name_or_path"])
    found = [path for path in (adapter / "run.json", adapter.parent / "run.json") if path.is_file()]
    if not found:
        note = "no run.json beside the adapter: asked in the plain chat format, which it may not have been trained on"
        return Asked(base, instruction or "", (), "chat", (note,))
    run = records.read(found[0], "accelerate launch", NEEDED)
    known = run["instructions"]
    if instruction is None and len(known) > 1:
        raise MedslmError(
            "the adapter was trained on several instructions; choose one with --instruction: " + " | ".join(known)
        )
    free = ""  # every example had an instruction of its own: the text is the question
    chosen = instruction if instruction is not None else next(iter(known), free)
    return Asked(base, chosen, tuple(run["fields"].get(chosen, ())), run["recipe"]["format"], _notes(run, base))


def _notes(run: Mapping[str, Any], base: Base) -> tuple[str, ...]:
    trained, here, kept = run["base"], source.find(base), run["recipe"]["quantization"]
    notes = []
    if not here.are_those_of(trained):
        notes.append(
            f"trained on {trained['source']} weights {trained['revision'][:12]}, asked on {here.kind} weights "
            f"{here.revision[:12]}: answers may differ from the measured ones"
        )
    if kept != "none":
        notes.append(f"trained on weights in {kept}, asked on full ones: compare with its 'full-precision' scores")
    return tuple(notes)


def prompt(renderer: Renderer, how: Asked, text: str) -> str:
    """The text as the adapter was trained on it. Raises `MedslmError` for a format that answers nothing."""
    output: str | Mapping[str, str] = dict.fromkeys(how.fields, "") if how.fields else ""
    written = renderer.prompt(Example("asked", how.instruction, text, output, family=""))
    if not written:
        raise MedslmError(f"an adapter in the format '{how.format}' continues texts and answers none; ask it with peft")
    return written


def start(adapter: Path, how: Asked, engine: str = "transformers") -> Engine:
    """The engine of this name with the adapter. Raises `MedslmError` for one that is unknown or not installed."""
    return engines[engine](Wanted(how.base, how.format, adapter, rows=1))


def answer(adapter: Path, how: Asked, text: str, max_new_tokens: int, engine: str = "transformers") -> str:
    """The reply to one text, without its end of turn. Raises `MedslmError` for a text longer than the model reads."""
    with contextlib.closing(start(adapter, how, engine)) as running:
        (reply,) = running.generate([prompt(running.renderer, how, text)], Limits(max_new_tokens))
    return reply.text


def stream(adapter: Path, how: Asked, text: str, max_new_tokens: int, engine: str = "transformers") -> Iterator[str]:
    """The same reply in parts as they are written, thoughts and all. As `answer`."""
    with contextlib.closing(start(adapter, how, engine)) as running:
        yield from running.stream(prompt(running.renderer, how, text), Limits(max_new_tokens))
