"""How fast examples are built, screened, written and packed, and how much memory that takes, however many there are.

    python benchmarks/data.py icd10cm local:notes.jsonl --json data.json
    python benchmarks/data.py --generated 100000 --limit 2        # the memory of each process is bounded by the kernel
    python benchmarks/data.py --mixed 10000000 --limit 2          # split, deduplicate, shuffle and read ten million

The stages are timed one by one in one process, then the whole preparation over all cores. `--mixed` begins behind the
preparation, with a file of random tokens and signatures in its form: what grows with the number of examples is there.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import pyarrow

import medslm.data.builders  # noqa: F401
from medslm import environment

environment.prepare()

from medslm.data import mixture, packing  # noqa: E402
from medslm.data.benchmark import benchmarks  # noqa: E402
from medslm.data.corpus import Corpus, Row  # noqa: E402
from medslm.data.example import Example  # noqa: E402
from medslm.data.formats.render import Renderer  # noqa: E402
from medslm.data.gates import duplicates, quality  # noqa: E402
from medslm.data.gates.contamination import Screen  # noqa: E402
from medslm.data.gates.phi.examples import texts  # noqa: E402
from medslm.data.gates.phi.scanner import Scanner  # noqa: E402
from medslm.data.prepare import Preparation, Prepared, prepare  # noqa: E402
from medslm.data.sources import own  # noqa: E402
from medslm.data.tally import Tally  # noqa: E402
from medslm.models import load  # noqa: E402
from medslm.models.base import resolve  # noqa: E402
from medslm.recipe import Lesson  # noqa: E402

STAGED = 5000  # examples on which each stage is timed by itself
WORDS = """patient reports pain fever cough nausea chest abdomen left right acute chronic mild severe history of with
without treated admitted discharged stable improved follow up clinic week day dose daily twice tablet blood pressure
normal elevated count scan shows no evidence mass lesion fracture infection antibiotic started stopped allergy"""


@dataclass(frozen=True)
class Generated:
    """Rows made of random clinical words: as many as asked for, none of them kept."""

    number: int
    words: int = 40
    name: str = "pypi:generated"

    def rows(self) -> Iterator[Row]:
        """Numbered questions of half to one and a half times `words` words, with an answer of a quarter of that."""
        known, order = WORDS.split(), random.Random(0)
        halves = [
            " ".join(order.choices(known, k=order.randint(self.words // 4 + 1, 3 * self.words // 4)))
            for _ in range(4093)
        ]
        for number in range(self.number):
            first, second, third = halves[number % 4093], halves[number // 4093 % 4093], halves[number * 7 % 4093]
            yield {"id": str(number), "question": f"{number} {first} {second}", "answer": third}

    def version(self) -> str:
        """Number and length decide them."""
        return f"{self.number} x {self.words}"


def example(row: Row) -> Iterator[Example]:
    """One example a row."""
    yield Example(row["id"], "Answer the question.", row["question"], row["answer"], family=row["id"])


def corpora(names: Iterable[str], generated: int, words: int) -> dict[str, Corpus]:
    """The corpora to be measured."""
    found = {name: own.resolve(name, {}, {}) for name in names}
    if generated:
        found["generated"] = Corpus(
            Generated(generated, words), "cc0-1.0", "nothing", ("id", "question", "answer"), example
        )
    return found


def synthetic(number: int, folder: Path) -> Prepared:
    """A prepared corpus of random examples of 20 to 60 tokens, one in a hundred of them a repetition."""
    random = numpy.random.default_rng(0)
    tally = Tally(rows=number, examples=number)
    schema = Preparation(corpora((), 1, 4)["generated"], None, None, None).schema
    with (
        pyarrow.ipc.new_stream(str(folder / "rows.arrow"), schema) as writer,
        (folder / "signatures.bin").open("wb") as signatures,
    ):
        for start in range(0, number, 10_000):
            size = min(10_000, number - start)
            lengths = random.integers(20, 61, size, dtype=numpy.int32)
            offsets = numpy.concatenate([[0], lengths.cumsum()]).astype(numpy.int32)
            tokens = pyarrow.array(random.integers(0, 49_152, offsets[-1], dtype=numpy.int32))
            rows = pyarrow.ListArray.from_arrays(offsets, tokens)
            prints = random.integers(0, 2**63, size, dtype=numpy.uint64)
            prints[::100] = prints[1::100]
            no = pyarrow.array(numpy.zeros(size, bool))
            families = pyarrow.array(numpy.arange(start, start + size, dtype=numpy.uint64))
            columns = [rows, rows, pyarrow.array(lengths), families, pyarrow.array(prints), no, no]
            writer.write_batch(pyarrow.RecordBatch.from_arrays(columns, schema=schema))
            signatures.write(random.integers(0, 2**16, (size, 64), dtype=numpy.uint16).tobytes())
    return Prepared(folder, tally)


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds and result."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def stages(corpus: Corpus, renderer: Renderer, screen: Screen) -> Iterator[tuple[str, float, int, int]]:
    """Stage, seconds, examples and tokens (where there are any) in one process."""
    seconds, examples = timed(lambda: list(itertools.islice(corpus.load(), STAGED)))
    yield "build", seconds, len(examples), 0
    scanner = Scanner("rules")
    for name, work in (
        ("contamination", screen.find),
        ("identifiers (rules)", lambda one: scanner.count(texts(one))),
        ("quality", quality.inspect),
        ("duplicates", lambda one: (duplicates.fingerprint(one), duplicates.signature(one))),
    ):
        seconds, _ = timed(lambda work=work: [work(one) for one in examples])
        yield name, seconds, len(examples), 0
    seconds, tokens = timed(lambda: [renderer.tokens(one) for one in examples])
    yield "render and tokenise", seconds, len(examples), sum(len(one.input_ids) for one in tokens)


class Anonymous(threading.Thread):
    """The most memory that cannot be taken back: anonymous pages of this process, and of the largest that it started."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.here = self.worker = 0.0
        self._stop_asked = threading.Event()

    def run(self) -> None:
        """Look twice a second."""
        while not self._stop_asked.wait(0.5):
            self.here = max(self.here, anonymous_gib(Path("/proc/self")))
            self.worker = max([self.worker, *map(anonymous_gib, children())])

    def end(self) -> dict[str, float]:
        """GiB."""
        self._stop_asked.set()
        self.join()
        return {"gib_here": self.here, "gib_a_worker": self.worker}


