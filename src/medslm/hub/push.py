"""Publish a run, or other checked files: one commit that holds each of them, their card and their checksums."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub.errors import RepositoryNotFoundError
from huggingface_hub.hf_api import DatasetInfo, ModelInfo, RepoFile

from medslm.errors import MedslmError
from medslm.hub import bundle, client, learnt
from medslm.lock import Kind

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
    """Files of the folder that are not on the list of what is published."""
    changed: bool
    """False: the Hub held exactly this already, and no commit was made."""


def push(run: Path, repo_id: str, *, private: bool = True, token: str | None = None, deadline: float = 600.0) -> Pushed:
    """Publish the run folder `run` as the model repository `repo_id`, in one commit or not at all.

    Everything that can be wrong with the run is said before the Hub is asked; `deadline` is in seconds, upload included.
    Of a whole model `published.json` in the folder keeps where it went.
    """
    client.check_repo_id(repo_id)
    made = bundle.collect(run)
    whole = learnt.MODEL in made.files
    parcel = Parcel(made, run.name, "model", bundle.is_ours_or_of_a_model if whole else bundle.is_ours)
    pushed = send(parcel, repo_id, private=private, token=token, deadline=deadline)
    if whole:
        try:
            learnt.note_published(run, repo_id, pushed.commit)
        except MedslmError as error:  # it is on the Hub all the same
            log.warning("%s is published, but where was not noted for runs that start from it: %s", repo_id, error)
    return pushed


@dataclass(frozen=True)
class Parcel:
    """Checked files on their way to a repository."""

    made: bundle.Bundle
    name: str
    """What the commit's message calls it."""
    kind: Kind
    is_ours: Callable[[str], bool]
    """Whether a path in the repository is ours to delete, when it is not in the parcel any more."""


def send(
    parcel: Parcel, repo_id: str, *, private: bool = True, token: str | None = None, deadline: float = 600.0
) -> Pushed:
    """Publish checked files in one commit or not at all. Raises `MedslmError` for whatever the Hub refuses."""
    made = parcel.made
    if made.left_out:
        log.info("left out of %s: %s", repo_id, ", ".join(made.left_out))
    token = (token or get_token() or "").strip()
    if not token:
        raise MedslmError(f"cannot publish {repo_id} without a token; `hf auth login`, or set HF_TOKEN")
    api, asked, end = HfApi(token=token), client.Asked("publish", repo_id), time.monotonic() + deadline
    start = client.persist(lambda: _ensure(api, repo_id, parcel.kind, private), asked, deadline=deadline)
    commit = client.persist(lambda: _commit(api, repo_id, parcel), asked, deadline=end - time.monotonic())
    changed = commit != start
    if not changed:
        log.info("%s holds exactly this already at %s; no commit was made", repo_id, commit)
    return Pushed(
        repo_id, commit, _url(api, repo_id, parcel.kind), (*sorted(made.files), bundle.SUMS), made.left_out, changed
    )


def _url(api: HfApi, repo_id: str, kind: Kind) -> str:
    return f"{api.endpoint}/{'datasets/' if kind == 'dataset' else ''}{repo_id}"


def _ensure(api: HfApi, repo_id: str, kind: Kind, private: bool) -> str | None:
    """Create the repository where there is none; never change who may see one that exists. Gives its head."""
    try:
        found = _head(api, repo_id, kind)
    except RepositoryNotFoundError:
        api.create_repo(repo_id, repo_type=kind, private=private, exist_ok=True)
        found = _head(api, repo_id, kind)
    settings = f"{_url(api, repo_id, kind)}/settings"
    if private and not found.private:
        raise MedslmError(
            f"{repo_id} exists and is public, but this push asked for private, so nothing was sent; "
            f"push it as public, or make it private at {settings} first"
        )
    if found.private and not private:
        log.warning("%s exists and is private; it stays so, change that at %s", repo_id, settings)
    return found.sha


def _head(api: HfApi, repo_id: str, kind: Kind) -> ModelInfo | DatasetInfo:
    if kind == "dataset":
        return api.dataset_info(repo_id, revision="main", timeout=TIMEOUT)
    return api.model_info(repo_id, revision="main", timeout=TIMEOUT)


def _commit(api: HfApi, repo_id: str, parcel: Parcel) -> str:
    """The id of a commit that holds the files: the head where it does (a reply may have been lost), else a new one."""
    made, head = parcel.made, _head(api, repo_id, parcel.kind).sha
    listed = api.list_repo_tree(repo_id, repo_type=parcel.kind, recursive=True, revision=head)
    held = {entry.path: entry for entry in listed if isinstance(entry, RepoFile)}
    stale = [path for path in held if parcel.is_ours(path) and path not in {*made.files, bundle.SUMS}]
    new = [path for path in {*made.files, bundle.SUMS} if not _holds(held.get(path), path, made)]
    if head and not stale and not new:
        return head
    operations: list[CommitOperationAdd | CommitOperationDelete] = [
        *_additions(made, new),
        *(CommitOperationDelete(path) for path in stale),
    ]
    return api.create_commit(
        repo_id,
        operations,
        repo_type=parcel.kind,
        commit_message=f"Publish {parcel.name}",
        revision="main",
        parent_commit=head,
    ).oid


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
