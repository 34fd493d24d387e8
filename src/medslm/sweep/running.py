"""Trains and judges the runs of a sweep one after the other, each in processes of its own; goes on where it was stopped."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medslm import ending, files
from medslm.data.sources import own
from medslm.data.sources.local import Local
from medslm.errors import MedslmError
from medslm.evals import scores
from medslm.sweep.cells import Cell, differences

SCHEMA = 1
FILE = "sweep.json"
LAUNCHER = (sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch")
PATIENCE = 30.0
"""Seconds for a run to end by itself before it is killed."""

ERROR = re.compile(r"^[\w.]*(?:Error|Exception|Interrupt|Killed)\b.*")
SAID = re.compile(r"(?:^|\s)medslm: (.+)")
"""Our own sentence, which may stand behind a progress bar that was not ended."""


@dataclass(frozen=True)
class Sweep:
    """What is to be done."""

    folder: Path
    """Of all its runs; its name is the sweep's."""

    cells: Sequence[Cell]

    suite: str | None = None
    """What judges; by default what each recipe names, and nothing where it names none."""

    limit: int | None = None
    """Items a task, for a trial."""

    launcher: tuple[str, ...] = LAUNCHER
    """The command before a recipe's file."""


@dataclass(frozen=True)
class Outcome:
    """What became of one run."""

    cell: Cell
    status: str
    """`finished`, `failed` or `waiting`."""

    stage: str = ""
    """Where it failed: `train` or `eval`."""

    said: str = ""
    """Why."""

    seconds: float = 0.0
    """What this call spent on it; 0 for a run that was finished before."""

    def as_json(self) -> dict[str, Any]:
        """As it stands in `sweep.json`."""
        told = {"name": self.cell.name, "recipe": self.cell.recipe.name, "set": dict(self.cell.changes)}
        return told | {"status": self.status, "stage": self.stage, "said": self.said, "seconds": round(self.seconds, 1)}


def run(sweep: Sweep) -> list[Outcome]:
    """Train and judge what is not finished, and keep the state in `sweep.json` after each run.

    A failure is kept and said, the others go on; the next call tries it again. Raises `MedslmError` before anything is
    trained if a run's folder holds another recipe's, and if the same sweep is at work already.
    """
    if (sweep.folder / "run.json").is_file():
        raise MedslmError(
            f"{sweep.folder} is the folder of a run, among whose files those of a sweep would stand; give the sweep "
            "another name"
        )
    with _alone(sweep.folder) as lock, ending.by(signal.SIGTERM):
        for cell in sweep.cells:
            _refuse_another(sweep.folder / cell.name, cell)
            _require_files(cell)
        outcomes = [Outcome(cell, "waiting") for cell in sweep.cells]
        for place, cell in enumerate(sweep.cells):
            print(f"{place + 1} of {len(outcomes)}: {cell.name}", flush=True)
            outcomes[place] = _one(sweep, cell, lock)
            _keep(sweep, outcomes)
        return outcomes


def _one(sweep: Sweep, cell: Cell, lock: int) -> Outcome:
    started, folder = time.monotonic(), sweep.folder / cell.name
    training = [*sweep.launcher, str(cell.recipe), *cell.options, "--runs", str(sweep.folder)]
    judging = [sys.executable, "-m", "medslm", "eval", cell.name, "--runs", str(sweep.folder)]
    judging += [] if sweep.suite is None else ["--suite", sweep.suite]
    judging += [] if sweep.limit is None else ["--limit", str(sweep.limit)]
    for stage, words, done in (("train", training, _trained), ("eval", judging, _judged)):
        if done(sweep, cell):
            print(f"  {stage}: done before", flush=True)
            continue
        log = sweep.folder / "logs" / f"{cell.name}.{stage}.log"
        print(f"  {stage}: {log}", flush=True)
        status = _start(words, log, lock)
        if status or not done(sweep, cell):
            why = f"{_last_words(log) or 'it said nothing'} (exit status {status}; {log})"
            print(f"  {stage} failed: {why}", flush=True)
            return Outcome(cell, "failed", stage, why, time.monotonic() - started)
    seconds = time.monotonic() - started
    print(f"  {folder}: {seconds:.0f} s", flush=True)
    return Outcome(cell, "finished", seconds=seconds)