def children() -> list[Path]:
    """The processes that this one started."""
    path = Path("/proc/self/task")
    ids = [id for task in path.iterdir() for id in (task / "children").read_text().split()]
    return [Path("/proc") / id for id in ids]


def anonymous_gib(process: Path) -> float:
    """Anonymous memory of one process; 0 if it has just ended."""
    try:
        status = (process / "status").read_text()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon")) / 2**20


def main() -> None:
    """Measure, print, write."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("names", nargs="*", help="corpora, or local:PATH")
    asked.add_argument("--generated", type=int, default=0, help="rows of a generated corpus")
    asked.add_argument("--mixed", type=int, default=0, help="examples that are mixed without having been prepared")
    asked.add_argument("--words", type=int, default=40, help="words of a generated question, on average")
    asked.add_argument("--base", default="smollm2-135m-instruct")
    asked.add_argument("--format", default="chat")
    asked.add_argument("--max-length", type=int, default=1024)
    asked.add_argument("--limit", type=float, help="GiB of anonymous memory that each process may have, enforced")
    asked.add_argument("--json", type=Path)
    options = asked.parse_args()
    if options.limit:
        resource.setrlimit(resource.RLIMIT_DATA, (int(options.limit * 2**30),) * 2)
    measured = measure(options)
    if options.mixed:
        with tempfile.TemporaryDirectory(dir=os.environ["MEDSLM_CACHE"]) as folder:
            measured += mix(options, "mixed", synthetic(options.mixed, Path(folder)))
    if options.json:
        options.json.write_text(json.dumps(measured, indent=2) + "\n")


HEAD = f"{'corpus':<12}{'stage':<28}{'examples':>12}{'seconds':>10}{'examples/s':>12}{'tokens/s':>14}"


def note(corpus: str, stage: str, seconds: float, examples: int, tokens: int, **more: float) -> dict[str, Any]:
    """Print one measurement, and give it as a record."""
    rate = f"{examples / seconds:>12,.0f}" + (f"{tokens / seconds:>14,.0f}" if tokens else " " * 14)
    extra = "".join(f"  {name} {value:.2f}" for name, value in more.items())
    print(f"{corpus:<12}{stage:<28}{examples:>12,}{seconds:>10.2f}{rate}{extra}", flush=True)
    return {"corpus": corpus, "stage": stage, "seconds": seconds, "examples": examples, "tokens": tokens} | more


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """One record a stage and corpus, printed as it comes."""
    print(HEAD)
    chosen = corpora(options.names, options.generated, options.words)
    if not chosen:
        return []
    tokenizer, screen = load.tokenizer(resolve(options.base)), Screen(benchmarks)
    renderer, scanner = Renderer(tokenizer, options.format), Scanner("rules")
    found: list[dict[str, Any]] = []
    for name, corpus in chosen.items():
        found += [note(name, *stage) for stage in stages(corpus, renderer, screen)]
        watch = Anonymous()
        watch.start()
        seconds, prepared = timed(lambda corpus=corpus: prepare(Preparation(corpus, renderer, screen, scanner)))
        tokens = int(prepared.column("length").sum())
        memory = watch.end()
        found.append(
            note(name, f"all gates, {environment.cpus()} cores", seconds, len(prepared.dataset), tokens, **memory)
        )
        found += mix(options, name, prepared)
    return found


def mix(options: argparse.Namespace, name: str, prepared: Prepared) -> list[dict[str, Any]]:
    """What comes behind the preparation."""
    watch = Anonymous()
    watch.start()
    lesson = Lesson(mixture={name: 1.0}, format=options.format, max_length=options.max_length)
    seconds, mixed = timed(lambda: mixture.load(lesson, {name: prepared}))
    found = [note(name, "deduplicate, split, shuffle", seconds, len(prepared.dataset), 0)]
    fitting = mixed.lengths[mixed.lengths <= options.max_length]
    seconds, packs = timed(lambda: packing.pack(fitting, options.max_length))
    found.append(note(name, "pack", seconds, len(fitting), int(fitting.sum()), fill=packs.fill))
    taken = range(0, len(mixed.train), max(1, len(mixed.train) // 10_000))
    seconds, tokens = timed(lambda: sum(len(mixed.train[index]["input_ids"]) for index in taken))
    return [*found, note(name, "read at random", seconds, len(taken), tokens, **watch.end())]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as cache:  # nothing is found prepared
        os.environ["MEDSLM_CACHE"] = os.environ.get("MEDSLM_BENCHMARK_CACHE", cache)
        sys.exit(main())
