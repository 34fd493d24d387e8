"""Fetch an adapter or a whole model, and check every byte of it against what the Hub and its author say it is."""

from __future__ import annotations

import fnmatch
import logging
import re
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError
from huggingface_hub.hf_api import ModelInfo, RepoFile

from medslm import checksums, files
from medslm.errors import MedslmError
from medslm.hub import bundle, client

log = logging.getLogger(__name__)

ALLOWED = ["*.safetensors", "*.json", "*.jinja", "*.txt", "*.md", "*.model", "*.yaml", "*.png", bundle.SUMS]
"""What is fetched: nothing that Python would run or unpickle (`*.py`, `*.bin`, `*.pt`)."""
PICKLED = "adapter_model.bin"
"""As older versions of `peft` saved an adapter's weights."""
TIMEOUT = 30.0  # seconds for one answer about a repository
SUM_LINE = re.compile(r"([0-9a-fA-F]{64}) [ *](.+)")
LONGEST = 3600.0  # seconds that a download may take, second tries included


@dataclass(frozen=True)
class Pulled:
    """A snapshot in the cache whose every file was checked."""

    path: Path
    """The snapshot's folder; `peft` loads an adapter from it, `transformers` a model."""
    commit: str
    """40 hexadecimal digits."""
    files: int
    """How many files were checked."""
    unlisted: tuple[str, ...]
    """Files that came from the Hub intact, but that the author's SHA256SUMS does not name."""
    whole: bool
    """True for a model of its own, false for an adapter."""


def pull(repo_id: str, *, revision: str | None = None, token: str | None = None) -> Pulled:
    """Fetch the adapter or model `repo_id` at a branch, tag or commit (`None`: main) and check it; a damaged file goes.

    Where the Hub cannot be reached, a complete snapshot in the cache is checked against its SHA256SUMS.
    """
    client.check_repo_id(repo_id)
    token = token.strip() if token else None
    asked, api = client.Asked("fetch", repo_id, revision or "main"), HfApi(token=token)
    try:
        info = client.persist(lambda: _describe(api, asked), asked)
    except client.Unreachable as error:
        return _from_cache(asked, error)
    _check_kind(info, asked)
    folder = client.persist(lambda: _download(asked, token, local=False), asked, deadline=LONGEST)
    tree = client.persist(lambda: list(api.list_repo_tree(repo_id, recursive=True, revision=folder.name)), asked)
    wanted = [entry for entry in tree if isinstance(entry, RepoFile) and is_allowed(entry.path)]
    _remove_damaged(asked, folder, [entry.path for entry in wanted if not _is_intact(folder / entry.path, entry)])
    return _checked(asked, folder)


def is_allowed(path: str) -> bool:
    """Whether `pull` fetches this file of a repository."""
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in ALLOWED)


def _describe(api: HfApi, asked: client.Asked) -> ModelInfo:
    try:
        return api.model_info(asked.repo_id, revision=asked.revision, timeout=TIMEOUT)
    except RepositoryNotFoundError:
        if not api.repo_exists(asked.repo_id, repo_type="dataset"):
            raise
        raise MedslmError(
            f"{asked.repo_id} is a data set, not an adapter or a model; `datasets.load_dataset('{asked.repo_id}')` reads it"
        ) from None


def _check_kind(info: ModelInfo, asked: client.Asked) -> None:
    """Refuse, before gigabytes arrive, what is neither an adapter nor a model that a run of this library has left."""
    names = {sibling.rfilename for sibling in info.siblings or []}
    if bundle.CONFIG in names:
        if bundle.WEIGHTS not in names:
            pickled = f", and pickled weights ({PICKLED}) are not loaded" if PICKLED in names else ""
            raise MedslmError(
                f"{asked.repo_id} is an adapter without its weights: it has no {bundle.WEIGHTS}{pickled}; ask its author "
                "to save it as safetensors, or check the name and the revision"
            )
        return
    if {bundle.MODEL_CONFIG, bundle.RUN} <= names:
        if not any(name.endswith(".safetensors") for name in names):
            raise MedslmError(f"{asked.repo_id} is a model without .safetensors, and pickled weights are not loaded")
        return
    whole = f"a whole model (it has a config.json) without a {bundle.RUN}; use it as a base"
    held = ", ".join(sorted(names)[:5]) or "nothing"
    what = whole if bundle.MODEL_CONFIG in names else f"something else (it holds {held}); check the name"
    raise MedslmError(f"{asked.repo_id} is not an adapter: it has no {bundle.CONFIG}, it is {what}")


