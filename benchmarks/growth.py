"""Seconds a token and memory of the way from rows on disk to passes, from a thousand examples to a million.

    python benchmarks/growth.py              # 1k, 10k, 100k, 1M examples of 420 tokens (median), batches of 64

Needs 6 GB on the disk of the temporary folder and as much memory for the system's page cache. Each size is measured in
processes of its own, in turns with the others: the time to read, share and lay out the same number of steps, and the peak
of its memory without mapped files. What grows with the examples are a shuffled dataset's indices and the order of an epoch;
no step makes it grow. The last line is the largest size once more, with nothing of it in the page cache.
"""

from __future__ import annotations

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
ROUNDS, STEPS, WARM, BATCH, TOKENS_PER_PASS, PIECE = 7, 500, 50, 64, 16_384, 500
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


def measure(path: Path) -> dict[str, float]:
    """Microseconds a token, of the median step after the first ones, and the most memory on the way."""
    rows = datasets.Dataset.from_file(str(path))
    rows = rows.select(numpy.random.default_rng(1).permutation(len(rows)))  # a mixture is shuffled
    loader = batches.training(rows, BATCH, 0, batches.Layout(TOKENS_PER_PASS))
    each: list[float] = []
    peak = epoch = 0
    while len(each) < STEPS:
        loader.set_epoch(epoch)
        epoch += 1
        source = iter(loader)
        while len(each) < STEPS:
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


def apart(path: Path) -> dict[str, float]:
    """`measure` in a process of its own."""
    found: dict[str, float] = json.loads(subprocess.check_output([sys.executable, __file__, str(path)], text=True))
    return found


def main() -> None:
    """Print a line for each size, and how far the slowest is from the fastest."""
    if len(sys.argv) == 2:
        print(json.dumps(measure(Path(sys.argv[1]))))
        return
    with tempfile.TemporaryDirectory() as folder:
        paths = {size: Path(folder) / f"{size}.arrow" for size in SIZES}
        for size, path in paths.items():
            write(path, size)
        runs: dict[int, list[dict[str, float]]] = {size: [] for size in SIZES}
        for turn in range(ROUNDS):
            for size in SIZES if turn % 2 else reversed(SIZES):
                runs[size].append(apart(paths[size]))
        forget(paths[SIZES[-1]])
        cold = apart(paths[SIZES[-1]])
    medians = []
    for size, measured in runs.items():
        times = sorted(one["microseconds"] for one in measured)
        medians.append(statistics.median(times))
        peak = max(one["peak"] for one in measured)
        print(
            f"{size:>10,} examples  {medians[-1]:.4f} us a token ({times[0]:.4f} ... {times[-1]:.4f})  {peak:6.1f} MiB"
        )
    print(f"time a token: {max(medians) / min(medians) - 1:.1%} between the fastest and the slowest")
    print(f"{SIZES[-1]:>10,} examples  {cold['microseconds']:.4f} us a token, read from the disk")


if __name__ == "__main__":
    main()
