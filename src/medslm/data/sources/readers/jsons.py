"""JSON rows, one object a line or one array of objects, in memory that does not grow with the file."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NoReturn

from medslm.data.sources.readers.located import BOM, Located, bad_byte, check_start, not_utf8, opened
from medslm.errors import MedslmError

CHUNK = 1 << 20  # characters read at once from an array
LONGEST_TOKEN = 16  # characters; an error closer to the end of a chunk may be a token that the next one completes
SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
SPACE = re.compile(r"[ \t\r\n]*")


class Written(float):
    """A number that remembers how the file wrote it, so that the code `250.00` stays what it is."""

    text: str

    def __new__(cls, text: str) -> Written:
        self = super().__new__(cls, text)
        self.text = text
        return self

    def __getnewargs__(self) -> tuple[str]:  # type: ignore[override]
        return (self.text,)


class _Refused(ValueError):
    """JSON that Python would read and that cannot be kept as it is."""


def _number(text: str) -> Written:
    if math.isinf(number := Written(text)):
        raise _Refused("a number is too large for a float; write it as text")
    return number


def _constant(name: str) -> NoReturn:
    raise _Refused(f"{name} is no JSON and no value; write null or leave the field out")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(held := dict(pairs)) != len(pairs):
        raise _Refused("one object has the same name twice; the second value would replace the first")
    return held


DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=_number)


def _check(place: str, value: Any, text: str, start: int, end: int) -> dict[str, Any]:
    """The value if it is an object of text that can be encoded. Raises `MedslmError`."""
    if not isinstance(value, dict):
        kind = {list: "an array", str: "text", type(None): "null", bool: "true or false"}.get(type(value), "a number")
        hint = "; a file with one array of objects is called .json" if isinstance(value, list) else ""
        raise MedslmError(f"{place} holds {kind} and not an object; write each row as {{...}}{hint}")
    if SURROGATE.search(text, start, end):
        try:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            raise MedslmError(
                f"{place} holds half of a surrogate pair (\\uD800 to \\uDFFF alone), which is no character and cannot "
                "be written; the tool that made the file cut a character in two"
            ) from None
    return value


def _reason(error: Exception) -> str:
    """Why JSON was not read, in words that hold nothing of it."""
    if isinstance(error, json.JSONDecodeError):
        return f"is not valid JSON ({error.msg.split(': ')[0]}, character {error.pos + 1}); mend it or write it again"
    if isinstance(error, RecursionError):
        return "is nested too deeply; make it flatter"
    return (
        f"cannot be kept: {error}"
        if isinstance(error, _Refused)
        else "holds a number of thousands of digits; write it as text"
    )


def lines(path: Path) -> Iterator[Located]:
    """One object a line; empty lines are passed over. Raises `MedslmError` with file and line."""
    check_start(path)
    offset = 0
    with opened(path) as stream:
        for number, raw in enumerate(stream, 1):
            skipped = len(BOM) if number == 1 and raw.startswith(BOM) else 0
            if raw[skipped:].strip():
                yield Located(_line(path, number, offset, raw, skipped), str(path), "line", number)
            offset += len(raw)


def _line(path: Path, number: int, offset: int, raw: bytes, skipped: int) -> dict[str, Any]:
    place = f"{path}, line {number}"
    try:
        text = raw[skipped:].decode("utf-8")
    except UnicodeDecodeError as error:
        raise bad_byte(path, number, offset + skipped + error.start) from None
    try:
        value = DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        cut = isinstance(error, json.JSONDecodeError) and not raw.endswith(b"\n")
        hint = "; the file ends there, so it may be cut off" if cut else ""
        raise MedslmError(f"{place} ({len(raw)} bytes) {_reason(error)}{hint}") from None
    return _check(place, value, text, 0, len(text))


def either(path: Path) -> Iterator[Located]:
    """A `.json` file: one array of objects, or one object a line. Raises `MedslmError` with file and row or line."""
    check_start(path)
    with opened(path) as stream:
        first = stream.read(1 << 16).removeprefix(BOM).lstrip()[:1]
    return array(path) if first == b"[" else _objects(path)


def _objects(path: Path) -> Iterator[Located]:
    with opened(path) as stream:
        start = stream.readline().removeprefix(BOM).strip()
    if start in (b"{", b"{}") or (start.startswith(b"{") and not start.endswith(b"}")):
        raise MedslmError(
            f"{path} holds neither an array of objects nor one object a line; write [{{...}}, {{...}}], or one object "
            "a line"
        )
    yield from lines(path)


def array(path: Path) -> Iterator[Located]:
    """The objects of one array. Raises `MedslmError` with file and row."""
    check_start(path)
    with opened(path) as stream, io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as text:
        window = _Window(path, text)
        try:
            yield from window.rows()
        except UnicodeDecodeError:
            raise not_utf8(path) from None


class _Window:
    """The part of an array's text that is in memory: it moves along the file."""

    def __init__(self, path: Path, stream: IO[str]) -> None:
        self._path, self._stream = path, stream
        self._text, self._at, self._line, self._row = "", 0, 1, 0
        self._ended = False

    def rows(self) -> Iterator[Located]:
        """Every object of the array, in its order."""
        self._expect("[")
        if self._next() == "]":
            self._at += 1
        else:
            while True:
                self._row += 1
                yield Located(self._object(), str(self._path), "row", self._row)
                if self._expect(",", "]") == "]":
                    break
        if self._next():
            raise self._error("has more text after the end of its array; a file holds one array")

    def _error(self, what: str) -> MedslmError:
        return MedslmError(f"{self._path}, row {self._row} (line {self._line}) {what}")

    def _more(self) -> bool:
        """Read on, twice as much as is held if that is more; False at the end of the file."""
        fresh = self._stream.read(max(CHUNK, len(self._text) - self._at))
        self._text, self._at = self._text[self._at :] + fresh, 0
        self._ended = not fresh
        return bool(fresh)

    def _move(self, to: int) -> None:
        self._line += self._text.count("\n", self._at, to)
        self._at = to

    def _next(self) -> str:
        """The next character that is not white space; nothing at the end of the file."""
        while True:
            space = SPACE.match(self._text, self._at)
            self._move(space.end() if space else self._at)
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def _expect(self, *marks: str) -> str:
        found = self._next()
        if found not in marks or not found:
            what = (
                f"is not followed by {' or '.join(marks)}" if found else "is the last: the file ends before its array"
            )
            raise self._error(f"{what}; the file is cut off or not valid JSON")
        self._at += 1
        return found

    def _object(self) -> dict[str, Any]:
        self._next()
        while True:
            try:
                value, end = DECODER.raw_decode(self._text, self._at)
                break
            except json.JSONDecodeError as error:
                unfinished = error.msg.startswith("Unterminated") or error.pos > len(self._text) - LONGEST_TOKEN
                if unfinished and self._more():
                    continue
                what = "ends with the file, which is cut off" if self._ended else f"is not valid JSON ({error.msg})"
                raise self._error(f"{what}; mend the row or write the file again") from None
            except (ValueError, RecursionError) as error:
                raise self._error(_reason(error)) from None
        held = _check(f"{self._path}, row {self._row} (line {self._line})", value, self._text, self._at, end)
        self._move(end)
        return held
