"""What the contamination gate finds of copies that were planted, what it drops of honest rows, and how fast it is.

    python benchmarks/contamination.py DATA_DIR                      # table and contamination.json of the reported half
    python benchmarks/contamination.py DATA_DIR --half tune --sweep  # the other half, for choosing thresholds

DATA_DIR holds rows of published datasets as .jsonl, .json or .gz of them, in any folders; their columns say what they are.
Exams are the files named *_test and medmcqa_validation. Copies are planted from half of each exam's items, drawn by the
hash of the question; the other half is for choosing thresholds. Every other row is a lesson that is taken for honest, so
its hits count against the gate: read them with --show before believing the precision.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import multiprocessing
import os
import pickle
import random
import re
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medslm import files
from medslm.data.benchmark import Benchmark
from medslm.data.example import Example
from medslm.data.gates import contamination, near, overlap
from medslm.data.gates.contamination import Screen
from medslm.registry import Registry

EXAMS = ("medqa_test", "medmcqa_validation", "pubmedqa_test", "mmlu_")
SAMPLE = 250
"""Items of each exam that copies are made of."""

ROWS = 240_000
"""Examples that are timed: the largest mixture that is planned."""

SYNONYMS = {
    "man": "male", "woman": "female", "boy": "male child", "girl": "female child", "physician": "doctor",
    "comes": "presents", "shows": "reveals", "examination": "exam", "because": "due to", "history": "record",
    "patient": "individual", "pain": "discomfort", "most": "the most", "likely": "probable", "cause": "reason",
    "diagnosis": "condition", "treatment": "therapy", "following": "options", "temperature": "body temperature",
    "increased": "elevated", "decreased": "reduced", "severe": "intense", "weeks": "wk", "days": "d", "years": "yr",
    "drug": "medication", "seen": "found", "true": "correct", "false": "incorrect", "common": "frequent",
    "study": "investigation", "results": "findings", "associated": "linked", "compared": "contrasted",
}  # fmt: skip


@dataclass(frozen=True)
class Rows:
    """Examples at hand, as a source."""

    name: str
    held: tuple[Example, ...]

    def rows(self) -> Iterable[Mapping[str, Any]]:
        return ({"example": example} for example in self.held)

    def version(self) -> str:
        return "1"


def as_it_is(row: Mapping[str, Any]) -> Iterator[Example]:
    """The row function of rows that are examples."""
    yield row["example"]


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a file; none of one that holds something else."""
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as stream:
        text = stream.read()
    rows = (
        json.loads(text)
        if text.lstrip().startswith("[")
        else [json.loads(line) for line in text.split("\n") if line.strip()]
    )
    return [row for row in rows if isinstance(row, dict)]


def as_example(id: str, row: Mapping[str, Any]) -> Example | None:
    """A row of any of the published shapes; `None` for another shape."""
    if "sent1" in row:
        options = tuple(row[f"ending{n}"] for n in range(4))
        return Example(id, "Answer.", f"{row['sent1']} {row['sent2']}".strip(), "ABCD"[row["label"]], id, options)
    if "opa" in row:
        return Example(id, "Answer.", row["question"], "ABCD"[row["cop"]], id, tuple(row[f"op{x}"] for x in "abcd"))
    if "choices" in row:
        return Example(id, "Answer.", row["question"], "ABCD"[row["answer"]], id, tuple(row["choices"]))
    if "CONTEXTS" in row:
        return Example(id, "Answer.", "\n".join(row["CONTEXTS"]) + "\n\n" + row["QUESTION"], row["final_decision"], id)
    if "instruction" in row:
        return Example(id, row["instruction"], row.get("input") or "", row["output"], id)
    for asked, answer in (("question", "answer"), ("Question", "Response")):
        if row.get(asked) and row.get(answer):
            return Example(id, "Answer.", row[asked], row[answer], id)
    return None


def load(folder: Path) -> tuple[dict[str, list[Example]], dict[str, list[Example]]]:
    """Exams and lessons by file name."""
    exams: dict[str, list[Example]] = {}
    lessons: dict[str, list[Example]] = {}
    for path in sorted(path for path in folder.rglob("*") if re.search(r"\.jsonl?(\.gz)?$", path.name)):
        stem = path.name.split(".")[0]
        found = [as_example(f"{stem} {n}", row) for n, row in enumerate(read(path))]
        examples = [example for example in found if example]
        exam = stem.startswith(EXAMS)
        if examples and (exam or "test" not in stem):
            (exams if exam else lessons)["mmlu" if stem.startswith("mmlu_") else stem] = (
                exams if exam else lessons
            ).get("mmlu" if stem.startswith("mmlu_") else stem, []) + examples
    return exams, lessons


