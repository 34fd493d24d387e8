"""`hub.lock.toml`: the commit at which each repository of the Hub is read, so that a run can be repeated."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from medslm import environment, files
from medslm.errors import MedslmError

NAME = "hub.lock.toml"
COMMIT = re.compile(r"[0-9a-f]{40}")
ENTRY = re.compile(r'"([^"\\]+)" *= *"([^"\\]*)" *(?:#.*)?')
HEADER = "# Written by `medslm lock`: repositories of the Hub and the commits at which they are read.\n"

Kind = Literal["model", "dataset"]


@dataclass(frozen=True)
class Lock:
    """Id on the Hub -> 40-digit commit."""

    models: Mapping[str, str] = field(default_factory=dict)
    datasets: Mapping[str, str] = field(default_factory=dict)

    def of(self, kind: Kind) -> Mapping[str, str]:
        """The table of one kind of repository."""
        return self.models if kind == "model" else self.datasets

    @property
    def text(self) -> str:
        """The file's content: two tables of TOML, sorted by id."""
        tables = (
            f"\n[{title}]\n" + "".join(f'"{repo_id}" = "{commit}"\n' for repo_id, commit in sorted(table.items()))
            for title, table in (("models", self.models), ("datasets", self.datasets))
        )
        return HEADER + "".join(tables)


def path() -> Path:
    """Where the lock lies: `MEDSLM_LOCK`, or in the bundle that `MEDSLM_BUNDLE` names, or here."""
    bundle = environment.bundle()
    return Path(os.environ.get("MEDSLM_LOCK") or (bundle / NAME if bundle else NAME))


def commit(repo_id: str, kind: Kind) -> str | None:
    """The commit at which a repository is locked, or none. Raises `MedslmError` for a lock that cannot be read."""
    return read(path()).of(kind).get(repo_id)


def read(where: Path) -> Lock:
    """The lock at `where`; an empty one if there is none, unless `MEDSLM_LOCK` promises one."""
    try:
        text = where.read_text(encoding="utf-8")
    except FileNotFoundError:
        if os.environ.get("MEDSLM_LOCK") == str(where):
            raise MedslmError(f"MEDSLM_LOCK names {where}, which is not there; `medslm lock` writes it") from None
        return Lock()
    except (OSError, ValueError) as error:
        raise MedslmError(f"{where} cannot be read ({error}); write it again with `medslm lock`") from error
    return parse(text, str(where))


def parse(text: str, where: str) -> Lock:
    """Read the two tables that `Lock.text` writes; anything else raises `MedslmError` with the line.

    A reader of its own, since Python 3.10 has none for TOML, and so that a mistyped commit is found here.
    """
    tables: dict[str, dict[str, str]] = {"[models]": {}, "[datasets]": {}}
    table: dict[str, str] | None = None
    for number, line in enumerate(map(str.strip, text.splitlines()), start=1):
        if not line or line.startswith("#"):
            continue
        if line in tables:
            table = tables[line]
            continue
        entry = ENTRY.fullmatch(line)
        if entry is None or table is None or entry[1] in table or not COMMIT.fullmatch(entry[2]):
            raise MedslmError(
                f'{where}, line {number}: {line}. Under [models] or [datasets] each line is "org/name" = "<commit of 40 '
                'hexadecimal digits>", each name once; write the file again with `medslm lock`'
            )
        table[entry[1]] = entry[2]
    return Lock(tables["[models]"], tables["[datasets]"])


def write(where: Path, lock: Lock) -> None:
    """Write the lock in one step."""
    files.write_text(where, lock.text)
