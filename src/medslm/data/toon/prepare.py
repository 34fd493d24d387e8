"""The five sets as `.toon` files: discharge summaries, medical questions, PubMed, ICD coding and legal texts.

    outcomes = prepare.five(Path("prepared_datasets_toon"))
    print(prepare.table(outcomes))

Each file holds the examples of one corpus as its builder gives them; the gates (contamination, identifiers of patients,
duplicates) look at them when they are trained on. A corpus that cannot be had is no failure of the others: it is told in
the table, with the reason, and only when no file at all could be written is that an error.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import medslm.data.builders  # noqa: F401  (registers the corpora)
from medslm.data.corpus import Corpus, corpora
from medslm.data.example import Example
from medslm.data.license import DATA_USE_AGREEMENT, MEANING, TERMS
from medslm.data.toon import store
from medslm.errors import MedslmError

log = logging.getLogger(__name__)

FOLDER = Path("prepared_datasets_toon")


@dataclass(frozen=True)
class Wanted:
    """One file, and the corpus that goes into it."""

    file: str

    corpus: str
    """Its name in the registry."""

    instead: str | None = None
    """The corpus that is written where the first cannot be had; this is said, and stands in the manifest."""


FIVE = (
    Wanted("discharge.toon", "asclepius-discharge-summarization"),
    Wanted("medical_qa.toon", "rk-medical-qa"),
    Wanted("pubmed.toon", "pubmed-summarization"),
    Wanted("icd.toon", "mimic-icd-visit", instead="icd10cm"),  # the first is for those bound by PhysioNet's agreement
    Wanted("legal.toon", "billsum"),
)


@dataclass(frozen=True)
class Outcome:
    """What became of one file."""

    file: str

    corpus: str
    """The corpus that was written, or else the one that was wanted."""

    rows: int
    """0 if nothing was written."""

    reason: str = ""
    """Why the corpus that was wanted could not be had; empty if it was."""


def five(folder: Path, wanted: Sequence[Wanted] = FIVE, registry: Mapping[str, Corpus] = corpora) -> list[Outcome]:
    """Write every file that can be written to `folder`, with a manifest beside each; what each became of.

    Raises `MedslmError` if none could be written, with all the reasons.
    """
    outcomes = [_outcome(folder, one, registry) for one in wanted]
    for outcome in outcomes:
        if not outcome.rows and (folder / outcome.file).exists():
            log.warning("%s was not written; the file of an earlier time is still there", folder / outcome.file)
    if not any(outcome.rows for outcome in outcomes):
        raise MedslmError(f"no file could be written to {folder}:\n{table(outcomes)}")
    return outcomes


def _outcome(folder: Path, wanted: Wanted, registry: Mapping[str, Corpus]) -> Outcome:
    try:
        return Outcome(wanted.file, wanted.corpus, _write(folder / wanted.file, wanted.corpus, registry))
    except MedslmError as error:
        reason = str(error)
    if wanted.instead is None:
        return Outcome(wanted.file, wanted.corpus, 0, reason)
    log.warning(
        "%s: %s cannot be had (%s), so %s is written instead", wanted.file, wanted.corpus, reason, wanted.instead
    )
    told = {"wanted": wanted.corpus, "reason": reason}
    try:
        rows = _write(folder / wanted.file, wanted.instead, registry, told)
    except MedslmError as error:
        return Outcome(wanted.file, wanted.corpus, 0, f"{reason}; and {wanted.instead}: {error}")
    return Outcome(wanted.file, wanted.instead, rows, reason)


def _write(path: Path, name: str, registry: Mapping[str, Corpus], instead_of: Mapping[str, str] | None = None) -> int:
    """Write one corpus; the number of its examples. What is left out is counted in the manifest."""
    corpus = registry[name]
    skipped: dict[str, int] = {}
    about = {
        "corpus": name,
        "instead_of": dict(instead_of) if instead_of else None,
        "source": corpus.source.name,
        "version": corpus.source.version(),
        "license": corpus.license,
        "skipped": skipped,  # filled while the rows are read
    }
    if corpus.license in TERMS and DATA_USE_AGREEMENT in TERMS[corpus.license].flags:
        log.warning("%s: under %s; %s", path, corpus.license, MEANING[DATA_USE_AGREEMENT])
    return store.write(once(corpus.load(skipped), skipped), path, about=about).rows


def once(examples: Iterable[Example], skipped: dict[str, int]) -> Iterator[Example]:
    """Every example but exact copies of an earlier one, counted in `skipped`; two others with one id stay an error."""
    seen: set[bytes] = set()
    for example in examples:
        digest = hashlib.blake2b(example.as_json().encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if digest in seen:
            skipped["a copy of an earlier example"] = skipped.get("a copy of an earlier example", 0) + 1
        else:
            seen.add(digest)
            yield example


def table(outcomes: Sequence[Outcome]) -> str:
    """Aligned text: one line a file, with its rows or why it is not there."""
    lines = [("file", "corpus", "examples", "remark")]
    for outcome in outcomes:
        remark = " ".join(outcome.reason.split())  # one line
        if remark:
            remark = f"{'instead of another' if outcome.rows else 'not written'}: {remark}"
        lines.append((outcome.file, outcome.corpus, f"{outcome.rows:,}", remark))
    widths = [max(len(line[column]) for line in lines) for column in range(3)]
    return "\n".join(
        f"{file:<{widths[0]}}  {corpus:<{widths[1]}}  {rows:>{widths[2]}}  {remark}".rstrip()
        for file, corpus, rows, remark in lines
    )
