"""How fast `.toon` files are written and read, by each TOON package that is installed, and in how much memory.

python benchmarks/toon_codec.py            # about 20 MB, a minute
python benchmarks/toon_codec.py --mb 170
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from medslm.data.example import Example
from medslm.data.toon import codec, store

WORDS = 'patient admitted with chest pain, dyspnea and fever; labs: Na 140, K 4.1 mmol/l "stable" sent home on aspirin'
NOTE = 220  # words


def examples(megabytes: int) -> Iterator[Example]:
    """Notes of several lines with a structured answer, about 1.6 kB each."""
    draw = random.Random(0)
    texts = [
        "\n".join(" ".join(draw.choices(WORDS.split(), k=NOTE // 5)) for _ in range(5)) for _ in range(200)
    ]  # drawn once: drawing is slower than writing
    for number in range(megabytes * 1_000_000 // 1600):
        answer = {"diagnosis": texts[number % 7][:160], "code": f"E{number % 90 + 10}.{number % 10}"}
        yield Example(f"row {number}", "Answer the medical question.", texts[number % 200], answer, f"family {number}")


def timed(what: str, work: Callable[[], object], path: Path) -> None:
    """Print the speed of some work on a file (on a shared machine the second figure counts), and the peak of memory."""
    start, begun = time.perf_counter(), time.process_time()
    work()
    seconds, busy, size = time.perf_counter() - start, time.process_time() - begun, path.stat().st_size / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB on Linux
    print(
        f"{what:<28} {size:6.1f} MB  {size / seconds:6.1f} MB/s  {size / busy:6.1f} MB a CPU second  {peak:4.0f} MiB",
        flush=True,
    )


def run(package: str, what: str, path: Path, megabytes: int) -> None:
    """One measurement, in a process of its own so that its peak of memory is its own."""
    only = {package: codec.packages()[package]}
    codec.packages = lambda: only  # type: ignore[assignment]
    if what == "write":
        timed(f"{package} write", lambda: store.write(examples(megabytes), path), path)
    else:
        timed(f"{package} read", lambda: sum(1 for _ in store.examples(path)), path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mb", type=int, default=20, help="size of the file in MB")
    megabytes = parser.parse_args().mb
    with tempfile.TemporaryDirectory() as folder:
        for package in codec.packages():
            for what in ("write", "read"):
                arguments = (package, what, Path(folder) / "examples.toon", megabytes)
                process = multiprocessing.get_context("spawn").Process(target=run, args=arguments)
                process.start()
                process.join()
