"""What a run says of itself (`run.json`, `adapter_config.json`): whether all that is read of it is there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medslm import files
from medslm.errors import MedslmError


def read(path: Path, made_by: str, needed: Sequence[str] = ()) -> dict[str, Any]:
    """A record in a JSON file; `needed`: fields of it, those of a record within as `recipe.format`.

    `made_by` is the command that writes it. Raises `MedslmError` if it is missing or broken, and names the first field
    that it lacks, as one that was edited by hand or is another program's may.
    """
    found: dict[str, Any] = files.read_json(path, made_by)
    for name in ("", *needed):
        if not _holds(found, name):
            lacks = f"has no field '{name}'" if name else "is no record"
            raise MedslmError(
                f"{path} {lacks}, so that it is not as `{made_by}` wrote it; put back the file that belongs to these "
                "weights, or make it anew"
            )
    return found


def _holds(record: Any, name: str) -> bool:
    """Whether a record has a field, or a field of a field; any record has one of no name."""
    for part in filter(None, name.split(".")):
        if not isinstance(record, dict) or part not in record:
            return False
        record = record[part]
    return bool(name) or isinstance(record, dict)
