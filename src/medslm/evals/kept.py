"""Answers that a model gave, kept as they come, so that an interrupted evaluation asks only for the rest."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from medslm import files
from medslm.errors import MedslmError

AT_ONCE = 64
"""Answers asked for before they are written: what a killed evaluation loses."""

_ASIDE: set[Path] = set()
"""Folders of which it was said that their answers are to something else: a suite keeps dozens of files."""

_REUSED: set[Path] = set()
"""Folders of which it was said that their answers are not asked again; `scores.json` counts them."""

log = logging.getLogger(__name__)


def replies(
    path: Path,
    key: Mapping[str, Any],
    ids: Sequence[str],
    ask: Callable[[list[str]], Sequence[Any]],
    at_once: int = AT_ONCE,
) -> list[Any]:
    """The answer to each of `ids`, in their order: those kept in `path` under the same `key`, the rest from `ask`.

    `key` says all that decides an answer beside its id: the adapter's digest, the template's, the settings. Raises
    `MedslmError` as `Kept` and `Kept.answers` do.
    """
    return Kept(path, key).answers(ids, ask, at_once)


class Kept:
    """A file of JSON lines, the first of them its key; later ones are appended, each (id, value).

    A file under another key is set aside as `<name>.old`. The end of a line that was torn as its process was killed is
    cut off and said. Raises `MedslmError` for any other line that is none, and where nothing can be written.
    """

    def __init__(self, path: Path, key: Mapping[str, Any]) -> None:
        self.path = path
        self.found: dict[str, Any] = {}
        self.reused = 0
        """Answers that were asked for and had been kept by an earlier process."""
        wanted = files.as_json(key)
        if not path.exists() or not self._read(wanted):
            files.write_text(path, _line({"key": wanted}))
        self._before = set(self.found)

    def answers(
        self, ids: Sequence[str], ask: Callable[[list[str]], Sequence[Any]], at_once: int = AT_ONCE
    ) -> list[Any]:
        """The answer to each of `ids`, in their order; an id may stand there several times and is asked once.

        `ask` gets up to `at_once` ids that are missing, in their order, and gives one JSON value for each; they are on the
        disk before it is called again. Raises `MedslmError` for answers that are not as many as were asked for.
        """
        wanted = dict.fromkeys(ids)
        if old := self._before & wanted.keys():
            if self.path.parent not in _REUSED:
                _REUSED.add(self.path.parent)
                told = f"{len(old):,} of {len(wanted):,} answers were kept in {self.path} and are not asked again"
                print(f"note: {told}; nor are others that are kept in that folder", file=sys.stderr)
            self.reused += len(old)
            self._before -= old
        missing = [name for name in wanted if name not in self.found]
        for start in range(0, len(missing), at_once):
            some = missing[start : start + at_once]
            values = ask(some)
            if len(values) != len(some):
                raise MedslmError(
                    f"{len(values)} answers came for {len(some)} questions of {self.path}; give one for each"
                )
            self.add(dict(zip(some, values)))
        return [self.found[name] for name in ids]

    def _read(self, wanted: Any) -> bool:
        """Take what the file holds if it holds answers under this key."""
        whole, newline, torn = self.path.read_bytes().rpartition(b"\n")
        lines = whole.decode("ascii", errors="replace").split("\n") if newline else []
        if not lines or self._parsed(1, lines[0]).get("key") != wanted:
            aside = self.path.with_name(f"{self.path.name}.old")
            os.replace(self.path, aside)
            if self.path.parent not in _ASIDE:
                _ASIDE.add(self.path.parent)
                log.warning(
                    "%s holds answers to something else (another adapter, template or setting), or to nothing; that file "
                    "is now %s, and everything is asked anew. Others in that folder are set aside the same way.",
                    self.path,
                    aside.name,
                )
            return False
        for number, line in enumerate(lines[1:], start=2):
            record = self._parsed(number, line)
            if "id" not in record or "value" not in record:
                raise self._broken(number, "it has no id or no value")
            self.found[record["id"]] = record["value"]
        if torn:
            log.warning("%s ends in a torn line; its answer is asked again", self.path)
            with self.path.open("r+b") as stream:
                stream.truncate(len(whole) + 1)
        return True

    def _parsed(self, number: int, line: str) -> dict[str, Any]:
        try:
            record = json.loads(line)
        except ValueError as error:
            raise self._broken(number, str(error)) from error
        if not isinstance(record, dict):
            raise self._broken(number, "it is no record")
        return record

    def _broken(self, number: int, why: str) -> MedslmError:
        return MedslmError(f"{self.path}:{number} is no kept answer ({why}); delete the file, to ask everything again")

    def add(self, values: Mapping[str, Any]) -> None:
        """Append answers; when this returns they survive the process and, as far as the disk keeps its word, the power."""
        try:
            with self.path.open("ab") as stream:
                lines = (_line({"id": name, "value": value}) for name, value in values.items())
                stream.write("".join(lines).encode("ascii"))
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            reason = error.strerror or error
            raise MedslmError(f"cannot write {self.path}: {reason}; free space, what is there is kept") from error
        self.found.update(files.as_json(dict(values)))


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record, allow_nan=False) + "\n"  # ASCII: half of a surrogate pair could not be written as UTF-8
