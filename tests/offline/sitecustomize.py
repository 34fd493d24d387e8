"""Refuses connections beyond this machine: imported by conftest.py, and by every Python that a test starts."""

from __future__ import annotations

import ipaddress
import os
import socket
from typing import Any


class NetworkDenied(OSError):
    """A test has tried to leave the machine."""


def is_local(address: Any) -> bool:
    """True for Unix sockets (an address that is text), `localhost` and the loopback ranges, unless all are denied."""
    if not isinstance(address, tuple):
        return True
    if os.environ.get("NO_SOCKETS") == "1":  # what a machine without a network is like
        return False
    try:
        return address[0] == "localhost" or ipaddress.ip_address(address[0]).is_loopback
    except ValueError:
        return False  # a name that would have to be looked up


def deny() -> None:
    """From now on `connect` reaches loopback only, in this process."""
    for name in ("connect", "connect_ex"):
        original = getattr(socket.socket, name)
        if getattr(original, "is_guarded", False):
            continue

        def guarded(self: socket.socket, address: Any, original: Any = original) -> Any:
            if not is_local(address):
                raise NetworkDenied(f"tests may not connect to {address}")
            return original(self, address)

        guarded.is_guarded = True  # type: ignore[attr-defined]
        setattr(socket.socket, name, guarded)


deny()
