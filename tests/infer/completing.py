"""A scripted server of OpenAI's completions protocol on loopback, with the habits of real ones, and their troubles."""

from __future__ import annotations

import json
import math
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

from medslm.infer.engines.openai import NOBODY

Habits = Literal["vllm", "llama.cpp", "biased", "texts"]
"""`vllm` echoes prompts with log-probabilities; `llama.cpp` ignores `echo` and tells what was likely before the bias;
`biased` after it; `texts` takes texts and OpenAI's own fields only, as TGI and `transformers serve` do."""

OWN = {
    "model",
    "prompt",
    "max_tokens",
    "temperature",
    "seed",
    "top_p",
    "stop",
    "stream",
    "logprobs",
    "echo",
    "logit_bias",
}
BEST = 7
"""The token that is likeliest after every prompt, with a probability of one half."""


def logprob(token: int) -> float:
    """Nats, after every prompt."""
    return math.log(0.5 if token == BEST else 0.25 / (1 + token))


@dataclass
class Fault:
    """What happens to the next request; the last field that is set counts."""

    status: int = 0
    body: bytes = b'{"error": {"message": "ordered by a test"}}'
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False
    hang: bool = False
    hollow: bool = False
    """Answer without choices."""
    answer: dict[str, Any] | None = None
    """Answer so under a 200."""


class CompletionServer:
    """`with CompletionServer(habits) as server:` an endpoint at `server.url`, whose every reply is `says`."""

    def __init__(
        self,
        habits: Habits = "vllm",
        says: str = "a reply",
        breaks: bool = False,
        any_name: bool = False,
        names: tuple[str, ...] = (),
    ) -> None:
        """`breaks`: streams end without saying why; `any_name`: one model answers whatever it is called; `names`: of the
        models that it lists, if it lists any."""
        self.habits, self.says, self.breaks, self.any_name, self.names = habits, says, breaks, any_name, names
        self.faults: list[Fault] = []
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self._closed = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"

    def __enter__(self) -> CompletionServer:
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._http.shutdown()
        self._http.server_close()

    def answer(self, body: dict[str, Any]) -> tuple[int, dict[str, str], bytes] | None:
        """Status, headers and body; none to close the connection."""
        if body["model"] == NOBODY and not self.any_name:
            return 404, {}, b'{"error": {"message": "no such model"}}'
        self.asked.append(body)
        fault = self.faults.pop(0) if self.faults else Fault()
        if fault.hang:
            self._closed.wait(30)
        if fault.hang or fault.drop:
            return None
        if fault.answer is not None:
            return 200, {}, json.dumps(fault.answer).encode()
        if fault.status:
            return fault.status, fault.headers, fault.body
        if self.habits == "texts" and (not isinstance(body["prompt"], str) or set(body) - OWN):
            return 422, {}, b'{"detail": "Unexpected fields in the request, or a prompt that is no string"}'
        if body.get("stream"):
            return 200, {"Content-Type": "text/event-stream"}, self._streamed()
        told = self._whole([] if fault.hollow else [self._choice(body)])
        told["usage"]["prompt_tokens"] = len(body["prompt"]) if isinstance(body["prompt"], list) else 0  # not counted
        return 200, {}, json.dumps(told).encode()

    def _choice(self, body: dict[str, Any]) -> dict[str, Any]:
        told = self._told(body) if "logprobs" in body and self.habits != "texts" else None
        return {"index": 0, "text": self.says, "finish_reason": "stop", "logprobs": told}

    def _told(self, body: dict[str, Any]) -> dict[str, Any] | None:
        if self.habits == "vllm":
            if not body.get("echo"):
                return None
            each = [*map(logprob, body["prompt"]), logprob(BEST)]
            tops = [{"it": one, "best": max(one, logprob(BEST))} for one in each]
            return {"token_logprobs": [None, *each[1:]], "top_logprobs": [None, *tops[1:]]}
        token = int(next(iter(body.get("logit_bias", {BEST: 0}))))
        one = {"id": token, "logprob": 0.0 if self.habits == "biased" else logprob(token)}
        return {"content": [{**one, "top_logprobs": [{"id": BEST, "logprob": logprob(BEST)}]}]}

    def _streamed(self) -> bytes:
        parts = [{"index": 0, "text": word, "finish_reason": None} for word in self.says.split(" ")]
        if not self.breaks:
            parts.append({"index": 0, "text": "", "finish_reason": "stop"})
        lines = [f"data: {json.dumps(self._whole([part]))}\n\n" for part in parts]
        return "".join([*lines, "data: [DONE]\n\n"]).encode()

    def _whole(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
        named = {"id": "c", "object": "text_completion", "created": 0, "model": "m", "system_fingerprint": "fp-1"}
        return {**named, "choices": choices, "usage": usage}


def _handler(server: CompletionServer) -> type[BaseHTTPRequestHandler]:
    """The socket side."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # headers and body are two writes: without this each answer waits 40 ms

        def do_GET(self) -> None:
            listed = {"object": "list", "data": [{"id": name, "object": "model"} for name in server.names]}
            known = self.path == "/v1/models" and server.names
            self._send(200 if known else 404, {}, json.dumps(listed).encode())

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.headers.append({name.lower(): value for name, value in self.headers.items()})
            found = server.answer(body) if self.path == "/v1/completions" else (404, {}, b"{}")
            if found is None:
                self.close_connection = True
                return
            self._send(*found)

        def _send(self, status: int, headers: dict[str, str], told: bytes) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on stderr: `CompletionServer.asked` keeps what a test needs."""

    return Handler
