"""An example: one thing to do, the text to do it to, and the right answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Example:
    """One supervised example or, as an item of a benchmark, one question with its key."""

    id: str
    """Unique within its corpus or benchmark."""

    instruction: str
    """What is to be done; the same sentence for all examples of a task."""

    input: str
    """The text it is done to."""

    output: str | Mapping[str, str]
    """The answer: text, or named fields that a format writes down."""

    family: str
    """What must not be torn apart between training and test: a code family, a patient, a document."""

    options: tuple[str, ...] = ()
    """Multiple choice only. With a letter as `output` they are shown under their letters, in this order; with fields as
    `output` they are the values that its first field may take, and are not shown."""
