"""An example: one thing to do, the text to do it to, and the right answer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

Structure = Mapping[str, Any]
"""Named parts: text, lists and mappings of parts. Every scalar is text, so that the code `250.00` stays what it is."""


@dataclass(frozen=True)
class Example:
    """One supervised example or, as an item of a benchmark, one question with its key."""

    id: str
    """Unique within its corpus or benchmark."""

    instruction: str
    """What is to be done; the same sentence for all examples of a task. Empty for a text to be continued."""

    input: str | Structure
    """What it is done to: text, or named parts that a format writes down."""

    output: str | Structure
    """The answer: text, or named fields that a format writes down."""

    family: str
    """What must not be torn apart between training and test: a code family, a patient, a document."""

    options: tuple[str, ...] = ()
    """Multiple choice only. With a letter as `output` they are shown under their letters, in this order; with fields as
    `output` they are the values that its first field may take, and are not shown."""

    reasoning: str = ""
    """The thoughts before the answer, for formats that write them."""

    turns: tuple[tuple[str, str], ...] = ()
    """What was said before, oldest first: (`system`, `user` or `assistant`, text)."""

    @property
    def text(self) -> str:
        """All text of the input, for whatever compares or searches it."""
        return "\n".join(leaves(self.input))

    @property
    def answer(self) -> str:
        """All text of the output, for whatever compares or searches it."""
        return "\n".join(leaves(self.output))

    def as_json(self) -> str:
        """One line; `from_json` gives an equal example."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str) -> Example:
        """The example that `as_json` wrote."""
        told = json.loads(line)
        told["options"], told["turns"] = tuple(told["options"]), tuple(map(tuple, told["turns"]))
        return cls(**told)


def digest(text: str) -> int:
    """64 bits that depend on the text alone, in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def leaves(value: str | Structure | Sequence[Any]) -> Iterator[str]:
    """Every text in a structure, in its order, without the names of the fields."""
    if isinstance(value, str):
        yield value
    else:
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from leaves(part)
