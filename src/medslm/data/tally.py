"""The count of what happened to the rows of a corpus: nothing is left out or found without a number here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

PAIRS = 200
"""Contaminated examples that are shown beside the test item they resemble; all of them are counted."""

KINDS = 50
"""Distinct instructions, and distinct answers, that are told apart; corpora with more have them free."""


@dataclass
class Tally:
    """Counts over some rows; `add` makes one of two."""

    rows: int = 0
    examples: int = 0

    skipped: Counter[str] = field(default_factory=Counter)
    """Rows that gave no example, by reason."""

    findings: Counter[str] = field(default_factory=Counter)
    """What the quality gate noticed, by kind."""

    languages: Counter[str] = field(default_factory=Counter)
    """Languages of the texts that are long enough to tell."""

    identifiers: Counter[str] = field(default_factory=Counter)
    """Identifiers of patients, by type; never their value."""

    identified: int = 0
    """Examples that hold any identifier."""

    contaminated: Counter[str] = field(default_factory=Counter)
    """Examples that a benchmark holds, by benchmark."""

    pairs: list[dict[str, Any]] = field(default_factory=list)
    """The first `PAIRS` of them beside the test item they resemble."""

    instructions: dict[str, list[str]] | None = field(default_factory=dict)
    """Instruction -> the fields of its answers; none if there are more than `KINDS`, or one holds an identifier."""

    answers: Counter[str] | None = field(default_factory=Counter)
    """How often each answer is given; none if there are more than `KINDS`."""

    def add(self, other: Tally) -> None:
        """Count what `other` counted as well."""
        self.rows += other.rows
        self.examples += other.examples
        self.identified += other.identified
        for name in ("skipped", "findings", "languages", "identifiers", "contaminated"):
            getattr(self, name).update(getattr(other, name))
        self.pairs = (self.pairs + other.pairs)[:PAIRS]
        self.instructions = _bounded(self.instructions, other.instructions)
        if self.answers is not None and other.answers is not None:
            self.answers.update(other.answers)
        if other.answers is None or len(self.answers or ()) > KINDS:
            self.answers = None

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        told = {one.name: getattr(self, one.name) for one in fields(self)}  # asdict breaks counters up to Python 3.11
        return {name: dict(value) if isinstance(value, Counter) else value for name, value in told.items()}

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Tally:
        """What `as_dict` wrote, read from JSON."""
        counters = ("skipped", "findings", "languages", "identifiers", "contaminated", "answers")
        counted = {key: Counter(told[key]) for key in counters if told[key] is not None}
        return cls(**{**told, **counted})


def _bounded(mine: dict[str, list[str]] | None, others: dict[str, list[str]] | None) -> dict[str, list[str]] | None:
    both = None if mine is None or others is None else mine | others
    return None if both is None or len(both) > KINDS else both
