"""Measures de-identification: recall and precision on labelled text, false alarms on clean text, sentences a second.

    python benchmarks/deidentification.py labelled.json notes.txt clean.csv --engines rules presidio both

A FILE is labelled if it is JSON in the schema of `presidio-research` (`full_text` and `spans` with `entity_type`,
`start_position`, `end_position`; https://github.com/microsoft/presidio-research) or text with marks such as
`[[NAME:Ann Lee]]` between lines of `---`; else it is clean text: .txt, .csv or .jsonl(.gz), every text of every row.
Where rows have `masked`, the template they were made from, rows of one template fall into one half, `development` or
`held-out`, by its hash. What was labelled and is no identifier of Safe Harbor counts neither as hit nor as false alarm:
    TITLE; NRP; ORGANIZATION; AGE up to 89; DATE_TIME that is a year; GPE that is a country or a US state
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import io
import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from medslm.data.gates.phi import LETTERS, Scanner, Span, lexicon
from medslm.data.gates.phi.kinds import union

NEUTRAL = "neutral"
KINDS = {
    "PERSON": "NAME", "GPE": "LOCATION", "STREET_ADDRESS": "LOCATION", "ADDRESS": "LOCATION", "LOCATION": "LOCATION",
    "ZIP_CODE": "LOCATION", "CREDIT_CARD": "ACCOUNT", "IBAN_CODE": "ACCOUNT", "DATE_TIME": "DATE", "PHONE_NUMBER": "PHONE",
    "EMAIL_ADDRESS": "EMAIL", "DOMAIN_NAME": "URL", "US_SSN": "SSN", "IP_ADDRESS": "IP", "US_DRIVER_LICENSE": "LICENSE",
    "TITLE": NEUTRAL, "NRP": NEUTRAL, "ORGANIZATION": NEUTRAL,
}  # fmt: skip
"""Type of `presidio-research` -> ours."""

Engine = Callable[[str], list[Span]]
Document = tuple[str, list[Span]]


def main() -> None:
    """Read the files, print the tables and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument(
        "--engines", nargs="+", default=["rules", "presidio", "both"], choices=["rules", "presidio", "both"]
    )
    parser.add_argument("--clean-limit", type=int, default=0, help="at most so many texts of each clean file; 0: all")
    parser.add_argument("--show", type=int, default=0, help="print so many false alarms of each type and file")
    parser.add_argument("--misses", type=int, default=0, help="print so many misses of each type of labelled file")
    parser.add_argument("--half", choices=["development", "held-out"], help="only this half")
    asked = parser.parse_args()
    labelled: dict[str, list[Document]] = defaultdict(list)
    clean: dict[str, list[str]] = {}
    for file in asked.files:
        if (rows := read_labelled(file)) is None:
            clean[file.name] = list(texts(file))[: asked.clean_limit or None]
        for half, document in rows or ():
            if asked.half in (None, half):
                labelled[f"{file.stem} {half}".strip()].append(document)
    result: dict[str, Any] = {}
    for name in asked.engines:
        engine = engines()[name]
        engine("Warm up on 3 May 2021.")
        for part, documents in labelled.items():
            result[f"{name} | {part}"] = score(engine, documents, asked.misses)
        for part, lines in clean.items():
            result[f"{name} | {part}"] = alarms(engine, lines, asked.show)
    show(result)
    print(json.dumps(result))


def engines() -> dict[str, Engine]:
    """What is compared: the rules, Presidio as it comes, and both as `Scanner` joins them."""

    def presidio_alone(text: str) -> list[Span]:
        from medslm.data.gates.phi import presidio

        return union(presidio.raw(text))

    return {"rules": Scanner("rules").scan, "presidio": presidio_alone, "both": Scanner("presidio").scan}


def read_labelled(file: Path) -> list[tuple[str, Document]] | None:
    """(half, document) of a labelled file, None for another one."""
    if file.suffix == ".json":
        return [(half(row["masked"]), (row["full_text"], list(spans(row)))) for row in json.loads(file.read_text())]
    if file.suffix == ".txt" and "[[" in (text := file.read_text()):
        return [("", marked(note)) for note in text.strip("\n").split("\n---\n")]
    return None


