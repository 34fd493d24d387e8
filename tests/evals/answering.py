"""Predictors whose calibration is known, by simulation; and engines that answer by rule, before questions of our own."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy
import pytest

from evals import world
from medslm.data.example import Example
from medslm.data.formats.render import Renderer
from medslm.evals.harness import Outcome
from medslm.evals.study import Case
from medslm.evals.trust import asking
from medslm.evals.trust.answers import Answers


def predictor(n: int, sharpness: float = 1.0, seed: int = 0, prefix: str = "q", options: int = 4) -> Answers:
    """Answers whose keys are drawn from softmax(logliks / sharpness): calibrated at 1, over-confident above."""
    order = numpy.random.default_rng(seed)
    logliks = order.normal(0, 1.5, (n, options))
    truth = numpy.exp(logliks) / numpy.exp(logliks).sum(axis=1, keepdims=True)
    right = (order.random((n, 1)) > truth.cumsum(axis=1)).sum(axis=1).clip(max=options - 1)
    return Answers.of([f"{prefix}{place}" for place in range(n)], sharpness * logliks, right)


def guesser(n: int, seed: int = 0, prefix: str = "q") -> Answers:
    """Confident answers that have nothing to do with the key."""
    order = numpy.random.default_rng(seed)
    logliks, right = order.normal(0, 1.5, (n, 4)), order.integers(4, size=n)
    return Answers.of([f"{prefix}{place}" for place in range(n)], logliks, right)


def outcomes(answers: Answers, subjects: Sequence[str] = ()) -> list[Outcome]:
    """Answers as the harness hands them on; the subjects are given out in turn."""
    letters = "ABCDEFGHIJ"[: answers.logliks.shape[1]]
    picks = answers.logliks.argmax(axis=1)
    return [
        Outcome(
            *(name, f"prompt {name}", letters[key], {"accuracy": float(pick == key)}),
            letters=list(letters),
            logprobs=logprobs.tolist(),
            pick=letters[pick],
            subject=subjects[place % len(subjects)] if subjects else None,
        )
        for place, (name, logprobs, key, pick) in enumerate(zip(answers.ids, answers.logliks, answers.right, picks))
    ]


@dataclass
class Speaker:
    """Something with the engine's interface that answers by rule, and counts what it is asked."""

    scores: Callable[[str, str, str], float] = lambda side, prompt, letter: -float(ord(letter[-1]))
    """(side, prompt, continuation) -> log-probability; without a rule, `A` is the likeliest letter."""

    says: Callable[[str, str, int], str] = lambda side, prompt, draw: "A"
    """(side, prompt, draw) -> reply; draw 0 is the greedy one."""

    format: str = "chat"
    room: int | None = None
    batch_size: int = 8
    scored_at_once: int = 64
    side: str = "base"
    asked: int = 0
    model: Any = field(default_factory=lambda: SimpleNamespace(dtype="float32", device=SimpleNamespace(type="cpu")))

    def __post_init__(self) -> None:
        self.renderer = Renderer(world.tokenizer(), self.format)

    @contextlib.contextmanager
    def being(self, side: str) -> Iterator[None]:
        before, self.side = self.side, side
        yield
        self.side = before

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[float, bool]]:
        self.asked += len(pairs)
        return [(self.scores(self.side, *pair), False) for pair in pairs]

    def score_sides(self, pairs: Sequence[tuple[str, str]], sides: Sequence[Any]) -> list[list[tuple[float, bool]]]:
        found = []
        for side in sides:
            with side():
                found.append(self.score(pairs))
        return found

    def reply(self, prompts: Sequence[str], max_new_tokens: int) -> list[str]:
        self.asked += len(prompts)
        return [self.says(self.side, prompt, 0) for prompt in prompts]

    def sample(
        self, prompts: Sequence[str], max_new_tokens: int, n: int, temperature: float, seed: int
    ) -> list[list[str]]:
        self.asked += n * len(prompts)
        return [[self.says(self.side, prompt, 1 + draw) for draw in range(n)] for prompt in prompts]


def case(
    folder: Path, engine: Any, judged: Mapping[str, Mapping[str, Sequence[Outcome]]], limit: int | None = None
) -> Case:
    """What a study is given; `folder` gets an adapter's file."""
    (folder / "adapter").mkdir(parents=True, exist_ok=True)
    (folder / "adapter" / "adapter_model.safetensors").write_bytes(b"weights")
    sides = {side: (lambda side=side: engine.being(side)) for side in ("base", "adapter")}
    record = {"base": {"revision": world.REVISION}, "weights": "adapter/adapter_model.safetensors"}
    return Case(judged, engine, sides, folder / "eval", folder, record, limit)


def medqa(folder: Path, n: int, monkeypatch: pytest.MonkeyPatch, validation: int = 0) -> list[Example]:
    """`n` questions in MedQA's published shape, given as that benchmark, and perhaps some as its validation items.

    Question k is about a man or a woman in turn, 20 to 79 years old; option k % 4 is right, and called `finding k`.
    """
    given = [f"medqa={_written(folder / 'medqa.jsonl', n, 'case')}"]
    if validation:
        given.append(f"medqa-validation={_written(folder / 'validation.jsonl', validation, 'pilot')}")
    monkeypatch.setenv("MEDSLM_DATA", ":".join(given))
    return asking.items("medqa", [f"case-{k}" for k in range(n)])


def _written(path: Path, n: int, word: str) -> Path:
    rows = []
    for k in range(n):
        who = "man" if k % 2 else "woman"
        options = {f"ending{place}": f"{'finding' if place == k % 4 else 'other'} {k} {place}" for place in range(4)}
        asked = f"A {20 + k % 60}-year-old {who} presents with sign {word} {k}. What is the diagnosis?"
        rows.append({"id": f"{word}-{k}", "sent1": asked, "sent2": "", **options, "label": k % 4})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def answered(engine: Speaker, items: Sequence[Example]) -> dict[str, list[Outcome]]:
    """What the harness would hand on of these questions, both sides."""
    found = {}
    for side in ("base", "adapter"):
        with engine.being(side):
            rows = [
                [
                    engine.score([(engine.renderer.prompt(item), choice)])[0][0]
                    for choice in engine.renderer.choices(item)
                ]
                for item in items
            ]
        keys = [engine.renderer.format.key_of(item) for item in items]
        found[side] = outcomes(Answers.of([item.id for item in items], rows, keys))
    engine.asked = 0
    return found