def screen(exams: Mapping[str, list[Example]]) -> Screen:
    """The gate, with these exams as its registry."""
    held: Registry[Benchmark] = Registry("benchmark")
    for name, items in exams.items():
        held.add(name, Benchmark(Rows(name, tuple(items)), "unknown", "all", as_it_is))
    contamination.benchmarks = held
    return Screen(held)


Change = Callable[[Example, random.Random], Example | None]


def words_changed(share: float) -> Change:
    """Each word becomes another one of the exams, with this probability."""

    def change(item: Example, order: random.Random) -> Example:
        return replace(
            item, input=" ".join(order.choice(WORDS) if order.random() < share else w for w in item.text.split())
        )

    return change


WORDS: list[str] = []
PAGES: list[str] = []


def sentences(item: Example, order: random.Random) -> Example | None:
    """The sentences in another order."""
    parts = re.split(r"(?<=[.?!])\s+", item.text)
    if len(parts) < 3:
        return None
    order.shuffle(parts)
    return replace(item, input=" ".join(parts))


def swapped(item: Example, order: random.Random) -> Example | None:
    """Every fifth word changes places with the next."""
    parts = item.text.split()
    for n in range(0, len(parts) - 1, 5):
        parts[n], parts[n + 1] = parts[n + 1], parts[n]
    return replace(item, input=" ".join(parts)) if len(parts) > 2 else None


def renumbered(item: Example, order: random.Random) -> Example | None:
    """Every number is another one."""
    changed = re.sub(r"\d+", lambda found: str(int(found[0]) + order.randint(1, 9)), item.text)
    return replace(item, input=changed) if changed != item.text else None


def synonyms(item: Example, order: random.Random) -> Example | None:
    """Common words become others that mean the same."""
    changed = re.sub(r"[a-z]+", lambda found: SYNONYMS.get(found[0], found[0]), item.text)
    return replace(item, input=changed) if changed != item.text else None


def reworded(item: Example, order: random.Random) -> Example | None:
    """Synonyms, other numbers, sentences in another order, small words left out and 20 % of the words changed."""
    for change in (synonyms, renumbered, sentences, words_changed(0.2)):
        item = change(item, order) or item
    return replace(item, input=re.sub(r"\b(a|an|the|of|is|are|was|and|in|to|with|for)\b\s*", "", item.text))


def in_a_page(item: Example, order: random.Random) -> Example:
    """In the middle of 300 other words, without its options."""
    page = order.choice(PAGES).split()[:300]
    return Example("p", "", " ".join([*page[:150], item.text, *page[150:]]), "", "p")


def longer(change: Change, least: int) -> Change:
    """The change, of items of so many words only."""
    return lambda item, order: change(item, order) if len(item.text.split()) >= least else None


def styled(item: Example, order: random.Random) -> Example:
    """Upper case, other white space and punctuation, and some letters as wide as their Asian neighbours."""
    text = re.sub(r"\s", lambda _: order.choice(["\n", "  ", "\u00a0", "\t"]), item.text.upper())
    wide = "".join(chr(ord(c) + 0xFEE0) if "A" <= c <= "Z" and order.random() < 0.2 else c for c in text)
    return replace(item, input=re.sub(r"[.,;:?]", " -- ", wide))


def shuffled(item: Example, order: random.Random) -> Example | None:
    """The options in another order."""
    return replace(item, options=tuple(order.sample(item.options, len(item.options)))) if item.options else None


def flattened(item: Example, order: random.Random) -> Example | None:
    """Question and options as one text, in another order, behind other letters."""
    if not item.options:
        return None
    lines = [f"({n}) {option}" for n, option in enumerate(order.sample(item.options, len(item.options)), 1)]
    return Example("f", "", "\n".join([f"Q: {item.text}", *lines]), "1", "f")


def other_question(item: Example, order: random.Random) -> Example | None:
    """The abstract, with something else asked about it."""
    abstract, blank, _ = item.text.partition("\n\n")
    return replace(item, input=f"{abstract}\n\nHow many subjects were enrolled?") if blank else None


def question_alone(item: Example, order: random.Random) -> Example | None:
    """What is asked, without options or abstract."""
    return Example("q", "", item.text.split("\n\n")[-1], "", "q")


def cut(share: float) -> Change:
    """The beginning of the question."""

    def change(item: Example, order: random.Random) -> Example | None:
        parts = item.text.split()
        return replace(item, input=" ".join(parts[: round(share * len(parts))]))

    return change


