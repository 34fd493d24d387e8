"""The card of a built dataset: what is in it, where it comes from, what the gates found, and under which terms."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from huggingface_hub import DatasetCardData

from medslm.data import license, screening
from medslm.hub.markdown import Markdown, aligned, code, escaped

SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
)
"""The Hub's words: https://github.com/huggingface/hub-docs/blob/main/datasetcard.md."""
REPLACED = {"mask": "each was replaced by its type", "surrogate": "each was replaced by a stand-in"}
"""Policy of de-identification that changes the rows -> what it does, in words."""
LEAST = 0.01  # share of the texts from which a language is named


def text(report: Mapping[str, Any], terms: license.License, shards: Mapping[str, Sequence[str]]) -> str:
    """The whole card: metadata with which `datasets.load_dataset` finds the splits, and prose."""
    prose = "\n".join(_prose(report, terms, shards))
    return f"---\n{_metadata(report, terms, shards).to_yaml(line_break=chr(10))}\n---\n\n{aligned(prose).strip()}\n"


def _metadata(
    report: Mapping[str, Any], terms: license.License, shards: Mapping[str, Sequence[str]]
) -> DatasetCardData:
    rows = sum(report["rows"].values())
    parquet = {
        split: list(names) for split, names in shards.items() if all(name.endswith(".parquet") for name in names)
    }
    files = [{"split": split, "path": names} for split, names in parquet.items()]
    sources = {corpus["source"] for corpus in report["corpora"].values()}
    return DatasetCardData(
        pretty_name=report["name"],
        language=languages(report),
        license=terms.id,
        license_name=terms.name,
        license_link=terms.link,
        task_categories=["text-generation"],
        size_categories=[next((word for above, word in SIZES if rows < above), "100M<n<1B")],
        source_datasets=sorted(source for source in sources if source.count("/") == 1 and ":" not in source) or None,
        tags=["medslm", *terms.flags],
        configs=[{"config_name": "default", "data_files": files}] if files else None,
    )


def languages(report: Mapping[str, Any]) -> list[str] | None:
    """The languages that the quality gate has met in at least one text of a hundred; none if it did not look."""
    told: dict[str, int] = {}
    for counted in report["gates"].get("quality", {}).get("languages", {}).values():
        for language, number in counted.items():
            told[language] = told.get(language, 0) + number
    most = [language for language, number in told.items() if number >= LEAST * sum(told.values())]
    return sorted(language for language in most if re.fullmatch(r"[a-z]{2,3}", language)) or None


def _prose(report: Mapping[str, Any], terms: license.License, shards: Mapping[str, Sequence[str]]) -> Iterator[str]:
    counts = " and ".join(
        f"{rows:,} {'row' if rows == 1 else 'rows'} for {escaped(split)}" for split, rows in report["rows"].items()
    )
    yield f"# {escaped(report['name'])}\n\n{counts}. Columns: {', '.join(map(code, report['columns']))}.\n"
    if any(name.endswith(".toon") for names in shards.values() for name in names):
        yield "The rows are in [TOON](https://toonformat.dev), a notation that costs a model fewer tokens than JSON.\n"
    yield "Made for research with small language models. Nothing in it was checked by a clinician, and it is not fit for"
    yield "diagnosis, treatment or billing.\n\n## Sources\n"
    yield from _table(report)
    yield f"\n## Terms\n\nLicense: {escaped(terms.name or terms.id)}.\n"
    yield from (f"- {escaped(reason)}." for reason in terms.reasons)
    yield "\n## What was looked for\n"
    yield f"- {deidentification(report['gates'].get('deidentification', {}))}"
    yield from (f"- {escaped(line)}" for line in _gates(report))
    yield f"\n`build.json` holds the whole report, `SHA256SUMS` the checksum of every file. Made with medslm{_of(report)}."


def _of(report: Mapping[str, Any]) -> Markdown:
    version = report.get("medslm")
    return Markdown(f" {escaped(str(version))}" if version else "")


def _table(report: Mapping[str, Any]) -> Iterator[str]:
    yield "| Corpus | Source | Version | License | Examples read | Kept |"
    yield "|---|---|---|---|---:|---:|"
    for name, corpus in report["corpora"].items():
        kept = sum(corpus.get(split, 0) for split in report["rows"])
        cells = (code(name), escaped(corpus["source"]), code(corpus["version"]), escaped(corpus["license"]))
        yield f"| {' | '.join(cells)} | {corpus['read']:,} | {kept:,} |"


def deidentification(gate: Mapping[str, Any]) -> str:
    """What was done about identifiers of patients, in a sentence."""
    if gate.get("policy", "off") == "off":
        return "Identifiers of patients were **not looked for**; treat every row as if it held some."
    number = sum(gate["examples"].values())
    types = sorted({kind for found in gate["identifiers"].values() for kind in found})
    engine = code(gate["engine"])
    if not number:
        return f"Identifiers of patients: none was found by {engine}, which does not prove that there is none."
    done = REPLACED.get(gate["policy"], "they were **not replaced**")
    return (
        f"Identifiers of patients: found by {engine} in {number:,} rows ({escaped(', '.join(types))}); {done}. "
        "No such search finds everything."
    )


def _gates(report: Mapping[str, Any]) -> Iterator[str]:
    """What the other gates report, in the words of `medslm data`."""
    lines = screening.lines(report["corpora"], report["gates"])
    yield from (line for line in lines if not line.startswith(("identifiers of patients", "licence")))