def _trained(sweep: Sweep, cell: Cell) -> bool:
    return record(sweep.folder / cell.name).get("status") == "finished"


def _judged(sweep: Sweep, cell: Cell) -> bool:
    """Whether the scores that are asked for are there, and are those of these weights."""
    own, suite = cell.asked.suite, sweep.suite or cell.asked.suite
    if not suite:
        return True
    path = sweep.folder / cell.name / scores.file(None if suite == own else suite, sweep.limit is not None)
    if not path.is_file():
        return False
    try:
        found = scores.read(path, made_by=f"medslm eval {cell.name}")
    except MedslmError as error:  # broken, or of another version: `medslm eval` writes them again
        print(f"  eval: {error}", flush=True)
        return False
    wanted = (suite, sweep.limit, record(sweep.folder / cell.name).get("adapter_sha256"))
    return (found.get("suite"), found.get("limit"), found.get("adapter_sha256")) == wanted


def record(folder: Path) -> Mapping[str, Any]:
    """`run.json` of a run; empty before it has begun."""
    path = folder / "run.json"
    found: Mapping[str, Any] = files.read_json(path, made_by="accelerate launch") if path.is_file() else {}
    return found


def _refuse_another(folder: Path, cell: Cell) -> None:
    if differ := list(differences(cell, record(folder).get("recipe", {}))):
        raise MedslmError(
            f"{folder} holds a run of another recipe ({'; '.join(differ)}); the recipe's file was changed since: give the "
            f"sweep another name, or remove {folder}"
        )


def _require_files(cell: Cell) -> None:
    """Raise `MedslmError` for a file of one's own that is not there: a run far down the list would tell it too late."""
    for name in cell.asked.mixture:
        source = own.resolve(name, cell.asked.columns, cell.asked.licenses).source
        if isinstance(source, Local):
            source.files()


def _keep(sweep: Sweep, outcomes: Sequence[Outcome]) -> None:
    how = {"schema": SCHEMA, "name": sweep.folder.name, "suite": sweep.suite, "limit": sweep.limit}
    files.write_json(sweep.folder / FILE, {**how, "runs": [outcome.as_json() for outcome in outcomes]})


def _start(words: Sequence[str], log: Path, lock: int) -> int:
    """Run a command to its end, whatever it says kept in `log`; gives its exit status.

    It inherits the sweep's lock, so that a run that outlives a killed sweep still bars the way. If this process is ended
    meanwhile, the command and all that it has started end before. Raises `MedslmError` where no log can be written.
    """
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        stream = log.open("wb")
    except OSError as error:
        raise MedslmError(
            f"cannot write {log}: {error.strerror or error}; mend that and start the sweep again"
        ) from error
    with stream:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, pass_fds=(lock,), start_new_session=True
        )
        try:
            return process.wait()
        except BaseException:
            _end(process)
            raise


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(PATIENCE)
    with contextlib.suppress(ProcessLookupError):  # and what it has left behind
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _last_words(log: Path) -> str:
    """Our own sentence, or else the last exception that is not the launcher's about the process that it has started."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    ours = [found[1] for line in lines if (found := SAID.search(line))]
    raised = [line for line in lines if ERROR.match(line) and "CalledProcessError" not in line]
    return next((of[-1] for of in (ours, raised, list(filter(None, lines))) if of), "")


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[int]:
    """Hold the sweep's lock, as an open file. Raises `MedslmError` if it is held, also by a run that a sweep has left."""
    import fcntl

    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise MedslmError(f"{folder} cannot be written ({error.strerror}); choose another place with --runs") from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MedslmError(
                f"the sweep in {folder} is at work already, or a run that it has started; wait for it, or end it"
            ) from None
        except OSError as error:  # a network's file system without locks
            raise MedslmError(
                f"{folder} cannot be locked ({error.strerror}), so that two sweeps could train one run; choose a place on "
                "another disk with --runs"
            ) from error
        yield lock
    finally:
        os.close(lock)
