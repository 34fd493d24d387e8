"""Seconds a token and memory of the way from rows on disk to passes, from a thousand examples to a million.

    python benchmarks/growth.py                                     # 1k, 10k, 100k, 1M examples of 420 tokens (median)
    python benchmarks/growth.py --sizes 1000 10000 --rounds 1       # does it run?

Batches are of 64; a million examples need 6 GB on the disk of the temporary folder and as much memory for the system's page
cache. Each size is measured in processes of its own, in turns with the others: the time to read, share and lay out the same
number of steps, and the peak of its memory without mapped files. What grows with the examples are a shuffled dataset's
indices and the order of an epoch; no step makes it grow. The last line is the largest size once more, with nothing of it in
the page cache.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import datasets
import numpy
import pyarrow

from medslm.train import batches

SIZES = (1_000, 10_000, 100_000, 1_000_000)
WARM, BATCH, TOKENS_PER_PASS, PIECE = 50, 64, 16_384, 500
SCHEMA = pyarrow.schema(
    {"input_ids": pyarrow.list_(pyarrow.int32()), "labels": pyarrow.list_(pyarrow.int32()), "length": pyarrow.int32()}
)


def write(path: Path, examples: int) -> None:
    """Rows as `medslm.data.prepare` writes them: batches of 500, lognormal lengths."""
    chance = numpy.random.default_rng(0)
    with pyarrow.ipc.new_stream(str(path), SCHEMA) as writer:
        for start in range(0, examples, PIECE):
            number = min(PIECE, examples - start)
            lengths = numpy.clip(chance.lognormal(numpy.log(420), 0.75, number), 32, 2048).astype("i4")
            ids = chance.integers(0, 32_000, int(lengths.sum()), dtype="i4")
            offsets = numpy.concatenate([[0], numpy.cumsum(lengths)]).astype("i4")
            rows = pyarrow.ListArray.from_arrays(offsets, ids)
            writer.write_batch(pyarrow.record_batch([rows, rows, lengths], schema=SCHEMA))


def resident() -> int:
    """Bytes of this process in memory, without pages of mapped files."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["RssAnon"].split()[0]) * 1024


def measure(path: Path, steps: int) -> dict[str, float]:
    """Microseconds a token, of the median of `steps` but the first ones, and the most memory on the way."""
    rows = datasets.Dataset.from_file(str(path))
    rows = rows.select(numpy.random.default_rng(1).permutation(len(rows)))  # a mixture is shuffled
    loader = batches.training(rows, BATCH, 0, batches.Layout(TOKENS_PER_PASS))
    each: list[float] = []
    peak = epoch = 0
    while len(each) < steps:
        loader.set_epoch(epoch)
        epoch += 1
        source = iter(loader)
        while len(each) < steps:
            started = time.perf_counter()
            batch = next(source, None)
            if batch is None:
                break
            if len(batch.documents) == BATCH:  # the last step of an epoch is a short one
                each.append(1e6 * (time.perf_counter() - started) / batch.tokens)
            if len(each) % WARM == 0:
                peak = max(peak, resident())
    return {"microseconds": statistics.median(each[WARM:]), "peak": peak / 2**20}


def forget(path: Path) -> None:
    """Take the file out of the system's page cache."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def apart(path: Path, steps: int) -> dict[str, float]:
    """`measure` in a process of its own."""
    command = [sys.executable, __file__, "--measure", str(path), "--steps", str(steps)]
    found: dict[str, float] = json.loads(subprocess.check_output(command, text=True))
    return found


def main() -> None:
    """Print a line for each size, and how far the slowest is from the fastest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help=f"examples, {BATCH} or more")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each size")
    parser.add_argument("--steps", type=int, default=500, help=f"of each turn, the first {WARM} of which are not timed")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)  # what a process of its own is told
    asked = parser.parse_args()
    if asked.measure:
        print(json.dumps(measure(asked.measure, asked.steps)))
        return
    sizes = sorted(set(asked.sizes))
    if sizes[0] < BATCH or asked.rounds < 1 or asked.steps <= WARM:
        parser.error(f"--sizes are {BATCH} or more, one batch, --rounds 1 or more, and --steps more than {WARM}")
    with tempfile.TemporaryDirectory() as folder:
        paths = {size: Path(folder) / f"{size}.arrow" for size in sizes}
        for size, path in paths.items():
            write(path, size)
        runs: dict[int, list[dict[str, float]]] = {size: [] for size in sizes}
        for turn in range(asked.rounds):
            for size in sizes if turn % 2 else reversed(sizes):
                runs[size].append(apart(paths[size], asked.steps))
        forget(paths[sizes[-1]])
        cold = apart(paths[sizes[-1]], asked.steps)
    medians = []
    for size, measured in runs.items():
        times = sorted(one["microseconds"] for one in measured)
        medians.append(statistics.median(times))
        peak = max(one["peak"] for one in measured)
        print(
            f"{size:>10,} examples  {medians[-1]:.4f} us a token ({times[0]:.4f} ... {times[-1]:.4f})  {peak:6.1f} MiB"
        )
    print(f"time a token: {max(medians) / min(medians) - 1:.1%} between the fastest and the slowest")
    print(f"{sizes[-1]:>10,} examples  {cold['microseconds']:.4f} us a token, read from the disk")


if __name__ == "__main__":
    main()
