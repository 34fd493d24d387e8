"""From a lesson to the rows that are learnt: read, screened by every gate, rendered, measured; nothing is cut."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import medslm.data.builders  # noqa: F401  (registers the corpora and benchmarks)
from medslm.data import license, mixture
from medslm.data.benchmark import benchmarks
from medslm.data.corpus import Corpus
from medslm.data.formats.render import Renderer
from medslm.data.gates import lengths, quality
from medslm.data.gates.contamination import Screen
from medslm.data.gates.phi.scanner import Scanner, Style
from medslm.data.prepare import Preparation, Prepared, prepare
from medslm.data.sources import own
from medslm.data.sources.shapes import mapping
from medslm.errors import MedslmError
from medslm.recipe import Lesson, called

if TYPE_CHECKING:
    import datasets
    import numpy


MASKS: Mapping[str, Style] = {"mask": "tag", "surrogate": "surrogate"}


@dataclass(frozen=True)
class Rows:
    """Rows for a trainer, and the report of how they came to be."""

    train: datasets.Dataset
    """`input_ids`, `labels` and `length`; with `keep` the `example` as well."""

    validation: datasets.Dataset

    corpora: dict[str, dict[str, Any]]
    """Per corpus, by the name that `recipe.called` gives it: source, license, version, format, and the number of examples
    read, dropped by each gate, and taken."""

    gates: dict[str, Any]
    """What each gate looked for and found."""

    fields: dict[str, list[str]]
    """Per instruction: the fields of its answers, none where the answer is plain text. Empty where instructions differ
    from example to example."""

    lengths: numpy.ndarray[Any, Any]
    """Tokens of every usable example, too long or not. (N,)"""


@dataclass(frozen=True)
class _Parts:
    """What a report speaks of."""

    lesson: Lesson

    called: Mapping[str, str]
    """Name in the mixture -> name in the report."""

    corpora: Mapping[str, Corpus]
    screen: Screen
    scanner: Scanner | None
    prepared: Mapping[str, Prepared]
    mixed: mixture.Mixture


def build(
    lesson: Lesson, tokenizer: Any | None, base_license: str | None, exam: Iterable[str] = (), *, keep: bool = False
) -> Rows:
    """All rows of a lesson; without a tokenizer they have no tokens, with `keep` they hold their examples.

    `exam` names the benchmarks that will judge the result: unlike others they must be readable here. Raises `MedslmError`
    for bad input, and if nothing is left to train on or to validate with.
    """
    mapping.check_prefixes(lesson.columns, lesson.mixture)
    corpora = {name: own.resolve(name, lesson.columns, lesson.licenses) for name in lesson.mixture}
    renderers = {name: tokenizer and Renderer(tokenizer, lesson.formats.get(name, lesson.format)) for name in corpora}
    screen = Screen(benchmarks, required=set(exam))
    scanner = None if lesson.deidentify == "off" else Scanner(lesson.phi_engine)
    mask, shuffle = MASKS.get(lesson.deidentify), lesson.option_order == "shuffled"
    prepared = {
        name: prepare(Preparation(corpus, renderers[name], screen, scanner, mask, keep, shuffle))
        for name, corpus in corpora.items()
    }
    mixed = mixture.load(lesson, prepared)
    if not len(mixed.validation):
        raise MedslmError("no example is left for validation; raise validation_fraction, or max_length")
    parts = _Parts(lesson, called(lesson.mixture), corpora, screen, scanner, prepared, mixed)
    reports = {parts.called[name]: _report(name, parts) for name in corpora}
    gates = _gates(parts, base_license)
    return Rows(mixed.train, mixed.validation, reports, gates, _fields(prepared), mixed.lengths)


def _report(name: str, parts: _Parts) -> dict[str, Any]:
    corpus, tally = parts.corpora[name], parts.prepared[name].tally
    return {
        "source": corpus.source.name,
        "license": corpus.license,
        "version": corpus.source.version(),
        "format": parts.lesson.formats.get(name, parts.lesson.format),
        "rows": tally.rows,
        "skipped": dict(tally.skipped),
        **asdict(parts.mixed.kept[name]),
    }


def _gates(parts: _Parts, base_license: str | None) -> dict[str, Any]:
    lesson, screen, scanner = parts.lesson, parts.screen, parts.scanner
    tallies = {parts.called[name]: found.tally for name, found in parts.prepared.items()}
    return {
        "contamination": {
            "policy": lesson.contamination,
            "screened": dict(screen.items),
            "missing": dict(screen.missing),
            "found": {name: dict(tally.contaminated) for name, tally in tallies.items()},
            "pairs": [{"corpus": name, **pair} for name, tally in tallies.items() for pair in tally.pairs],
        },
        "deidentification": {
            "policy": lesson.deidentify,
            "engine": scanner and scanner.engine,
            "examples": {name: tally.identified for name, tally in tallies.items()},
            "identifiers": {name: dict(tally.identifiers) for name, tally in tallies.items()},
        },
        "quality": {
            "policy": lesson.duplicates,
            "findings": {name: dict(tally.findings) for name, tally in tallies.items()},
            "languages": {name: dict(tally.languages) for name, tally in tallies.items()},
            "answers": {name: quality.balance(tally.answers) for name, tally in tallies.items() if tally.answers},
            "near_copies_across_validation": parts.mixed.across,
        },
        "lengths": lengths.percentiles(parts.mixed.lengths),
        "license": _terms({parts.called[name]: one.license for name, one in parts.corpora.items()}, base_license),
    }


def _terms(stated: Mapping[str, str], base_license: str | None) -> dict[str, Any]:
    """The licence of what is made of these corpora, with the base model's where one is trained."""
    terms = license.of_dataset(stated) if base_license is None else license.effective(base_license, stated)
    return {**asdict(terms), "publishable": terms.publishable}


def _fields(prepared: Mapping[str, Prepared]) -> dict[str, list[str]]:
    told = [found.tally.instructions for found in prepared.values()]
    if None in told:
        return {}
    return {instruction: fields for one in told if one for instruction, fields in one.items()}
