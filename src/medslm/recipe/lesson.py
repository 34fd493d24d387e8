"""A lesson: what is learnt, from which corpora, in which words, and past which gates."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from medslm.errors import MedslmError

SEEDS = 2**32
"""Seeds that numpy's generators take."""


def called(names: Iterable[str]) -> dict[str, str]:
    """Name in a mixture -> name in what is published: one's own files go without their folder, which tells of a machine.

    Two files of one name in two folders are numbered.
    """
    told: dict[str, str] = {}
    for name in names:
        before, local, path = name.partition("local:")
        short = f"local:{Path(path).expanduser().resolve().name}" if local and not before else name
        several = itertools.chain([short], (f"{short} ({number})" for number in itertools.count(2)))
        told[name] = next(one for one in several if one not in told.values())
    return told


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What is learnt: corpora, how they are written, and the gates before them. Raises `MedslmError` for bad values."""

    mixture: Mapping[str, float]
    """Passes over each corpus per epoch (`medslm list corpora`); 0.5 takes a random half, 2.0 takes all twice. One's own
    data is named `local:PATH`, any other dataset of the Hub `org/name`."""

    format: str = "chat"
    """How an example becomes text (`medslm list formats`)."""

    formats: Mapping[str, str] = field(default_factory=dict)
    """The format of single corpora, where it is not `format`."""

    columns: Mapping[str, str] = field(default_factory=dict)
    """For corpora that are not registered: field of an example = column (`input=note`), or a constant (`instruction==Code
    it.`). Where nothing is said, the shape is recognised."""

    licenses: Mapping[str, str] = field(default_factory=dict)
    """Licence of corpora that are not registered; without one the adapter cannot be published."""

    contamination: Literal["report", "drop", "fail"] = "drop"
    """What happens to an example that a registered benchmark holds, word for word or nearly."""

    deidentify: Literal["off", "scan", "mask", "surrogate"] = "scan"
    """Identifiers of patients: count them by type; or replace them as well, by their type or by consistent surrogates with
    shifted dates."""

    phi_engine: Literal["rules", "presidio"] = "rules"
    """What finds them: our own rules, or these and Presidio (`pip install medslm[phi]`), which knows more names."""

    duplicates: Literal["report", "exact", "near"] = "exact"
    """Which repeated examples are dropped; all of them are counted."""

    option_order: Literal["given", "shuffled"] = "given"
    """Of multiple-choice questions that are answered with a letter: as their corpus has them; or drawn by each question's
    id, so that nothing can be learnt from where right answers usually stand."""

    max_length: int = 1024
    """Tokens of prompt and completion; longer examples are dropped whole and counted, never cut."""

    validation_fraction: float = 0.05
    """Part of the mixture held out from training, for the evaluation loss and the choice of the best checkpoint."""

    validation_rows: int = 0
    """Hold out the first so many examples of each corpus instead of a fraction; 0 means a fraction."""

    seed: int = 42
    """Seed of the mixture's order, the LoRA initialisation and the dropout."""

    def __post_init__(self) -> None:
        if not self.mixture:
            raise MedslmError(f"{self.called} has an empty mixture; name at least one corpus with its passes")
        for corpus, passes in self.mixture.items():
            holds = isinstance(passes, (int, float)) and 0 < passes < math.inf
            self._check(holds, f"mixture.{corpus}", passes, "a number above 0")
        for name in ("formats", "licenses"):
            for corpus in getattr(self, name):
                self._check(corpus in self.mixture, name, corpus, f"one of the mixture: {', '.join(self.mixture)}")
        for name, kind in get_type_hints(type(self)).items():
            if get_origin(kind) is Literal:  # a misspelt word would open a gate
                value, known = getattr(self, name), get_args(kind)
                self._check(value in known, name, value, f"one of {', '.join(known)}")
        self._check(self.max_length >= 1, "max_length", self.max_length, "at least 1")
        self._check(self.validation_rows >= 0, "validation_rows", self.validation_rows, "at least 0")
        self._check(0 <= self.seed < SEEDS, "seed", self.seed, f"0 to {SEEDS - 1}")
        held_out = self.validation_fraction
        self._check(0 < held_out < 1, "validation_fraction", held_out, "between 0 and 1")

    @property
    def called(self) -> str:
        """How a message names it."""
        return "the lesson"

    def _check(self, holds: bool, name: str, value: object, bound: str) -> None:
        if not holds:
            raise MedslmError(f"{self.called} has {name}={value}; it must be {bound}")

    def as_dict(self) -> dict[str, Any]:
        """Every field as JSON values, in the order of declaration; corpora by the names that `called` gives them."""
        told, names = dataclasses.asdict(self), called(self.mixture)
        for name in ("mixture", "formats", "licenses"):
            told[name] = {names[corpus]: value for corpus, value in told[name].items()}
        parts = [(*key.rpartition(":"), value) for key, value in self.columns.items()]
        told["columns"] = {names.get(of, of) + colon + field: value for of, colon, field, value in parts}
        return told
