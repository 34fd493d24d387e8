"""How fast examples are built, screened, written and packed, and how much memory that takes, however many there are.

    python benchmarks/data.py icd10cm local:notes.jsonl --json data.json
    python benchmarks/data.py --generated 10000000 --limit 2      # under 2 GiB of memory, enforced by the kernel

The stages are timed one by one in one process, then the whole preparation over all cores.
"""

from __future__ import annotations

import argparse
import itertools
import json
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
from medslm.data.prepare import Preparation, prepare  # noqa: E402
from medslm.data.sources import own  # noqa: E402
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
    name: str = "pypi:generated"

    def rows(self) -> Iterator[Row]:
        """Numbered questions of 20 to 60 words with an answer of 5 to 15."""
        words = WORDS.split()
        for number in range(self.number):
            order = random.Random(number)
            yield {
                "id": str(number),
                "question": " ".join(order.choices(words, k=order.randint(20, 60))),
                "answer": " ".join(order.choices(words, k=order.randint(5, 15))),
            }

    def version(self) -> str:
        """The number of rows decides them."""
        return str(self.number)


def example(row: Row) -> Iterator[Example]:
    """One example a row."""
    yield Example(row["id"], "Answer the question.", row["question"], row["answer"], family=row["id"])


def corpora(names: Iterable[str], generated: int) -> dict[str, Corpus]:
    """The corpora to be measured."""
    found = {name: own.resolve(name, {}, {}) for name in names}
    if generated:
        found["generated"] = Corpus(Generated(generated), "cc0-1.0", "nothing", ("id", "question", "answer"), example)
    return found


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
    """The most memory that cannot be taken back at any time: anonymous pages, of this process and those it started."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0.0
        self._stop_asked = threading.Event()

    def run(self) -> None:
        """Look twice a second."""
        while not self._stop_asked.wait(0.5):
            self.peak = max(self.peak, sum(map(anonymous_gib, [Path("/proc/self"), *children()])))

    def end(self) -> float:
        """GiB."""
        self._stop_asked.set()
        self.join()
        return self.peak


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
    asked.add_argument("--base", default="smollm2-135m-instruct")
    asked.add_argument("--format", default="chat")
    asked.add_argument("--max-length", type=int, default=1024)
    asked.add_argument("--limit", type=float, help="GiB of anonymous memory that each process may have, enforced")
    asked.add_argument("--json", type=Path)
    options = asked.parse_args()
    if options.limit:
        resource.setrlimit(resource.RLIMIT_DATA, (int(options.limit * 2**30),) * 2)
    measured = measure(options)
    if options.json:
        options.json.write_text(json.dumps(measured, indent=2) + "\n")


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """One record a stage and corpus, printed as it comes."""
    tokenizer, screen = load.tokenizer(resolve(options.base)), Screen(benchmarks)
    renderer = Renderer(tokenizer, options.format)
    found: list[dict[str, Any]] = []

    def note(corpus: str, stage: str, seconds: float, examples: int, tokens: int, **more: float) -> None:
        found.append(
            {"corpus": corpus, "stage": stage, "seconds": seconds, "examples": examples, "tokens": tokens} | more
        )
        rate = f"{examples / seconds:>12,.0f}" + (f"{tokens / seconds:>14,.0f}" if tokens else " " * 14)
        extra = "".join(f"  {name} {value:.2f}" for name, value in more.items())
        print(f"{corpus:<24}{stage:<28}{examples:>12,}{seconds:>10.2f}{rate}{extra}", flush=True)

    print(f"{'corpus':<24}{'stage':<28}{'examples':>12}{'seconds':>10}{'examples/s':>12}{'tokens/s':>14}")
    for name, corpus in corpora(options.names, options.generated).items():
        for stage in stages(corpus, renderer, screen):
            note(name, *stage)
        watch = Anonymous()
        watch.start()
        seconds, prepared = timed(
            lambda corpus=corpus: prepare(Preparation(corpus, renderer, screen, Scanner("rules")))
        )
        size = len(prepared.dataset)
        tokens = int(prepared.column("length").sum())
        note(name, f"all of it, {environment.cpus()} cores", seconds, size, tokens)
        lesson = Lesson(mixture={name: 1.0}, format=options.format, max_length=options.max_length)
        seconds, mixed = timed(
            lambda prepared=prepared, lesson=lesson, name=name: mixture.load(lesson, {name: prepared})
        )
        note(name, "split, sample, shuffle", seconds, size, 0)
        fitting = mixed.lengths[mixed.lengths <= options.max_length]
        seconds, packs = timed(lambda fitting=fitting: packing.pack(fitting, options.max_length))
        note(name, "pack", seconds, len(fitting), int(fitting.sum()), fill=packs.fill)
        seconds, _ = timed(
            lambda mixed=mixed: [mixed.train[index]["length"] for index in range(0, len(mixed.train), 1000)]
        )
        note(name, "read every 1000th", seconds, len(mixed.train) // 1000 + 1, 0, anonymous_gib=watch.end())
    return found


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as cache:  # nothing is found prepared
        import os

        os.environ["MEDSLM_CACHE"] = os.environ.get("MEDSLM_BENCHMARK_CACHE", cache)
        sys.exit(main())
