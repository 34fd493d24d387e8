"""The one place that knows how the Hub fails: what is worth a second try, and what to tell the user otherwise."""

from __future__ import annotations

import itertools
import logging
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from json import JSONDecodeError
from typing import Any, TypeVar

from huggingface_hub import HfApi, constants
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from medslm.asking import root
from medslm.errors import MedslmError

log = logging.getLogger(__name__)
T = TypeVar("T")

PAUSE = 1.0  # seconds before the second try; doubled each time
LONGEST_PAUSE = 60.0  # seconds, unless `Retry-After` asks for more
NAME = re.compile(r"[A-Za-z0-9_](?:[\w.-]*[A-Za-z0-9_])?", re.ASCII)
SECRET = re.compile(r"\?\w+=[^\s'\"]*|hf_\w+")  # a query, a token
OVERLOADS = 10  # times that the Hub may be overloaded (429, 5xx)
REBASES = 5  # times that another commit may be quicker (409, 412)
CUTS = 4  # times that the connection may be cut, or that something other than the Hub may answer

TRANSPORT: type[Exception] = HfHubHTTPError.__bases__[
    0
]  # `httpx2.HTTPError`; `httpx.HTTPError` before huggingface_hub 2


class Unreachable(MedslmError):
    """The Hub did not answer, as opposed to: it answered no."""


@dataclass(frozen=True)
class Asked:
    """What was being done, for the words of an error."""

    doing: str
    """Such as `publish`; the sentence begins with `cannot <doing> <repo_id>`."""
    repo_id: str
    revision: str | None = None


def check_repo_id(repo_id: str) -> None:
    """Refuse whatever is not `org/name`, before the Hub is asked."""
    parts = repo_id.split("/")
    bad = any(not NAME.fullmatch(part) or "--" in part or ".." in part for part in parts)
    if bad or len(parts) != 2 or len(repo_id) > 96 or repo_id.endswith(".git"):
        raise MedslmError(
            f"'{repo_id}' is not the name of a repository; expected org/name as the Hub shows it: letters, digits, and "
            "- _ . inside each part, 96 characters at most"
        )


def status(error: BaseException) -> int:
    """The HTTP status an error carries, or 0."""
    return getattr(getattr(error, "response", None), "status_code", 0)


def is_xet(error: BaseException) -> bool:
    """Whether it was hf_xet that failed: it raises errors of its own, and bare builtin ones, without a file's name."""
    bare = type(error) in (ConnectionError, PermissionError, RuntimeError, TimeoutError)
    named = getattr(error, "filename", None) is not None
    return not constants.HF_HUB_DISABLE_XET and ((bare and not named) or type(error).__name__.startswith("Xet"))


def retry_after(error: BaseException) -> float:
    """Seconds that the Hub asks us to wait, or 0."""
    headers = getattr(getattr(error, "response", None), "headers", {})
    wanted = str(headers.get("Retry-After", "")).strip()
    return float(wanted) if wanted.isdigit() else 0.0


def persist(attempt: Callable[[], T], asked: Asked, *, deadline: float = 600.0) -> T:
    """Call `attempt` until it answers, for at most `deadline` seconds.

    Overload (429, 5xx) is waited out, conflicts (409, 412) and cut connections are tried a few times, a refusal is final:
    it raises `MedslmError`. `attempt` must look first whether an earlier try succeeded after all.
    """
    end, seen = time.monotonic() + deadline, Counter[int]()
    for tries in itertools.count():
        try:
            return within(end - time.monotonic(), attempt, asked)
        except MedslmError:
            raise
        except Exception as error:
            cause = root(error)
            limit = _patience(cause)
            seen[limit] += 1
            pause = max(retry_after(cause), min(PAUSE * 2**tries, LONGEST_PAUSE))
            if seen[limit] > limit or time.monotonic() + pause > end:
                raise explain(error, asked) from error
            log.warning("%s; trying again in %.0f s", explain(error, asked), pause)
        time.sleep(pause)
    raise AssertionError("the loop above only returns or raises")


def _patience(error: BaseException) -> int:
    """How many times a failure of this kind is worth another try."""
    code = status(error)
    if code == 429 or code >= 500:
        return OVERLOADS
    if code in (409, 412):
        return REBASES
    return CUTS if _is_cut(error) else 0


