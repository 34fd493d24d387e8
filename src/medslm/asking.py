"""Questions to the Hub: each with a deadline, more tries where it is overloaded, and a sentence where the answer is no."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from medslm.errors import MedslmError
from medslm.lock import Kind

T = TypeVar("T")

TIMEOUT = 10.0  # seconds to wait for the Hub before it counts as unreachable, for the rest of the process
PAUSES = (1.0, 2.0, 4.0)  # seconds before each further try, where the Hub is overloaded
HUNG_UP = ("RemoteProtocolError", "ReadError", "WriteError")
"""What the client calls a connection that broke off after it stood."""

_unreachable: dict[str, str] = {}
"""Endpoints that did not answer in this process, and why: nobody waits twice."""


class Unreachable(MedslmError):
    """The Hub did not answer, or may not be asked."""


def head(repo_id: str, kind: Kind, revision: str) -> str:
    """The commit of a branch, a tag or a commit. Raises `Unreachable`, or `MedslmError` where the Hub says no."""
    from huggingface_hub import HfApi

    _check_reachable(repo_id, kind)
    info = _persist(
        lambda: HfApi().repo_info(repo_id, repo_type=kind, revision=revision, timeout=TIMEOUT), repo_id, revision
    )
    return str(info.sha)


def files(repo_id: str, kind: Kind, commit: str) -> dict[str, str]:
    """Every file of a commit -> its SHA-256 (large files) or git's id. Raises `MedslmError`."""
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    head(repo_id, kind, commit)  # it has a deadline, and the listing has none
    tree = _persist(
        lambda: list(HfApi().list_repo_tree(repo_id, repo_type=kind, revision=commit, recursive=True)), repo_id, commit
    )
    entries = (entry for entry in tree if isinstance(entry, RepoFile))
    return {entry.path: entry.lfs.sha256 if entry.lfs else entry.blob_id for entry in entries}


def download(repo_id: str, kind: Kind, commit: str, patterns: Sequence[str]) -> None:
    """Fetch the files that match `patterns` into the cache of the Hub's client. Raises `MedslmError`."""
    from huggingface_hub import constants, snapshot_download

    _check_reachable(repo_id, kind)
    _persist(
        lambda: snapshot_download(
            repo_id,
            repo_type=kind,
            revision=commit,
            cache_dir=constants.HF_HUB_CACHE,
            allow_patterns=list(patterns),
            etag_timeout=TIMEOUT,
        ),
        repo_id,
        commit,
    )


def _check_reachable(repo_id: str, kind: Kind) -> None:
    """Raise `Unreachable` without asking anew, where the user or an earlier silence has settled it."""
    from huggingface_hub import constants

    wish = [name for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE") if _is_on(os.environ.get(name))]
    if constants.HF_HUB_OFFLINE or (kind == "dataset" and wish):
        raise Unreachable(f"{repo_id} could not be fetched ({(wish or ['HF_HUB_OFFLINE'])[0]} is set)")
    if reason := _unreachable.get(constants.ENDPOINT):
        raise Unreachable(f"{repo_id} could not be fetched ({constants.ENDPOINT} did not answer before: {reason})")


def _is_on(value: str | None) -> bool:
    return (value or "").upper() in ("1", "ON", "YES", "TRUE")  # as the Hub's client reads it


def _persist(call: Callable[[], T], repo_id: str, revision: str) -> T:
    """What `call` gives, tried again while the Hub is overloaded (429, 5xx) or has hung up; else a `MedslmError`."""
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError

    transport = HfHubHTTPError.__bases__[0]  # `httpx2.HTTPError`; `httpx.HTTPError` before huggingface_hub 2
    for pause in (*PAUSES, None):
        try:
            return call()
        except Exception as error:  # whatever the client raises means that it could not be had
            cause = root(error)
            status = getattr(getattr(cause, "response", None), "status_code", 0)
            passing = status == 429 or status >= 500 or type(cause).__name__ in HUNG_UP
            if pause is None or not passing:
                if isinstance(cause, transport) and not status:
                    _unreachable[constants.ENDPOINT] = type(cause).__name__
                raise _explained(cause, repo_id, revision, status) from error
            time.sleep(pause)
    raise AssertionError("the loop above only returns or raises")


def root(error: BaseException) -> BaseException:
    """What lies below the client's wrappers: an empty cache or a failed download says only that something failed."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    while isinstance(error, (RuntimeError, LocalEntryNotFoundError)) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _explained(error: BaseException, repo_id: str, revision: str, status: int) -> MedslmError:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    if isinstance(error, GatedRepoError):
        return MedslmError(
            f"{repo_id} is gated: accept its terms on its page on the Hub, then log in with `hf auth login`."
        )
    if isinstance(error, RepositoryNotFoundError):
        return MedslmError(f"{repo_id} is not on the Hub, or is private: check its name, or `hf auth login`.")
    if isinstance(error, RevisionNotFoundError):
        return MedslmError(
            f"{repo_id} has no commit or branch {revision} on the Hub (any more): `medslm lock` renews it."
        )
    answered = f", HTTP {status}" if status else ""
    if status in (401, 403):
        answered += ": this token may not read it (`hf auth login`), or something between here and the Hub forbids it"
    return Unreachable(f"{repo_id} could not be fetched ({type(error).__name__}{answered})")
