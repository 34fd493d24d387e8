"""De-identifies whole examples, every text of their structures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from medslm.data.example import Example, leaves
from medslm.data.gates.phi.scanner import Scanner, Style


def texts(example: Example) -> Iterator[str]:
    """Every text of an example that a model is shown or learns; its id and its family are not among them."""
    yield from (example.instruction, example.reasoning, *example.options)
    yield from leaves(example.input)
    yield from leaves(example.output)
    yield from (words for _, words in example.turns)


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