def _is_cut(error: BaseException) -> bool:
    """No answer, or an answer that is not the Hub's: a proxy's page where JSON was expected."""
    return (isinstance(error, TRANSPORT) and not status(error)) or isinstance(error, JSONDecodeError)


def within(seconds: float, call: Callable[[], T], asked: Asked) -> T:
    """`call()`, abandoned after `seconds`: the client waits without limit for a commit that hangs.

    It runs in a daemon thread, so that leaving (Ctrl-C too) does not wait for it.
    """
    done: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            done.append(call())
        except BaseException as error:  # noqa: BLE001  # handed to the caller's thread below
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True, name="medslm-hub")
    thread.start()
    thread.join(max(seconds, 0.0))
    if failed:
        raise failed[0]
    if thread.is_alive():
        raise Unreachable(
            f"cannot {asked.doing} {asked.repo_id}: no answer before the deadline; it may have happened all the same. "
            "Do it again (what has arrived is not sent twice) or give it a longer deadline"
        )
    return done[0]


def explain(error: BaseException, asked: Asked) -> MedslmError:
    """The sentence for a failure of the Hub, of the way there, or of the client."""
    cause = root(error)
    start = f"cannot {asked.doing} {asked.repo_id}: "
    if isinstance(cause, OfflineModeIsEnabled):
        return Unreachable(start + "HF_HUB_OFFLINE is set; unset it to reach the Hub")
    if isinstance(cause, HfHubHTTPError):
        return _refused(cause, start, asked)
    if isinstance(cause, JSONDecodeError):
        return Unreachable(
            start + f"{HfApi().endpoint} did not answer in JSON; is it the Hub, or a proxy's error page?"
        )
    if isinstance(cause, TRANSPORT):
        what = f"{type(cause).__name__}: {_line(cause)}"
        return Unreachable(start + f"{HfApi().endpoint} cannot be reached ({what}); check the network and HF_ENDPOINT")
    if isinstance(cause, ValueError):
        lines = (line.strip("- .") for line in str(cause).splitlines())
        return MedslmError(start + SECRET.sub("...", "; ".join(line for line in lines if line)))
    if is_xet(cause):
        return MedslmError(
            start
            + f"the Xet storage of large files failed ({_line(cause)}); set HF_HUB_DISABLE_XET=1 to send or fetch "
            "them over plain HTTP, and check that the token may write"
        )
    return MedslmError(start + f"{type(cause).__name__}: {_line(cause)}")


def _refused(error: HfHubHTTPError, start: str, asked: Asked) -> MedslmError:
    """The sentence for an answer of the Hub that says no."""
    if isinstance(error, GatedRepoError):
        return MedslmError(start + f"it is gated; ask for access on {HfApi().endpoint}/{asked.repo_id} and log in")
    if isinstance(error, RepositoryNotFoundError):
        return MedslmError(
            start + "the Hub has no such repository, or it is private and the token may not see it; check the name, "
            "then `hf auth login` or HF_TOKEN"
        )
    if isinstance(error, RevisionNotFoundError):
        return MedslmError(start + f"it has no revision '{asked.revision}'; a branch, a tag or a commit was expected")
    code = status(error)
    advice = {
        400: "the Hub finds it malformed",
        401: "the token is not valid any more; `hf auth login`, or set HF_TOKEN anew",
        403: "the token may not do that; create one with the role 'write' for this namespace and `hf auth login` again",
        409: "another commit is in progress; wait a moment and do it again",
        412: "others kept committing at the same time; wait until they are done and do it again",
        429: "the Hub limits how often it may be asked; wait a while (up to an hour) and do it again",
    }
    said = f"{code}: {_line(error)}"
    if code >= 500:
        return Unreachable(start + f"the Hub is out of order ({said}); see https://status.huggingface.co and try later")
    return MedslmError(start + f"{advice.get(code, 'the Hub refuses')} ({said})")


def _line(error: BaseException) -> str:
    """The Hub's own words where it gave any, else the first line of the error; no query (it may be signed), no token."""
    said: Any = getattr(error, "server_message", None) or str(error) or type(error).__name__
    return SECRET.sub("...", str(said).strip().splitlines()[0]).rstrip(".")