def _download(asked: client.Asked, token: str | None, *, local: bool) -> Path:
    folder = snapshot_download(
        asked.repo_id, revision=asked.revision, token=token, allow_patterns=ALLOWED, local_files_only=local
    )
    return Path(folder)


def _from_cache(asked: client.Asked, error: MedslmError) -> Pulled:
    """The cached snapshot, if there is one; otherwise the reason why the Hub was not asked."""
    try:
        folder = _download(asked, None, local=True)
    except LocalEntryNotFoundError:
        raise MedslmError(f"{error}; and the cache holds no complete snapshot of it") from error
    if not (folder / bundle.SUMS).is_file():
        raise MedslmError(f"{error}; the cached snapshot has no {bundle.SUMS}, so it cannot be checked") from error
    log.warning("%s; using the snapshot in the cache, %s", error, folder.name)
    return _checked(asked, folder)


def _is_intact(path: Path, entry: RepoFile) -> bool:
    """Whether the bytes are those the Hub lists: by SHA-256 for a large file, by git's id for a small one."""
    return path.is_file() and checksums.matches(path, entry.lfs.sha256 if entry.lfs else entry.blob_id)


def _remove_damaged(asked: client.Asked, folder: Path, damaged: list[str]) -> None:
    """Delete damaged files, link and cached blob, and say so."""
    for path in damaged:
        blob = (folder / path).resolve()
        (folder / path).unlink(missing_ok=True)
        blob.unlink(missing_ok=True)
    if damaged:
        raise MedslmError(
            f"{', '.join(sorted(damaged))} of {asked.repo_id} arrived damaged (the checksum is not the Hub's) and was "
            "removed from the cache; fetch it again"
        )


def _listed(asked: client.Asked, folder: Path) -> dict[str, str]:
    """Path -> SHA-256, as the author's SHA256SUMS has them. Raises `MedslmError` for a line that says neither."""
    lines = (folder / bundle.SUMS).read_text(encoding="utf-8", errors="replace").splitlines()
    listed = {}
    for number, line in enumerate(lines, 1):
        if found := SUM_LINE.fullmatch(line):
            listed[found[2]] = found[1].lower()
        elif line.strip():  # passed over, its file would count as one that nobody listed
            raise MedslmError(
                f"line {number} of {bundle.SUMS} of {asked.repo_id} at {folder.name} names no file with a SHA-256, so that "
                "it cannot be checked; ask its author to push it again, or pull an older revision"
            )
    return listed


def _checked(asked: client.Asked, folder: Path) -> Pulled:
    """Compare the snapshot with the author's SHA256SUMS, where there is one."""
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    held = {name for name in names if is_allowed(name)}  # other programs may have fetched more into the same snapshot
    whole = bundle.CONFIG not in held
    if bundle.SUMS not in held:
        return Pulled(folder, folder.name, len(held), (), whole)
    listed = _listed(asked, folder)
    missing = sorted(set(listed) - held)
    wrong = sorted(path for path in held & set(listed) if files.sha256(folder / path) != listed[path])
    if missing or wrong:
        parts = [f"{what}: {', '.join(paths)}" for what, paths in (("missing", missing), ("changed", wrong)) if paths]
        raise MedslmError(
            f"{asked.repo_id} at {folder.name} is not what its {bundle.SUMS} lists ({'; '.join(parts)}): it was edited on "
            "the Hub after it was published, or the cache is damaged; ask its author to push it again, or pull an older "
            f"revision, or delete {folder} and pull again"
        )
    unlisted = tuple(sorted(held - set(listed) - {bundle.SUMS}))
    if unlisted:
        log.warning("%s holds files that its %s does not list: %s", asked.repo_id, bundle.SUMS, ", ".join(unlisted))
    return Pulled(folder, folder.name, len(held), unlisted, whole)
