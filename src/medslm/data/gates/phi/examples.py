"""De-identifies whole examples, every text of their structures, and reports counts and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from medslm.data.example import Example, leaves
from medslm.data.gates.phi.kinds import LETTERS
from medslm.data.gates.phi.scanner import Scanner, Style


@dataclass(frozen=True)
class Report:
    """How many identifiers of each type a corpus holds, and in how many examples; never which."""

    counts: Mapping[str, int]
    """Type -> number of identifiers, in the order of the letters (A) to (R)."""

    examples: int
    """Examples read."""

    identified: int
    """Examples with at least one identifier."""

    def as_json(self) -> dict[str, Any]:
        """A mapping for a JSON file, each type with its letter of 45 CFR 164.514(b)(2)(i)."""
        counts = {type_: {"letter": LETTERS[type_], "count": number} for type_, number in self.counts.items()}
        return {"examples": self.examples, "identified": self.identified, "counts": counts}

    def __str__(self) -> str:
        kinds = ", ".join(f"{type_} {number}" for type_, number in self.counts.items()) or "none"
        return f"{self.identified} of {self.examples} examples hold identifiers: {kinds}"


def texts(example: Example) -> Iterator[str]:
    """Every text of an example that a model is shown or learns; its id and its family are not among them."""
    yield from (example.instruction, example.reasoning, *example.options)
    yield from leaves(example.input)
    yield from leaves(example.output)
    yield from (words for _, words in example.turns)


def survey(examples: Iterable[Example], scanner: Scanner) -> Report:
    """Counts the identifiers of all examples; raises as `Scanner.scan`."""
    counts: Counter[str] = Counter()
    read = identified = 0
    for example in examples:
        found = scanner.count(texts(example))
        counts.update(found)
        read, identified = read + 1, identified + bool(found)
    return Report({type_: counts[type_] for type_ in LETTERS if counts[type_]}, read, identified)


def mask_example(example: Example, scanner: Scanner, style: Style = "tag", key: bytes = b"") -> Example:
    """The example with every text masked; surrogates are the same in all examples of its family.

    Names of fields, the id and the family stay: they are no text of the model. Raises as `Scanner.mask`.
    """

    def mask(text: str) -> str:
        return scanner.mask(text, style, key, example.family)

    return replace(
        example,
        instruction=mask(example.instruction),
        input=_walked(example.input, mask),
        output=_walked(example.output, mask),
        reasoning=mask(example.reasoning),
        options=tuple(map(mask, example.options)),
        turns=tuple((role, mask(words)) for role, words in example.turns),
    )


def _walked(value: Any, mask: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, Mapping):
        return {name: _walked(part, mask) for name, part in value.items()}
    return [_walked(part, mask) for part in value]