def half(template: str) -> str:
    """Rows of one template, whatever its case and its types of holes, are on one side."""
    plain = re.sub(r"\W+", " ", re.sub(r"\{\{.*?\}\}", "{}", template).lower()).strip()
    return "held-out" if int(hashlib.sha256(plain.encode()).hexdigest(), 16) % 2 else "development"


def spans(row: dict[str, Any]) -> Iterator[Span]:
    """The labelled spans of a row in our types, `neutral` for what Safe Harbor does not name."""
    for told in row["spans"]:
        start, end = told["start_position"], told["end_position"]
        value = row["full_text"][start:end]
        kind = KINDS[told["entity_type"]] if told["entity_type"] != "AGE" else ("AGE" if over_89(value) else NEUTRAL)
        year = kind == "DATE" and re.fullmatch(r"(?:18|19|20)\d\d", value)
        wide = kind == "LOCATION" and value.strip().lower() in lexicon.places("wide")
        yield Span(NEUTRAL if year or wide else kind, start, end)


def over_89(value: str) -> bool:
    """True for an age that Safe Harbor removes."""
    return any(int(number) > 89 for number in re.findall(r"\d+", value))


def marked(note: str) -> Document:
    """The text without its marks, and what they marked."""
    text, found, at = "", [], 0
    for match in re.finditer(r"\[\[([A-Z_]+):(.*?)\]\](?!\])", note, re.S):
        text += note[at : match.start()]
        found.append(Span(match[1], len(text), len(text) + len(match[2])))
        text, at = text + match[2], match.end()
    return text + note[at:], found


def texts(file: Path) -> Iterator[str]:
    """Every text of a clean file."""
    whole = gzip.decompress(file.read_bytes()).decode() if file.suffix == ".gz" else file.read_text(encoding="utf-8")
    if file.suffix == ".csv":
        for row in csv.DictReader(io.StringIO(whole)):
            yield from (value for value in row.values() if value and len(value) > 30)
    elif ".jsonl" in file.suffixes:
        for line in whole.splitlines():
            yield from leaves(json.loads(line))
    else:
        yield from (line for line in whole.splitlines() if line.strip())


def leaves(value: Any) -> Iterator[str]:
    """Every text longer than 30 characters in a JSON value."""
    if isinstance(value, str) and len(value) > 30:
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from leaves(part)


def characters(text: str, parts: Iterable[Span]) -> set[int]:
    """The letters and digits inside spans."""
    return {at for span in parts for at in range(span.start, span.end) if text[at].isalnum()}


def ratios(hit: int, missed: int, false: int) -> dict[str, float]:
    """Precision, recall and F2, which weighs recall four times as much."""
    precision, recall = hit / max(1, hit + false), hit / max(1, hit + missed)
    return {"precision": precision, "recall": recall, "f2": 5 * precision * recall / max(1e-9, 4 * precision + recall)}


def score(engine: Engine, documents: list[Document], misses: int) -> dict[str, Any]:
    """Characters of any type; spans by any overlap, whatever the type; and per type, recall with and without the type."""
    count: Counter[str] = Counter()
    by_type: dict[str, Counter[str]] = defaultdict(Counter)
    missed: dict[str, list[str]] = defaultdict(list)
    began = time.perf_counter()
    answers = [engine(text) for text, _ in documents]
    seconds = time.perf_counter() - began
    for (text, truth), found in zip(documents, answers):
        wanted, neutral = (
            characters(text, (span for span in truth if (span.type == NEUTRAL) == aside)) for aside in (False, True)
        )
        got = characters(text, found)
        count["hit"] += len(wanted & got)
        count["missed"] += len(wanted - got)
        count["false"] += len(got - wanted - neutral)
        for span in truth:
            if span.type != NEUTRAL:
                over = [one for one in found if one.start < span.end and span.start < one.end]
                by_type[span.type]["spans"] += 1
                by_type[span.type]["hit"] += bool(over)
                by_type[span.type]["typed"] += any(one.type == span.type for one in over)
                inside = characters(text, [span])
                by_type[span.type]["characters"] += len(inside)
                by_type[span.type]["characters hit"] += len(inside & got)
                if not inside <= got:
                    missed[span.type].append(
                        f"{text[span.start : span.end]!r} in {text[max(0, span.start - 50) : span.end + 30]!r}"
                    )
        for one in found:
            over = [span for span in truth if one.start < span.end and span.start < one.end]
            by_type[one.type]["found"] += not over or any(span.type != NEUTRAL for span in over)
            by_type[one.type]["right"] += any(span.type == one.type for span in over)
            by_type[one.type]["any"] += any(span.type != NEUTRAL for span in over)
            if not over:
                missed["(false)"].append(
                    f"{one.type} {text[one.start : one.end]!r} in {text[max(0, one.start - 40) : one.end + 30]!r}"
                )
    for type_, examples in sorted(missed.items()) if misses else ():
        print(type_, *examples[:misses], sep="\n   ")
    total = {name: sum(one[name] for one in by_type.values()) for name in ("spans", "hit", "found", "any")}
    span_precision, span_recall = total["any"] / max(1, total["found"]), total["hit"] / max(1, total["spans"])
    return {
        "documents": len(documents),
        "per second": len(documents) / seconds,
        "characters": ratios(count["hit"], count["missed"], count["false"]),
        "spans": {
            "precision": span_precision,
            "recall": span_recall,
            "f2": 5 * span_precision * span_recall / max(1e-9, 4 * span_precision + span_recall),
        },
        "types": {type_: dict(by_type[type_]) for type_ in LETTERS if type_ in by_type},
    }