KINDS: dict[str, Change] = {
    "copy": lambda item, order: item,
    "case, white space, punctuation": styled,
    "options shuffled": shuffled,
    "question and options as one text": flattened,
    "other options": lambda item, order: replace(item, options=("Yes", "No")) if item.options else None,
    "question alone": question_alone,
    "abstract with another question": other_question,
    "in a page, 8 words or more": longer(in_a_page, 8),
    "in a page, fewer": lambda item, order: in_a_page(item, order) if len(item.text.split()) < 8 else None,
    "numbers changed": renumbered,
    "sentences in another order": sentences,
    "words swapped": swapped,
    "synonyms": synonyms,
    "10 % of words changed": words_changed(0.1),
    "20 % of words changed": words_changed(0.2),
    "10 % changed, in a page": lambda item, order: in_a_page(words_changed(0.1)(item, order), order),
    "first 60 %": cut(0.6),
    "reworded heavily": reworded,
}


def planted(items: Iterable[Example], kind: str) -> Iterator[tuple[Example, Example]]:
    """Items and their copies."""
    for item in items:
        copy = KINDS[kind](item, random.Random(f"{kind} {item.id}"))
        if copy is not None:
            yield item, copy


def recall(gate: Screen, items: Mapping[str, list[Example]]) -> dict[str, dict[str, Any]]:
    """Of each kind and exam: copies planted, found, found as the right item; and by which rule."""
    table: dict[str, dict[str, Any]] = {}
    for kind, (exam, held) in itertools.product(KINDS, items.items()):
        matches = [(item, gate.find(copy)) for item, copy in planted(held, kind)]
        if matches:
            found = [(item, match) for item, match in matches if match]
            row = table.setdefault(kind, {})
            row[exam] = {
                "planted": len(matches),
                "found": len(found),
                "named": sum(item.id == match.item for item, match in found),
                "rules": dict(Counter(match.rule for _, match in found)),
            }
    return table


def honest(gate: Screen, lessons: Mapping[str, list[Example]]) -> dict[str, dict[str, Any]]:
    """Hits among the lessons."""
    table = {}
    for name, examples in lessons.items():
        hits = gate.split(name, examples)[1]
        pairs = [[hit.example, hit.item, hit.rule, round(hit.similarity, 3)] for hit in hits]
        table[name] = {"rows": len(examples), "hits": len(hits), "pairs": pairs}
    return table


GATE: Screen | None = None


def start(pickled: bytes) -> None:
    """Give a worker the gate."""
    global GATE
    GATE = pickle.loads(pickled)


def scan(examples: list[Example]) -> int:
    """Hits in some examples."""
    assert GATE is not None
    return sum(GATE.find(example) is not None for example in examples)


def varied(lessons: Mapping[str, list[Example]], number: int) -> Iterator[list[Example]]:
    """Lessons over and over, a word changed each time so that no two are one, 500 at a time."""
    every = [example for examples in lessons.values() for example in examples]
    random.Random(1).shuffle(every)
    for begin in range(0, number, 500):
        chosen = (every[n % len(every)] for n in range(begin, min(begin + 500, number)))
        yield [replace(one, output=f"{one.answer} {begin + n}") for n, one in enumerate(chosen)]


def speed(gate: Screen, lessons: Mapping[str, list[Example]], processes: int, number: int) -> dict[str, Any]:
    """Seconds for some examples, in workers that are spawned; starting them and sending the gate is counted too."""
    pickled = pickle.dumps(gate)
    begun = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(processes, start, (pickled,)) as pool:
        hits = sum(pool.imap(scan, varied(lessons, number)))
    seconds = time.perf_counter() - begun
    return {
        "processes": processes,
        "examples": number,
        "seconds": round(seconds, 1),
        "a second": round(number / seconds),
        "hits": hits,
        "pickle MB": round(len(pickled) / 1e6, 1),
    }


LOW = {"words": 0.5, "phrases": 0.15, "overlap": 0.1}
LEVELS = [0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9]


def sweep(
    exams: Mapping[str, list[Example]], items: Mapping[str, list[Example]], lessons: list[Example]
) -> dict[str, Any]:
    """By rule and threshold: share of changed copies found by that rule alone, and honest rows that it hits."""
    kept = near.WORDS, near.WORDS_OF_FEW, near.PHRASES, overlap.COVERAGE
    near.WORDS, near.WORDS_OF_FEW, near.PHRASES, overlap.COVERAGE = (
        LOW["words"],
        LOW["words"],
        LOW["phrases"],
        LOW["overlap"],
    )
    gate = screen(exams)
    few = {item.id for held in exams.values() for item in held if len(set(item.text.split())) < near.FEW_WORDS}
    kinds = ("words swapped", "synonyms", "10 % of words changed", "20 % of words changed", "first 60 %")
    groups = {kind: [copy for held in items.values() for _, copy in planted(held, kind)] for kind in kinds}
    counted: dict[tuple[str, str], list[dict[str, float]]] = {}
    for kind, examples in {**groups, "honest": lessons}.items():
        for example in examples:
            best: dict[str, float] = {}
            for match in gate.matches(example):
                rule = "words of few" if match.rule == "words" and match.item in few else match.rule
                best[rule] = max(best.get(rule, 0), match.similarity)
            counted.setdefault((kind, ""), []).append(best)
    near.WORDS, near.WORDS_OF_FEW, near.PHRASES, overlap.COVERAGE = kept
    rules = ("words", "words of few", "phrases", "overlap")
    return {
        rule: {
            str(level): {
                kind: sum(best.get(rule, 0) >= level for best in found) for (kind, _), found in counted.items()
            }
            for level in LEVELS
            if level >= LOW.get(rule, 0.5)
        }
        for rule in rules
    } | {"planted": {kind: len(found) for (kind, _), found in counted.items()}}


