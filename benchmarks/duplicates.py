"""Seconds and memory to find exact and near copies among generated fingerprints and signatures, read from a file.

    python benchmarks/duplicates.py 1000000 10000000

Of the examples 10 % repeat another one exactly, 10 % are near copies of another one (similarity 0.9), and 10 % share a
tenth of the numbers of one signature, as examples with the same phrases in them do. `anonymous` is memory that the program
holds; `mapped` are pages of the file, which the system takes back when it needs them.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy

from medslm.data.example import Example
from medslm.data.gates import duplicates

WORDS, TEXTS, PIECE = 80, 2_000, 100_000


def memory() -> str:
    """Peak and present memory of this process, from /proc (Linux only)."""
    told = dict(re.findall(r"(VmHWM|RssAnon|RssFile):\s+(\d+) kB", Path("/proc/self/status").read_text()))
    names = {"VmHWM": "peak", "RssAnon": "anonymous", "RssFile": "mapped"}
    return ", ".join(f"{name} {int(told[key]) / 1e6:.2f} GB" for key, name in names.items())


def per_example() -> None:
    """Print the time of one fingerprint and one signature."""
    order = numpy.random.default_rng(0)
    vocabulary = ["".join(map(chr, order.integers(97, 123, length))) for length in order.integers(2, 11, 5_000)]
    texts = [" ".join(order.choice(vocabulary, WORDS)) for _ in range(TEXTS)]
    examples = [Example("1", "Answer.", text, "yes", "family") for text in texts]
    for function in (duplicates.fingerprint, duplicates.signature):
        function(examples[0])
        started = time.perf_counter()
        for example in examples:
            function(example)
        print(f"{function.__name__}: {(time.perf_counter() - started) / TEXTS * 1e6:.0f} us for {WORDS} words")


def generate(number: int, folder: Path) -> None:
    """Write `number` fingerprints and signatures, a piece at a time."""
    order = numpy.random.default_rng(0)
    phrase = order.integers(0, 1 << 16, duplicates.PERMUTATIONS, "u2")
    shape = (number, duplicates.PERMUTATIONS)
    signatures: Any = numpy.lib.format.open_memmap(folder / "signatures.npy", "w+", "u2", shape)
    fingerprints: Any = numpy.lib.format.open_memmap(folder / "fingerprints.npy", "w+", "u8", (number,))
    for start in range(0, number, PIECE):
        size = min(PIECE, number - start)
        rows = order.integers(0, 1 << 16, (size, duplicates.PERMUTATIONS), "u2")
        marks = order.integers(0, 1 << 63, size, "u8")
        tenth = size // 10
        rows[:tenth], marks[:tenth] = rows[tenth : 2 * tenth], marks[tenth : 2 * tenth]
        copied = order.random((tenth, duplicates.PERMUTATIONS)) < 0.9
        rows[2 * tenth : 3 * tenth][copied] = rows[3 * tenth : 4 * tenth][copied]
        shared = order.random((tenth, duplicates.PERMUTATIONS)) < 0.1
        rows[4 * tenth : 5 * tenth][shared] = numpy.broadcast_to(phrase, shared.shape)[shared]
        signatures[start : start + size], fingerprints[start : start + size] = rows, marks


def measure(folder: Path) -> None:
    """Print what was found, how fast, and the memory so far."""
    fingerprints = numpy.load(folder / "fingerprints.npy", mmap_mode="r")
    signatures = numpy.load(folder / "signatures.npy", mmap_mode="r")
    print(f"{len(fingerprints):,} examples; at the start {memory()}")
    started = time.perf_counter()
    repeats = duplicates.exact(fingerprints)
    print(f"  exact {time.perf_counter() - started:6.1f} s, {int(repeats.sum()):,} repetitions; {memory()}", flush=True)
    started = time.perf_counter()
    near = duplicates.near(signatures, ~repeats)
    found = f"{int(near.repeats.sum()):,} near copies in {near.clusters:,} clusters, {near.unchecked:,} unchecked"
    print(f"  near  {time.perf_counter() - started:6.1f} s, {found}; {memory()}", flush=True)


def main() -> None:
    """Measure each number of examples in a process of its own, so that each has its own peak."""
    if sys.argv[1:2] == ["--measure"]:
        return measure(Path(sys.argv[2]))
    per_example()
    for number in map(int, sys.argv[1:] or ["1000000"]):
        with tempfile.TemporaryDirectory() as folder:
            generate(number, Path(folder))
            subprocess.run([sys.executable, __file__, "--measure", folder], check=True)
    return None


if __name__ == "__main__":
    main()
