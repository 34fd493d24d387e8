"""Faults to order: the next requests that match a pattern are refused, dropped, corrupted or overtaken."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from hub_server.web import Request, Response


class Dropped(Exception):
    """The connection closes without an answer."""


@dataclass
class Fault:
    """What happens to the next `times` requests whose `METHOD /path` matches `pattern`."""

    pattern: str
    times: int = 1
    status: int = 0
    """Answer this status instead of the true one; 0 keeps the true one."""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b'{"error": "ordered by a test"}'
    drop: bool = False
    """Close the connection instead of answering."""
    corrupt: bool = False
    """Answer a body of the right size whose first byte is wrong."""
    acts: bool = False
    """With `status` or `drop`: do what was asked first, so that only the answer is lost."""
    before: Callable[[], object] | None = None
    """Called before the request is handled: a rival who is quicker."""


class Faults:
    """The orders of one server, in the order given; a used-up order is skipped."""

    def __init__(self) -> None:
        self._orders: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, pattern: str, **what: object) -> Fault:
        """Order one fault, see `Fault`."""
        fault = Fault(pattern, **what)  # type: ignore[arg-type]
        self._orders.append(fault)
        return fault

    def take(self, request: Request) -> Fault | None:
        """The order that this request meets, counted down."""
        with self._lock:
            for fault in self._orders:
                if fault.times > 0 and re.search(fault.pattern, f"{request.method} {request.path}"):
                    fault.times -= 1
                    return fault
        return None

    def handle(self, request: Request, handler: Callable[[Request], Response]) -> Response:
        """Answer through `handler`, with the fault that was ordered for this request."""
        fault = self.take(request)
        if fault is None:
            return handler(request)
        if fault.before:
            fault.before()
        replaces = fault.drop or bool(fault.status)
        true = handler(request) if fault.acts or not replaces else Response()
        if fault.drop:
            raise Dropped
        if fault.status:
            return Response(fault.body, fault.status, {"Content-Type": "application/json", **fault.headers})
        if fault.corrupt and true.body:
            true.body = bytes([true.body[0] ^ 0xFF]) + true.body[1:]
        return true