def half_of(examples: Iterable[Example], half: str) -> list[Example]:
    """The examples of a half, drawn by the hash of what they ask."""
    return [example for example in examples if (zlib.crc32(example.text.encode()) % 2 == 0) == (half == "tune")]


def sample(items: list[Example], number: int) -> list[Example]:
    """Some of the items, in an order drawn by their hash."""
    return sorted(items, key=lambda item: zlib.crc32(b"drawn" + item.text.encode()))[:number]


def lines(report: Mapping[str, Any]) -> Iterator[str]:
    """The report as a Markdown table of recall, and lines for the rest."""
    exams = report["exams"]
    yield "| planted | " + " | ".join(f"{name} ({number})" for name, number in exams.items()) + " | rules |"
    yield "|---" * (len(exams) + 2) + "|"
    for kind, row in report["recall"].items():
        cells = [
            f"{row[name]['found'] / row[name]['planted']:.3f} ({row[name]['planted']})" if name in row else "-"
            for name in exams
        ]
        rules = sum((Counter(cell["rules"]) for cell in row.values()), Counter())
        yield (
            f"| {kind} | "
            + " | ".join(cells)
            + " | "
            + ", ".join(f"{rule} {number}" for rule, number in rules.most_common())
            + " |"
        )
    planted_found = sum(cell["found"] for row in report["recall"].values() for cell in row.values())
    hits, rows = (sum(found[what] for found in report["honest"].values()) for what in ("hits", "rows"))
    yield f"honest rows hit: {hits} of {rows} ({hits / rows:.5f}); " + ", ".join(
        f"{name} {found['hits']}/{found['rows']}" for name, found in report["honest"].items()
    )
    yield f"found copies and honest hits together: precision at least {planted_found / (planted_found + hits):.4f}"
    for timed in report["speed"]:
        yield ", ".join(f"{name} {value}" for name, value in timed.items())


def main() -> None:
    """Measure, print and write `contamination.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of published rows")
    parser.add_argument("--half", choices=("tune", "report"), default="report")
    parser.add_argument("--sweep", action="store_true", help="thresholds, one rule at a time, instead of the table")
    parser.add_argument("--show", action="store_true", help="print honest rows that were hit beside their items")
    parser.add_argument("--rows", type=int, default=ROWS, help="examples to time; 0 times none")
    parser.add_argument("--out", type=Path, default=Path("contamination.json"))
    asked = parser.parse_args()
    exams, lessons = load(asked.data)
    WORDS.extend(word for held in exams.values() for item in held[:300] for word in item.text.split())
    PAGES.extend(one.answer for held in lessons.values() for one in held if len(one.answer.split()) >= 300)
    items = {name: sample(half_of(held, asked.half), SAMPLE) for name, held in exams.items()}
    honest_rows = {name: half_of(held, asked.half) for name, held in lessons.items()}
    if asked.sweep:
        print(json.dumps(sweep(exams, items, [one for held in honest_rows.values() for one in held[:2000]]), indent=1))
        return
    gate = screen(exams)
    report = {
        "half": asked.half,
        "thresholds": {
            "words": near.WORDS,
            "words of few": near.WORDS_OF_FEW,
            "phrases": near.PHRASES,
            "overlap": overlap.COVERAGE,
        },
        "exams": {name: len(held) for name, held in exams.items()},
        "recall": recall(gate, items),
        "honest": honest(gate, honest_rows),
        "cpus": os.cpu_count(),
        "speed": [speed(gate, lessons, processes, asked.rows) for processes in (1, 2) if asked.rows],
    }
    print("\n".join(lines(report)))
    if asked.show:
        texts = {one.id: one for held in (*exams.values(), *lessons.values()) for one in held}
        for found in report["honest"].values():
            for example, item, rule, similarity in found["pairs"]:
                print(f"\n{rule} {similarity}")
                for one in (texts[example], texts[item]):
                    print(f"{one.id}: {one.text or one.instruction} {one.options}")
    files.write_json(asked.out, report)


if __name__ == "__main__":
    main()
