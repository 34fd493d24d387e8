"""Routes that write: the card's check, the upload mode of each file, and the commit."""

from __future__ import annotations

import base64
import fnmatch
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from hub_server.repos import ID, KIND, REVISION, find, signed_in, writable
from hub_server.store import Commit, File, Repo
from hub_server.web import HubError, Request, Response, answer

if TYPE_CHECKING:
    from hub_server.server import HubServer

LARGE = 10 << 20  # bytes from which the Hub takes a text file as a large one
YAML_LINE = re.compile(r"\s*(#.*|-.*|[^\s:][^:]*:(\s.*)?|)|\s+\S.*")  # what a line of plain YAML may look like


def validate_yaml(hub: HubServer, request: Request) -> Response:
    """A rough check of a card's metadata, and the Hub's rule that `base_model` is an id, not a path."""
    lines = request.json()["content"].splitlines()
    if not lines or lines[0] != "---":
        warning = {"message": "empty or missing yaml metadata in repo card"}
        return answer({"errors": [], "warnings": [warning]})
    block = lines[1 : lines.index("---", 1)] if "---" in lines[1:] else [":"]
    wrong = [f"invalid YAML: {line}" for line in block if not YAML_LINE.fullmatch(line)]
    for line in block:
        key, _, value = line.partition(":")
        base = value.strip().strip("\"'") if key == "base_model" else ""
        if base and not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", base):
            wrong.append(f'"base_model" with value "{base}" is not valid. Use a model id from https://hf.co/models.')
    found = {"errors": [{"message": text} for text in wrong], "warnings": []}
    return answer(found, 400 if wrong else 200)


def is_large(repo: Repo, hub: HubServer, path: str, size: int, sample: bytes) -> bool:
    """Whether git holds a pointer in this file's place: by `.gitattributes`, by size, or because it is binary."""
    rules = hub.store.read(repo.resolve("main").files[".gitattributes"]).decode().splitlines()
    patterns = [line.split()[0] for line in rules if "filter=lfs" in line]
    named = any(fnmatch.fnmatch(path.rpartition("/")[2], pattern) for pattern in patterns)
    return size > 0 and (named or size > LARGE or b"\0" in sample)


def preupload(hub: HubServer, request: Request, kind: str, id: str, revision: str) -> Response:
    repo = writable(hub, request, kind, id)
    held = repo.resolve(unquote(revision)).files

    def mode(file: dict[str, Any]) -> dict[str, Any]:
        large = is_large(repo, hub, file["path"], file["size"], base64.b64decode(file["sample"]))
        old = held.get(file["path"])
        found = {"path": file["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
        return {**found, "oid": (old.sha256 or old.oid) if old else None}

    return answer({"files": [mode(file) for file in request.json()["files"]]})


def added(hub: HubServer, key: str, value: dict[str, Any]) -> File:
    """The file that one line of a commit adds."""
    if key == "file":
        return hub.store.small(base64.b64decode(value["content"]))
    for stored in hub.xet.collect():
        hub.store.keep_xet(stored)
    return hub.store.big(value["oid"], value["size"])


def changed(hub: HubServer, files: dict[str, File], operations: list[dict[str, Any]]) -> dict[str, File]:
    """`files` after the lines of a commit."""
    files = dict(files)
    for operation in operations:
        key, value = operation["key"], operation["value"]
        path = value["path"].strip("/")
        if key in ("file", "lfsFile"):
            files[path] = added(hub, key, value)
            continue
        gone = [name for name in files if name == path or (key == "deletedFolder" and name.startswith(path + "/"))]
        if not gone:
            raise HubError(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
        for name in gone:
            del files[name]
    return files


def start_pull(repo: Repo, revision: str) -> str:
    """A new `refs/pr/N` that begins where `revision` is."""
    name = f"refs/pr/{len(repo.pulls) + 1}"
    repo.pulls[name] = repo.resolve(revision).oid
    return name


def commit(hub: HubServer, request: Request, kind: str, id: str, revision: str) -> Response:
    repo, branch = writable(hub, request, kind, id), unquote(revision)
    lines = [json.loads(line) for line in request.body.splitlines()]
    header, head = lines[0]["value"], repo.resolve(branch)
    if branch not in repo.branches and branch not in repo.pulls:
        raise HubError(400, f"Invalid branch: {branch}")
    if header.get("parentCommit", head.oid) != head.oid:
        raise HubError(412, "A commit has happened since. Please refresh and try again.")
    files = changed(hub, head.files, lines[1:])
    pull = start_pull(repo, branch) if request.query.get("create_pr") else ""
    author = signed_in(request).name
    made = repo.commit(files, pull or branch, header["summary"], header.get("description", ""), author)
    return answer(committed(hub, repo, made, pull))


def committed(hub: HubServer, repo: Repo, made: Commit, pull: str) -> dict[str, Any]:
    """What the Hub says about a commit."""
    home = f"{hub.endpoint}/{'' if repo.kind == 'models' else repo.kind + '/'}{repo.id}"
    url = f"{home}/discussions/{pull.rpartition('/')[2]}" if pull else None
    return {"success": True, "commitOid": made.oid, "commitUrl": f"{home}/commit/{made.oid}", "pullRequestUrl": url}


def xet_token(hub: HubServer, request: Request, kind: str, id: str, revision: str, way: str) -> Response:
    """The folder in which a client writes, or from which it reads, in the words of a storage service."""
    repo = find(hub, request, kind, id)
    if way == "write":
        writable(hub, request, kind, id)
        folder = hub.xet.to_write()
    else:
        held = repo.resolve(unquote(revision)).files.values()
        asked = request.query.get("hash")
        lent = hub.xet.to_read({asked} if asked else {file.xet for file in held if file.xet})
        if lent is None:
            raise HubError(404, "no folder holds these files")
        folder = lent
    url, token, until = f"local://{folder}", "xet-test", 4102444800  # the year 2100
    named = {"X_Xet_Cas_Url": url, "X_Xet_Access_Token": token, "X_Xet_Token_Expiration": str(until)}
    return answer({"casUrl": url, "accessToken": token, "exp": until}, **named)


ROUTES = [
    ("POST", re.compile(r"/api/validate-yaml"), validate_yaml),
    ("POST", re.compile(rf"/api/{KIND}/{ID}/preupload/{REVISION}"), preupload),
    ("POST", re.compile(rf"/api/{KIND}/{ID}/commit/{REVISION}"), commit),
    ("GET", re.compile(rf"/api/{KIND}/{ID}/xet-(?P<way>read|write)-token/{REVISION}"), xet_token),
]
