"""From a recipe to the rows a trainer sees: read, screened, rendered, measured; nothing is cut."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import medslm.data.builders  # noqa: F401  (registers the corpora and benchmarks)
from medslm.data import mixture
from medslm.data.benchmark import benchmarks
from medslm.data.corpus import corpora
from medslm.data.example import Example
from medslm.data.formats.render import Renderer, Tokens
from medslm.data.gates.contamination import Screen
from medslm.errors import MedslmError
from medslm.recipe import Sft


@dataclass(frozen=True)
class Rows:
    """Tokenised rows, and the report of how they came to be."""

    train: list[Tokens]
    validation: list[Tokens]
    corpora: dict[str, dict[str, Any]]
    """Per corpus: source, license, version, examples read and dropped as contaminated."""

    too_long: int
    """Examples longer than `max_length`, dropped whole."""

    contamination: list[dict[str, Any]]
    """Each dropped example beside the test item it resembles."""

    fields: dict[str, list[str]]
    """Per instruction: the fields of its answers; none where the answer is plain text."""


def build(recipe: Sft, renderer: Renderer) -> Rows:
    """All rows of the recipe. Raises `MedslmError` if nothing fits into `max_length`."""
    for name in recipe.mixture:
        corpora[name]  # a misspelt name fails before anything is read
    mixed = mixture.load(recipe.mixture, recipe.validation_fraction, recipe.seed, Screen(benchmarks))
    train, long = _fitting(mixed.train, renderer, recipe.max_length)
    validation, also_long = _fitting(mixed.validation, renderer, recipe.max_length)
    if not train or not validation:
        raise MedslmError(
            f"no example is left for {'training' if not train else 'validation'}: {long + also_long} of "
            f"{len(mixed.train) + len(mixed.validation)} are longer than max_length={recipe.max_length}; raise it"
        )
    return Rows(
        train,
        validation,
        {name: _report(name, mixed) for name in recipe.mixture},
        long + also_long,
        [asdict(hit) for hit in mixed.contaminated],
        {
            example.instruction: [] if isinstance(example.output, str) else list(example.output)
            for example in mixed.train
        },
    )


def _fitting(examples: Iterable[Example], renderer: Renderer, max_length: int) -> tuple[list[Tokens], int]:
    rows = [renderer.tokens(example) for example in examples]
    fitting = [row for row in rows if len(row.input_ids) <= max_length]
    return fitting, len(rows) - len(fitting)


def _report(name: str, mixed: mixture.Mixture) -> dict[str, Any]:
    corpus = corpora[name]
    return {
        "source": corpus.source.name,
        "license": corpus.license,
        "version": corpus.source.version(),
        "read": mixed.read[name],
        "contaminated": sum(hit.corpus == name for hit in mixed.contaminated),
    }
