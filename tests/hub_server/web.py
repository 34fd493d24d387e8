"""What a route sees and answers: a request, a response, and an error with the Hub's own headers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs


@dataclass(frozen=True)
class User:
    """Who asks: the owner of the token that the request carries."""

    name: str
    role: str
    """`read` or `write`."""
    orgs: tuple[str, ...] = ()

    def may_read(self, namespace: str) -> bool:
        """Whether private repositories of `namespace` are visible."""
        return namespace == self.name or namespace in self.orgs

    def may_write(self, namespace: str) -> bool:
        """Whether repositories of `namespace` may be changed."""
        return self.role == "write" and self.may_read(namespace)


@dataclass
class Request:
    """One request: its path is decoded later, since a branch name may hold an escaped slash."""

    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: bytes
    user: User | None = None

    def json(self) -> Any:
        """The body as JSON; an empty body is an empty object."""
        return json.loads(self.body or b"{}")

    def fields(self) -> dict[str, list[str]]:
        """The body as JSON or as a form, every value a list."""
        if "json" in self.headers.get("Content-Type", ""):
            return {key: value if isinstance(value, list) else [str(value)] for key, value in self.json().items()}
        return parse_qs(self.body.decode())


@dataclass
class Response:
    """One answer; `Content-Length` is added when it is sent."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class HubError(Exception):
    """An answer that refuses: status, the Hub's error code and a sentence."""

    def __init__(self, status: int, message: str, code: str = "", **headers: str) -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def response(self) -> Response:
        """The answer as the Hub words it: `X-Error-Code`, `X-Error-Message` and a JSON body."""
        headers = {"X-Error-Message": self.message, "Content-Type": "application/json", **self.headers}
        if self.code:
            headers["X-Error-Code"] = self.code
        return Response(json.dumps({"error": self.message}).encode(), self.status, headers)


def answer(value: Any, status: int = 200, **headers: str) -> Response:
    """A JSON answer."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Response(json.dumps(value).encode(), status, {"Content-Type": "application/json", **named})


def ranged(data: bytes, request: Request, headers: dict[str, str]) -> Response:
    """`data`, or the slice that a `Range: bytes=a-b` header asks for (206), or 416 beyond the end."""
    headers = {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream", **headers}
    asked = request.headers.get("Range", "")
    if not asked.startswith("bytes="):
        return Response(data, 200, headers)
    first, _, last = asked[len("bytes=") :].partition("-")
    start = int(first) if first else max(0, len(data) - int(last))
    stop = min(int(last) + 1, len(data)) if first and last else len(data)
    if start >= len(data) or start >= stop:
        return Response(b"", 416, {**headers, "Content-Range": f"bytes */{len(data)}"})
    return Response(data[start:stop], 206, {**headers, "Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"})
