"""Routes that read: what a repository is, which files it has, and the files themselves."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlencode

from hub_server.repos import ID, KIND, REVISION, check_gate, find
from hub_server.store import Commit, File, Repo, tree_ids
from hub_server.web import HubError, Request, Response, answer, ranged

if TYPE_CHECKING:
    from hub_server.server import HubServer

PREFIX = r"(?:(?P<kind>datasets|spaces)/)?"


def paged(hub: HubServer, request: Request, entries: list[Any]) -> Response:
    """One page of `entries`, and where the next one is."""
    size = min(int(request.query.get("limit", hub.page)), hub.page)
    start = int(request.query.get("cursor", 0))
    response = answer(entries[start : start + size])
    if start + size < len(entries):
        query = urlencode({**request.query, "cursor": start + size})
        response.headers["Link"] = f'<{hub.endpoint}{request.path}?{query}>; rel="next"'
    return response


def sibling(path: str, file: File, blobs: bool) -> dict[str, Any]:
    """One file in a repository's own description."""
    if not blobs:
        return {"rfilename": path}
    found: dict[str, Any] = {"rfilename": path, "size": file.size, "blobId": file.oid}
    if file.lfs:
        found["lfs"] = {"sha256": file.sha256, "size": file.size, "pointerSize": file.lfs["pointerSize"]}
    return found


def info(hub: HubServer, request: Request, kind: str, id: str, revision: str) -> Response:
    repo = find(hub, request, kind, id)
    commit = repo.resolve(unquote(revision or "main"))
    blobs = request.query.get("blobs", "").lower() in ("1", "true")
    first = repo.history("main")[-1]
    described = {
        "id": repo.id,
        "author": repo.namespace,
        "sha": commit.oid,
        "private": repo.private,
        "gated": repo.gated,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": [],
        "createdAt": first.date,
        "lastModified": commit.date,
        "siblings": [sibling(path, file, blobs) for path, file in sorted(commit.files.items())],
    }
    if expand := request.query.get("expand"):
        described = {key: value for key, value in described.items() if key in ("id", *expand.split(","))}
    return answer({"_id": first.oid[:24], **described})


def entry(hub: HubServer, commit: Commit, path: str, expand: bool) -> dict[str, Any]:
    """One file of a tree."""
    file = commit.files[path]
    found: dict[str, Any] = {"type": "file", "oid": file.oid, "size": file.size, "path": path}
    if file.lfs:
        found["lfs"] = file.lfs
    together = {other.xet for other in commit.files.values() if other.xet}
    if file.xet and hub.xet.home(together):  # one token reads one folder; otherwise each file names its own (`resolve`)
        found["xetHash"] = file.xet
    if expand:
        found["lastCommit"] = {"id": commit.oid, "title": commit.title, "date": commit.date}
        found["securityFileStatus"] = {"status": "safe", "avScan": None, "pickleImportScan": None}
    return found


def folder_entries(commit: Commit) -> dict[str, dict[str, Any]]:
    """Every folder of a commit, by path."""
    ids = tree_ids(commit.files)
    return {path: {"type": "directory", "oid": ids[path], "size": 0, "path": path} for path in ids if path}


def tree(hub: HubServer, request: Request, kind: str, id: str, revision: str, path: str) -> Response:
    repo = find(hub, request, kind, id)
    commit, root = repo.resolve(unquote(revision)), unquote(path).strip("/")
    folders = folder_entries(commit)
    if root and root not in folders:
        raise HubError(404, f"{root} does not exist on {revision}", "EntryNotFound", X_Repo_Commit=commit.oid)
    deep, expand = (request.query.get(key, "").lower() in ("1", "true") for key in ("recursive", "expand"))
    prefix = f"{root}/" if root else ""
    inside = [name for name in (*folders, *commit.files) if name.startswith(prefix)]
    shown = sorted(name for name in inside if deep or "/" not in name[len(prefix) :])
    return paged(hub, request, [folders.get(name) or entry(hub, commit, name, expand) for name in shown])


def paths_info(hub: HubServer, request: Request, kind: str, id: str, revision: str) -> Response:
    commit = find(hub, request, kind, id).resolve(unquote(revision))
    asked, folders = request.fields(), folder_entries(commit)
    expand = asked.get("expand", [""])[0].lower() == "true"
    paths = [path.strip("/") for path in asked.get("paths", [])]
    files = [entry(hub, commit, path, expand) for path in paths if path in commit.files]
    return answer(files + [folders[path] for path in paths if path in folders])


def refs(hub: HubServer, request: Request, kind: str, id: str) -> Response:
    repo = find(hub, request, kind, id)

    def listed(prefix: str, named: dict[str, str]) -> list[dict[str, str]]:
        return [{"name": name, "ref": prefix + name, "targetCommit": oid} for name, oid in named.items()]

    found = {"branches": listed("refs/heads/", repo.branches), "tags": listed("refs/tags/", repo.tags), "converts": []}
    return answer({**found, "pullRequests": listed("", repo.pulls)})


def commits(hub: HubServer, request: Request, kind: str, id: str, revision: str) -> Response:
    history = find(hub, request, kind, id).history(unquote(revision))

    def spelt(commit: Commit) -> dict[str, Any]:
        by = [{"user": commit.author}]
        return {
            "id": commit.oid,
            "title": commit.title,
            "message": commit.message,
            "date": commit.date,
            "authors": by,
        }

    return paged(hub, request, [spelt(commit) for commit in history])


def resolve(hub: HubServer, request: Request, kind: str, id: str, revision: str, path: str) -> Response:
    repo = find(hub, request, kind, id)
    check_gate(request, repo)
    commit, path = repo.resolve(unquote(revision)), unquote(path)
    file = commit.files.get(path)
    if file is None:
        raise HubError(404, "Entry not found", "EntryNotFound", X_Repo_Commit=commit.oid)
    if file.sha256:
        return to_storage(hub, repo, commit, file)
    return ranged(hub.store.read(file), request, {"ETag": f'"{file.oid}"', "X-Repo-Commit": commit.oid})


def to_storage(hub: HubServer, repo: Repo, commit: Commit, file: File) -> Response:
    """The redirect that a large file answers: its bytes are at another origin, behind a signature."""
    headers = {
        "Location": f"{hub.storage}/storage/{file.sha256}?signature={hub.signature}",
        "X-Repo-Commit": commit.oid,
        "X-Linked-Etag": f'"{file.sha256}"',
        "X-Linked-Size": str(file.size),
    }
    if file.xet:
        auth = f"{hub.endpoint}/api/{repo.kind}/{repo.id}/xet-read-token/{commit.oid}?hash={file.xet}"
        headers |= {"X-Xet-Hash": file.xet, "Link": f'<{auth}>; rel="xet-auth"'}
    return Response(b"", 302, headers)


ROUTES = [
    ("GET", re.compile(rf"/api/{KIND}/{ID}(?:/revision/{REVISION})?"), info),
    ("GET", re.compile(rf"/api/{KIND}/{ID}/tree/{REVISION}(?P<path>(?:/.*)?)"), tree),
    ("POST", re.compile(rf"/api/{KIND}/{ID}/paths-info/{REVISION}"), paths_info),
    ("GET", re.compile(rf"/api/{KIND}/{ID}/refs"), refs),
    ("GET", re.compile(rf"/api/{KIND}/{ID}/commits/{REVISION}"), commits),
    ("GET HEAD", re.compile(rf"/{PREFIX}{ID}/resolve/{REVISION}/(?P<path>.+)"), resolve),
]
