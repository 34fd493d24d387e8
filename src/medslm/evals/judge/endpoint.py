"""Where the judge is and what it may cost: read from the environment, and refused where text would leave unnoticed."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from medslm.errors import MedslmError
from medslm.infer.engines import address

PREFIX, SECOND = "MEDSLM_JUDGE", "MEDSLM_JUDGE2"
MISSING = f"no judge is configured; set {PREFIX}_URL and {PREFIX}_MODEL"
TRUE, FALSE = ("1", "true", "yes"), ("", "0", "false", "no")


@dataclass(frozen=True)
class Endpoint(address.Endpoint):
    """A judge, on this machine or another. Raises as `address.Endpoint`."""

    called: ClassVar[str] = "the judge"
    prefix: str = field(default=PREFIX, repr=False, compare=False)


@dataclass(frozen=True)
class Price:
    """What a million tokens cost, in and out, in the user's currency. Raises `MedslmError` for less than nothing."""

    tokens_in: float
    tokens_out: float

    def __post_init__(self) -> None:
        if not all(0 <= price < math.inf for price in (self.tokens_in, self.tokens_out)):
            raise MedslmError(f"{PREFIX}_PRICE is {self.tokens_in}/{self.tokens_out}; give two prices of 0 or more")

    def of(self, tokens_in: int, tokens_out: int) -> float:
        """The price of so many tokens."""
        return (tokens_in * self.tokens_in + tokens_out * self.tokens_out) / 1e6


@dataclass(frozen=True)
class Settings:
    """A judge, perhaps a second one, and the bounds of asking them."""

    judge: Endpoint
    second: Endpoint | None = None
    rubric: str = ""
    """A shipped rubric or a YAML file, for all tasks; empty: the one that is meant for the task."""

    allow_remote: bool = False
    """Send text that is not public to another machine."""

    allow_http: bool = False
    """Send text to another machine without encryption."""

    price: Price | None = None
    workers: int = 4
    """Requests at a time."""

    patience: float = 300.0
    """Seconds after which a request that is refused for the moment, times out or meets nobody is given up."""

    timeout: float = 120.0
    """Seconds for one attempt."""

    limit: int | None = None
    """Items a task that are judged, or all."""

    def __post_init__(self) -> None:
        for name, value in (("WORKERS", self.workers), ("PATIENCE", self.patience), ("TIMEOUT", self.timeout)):
            if not 0 < value < math.inf:
                raise MedslmError(f"{PREFIX}_{name} is {value}; give a number above 0")
        if self.limit is not None and self.limit < 1:
            raise MedslmError(f"{PREFIX}_LIMIT is {self.limit}; judge at least one item a task, or leave it out")

    @property
    def endpoints(self) -> list[Endpoint]:
        """The judges, the first of which counts."""
        return [self.judge, *filter(None, [self.second])]


def from_environment(environ: Mapping[str, str] | None = None) -> Settings | None:
    """The judge that `MEDSLM_JUDGE_URL` and `MEDSLM_JUDGE_MODEL` name; none if neither is set.

    Further variables: `_KEY`, `_RUBRIC`, `_PRICE` (`0.15/0.60`: a million tokens in and out), `_LIMIT`, `_WORKERS`,
    `_PATIENCE` and `_TIMEOUT` (seconds), `_ALLOW_REMOTE`, `_ALLOW_HTTP`, and `MEDSLM_JUDGE2_URL`, `_MODEL`, `_KEY` for a
    second judge. Raises `MedslmError` for a judge that is half given and for values that mean nothing.
    """
    told = os.environ if environ is None else environ
    judge, second = _endpoint(told, PREFIX), _endpoint(told, SECOND)
    if judge is None:
        if second is not None:
            raise MedslmError(f"{SECOND}_URL names a second judge, but there is no first; set {PREFIX}_URL")
        return None
    limit = address.number(told, f"{PREFIX}_LIMIT", 0)
    return Settings(
        judge,
        second,
        rubric=told.get(f"{PREFIX}_RUBRIC", ""),
        allow_remote=_flag(told, "ALLOW_REMOTE"),
        allow_http=_flag(told, "ALLOW_HTTP"),
        price=price(told.get(f"{PREFIX}_PRICE", "")),
        workers=int(address.number(told, f"{PREFIX}_WORKERS", Settings.workers)),
        patience=address.number(told, f"{PREFIX}_PATIENCE", Settings.patience),
        timeout=address.number(told, f"{PREFIX}_TIMEOUT", Settings.timeout),
        limit=int(limit) if f"{PREFIX}_LIMIT" in told else None,
    )


def price(told: str) -> Price | None:
    """`0.15/0.60` as a price; none for nothing. Raises `MedslmError` for anything else."""
    if not told:
        return None
    try:
        tokens_in, tokens_out = (float(part) for part in told.split("/"))
    except ValueError:
        raise MedslmError(
            f"the judge's price is given as '{told}'; write the price of a million tokens in and out, as in 0.15/0.60"
        ) from None
    return Price(tokens_in, tokens_out)


def _endpoint(told: Mapping[str, str], prefix: str) -> Endpoint | None:
    url, model = (told.get(f"{prefix}_{name}", "") for name in ("URL", "MODEL"))
    if bool(url) != bool(model):
        raise MedslmError(
            f"{prefix}_{'URL' if url else 'MODEL'} is set and {prefix}_{'MODEL' if url else 'URL'} is not; set both, or "
            "neither to judge nothing"
        )
    return Endpoint(url.rstrip("/"), model, told.get(f"{prefix}_KEY", ""), prefix) if url else None


def _flag(told: Mapping[str, str], name: str) -> bool:
    value = told.get(f"{PREFIX}_{name}", "").lower()
    if value not in (*TRUE, *FALSE):
        raise MedslmError(f"{PREFIX}_{name} is '{value}'; write 1 for yes or 0 for no")
    return value in TRUE
