"""A dataset that has no home on the Hub, read from the file that the user has fetched."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from medslm.data.corpus import Row
from medslm.data.sources.local import Local
from medslm.errors import MedslmError


@dataclass(frozen=True)
class OwnFile:
    """A file whose path is in an environment variable."""

    title: str
    """What the data is called."""

    variable: str
    """The environment variable."""

    home: str
    """Where the file is published."""

    @property
    def name(self) -> str:
        """`local:DEMI-MathAnalysis`."""
        return f"local:{self.title}"

    def file(self) -> Local:
        """The file. Raises `MedslmError` if the variable is not set."""
        if path := os.environ.get(self.variable):
            return Local(Path(path))
        raise MedslmError(
            f"{self.title} is not on the Hub; fetch {self.home} and set the environment variable {self.variable} to its "
            "path"
        )

    def rows(self) -> Iterable[Row]:
        """Every row. Raises `MedslmError` if the file cannot be had or read."""
        return self.file().rows()

    def version(self) -> str:
        """`sha256:` and the digest of the file."""
        return self.file().version()
