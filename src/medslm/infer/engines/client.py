"""A server of OpenAI's protocol, asked again while that may help: the only file that knows the `openai` package."""

from __future__ import annotations

import itertools
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timezone
from email.utils import parsedate_to_datetime
from queue import Empty, SimpleQueue
from typing import Any, NoReturn, TypeVar
from urllib.parse import urljoin, urlsplit

from medslm.errors import MedslmError
from medslm.infer.engines import words
from medslm.infer.engines.address import Endpoint

T = TypeVar("T")
S = TypeVar("S")
INSTALL = "pip install 'medslm[judge]'"
FIRST, LONGEST = 0.5, 30.0  # seconds between attempts: doubled each time, up to the longest
FEW = 3  # attempts where more of them hardly help: nobody there from the start, and answers of another protocol
WORTH_SAYING = 5.0  # seconds of waiting
PASSING = (408, 409, 425, 429)  # and 500 to 599: asking again may help
OF_THE_REQUEST = (400, 413, 422)  # this request is refused; others may not be


class Refused(MedslmError):
    """The server takes other requests, but not this one."""


class Unavailable(MedslmError):
    """The patience is at its end."""


class Passing(Exception):
    """May be over when asked again; `wait`: seconds that the server asks for; `few`: hardly, so that soon is given up."""

    def __init__(self, why: str, wait: float | None = None, few: bool = False, status: int = 0) -> None:
        super().__init__(why)
        self.wait, self.few, self.status = wait, few, status


class Client:
    """`with Client(endpoint) as client: client.ask(...)`; several threads may ask.

    Raises `MedslmError` if the `openai` package is not installed.
    """

    def __init__(self, endpoint: Endpoint, *, patience: float = 300.0, timeout: float = 120.0) -> None:
        """`patience`: seconds for one request with all its attempts; `timeout`: seconds in which nothing is heard."""
        try:
            import httpx2
            import openai
        except ImportError:
            raise MedslmError(
                f"{endpoint.called} is asked through the openai package, which is not installed: {INSTALL}"
            ) from None
        self.endpoint, self.patience, self.timeout, self.attempts = endpoint, patience, timeout, 0
        self.broken = (openai.OpenAIError, httpx2.HTTPError)
        """What may be raised while an answer that came is read on."""
        self._openai, self._stopped, self._lock = openai, threading.Event(), threading.Lock()
        self._met = self._said = False
        try:
            # an answer that points elsewhere would carry the text there, a proxy would see what is to stay on the machine
            http = openai.DefaultHttpxClient(follow_redirects=False, trust_env=not endpoint.local)
        except (ImportError, OSError, ValueError) as error:  # not repeated: a proxy's address may hold a password
            raise MedslmError(
                f"{self._who()} cannot be asked through the proxy or with the certificates that the environment names "
                f"({type(error).__name__}); look at HTTPS_PROXY and ALL_PROXY (an http:// address; a SOCKS proxy needs "
                "`pip install socksio`), SSL_CERT_FILE and SSL_CERT_DIR"
            ) from None
        self._client: Any = openai.OpenAI(
            base_url=endpoint.url,
            api_key=endpoint.key or "none",  # else the package would send OPENAI_API_KEY wherever the address points
            max_retries=0,  # its own retries have no bound in time
            timeout=timeout,
            http_client=http,
        )
        self._client.organization = self._client.project = None  # OPENAI_ORG_ID and OPENAI_PROJECT_ID are OpenAI's

    def __enter__(self) -> Client:  # typing.Self came with Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def ask(
        self, send: Callable[[Any], T], refusals: Sequence[int] = (), asked: Callable[[], Sequence[str]] = tuple
    ) -> T:
        """What `send(openai.OpenAI)` returns; it may raise `Passing`, and what shows that an answer is none.

        Raises `Refused`, `Unavailable` after `patience` seconds, and `MedslmError` where no wait helps. `refusals`: of
        the statuses that may pass, those which refuse this request if they stay for a few attempts. `asked()`: other
        forms of what is sent, which no message repeats either.
        """
        deadline, delays, attempt = time.monotonic() + self.patience, _delays(), 0
        while True:
            attempt += 1
            try:
                return self._once(send, asked)
            except Passing as passing:
                # a wait of nothing (`Retry-After: 0`, a date that is past by this clock) is no leave to ask without a pause
                pause = passing.wait or next(delays)
                late = time.monotonic() + pause > deadline
                if passing.status in refusals and (late or attempt >= FEW):
                    raise Refused(f"{self._who()}: {passing}") from None
                if late or (passing.few and attempt >= FEW):
                    self._give_up(attempt, passing)
                self._say(pause, passing)
                if self._stopped.wait(pause):
                    raise Unavailable(f"{self._who()} was not asked any more") from None

    def each(
        self, ask: Callable[[S], T], items: Sequence[S], workers: int, done: Callable[[], Any] = lambda: None
    ) -> list[T]:
        """`ask(item)` of every item, `workers` at a time; `done()` after each; after a failure nothing more is begun.

        What is under way is waited for after a failure, and not after an interrupt.
        """
        found: dict[int, T] = {}
        waiting: SimpleQueue[tuple[int, S]] = SimpleQueue()
        answered: SimpleQueue[tuple[int, T | BaseException]] = SimpleQueue()
        for one in enumerate(items):
            waiting.put(one)
        # daemons: a process that is told to end does not wait for a slow server
        work = [
            threading.Thread(target=self._work, args=(ask, waiting, answered), daemon=True)
            for _ in range(min(max(1, workers), len(items)))
        ]
        for thread in work:
            thread.start()
        try:
            while len(found) < len(items):
                place, answer = answered.get()
                if isinstance(answer, BaseException):
                    raise answer
                found[place] = answer
                done()
        except BaseException as error:
            self._stopped.set()  # or those that wait for another attempt would be waited for
            if isinstance(error, Exception):
                for thread in work:
                    thread.join()
                self._stopped.clear()
            raise
        return [found[place] for place in range(len(items))]

    def _work(
        self,
        ask: Callable[[S], T],
        waiting: SimpleQueue[tuple[int, S]],
        answered: SimpleQueue[tuple[int, T | BaseException]],
    ) -> None:
        while not self._stopped.is_set():
            try:
                place, item = waiting.get_nowait()
            except Empty:
                return
            try:
                answered.put((place, ask(item)))
            except BaseException as error:  # noqa: BLE001 - `each` raises it, in the thread that asked
                answered.put((place, error))
                return

    def require_no_error(self, answer: Any, asked: Callable[[], Sequence[str]]) -> None:
        """Raise `Passing` for an error under a status of 200, as OpenRouter sends it, without what was `asked()`."""
        error = getattr(answer, "error", None)
        if error and not getattr(answer, "choices", None):
            raise Passing(f"it answers with an error ({words.of_field(error, asked(), self.safe)})")

    def safe(self, text: str) -> str:
        """Servers repeat keys in their errors."""
        return text.replace(self.endpoint.key, "<key>") if self.endpoint.key else text

    def _once(self, send: Callable[[Any], T], asked: Callable[[], Sequence[str]]) -> T:
        with self._lock:
            self.attempts += 1
        try:
            found = send(self._client)
            self._met = True
            return found
        except self._openai.APITimeoutError:
            raise Passing(
                f"it does not answer within {self.timeout:g} s ({self.endpoint.prefix}_TIMEOUT sets this)"
            ) from None
        except self._openai.APIStatusError as error:
            self._met = True
            self._refuse(error.status_code, error, asked())
        except self._openai.APIConnectionError as error:
            why = self.safe(str(error.__cause__ or error))
            raise Passing(f"no connection ({why}); look whether it is running", few=not self._met) from None
        except (self._openai.OpenAIError, ValueError, AttributeError, TypeError):
            raise Passing("its answer is no completion, or only a part of one", few=True) from None

    def _refuse(self, status: int, error: Any, asked: Sequence[str]) -> NoReturn:
        """Raises what the status means."""
        where, prefix = self.endpoint.url, self.endpoint.prefix
        said = words.of_error(error, self.safe, asked)
        if error.code == "insufficient_quota":
            raise Unavailable(f"the account at {where} has no credit left: {said}") from None
        if status in PASSING or status >= 500:
            raise Passing(f"it says {status} ({said})", _wait(error.response.headers), status=status) from None
        if status in OF_THE_REQUEST:
            raise Refused(f"{where} refuses the request ({status}): {said}") from None
        advice = {
            401: f"check {prefix}_KEY",
            403: f"check {prefix}_KEY and what it may use",
            404: f"check {prefix}_MODEL, and that {prefix}_URL is the whole base address, which usually ends in /v1",
        }.get(status, f"check {prefix}_URL")
        if status < 400:
            advice = f"it points elsewhere{_target(error)}: set {prefix}_URL to the base address there if you trust it"
        raise MedslmError(f"{self._who()} answers {status} ({said}); {advice}") from None

    def _give_up(self, attempt: int, passing: Passing) -> NoReturn:
        asks = f" and asks to wait {passing.wait:,.0f} s" if passing.wait else ""
        raise Unavailable(
            f"{self._who()} was given up after {attempt} attempt{'s' * (attempt > 1)}, with a patience of "
            f"{self.patience:,.0f} s: {passing}{asks}"
        ) from None

    def _say(self, pause: float, passing: Passing) -> None:
        """Once: or a bar that stands still is all that is seen."""
        if pause < WORTH_SAYING or self._said:
            return
        self._said = True
        print(f"{self._who()}: {passing}; asked again for up to {self.patience:,.0f} s a request", file=sys.stderr)

    def _who(self) -> str:
        return f"{self.endpoint.called} at {self.endpoint.url}"