def alarms(engine: Engine, lines: list[str], examples: int) -> dict[str, Any]:
    """False alarms in 1,000 words of text that holds no identifier, by type."""
    began = time.perf_counter()
    answers = [engine(text) for text in lines]
    seconds = time.perf_counter() - began
    words = sum(len(text.split()) for text in lines)
    counts = Counter(span.type for found in answers for span in found)
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for text, found in zip(lines, answers):
        for span in found:
            seen[span.type][
                re.sub(
                    r"\s+",
                    " ",
                    text[max(0, span.start - 25) : span.start]
                    + "<"
                    + text[span.start : span.end]
                    + ">"
                    + text[span.end : span.end + 15],
                )
            ] += 1
    for type_, contexts in seen.items() if examples else ():
        print(type_, *(f"{number} {context}" for context, number in contexts.most_common(examples)), sep="\n   ")
    return {
        "texts": len(lines),
        "words": words,
        "words per second": words / seconds,
        "in 1000 words": {type_: round(1000 * counts[type_] / words, 3) for type_ in LETTERS if counts[type_]},
        "all in 1000 words": 1000 * sum(counts.values()) / words,
    }


def show(result: dict[str, Any]) -> None:
    """Aligned tables: all parts, then the types of each labelled part."""
    print(f"\n{'labelled':58}{'rows':>6}{'rows/s':>8}  chars: P     R    F2   spans: P     R    F2")
    for name, told in result.items():
        if "types" in told:
            rates = [told[unit][one] for unit in ("characters", "spans") for one in ("precision", "recall", "f2")]
            figures = (
                "  ".join(f"{rate:.3f}" for rate in rates[:3])
                + "      "
                + "  ".join(f"{rate:.3f}" for rate in rates[3:])
            )
            print(f"{name:58}{told['documents']:6}{told['per second']:8.0f}     {figures}")
    print(f"\n{'clean':58}{'words':>8}{'words/s':>9}  false alarms in 1,000 words")
    for name, told in result.items():
        if "words" in told:
            kinds = "  ".join(f"{type_} {rate}" for type_, rate in told["in 1000 words"].items())
            print(
                f"{name:58}{told['words']:8}{told['words per second']:9.0f}  {told['all in 1000 words']:.2f}: {kinds}"
            )
    for name, told in result.items():
        if "types" in told:
            print(
                f"\n{name}\n{'type':14}{'spans':>7}{'recall':>8}{'typed':>8}{'chars':>8}{'found':>8}{'precision':>11}{'typed':>8}{'F2':>8}"
            )
            for type_, one in told["types"].items():
                cells = Counter(one)
                recall, precision = cells["hit"] / max(1, cells["spans"]), cells["any"] / max(1, cells["found"])
                f2 = 5 * precision * recall / max(1e-9, 4 * precision + recall)
                print(
                    f"{type_:14}{cells['spans']:7}{recall:8.3f}{cells['typed'] / max(1, cells['spans']):8.3f}"
                    f"{cells['characters hit'] / max(1, cells['characters']):8.3f}{cells['found']:8}{precision:11.3f}"
                    f"{cells['right'] / max(1, cells['found']):8.3f}{f2:8.3f}"
                )


if __name__ == "__main__":
    main()
