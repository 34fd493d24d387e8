"""Who is judged, and what answers for them: the model in this process, or an engine by name."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medslm import environment, files
from medslm.data.formats.render import Renderer
from medslm.evals import through
from medslm.evals.engine import Engine
from medslm.evals.respondent import HERE, Respondent
from medslm.evals.through import SERVED, Through
from medslm.infer.engine import Wanted
from medslm.infer.engines import WEIGHTS, engines
from medslm.infer.likelihoods import Side
from medslm.models import load, source, whole
from medslm.models.base import Base

BATCH_SIZE = 128
"""Prompts a forward pass: on a CPU one step of 128 replies takes little longer than one of 32."""


@dataclass(frozen=True)
class Candidate:
    """Who is judged: a run, or a base alone."""

    folder: Path
    """Of the run; scores and answers go there."""

    base: Base
    format: str
    dtype: str
    quantizations: Mapping[str, str]
    """Protocol -> quantisation of the base's weights."""

    record: Mapping[str, Any]
    """`run.json`; empty for a base alone."""

    notes: tuple[str, ...] = ()

    @property
    def weights(self) -> Path | None:
        """The file of what the run has learnt, an adapter or a whole model; none for a base alone."""
        return self.folder / self.record["weights"] if self.record else None


@dataclass(frozen=True)
class Seat:
    """What answers, under one protocol."""

    engine: Respondent
    sides: Mapping[str, Side]
    hardware: Mapping[str, Any]

    key: Mapping[str, Any]
    """What decides an answer beside its prompt and the engine: kept answers under another key are not taken."""

    @property
    def versions(self) -> dict[str, str]:
        """Of what computes in another engine, as far as it has told."""
        told: dict[str, str] = dict(self.engine.identity.get("versions", {}))
        return told

    @property
    def notes(self) -> tuple[str, ...]:
        """What must be said of figures that a server has given."""
        told = self.engine.identity
        if WEIGHTS[told["engine"]]:
            return ()
        return (
            f"{told['device']} answered, under the name '{told['model']}': that its weights are those named here is the "
            "word of whoever started it",
        )


@contextlib.contextmanager
def taken(
    who: Candidate, quantization: str, name: str, renderer: Renderer, tokenizer: Any, batch_size: int | None
) -> Iterator[Seat]:
    """The engine called `name` with the candidate's weights, for a while. Raises `MedslmError` if it does not start."""
    adapter = None if who.weights is None else files.sha256(who.weights)
    key: dict[str, Any] = {
        "adapter": adapter,
        "base": source.find(who.base).revision,
        "template": renderer.template_hash,
    }
    key |= {"quantization": quantization}
    if name == HERE:
        yield _here(who, key, renderer, tokenizer, batch_size or BATCH_SIZE)
        return
    folder = None if who.weights is None else who.weights.parent
    loaded = quantization if WEIGHTS[name] else "none"
    rows = batch_size or Wanted.rows
    running = engines[name](Wanted(who.base, who.format, folder, loaded, who.dtype, rows))
    with contextlib.closing(running):
        about = running.about
        hardware = {"device": about.device, "gpu": None, "dtype": about.dtype or SERVED, "batch_size": rows}
        key |= {"packages": environment.versions(["medslm"])}
        yield Seat(Through(running, who.base, rows), through.sides(running, folder is not None), hardware, key)


def _here(who: Candidate, key: dict[str, Any], renderer: Renderer, tokenizer: Any, batch_size: int) -> Seat:
    model, sides = _loaded(who, key["quantization"])
    hardware = {
        "device": load.device(),
        "gpu": load.gpu(),
        "dtype": str(model.dtype).removeprefix("torch."),
        "batch_size": batch_size,
    }
    key |= {
        "dtype": hardware["dtype"],
        "device": hardware["gpu"] or hardware["device"],
        "packages": environment.versions(["medslm", "torch", "transformers"]),
    }
    return Seat(Engine(model, tokenizer, renderer, batch_size), sides, hardware, key)


def _loaded(who: Candidate, quantization: str) -> tuple[Any, dict[str, Side]]:
    """The model, and what makes it the base (the same weights with the adapter switched off) or the adapter."""
    loaded = load.model(who.base, quantization, who.dtype)
    if who.weights is None:
        return loaded, {"base": contextlib.nullcontext}
    if who.weights.parent.name == whole.FOLDER:
        learnt = whole.trained(who.weights.parent, who.dtype)
        return learnt, {"base": lambda: whole.with_weights_of(learnt, loaded), "adapter": contextlib.nullcontext}
    model = load.with_adapter(loaded, who.weights.parent, fp8=quantization == "fp8")
    return model, {"base": model.disable_adapter, "adapter": contextlib.nullcontext}
