"""Seconds a token and memory of the way from rows on disk to passes, from a thousand examples to a million.

    python benchmarks/growth.py              # 1k, 10k, 100k, 1M examples of 420 tokens (median), batches of 64

Each size is measured in a process of its own: the peak of its memory without mapped files, and the time to read, share
and lay out the same number of steps. What grows with the examples is the order of an epoch, at 8 bytes each.
"""

from __future__ import annotations

import json
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
STEPS, BATCH, TOKENS_PER_PASS, PIECE = 400, 64, 16_384, 500
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
    """Microseconds a token of `STEPS` steps, and the most memory on the way."""
    rows = datasets.Dataset.from_file(str(path))
    order = numpy.random.default_rng(1).permutation(len(rows))
    rows = rows.select(order)  # a mixture is shuffled
    loader = batches.training(rows, BATCH, 0, batches.Layout(TOKENS_PER_PASS))
    tokens = steps = peak = epoch = 0
    seconds = 0.0
    while steps < STEPS:
        loader.set_epoch(epoch)
        epoch += 1
        source = iter(loader)
        while steps < STEPS:
            started = time.perf_counter()
            batch = next(source, None)
            if batch is None:
                break
            steps += 1
            if steps > STEPS // 10:  # the first ones read the file for the first time
                seconds += time.perf_counter() - started
                tokens += batch.tokens
            peak = max(peak, resident())
    return {"microseconds": 1e6 * seconds / tokens, "peak": peak / 2**20}


def main() -> None:
    """Print a line for each size, and how far the largest is from the smallest."""
    if len(sys.argv) == 2:
        print(json.dumps(measure(Path(sys.argv[1]))))
        return
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            path = Path(folder) / f"{size}.arrow"
            write(path, size)
            runs = [subprocess.check_output([sys.executable, __file__, str(path)], text=True) for _ in range(3)]
            measured = [json.loads(run) for run in runs]
            best = {name: min(one[name] for one in measured) for name in measured[0]}
            found.append(best)
            print(f"{size:>10,} examples  {best['microseconds']:.4f} us a token  {best['peak']:7.1f} MiB", flush=True)
            path.unlink()
    times = [one["microseconds"] for one in found]
    print(f"time a token: {max(times) / min(times) - 1:.1%} between the fastest and the slowest")


if __name__ == "__main__":
    main()
