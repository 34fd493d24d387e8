"""The manifest beside a `.toon` file or in a folder of them: what is there, who wrote it, and the SHA-256 to check it by.

The `[N]` of TOON counts rows and is no checksum: a cut within the last cell keeps the count. Hence the manifest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from medslm import files
from medslm.errors import MedslmError

SCHEMA = "medslm.example/1"
"""Names the columns of `columns.py`; another number would mean other columns."""

IN_FOLDER = "shards.manifest.json"


@dataclass(frozen=True)
class Shard:
    """One `.toon` file."""

    name: str
    """Its file name, without a folder."""

    rows: int

    fields: str
    """The field list of its header, as TOON: `{id,output{chapter,code},family}`."""

    bytes: int

    sha256: str

    def verify(self, path: Path) -> None:
        """Raise `MedslmError` unless the file at `path` is the one that was written."""
        size = path.stat().st_size
        if size != self.bytes:
            raise MedslmError(f"{path} has {size} bytes and its manifest says {self.bytes}; {REPAIR}")
        if files.sha256(path) != self.sha256:
            raise MedslmError(f"the SHA-256 of {path} is not the one in its manifest; {REPAIR}")


REPAIR = "the file was cut or changed: write or fetch it again (or remove the manifest if the change is yours)"


@dataclass(frozen=True)
class Manifest:
    """What a `.toon` file, or a folder of them, holds."""

    rows: int

    shards: tuple[Shard, ...]
    """In their order; one for a single file."""

    toon_spec: str
    """Version of the TOON specification, such as `4.4`."""

    written_by: str
    """Package and version that wrote the rows: `toon-format 1.2.0`."""

    about: Mapping[str, Any] = field(default_factory=dict)
    """Where the examples come from, in JSON values; free in form."""

    schema: str = SCHEMA

    def write(self, path: Path) -> None:
        """Write it as JSON, in one step."""
        files.write_json(path, asdict(self))

    def shard(self, path: Path) -> Shard:
        """The record of one file. Raises `MedslmError` if the manifest does not list it."""
        for shard in self.shards:
            if shard.name == path.name:
                return shard
        raise MedslmError(f"{path} is not among the shards of the manifest beside it; write it through `store.write`")


def place(target: Path) -> Path:
    """Where the manifest of a `.toon` file or of a folder lies."""
    return target / IN_FOLDER if target.is_dir() else target.with_suffix(".manifest.json")


def read(path: Path) -> Manifest:
    """The manifest in a JSON file. Raises `MedslmError` if it is missing, broken or of another schema."""
    told = files.read_json(path, "store.write")
    try:
        if told["schema"] != SCHEMA:
            raise MedslmError(f"{path} describes the schema '{told['schema']}', and this version reads '{SCHEMA}'")
        shards = tuple(Shard(**shard) for shard in told["shards"])
        return Manifest(**{**told, "shards": shards})
    except (KeyError, TypeError) as error:
        raise MedslmError(f"{path} is no manifest of TOON files ({error}); write the data again") from None


def beside(path: Path) -> Manifest | None:
    """The manifest that covers one `.toon` file: its own, or that of its folder if it is listed there."""
    if (own := place(path)).exists():
        return read(own)
    if (shared := path.parent / IN_FOLDER).exists():
        manifest = read(shared)
        return manifest if any(shard.name == path.name for shard in manifest.shards) else None
    return None
