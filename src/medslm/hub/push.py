"""Publish a run: one commit that holds the adapter, its card, what was measured, and a checksum of each."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub.errors import RepositoryNotFoundError
from huggingface_hub.hf_api import ModelInfo, RepoFile

from medslm.errors import MedslmError
from medslm.hub import bundle, client

log = logging.getLogger(__name__)

TIMEOUT = 30.0  # seconds for one answer about a repository


@dataclass(frozen=True)
class Pushed:
    """What lies on the Hub after a push."""

    repo_id: str
    commit: str
    """40 hexadecimal digits."""
    url: str
    files: tuple[str, ...]
    """Paths in the repository that this push answers for."""
    left_out: tuple[str, ...]
    """Files of the run that are not on the list of what is published."""
    changed: bool
    """False: the Hub held exactly this already, and no commit was made."""


def push(run: Path, repo_id: str, *, private: bool = True, token: str | None = None, deadline: float = 600.0) -> Pushed:
    """Publish the run folder `run` as the model repository `repo_id`, in one commit or not at all.

    Everything that can be wrong with the run is said before the Hub is asked; `deadline` is in seconds, upload included.
    """
    client.check_repo_id(repo_id)
    made = bundle.collect(run)
    if made.left_out:
        log.info("left out of %s: %s", repo_id, ", ".join(made.left_out))
    token = (token or get_token() or "").strip()
    if not token:
        raise MedslmError(f"cannot publish {repo_id} without a token; `hf auth login`, or set HF_TOKEN")
    api, asked, end = HfApi(token=token), client.Asked("publish", repo_id), time.monotonic() + deadline
    start = client.persist(lambda: _ensure(api, repo_id, private), asked, deadline=deadline)
    commit = client.persist(lambda: _commit(api, repo_id, made, run.name), asked, deadline=end - time.monotonic())
    changed = commit != start
    if not changed:
        log.info("%s holds exactly this already at %s; no commit was made", repo_id, commit)
    url = f"{api.endpoint}/{repo_id}"
    return Pushed(repo_id, commit, url, (*sorted(made.files), bundle.SUMS), made.left_out, changed)


def _ensure(api: HfApi, repo_id: str, private: bool) -> str | None:
    """Create the repository where there is none; never change who may see one that exists. Gives its head."""
    try:
        found = _head(api, repo_id)
    except RepositoryNotFoundError:
        api.create_repo(repo_id, private=private, exist_ok=True)
        found = _head(api, repo_id)
    if private and not found.private:
        raise MedslmError(
            f"{repo_id} exists and is public, but this push asked for private, so nothing was sent; "
            f"push it as public, or make it private at {api.endpoint}/{repo_id}/settings first"
        )
    if found.private and not private:
        log.warning(
            "%s exists and is private; it stays so, change that at %s/%s/settings", repo_id, api.endpoint, repo_id
        )
    return found.sha


def _head(api: HfApi, repo_id: str) -> ModelInfo:
    return api.model_info(repo_id, revision="main", timeout=TIMEOUT)


def _commit(api: HfApi, repo_id: str, made: bundle.Bundle, name: str) -> str:
    """The id of a commit that holds `made`: the head where it does already (a reply may have been lost), else a new one."""
    head = _head(api, repo_id).sha
    listed = api.list_repo_tree(repo_id, recursive=True, revision=head)
    held = {entry.path: entry for entry in listed if isinstance(entry, RepoFile)}
    stale = [path for path in held if bundle.is_ours(path) and path not in {*made.files, bundle.SUMS}]
    new = [path for path in {*made.files, bundle.SUMS} if not _holds(held.get(path), path, made)]
    if head and not stale and not new:
        return head
    operations: list[CommitOperationAdd | CommitOperationDelete] = [
        *_additions(made, new),
        *(CommitOperationDelete(path) for path in stale),
    ]
    message = f"Publish {name}"
    return api.create_commit(repo_id, operations, commit_message=message, revision="main", parent_commit=head).oid


def _holds(entry: RepoFile | None, path: str, made: bundle.Bundle) -> bool:
    """Whether the Hub's file is the bundle's: by SHA-256 for a large file, by git's id for a small one."""
    if entry is None:
        return False
    if entry.lfs is not None:
        return entry.lfs.sha256 == made.sha256.get(path)
    content = made.sums if path == bundle.SUMS else made.files[path].read_bytes()
    return entry.blob_id == bundle.git_id(content)


def _additions(made: bundle.Bundle, paths: list[str]) -> Iterator[CommitOperationAdd]:
    """Fresh for every try: the client keeps in them what it learnt about the head of that moment."""
    for path in sorted(paths):
        yield CommitOperationAdd(path, made.sums if path == bundle.SUMS else made.files[path])