def _delays() -> Iterator[float]:
    """Seconds to wait: doubled each time, and drawn between half and whole, so that threads do not return at once."""
    for doubled in itertools.count():
        yield min(LONGEST, FIRST * 2 ** min(doubled, 16)) * random.uniform(0.5, 1)


def _wait(headers: Mapping[str, str]) -> float | None:
    """The seconds that `Retry-After` asks for, as a number or a date (RFC 9110, section 10.2.3)."""
    told = headers.get("retry-after")
    if told is None:
        return None
    try:
        wait = float(told)
    except ValueError:
        if (until := _moment(told)) is None:
            return None
        sent = _moment(headers.get("date", ""))  # by the server's clock, which may differ from this one
        wait = until - (time.time() if sent is None else sent)
    return max(0.0, wait) if wait == wait else None


def _target(error: Any) -> str:
    """Where an answer points, without what may be a secret there."""
    try:
        parts = urlsplit(urljoin(str(error.request.url), error.response.headers["location"]))
        port = f":{parts.port}" if parts.port else ""
    except (KeyError, ValueError):
        return ""
    told = words.line(f"{parts.scheme}://{parts.hostname}{port}{parts.path}", [])
    return f", to {told}" if parts.hostname else ""


def _moment(told: str) -> float | None:
    """A date of HTTP in seconds since 1970; one without a zone is UTC. None for what is no date."""
    try:
        found = parsedate_to_datetime(told)
        return (found if found.tzinfo else found.replace(tzinfo=timezone.utc)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
