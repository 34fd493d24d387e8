"""TOON text and back: the official `toon-format`, and the faster `ctoon` where it is installed and gives the same.

Specification 4.4: https://github.com/toon-format/spec. Numbers decode to the text that was written, since `250.00` and
`1E50` are codes here. `ctoon` (a C++ package) turns numbers into floats, so it is asked only where its result cannot
differ: values without numbers are encoded, and texts without unquoted numbers decoded, by it; its refusals are judged
again by `toon-format`, whose verdict and line number are the ones reported.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import toon_format

from medslm.errors import MedslmError

SPEC: str = toon_format.__toon_spec__
OFFICIAL = "toon-format"
FAST = "ctoon"

DEEPEST = 100
"""Levels of nesting that are read and written; the packages give up at different depths, and no example needs as many."""


class ToonError(MedslmError):
    """Text that is not TOON, or a value that TOON cannot hold; never shows the content, which may be a patient's."""

    def __init__(self, problem: str, line: int | None = None) -> None:
        super().__init__(problem if line is None else f"line {line}: {problem}")
        self.problem = problem
        self.line = line


@cache
def packages() -> dict[str, str]:
    """The TOON packages that are installed and their versions, the one to prefer first."""
    found = {}
    for name in (FAST, OFFICIAL):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def encode(value: Any, package: str | None = None) -> str:
    """One value (text, numbers, lists, mappings) as TOON, byte for byte the same by every package.

    Raises `ToonError` for NaN and infinities (TOON would write `null`), lone surrogates, keys that are not text and
    types without a notation. Objects of one list that differ only in the order of their keys come back in one order.
    """
    fast = _inspect(value, 0)
    try:
        if fast and _chosen(package) == FAST:
            import ctoon  # type: ignore[import-untyped,import-not-found]

            text: str = ctoon.dumps(value)
        else:
            text = toon_format.encode(value)
    except ValueError:  # all that `_inspect` leaves to refuse
        raise ToonError("a text holds half of a surrogate pair, which UTF-8 cannot write; mend its source") from None
    return text


def decode(text: str, package: str | None = None) -> Any:
    """The value of a TOON document, strictly read, with every number as the text that was written.

    `true`, `false` and `null` without quotes are Python's. Raises `ToonError`, with the line where there is one.
    """
    try:
        data = text.encode()
    except UnicodeEncodeError:
        raise ToonError(
            "the text holds half of a surrogate pair, which no TOON document can; mend its source"
        ) from None
    if _chosen(package) == FAST:
        import ctoon

        try:
            value = ctoon.loads(data)
        except RuntimeError:
            return _official(text)
        return value if _inspect(value, 0) else _official(text)
    return _official(text)


def _chosen(package: str | None) -> str:
    """The package to use; raises `ToonError` if it is not installed."""
    if package is None:
        return next(iter(packages()))
    if package not in packages():
        raise ToonError(f"the TOON package '{package}' is not installed; there is {', '.join(packages())}")
    return package


def _official(text: str) -> Any:
    try:
        value = toon_format.decode(text, parse_int=str, parse_float=str)
    except toon_format.ToonDecodeError as error:
        raise ToonError(_without_content(error.msg), error.line) from None
    _inspect(value, 0)
    return value


_GRAMMAR = re.compile(
    r"'(?:key: values?|:|\{)'"
)  # quotes in the package's messages that show its grammar, not the text


def _without_content(message: str) -> str:
    """The message of `toon-format` up to where it would show a piece of the document."""
    masked = _GRAMMAR.sub(lambda quoted: "\0" * len(quoted[0]), message)
    shown = re.search(r"['\"\\]", masked)
    return message[: shown.start()].rstrip() if shown else message


def _inspect(value: Any, depth: int) -> bool:
    """True if every package treats `value` alike; raises `ToonError` for what TOON cannot hold."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return True
    if depth == DEEPEST:
        raise ToonError(f"the value is nested more than {DEEPEST} levels deep; flatten it")
    if isinstance(value, Mapping):
        if strange := [key for key in value if not isinstance(key, str)]:
            raise ToonError(f"a key is of type {type(strange[0]).__name__}; keys are text")
        return kind is dict and _alike(value.values(), depth)
    if isinstance(value, list | tuple):
        return _alike(value, depth)
    if isinstance(value, float) and not math.isfinite(value):
        raise ToonError("a number is not finite, and TOON would write null; leave it out or write it as text")
    if isinstance(value, str | int | float):
        return False
    raise ToonError(f"a value is of type {kind.__name__}, for which TOON has no notation; write it as text")


def _alike(parts: Iterable[Any], depth: int) -> bool:
    """True if `_inspect` is for all parts; looks at each, also behind the first that is not."""
    alike = True
    for part in parts:
        alike &= _inspect(part, depth + 1)
    return alike
