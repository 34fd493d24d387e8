"""Where a model is served: read from the environment, and refused where text could be read on its way."""

from __future__ import annotations

import ipaddress
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar
from urllib.parse import urlsplit

from medslm.errors import MedslmError

PREFIX = "MEDSLM_ENGINE"


@dataclass(frozen=True)
class Endpoint:
    """One model behind one address. Raises `MedslmError` for an address that is none, or that holds a secret."""

    called: ClassVar[str] = "the server"
    """In sentences."""

    url: str
    """As the `openai` package takes it: it usually ends in `/v1`."""

    model: str
    """As the server calls it."""

    key: str = field(default="", repr=False)
    """Sent as the bearer token, and never printed or written."""

    prefix: str = field(default=PREFIX, repr=False, compare=False)
    """What the variables that set this begin with: messages name them."""

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            known = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            known = False
        if not known or any(mark in "@?# " or not mark.isprintable() for mark in self.url):
            raise MedslmError(  # the address is not repeated: it may hold a key
                f"{self.prefix}_URL is no address of a server; write http://127.0.0.1:PORT/v1 or https://HOST/v1, and "
                f"give a key in {self.prefix}_KEY"
            )
        if " " in self.key or not (self.key.isascii() and self.key.isprintable()):
            raise MedslmError(  # nor is the key
                f"{self.prefix}_KEY holds what no key does: a blank, a line's end or a letter beyond ASCII; set it anew "
                "(a key read from a file may bring the end of its line along)"
            )
        if not self.model:
            raise MedslmError(
                f"which model at {self.url} is meant? Set {self.prefix}_MODEL to what {self.called} calls it"
            )

    @property
    def local(self) -> bool:
        """True if what is sent stays on this machine: `localhost`, 127.0.0.0/8 or ::1, by name and not by look-up."""
        return is_loopback(urlsplit(self.url).hostname or "")

    @property
    def plain(self) -> bool:
        """True if what is sent can be read on its way."""
        return not self.local and urlsplit(self.url).scheme == "http"


@dataclass(frozen=True)
class Address(Endpoint):
    """A server that answers in place of this process; `model` is the base with its adapter, or the base asked alone.

    Raises `MedslmError` as `Endpoint`, and for another machine without encryption.
    """

    base: str = ""
    """As the server calls the base without the adapter; empty if it serves none."""

    timeout: float = 120.0
    """Seconds in which nothing of an answer comes, after which an attempt is given up."""

    patience: float = 300.0
    """Seconds after which a request that is refused for the moment, times out or meets nobody is given up."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.plain:
            raise MedslmError(
                f"{self.url} is another machine, and what is sent there without encryption can be read on its way; use "
                "https, or a tunnel to 127.0.0.1"
            )
        if not self.timeout > 0 or self.patience < 0:
            raise MedslmError(
                f"{self.prefix}_TIMEOUT is {self.timeout:g} and {self.prefix}_PATIENCE is {self.patience:g}; give "
                "seconds above 0, and a patience of 0 or more"
            )


def is_loopback(host: str) -> bool:
    """True for `localhost`, 127.0.0.0/8 and ::1."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def from_environment(environ: Mapping[str, str] | None = None) -> Address:
    """The server that `MEDSLM_ENGINE_URL` and `_MODEL` name; `_BASE`, `_KEY`, `_TIMEOUT` and `_PATIENCE` may be set too.

    Raises `MedslmError` if none is named, and for values that mean nothing.
    """
    told = os.environ if environ is None else environ
    url = told.get(f"{PREFIX}_URL", "")
    if not url:
        raise MedslmError(
            f"the engine 'openai' asks a server, and none is named; set {PREFIX}_URL and {PREFIX}_MODEL (`medslm serve` "
            "starts one and prints both)"
        )
    return Address(
        url.rstrip("/"),
        told.get(f"{PREFIX}_MODEL", ""),
        told.get(f"{PREFIX}_KEY", ""),
        base=told.get(f"{PREFIX}_BASE", ""),
        timeout=number(told, f"{PREFIX}_TIMEOUT", Address.timeout),
        patience=number(told, f"{PREFIX}_PATIENCE", Address.patience),
    )


def number(told: Mapping[str, str], name: str, default: float) -> float:
    """The variable `name`, a whole number where the default is one. Raises `MedslmError` for what is no finite number."""
    value = told.get(name)
    try:
        found = default if value is None else float(value)
    except ValueError:
        found = math.nan
    if not math.isfinite(found) or (isinstance(default, int) and found != int(found)):
        raise MedslmError(f"{name} is '{value}'; write a {'whole ' * isinstance(default, int)}number")
    return found
