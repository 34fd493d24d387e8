"""The scripted judge: a persona decides what it says, a list of faults what goes wrong first."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

FENCED = re.compile(
    r"\[\[BEGIN (?P<name>[\w ]+) (?P<mark>[0-9a-f]{16})\]\]\n(?P<text>.*?)\n\[\[END (?P=name) (?P=mark)\]\]", re.DOTALL
)
Heeds = Literal["schema", "object", "ignores", "refuses"]


@dataclass(frozen=True)
class Asked:
    """One request for a verdict."""

    body: dict[str, Any]
    headers: dict[str, str]

    @property
    def prompt(self) -> str:
        """All that the judge is told."""
        return "\n\n".join(message["content"] for message in self.body["messages"])

    @property
    def parts(self) -> dict[str, str]:
        """What stands between the fences, by name."""
        return {found["name"]: found["text"] for found in FENCED.finditer(self.body["messages"][-1]["content"])}

    @property
    def criteria(self) -> list[str]:
        """What points are wanted for."""
        return re.findall(r'"(\w+)": points', self.prompt[self.prompt.rindex("Answer with one JSON object") :])

    def points(self, number: int) -> str:
        """A verdict with the same points in each criterion."""
        return json.dumps({"reason": "as told", **dict.fromkeys(self.criteria, number)})


Persona = Callable[[Asked], str]


@dataclass
class Fault:
    """What happens to the next request for a verdict; the last field that is set counts."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b'{"error": {"message": "ordered by a test"}}'
    content: str | None = None
    """Say this instead of a verdict."""
    finish: str = "stop"
    empty: bool = False
    """Answer without choices."""
    drop: bool = False
    """Close the connection."""
    hang: bool = False
    """Answer when the server is closed."""
    half: bool = False
    """Send half of the body as if it were the whole."""
    model: str | None = None
    """From now on the server calls itself so."""


class JudgeServer:
    """`with JudgeServer(persona) as server:` an endpoint at `server.url`."""

    def __init__(
        self, persona: Persona, *, heeds: Heeds = "schema", rejects: tuple[str, ...] = (), fastapi: bool = False
    ) -> None:
        """`rejects`: settings that are refused with a 400 that names them, or as FastAPI does, with a 422."""
        self.persona, self.heeds, self.rejects, self.fastapi = persona, heeds, rejects, fastapi
        self.model = "scripted-1"
        self.faults: list[Fault] = []
        self.trials = 0
        self.asked: list[Asked] = []
        """Requests for a verdict, those that met a fault too."""
        self._lock, self._closed = threading.Lock(), threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"

    def __enter__(self) -> JudgeServer:  # typing.Self came with Python 3.11
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._http.shutdown()
        self._http.server_close()

    def answer(self, asked: Asked) -> tuple[int, dict[str, str], bytes] | None:
        """Status, headers and body; none to close the connection."""
        if named := next((name for name in self.rejects if self._has(asked.body, name)), None):
            if self.fastapi:
                detail = [{"loc": ["body", named], "msg": "Extra inputs are not permitted", "input": asked.prompt}]
                return 422, {}, json.dumps({"detail": detail}).encode()
            other = " Use 'max_completion_tokens' instead." if named == "max_tokens" else ""
            return 400, {}, json.dumps({"error": {"message": f"Unsupported parameter: '{named}'.{other}"}}).encode()
        shape = asked.body.get("response_format", {}).get("type", "")
        if shape and self.heeds == "refuses":
            return 400, {}, b'{"error": {"message": "response_format is not supported"}}'
        if "single word hello" in asked.prompt:
            self.trials += 1
            held = {"json_schema": "schema", "json_object": "object"}.get(shape) == self.heeds
            return 200, {}, self._completion('{"colour": "blue"}' if held else "hello")
        with self._lock:
            self.asked.append(asked)
            fault = self.faults.pop(0) if self.faults else Fault()
            self.model = fault.model or self.model
        return self._met(fault, asked)

    def _met(self, fault: Fault, asked: Asked) -> tuple[int, dict[str, str], bytes] | None:
        if fault.hang:
            self._closed.wait(30)
            return None
        if fault.drop:
            return None
        if fault.status:
            return fault.status, fault.headers, fault.body
        said = self.persona(asked) if fault.content is None else fault.content
        body = self._completion(said, fault.finish, choices=not fault.empty)
        return 200, {}, body[: len(body) // 2] if fault.half else body

    def _completion(self, content: str, finish: str = "stop", choices: bool = True) -> bytes:
        choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": content}}
        told = {
            "id": "c",
            "object": "chat.completion",
            "created": 0,
            "model": self.model,
            "choices": [choice] * choices,
        }
        told |= {
            "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
            "system_fingerprint": "fp",
        }
        return json.dumps(told).encode()

    @staticmethod
    def _has(body: dict[str, Any], name: str) -> bool:
        return name in body or (name == "system" and any(m["role"] == "system" for m in body["messages"]))


def _handler(server: JudgeServer) -> type[BaseHTTPRequestHandler]:
    """The socket side."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # headers and body are two writes: without this each answer waits 40 ms

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path != "/v1/chat/completions":
                found: Any = (404, {}, b'{"error": {"message": "no such path"}}')
            else:
                found = server.answer(Asked(body, {name.lower(): value for name, value in self.headers.items()}))
            if found is None:
                self.close_connection = True
                return
            status, headers, told = found
            try:
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(told)))
                self.end_headers()
                self.wfile.write(told)
            except (BrokenPipeError, ConnectionResetError):  # the client went away first
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on stderr: `JudgeServer.asked` keeps what a test needs."""

    return Handler
