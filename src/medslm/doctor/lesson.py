"""What a recipe's rows are: what the gates found, what carries loss, whether a reply learns to end, what is too long."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from medslm.data import given, screening
from medslm.data.formats.render import Renderer
from medslm.data.rows import Rows
from medslm.data.suites import suites
from medslm.doctor.finding import Finding
from medslm.errors import MedslmError
from medslm.evals import documents
from medslm.evals.judge import material
from medslm.recipe import Lesson

SAMPLE = 1000
"""Rows that are looked at one by one, spread evenly."""

MANY_TOO_LONG, LITTLE_LOSS = 0.05, 0.05
"""Shares from which on a warning is due."""

IGNORED = -100
OPEN, CLOSE = "⟦", "⟧"


def benchmarks(suite: str) -> tuple[list[str], list[Finding]]:
    """The benchmarks of a suite that can be read here, and a finding each that cannot."""
    names = dict.fromkeys(task.benchmark for task in suites[suite].tasks)
    readable, findings = [], []
    for name in names:
        try:
            next(iter(given.read(given.benchmark(name))))
        except (MedslmError, StopIteration) as error:
            advice = f"MEDSLM_DATA={name}=<file>, or a machine that reaches the Hub"
            findings.append(Finding("benchmark", f"{name} cannot be read: {error or 'no items'}", "failure", advice))
        else:
            readable.append(name)
    if readable:
        findings.append(Finding("benchmarks", f"{len(readable)} of {len(names)} of suite '{suite}' can be read"))
    return readable, findings


def findings(recipe: Lesson, built: Rows, renderer: Renderer, tokenizer: Any) -> Iterator[Finding]:
    """What the gates found, then what is learnt of the rows that are left."""
    yield from gates(built)
    yield from _lengths(recipe, built)
    facts = measures(built, tokenizer.get_vocab()[renderer.end_of_turn])
    share = facts["loss_share"]
    told = f"{100 * share:.1f} % of the tokens carry loss, in {facts['rows']:,} rows that were looked at"
    few = share < LITTLE_LOSS
    advice = "a shorter prompt, or shorter inputs, would spend less on what is only read" if few else ""
    yield Finding("loss", told, "warning" if few else "fine", advice)
    ends, without = facts["end_trained"], facts["rows"] - facts["end_trained"]
    told = f"{renderer.end_of_turn!r} is learnt in {ends:,} of {facts['rows']:,} rows"
    advice = "the model may not stop by itself; look at the format" if without else ""
    yield Finding("end of turn", told, "warning" if without else "fine", advice)
    if facts["no_loss"]:
        yield Finding("loss", f"{facts['no_loss']:,} rows carry none at all", "warning", "look at their answers")


def gates(built: Rows) -> Iterator[Finding]:
    """The lines that a run prints, and a warning for what asks for a decision."""
    yield from (Finding("gates", line) for line in screening.lines(built.corpora, built.gates))
    if missing := built.gates["contamination"]["missing"]:
        told = f"{len(missing)} benchmarks cannot be read here, so that copies of their items are not found"
        yield Finding("test items", told, "warning", "MEDSLM_DATA=NAME=<file>, or a machine that reaches the Hub")
    phi = built.gates["deidentification"]
    if phi["policy"] == "scan" and (number := sum(phi["examples"].values())):
        told = f"{number:,} examples seem to name a patient, and nothing is replaced"
        yield Finding("identifiers", told, "warning", "--deidentify mask, or surrogate")
    terms = built.gates["license"]
    if not terms["publishable"]:
        told = f"what is trained may not be published ({', '.join(terms['flags'])})"
        yield Finding("licence", told, "warning", "; ".join(terms["reasons"]))


def _lengths(recipe: Lesson, built: Rows) -> Iterator[Finding]:
    usable = len(built.lengths)
    dropped = int((built.lengths > recipe.max_length).sum())
    told = (
        f"{dropped:,} of {usable:,} examples are longer than max_length={recipe.max_length} and left out; none is cut"
    )
    many = usable and dropped / usable > MANY_TOO_LONG
    fitting = int(sorted(built.lengths)[int((1 - MANY_TOO_LONG) * (usable - 1))]) if usable else 0
    advice = f"--max-length {fitting} would leave out 5 %" if many else ""
    yield Finding("length", told, "warning" if many else "fine", advice)
    yield number(built)


def number(built: Rows) -> Finding:
    """How many rows, or documents, there are on both sides."""
    return Finding("rows", f"{len(built.train):,} to train on, {len(built.validation):,} for validation")


def measures(built: Rows, end: int) -> dict[str, Any]:
    """Of up to `SAMPLE` training rows: their number, the share of tokens with loss, rows that learn `end`, rows without."""
    rows = spread(built)
    tokens = sum(len(labels) for labels in rows)
    learnt = sum(label != IGNORED for labels in rows for label in labels)
    return {
        "rows": len(rows),
        "loss_share": learnt / max(1, tokens),
        "end_trained": sum(end in labels for labels in rows),
        "no_loss": sum(all(label == IGNORED for label in labels) for labels in rows),
    }


def spread(built: Rows) -> Sequence[Sequence[int]]:
    """The labels of up to `SAMPLE` training rows, evenly spread."""
    chosen = built.train.select(documents.spread(range(len(built.train)), SAMPLE))
    labels: Sequence[Sequence[int]] = list(chosen["labels"])
    return labels


def private(recipe: Lesson) -> list[str]:
    """Why no example may be shown unasked; none if every corpus is public."""
    return material.reserved([], list(recipe.mixture))


def example(built: Rows, tokenizer: Any) -> list[str]:
    """The first training row as the model sees it, what carries loss between `⟦` and `⟧`."""
    row: Mapping[str, Any] = built.train[0]
    pairs = zip(row["input_ids"], (label != IGNORED for label in row["labels"]))
    parts = [
        (learnt, tokenizer.decode([token for token, _ in group]))
        for learnt, group in itertools.groupby(pairs, key=lambda pair: pair[1])
    ]
    return "".join(f"{OPEN}{text}{CLOSE}" if learnt else text for learnt, text in parts).splitlines()
