"""The server itself: a socket, tokens, a log of what was asked, and the handles that a test holds."""

from __future__ import annotations

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

from hub_server import lfs, listings, repos, uploads
from hub_server.faults import Dropped, Faults
from hub_server.store import Commit, Repo, Store
from hub_server.web import HubError, Request, Response, User
from hub_server.xet import XetStore

ROUTES = repos.ROUTES + listings.ROUTES + uploads.ROUTES + lfs.ROUTES


class Token(str):
    """A token that no assertion, traceback or log spells out."""

    def __repr__(self) -> str:
        return "<a token of the test server>"


class Asked(NamedTuple):
    """One line of the log; a query may carry a signature, so it is not kept."""

    method: str
    path: str
    status: int
    """0: the connection was dropped."""


class HubServer:
    """`with HubServer(tmp_path) as hub:` a Hub at `hub.endpoint`, whose large files live at another origin."""

    def __init__(self, folder: Path, *, page: int = 1000, multipart: int = 0) -> None:
        """`page` entries fill a page of a listing; files of `multipart` bytes or more come in parts (0: never)."""
        self.page, self.multipart = page, multipart
        self.store, self.xet, self.faults = Store(), XetStore(folder / "xet"), Faults()
        self.users: dict[str, User] = {}
        """Token -> its owner."""
        self.signature = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
        self.log: list[Asked] = []
        self._lock = threading.RLock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._http.server_port}"
        self.storage = f"http://localhost:{self._http.server_port}"
        """The origin of large files; it wants a signature and refuses a token."""

    def __enter__(self) -> HubServer:  # typing.Self came with Python 3.11
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def token(self, name: str, role: str = "write", orgs: tuple[str, ...] = ()) -> Token:
        """A new token of user `name`, who is a member of `orgs`."""
        secret = hashlib.sha256(f"{name} {role} {len(self.users)}".encode()).hexdigest()[:30]
        token = Token(f"hf_test{secret}")
        self.users[token] = User(name, role, orgs)
        return token

    def repo(self, repo_id: str, kind: str = "models") -> Repo:
        """A repository that exists."""
        return self.store.repos[kind, repo_id]

    def create(self, repo_id: str, kind: str = "models", *, private: bool = False) -> Repo:
        """A new repository, made behind the clients' backs."""
        return self.store.create(kind, repo_id, private, repo_id.partition("/")[0])

    def commit(self, repo_id: str, files: dict[str, bytes], kind: str = "models", title: str = "by hand") -> Commit:
        """A commit on `main`, made behind the clients' backs; `.safetensors` are stored as large files."""
        repo = self.repo(repo_id, kind)
        tree = dict(repo.resolve("main").files)
        for path, content in files.items():
            large = hashlib.sha256(content).hexdigest() if path.endswith(".safetensors") else ""
            if large:
                self.store.large[large] = content
            tree[path] = self.store.big(large, len(content)) if large else self.store.small(content)
        return repo.commit(tree, "main", title, "", repo.namespace)

    def read(self, repo_id: str, path: str, kind: str = "models") -> bytes:
        """The bytes of one file at `main`."""
        return self.store.read(self.repo(repo_id, kind).resolve("main").files[path])

    def asked(self, method: str, part: str) -> list[Asked]:
        """The lines of the log with this method and this part in the path."""
        return [line for line in self.log if line.method == method and part in line.path]

    def answer(self, request: Request) -> Response:
        """Find who asks and which route answers."""
        try:
            with self._lock:
                request.user = self._who(request)
                return self._route(request)
        except HubError as error:
            return error.response()

    def _who(self, request: Request) -> User | None:
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if not token:
            return None
        if kind != "Bearer" or token not in self.users:
            raise HubError(401, "Invalid credentials in Authorization header")
        return self.users[token]

    def _route(self, request: Request) -> Response:
        for methods, pattern, route in ROUTES:
            found = pattern.fullmatch(request.path)
            if found and request.method in methods.split():
                return route(self, request, **found.groupdict(default=""))
        raise HubError(404, f"Sorry, we can't find {request.path}")


def _handler(hub: HubServer) -> type[BaseHTTPRequestHandler]:
    """The socket side: read one request whole, answer it, keep one line of log."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # headers and body are two writes: without this each answer waits 40 ms

        def _serve(self) -> None:
            url = urlsplit(self.path)
            query = dict(parse_qsl(url.query, keep_blank_values=True))
            request = Request(self.command, url.path, query, self.headers, self._body())
            try:
                response = hub.faults.handle(request, hub.answer)
            except Dropped:
                hub.log.append(Asked(self.command, url.path, 0))
                self.close_connection = True
                return
            hub.log.append(Asked(self.command, url.path, response.status))
            self._send(response)

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = _serve

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def _send(self, response: Response) -> None:
            try:
                self.send_response(response.status)
                for name, value in response.headers.items():
                    self.send_header(name, value)
                if "Content-Length" not in response.headers:
                    self.send_header("Content-Length", str(len(response.body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(response.body)
            except (BrokenPipeError, ConnectionResetError):  # the client went away first
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on stderr: `HubServer.log` keeps what a test needs."""

    return Handler
