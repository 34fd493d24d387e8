"""A fresh Hub for one test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hub_server import HubServer


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubServer]:
    """A server that holds nothing yet."""
    with HubServer(tmp_path / "hub") as server:
        yield server
