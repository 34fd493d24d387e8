"""Routes about repositories: who am I, create, delete, move, settings, branches and tags."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from hub_server.store import Repo
from hub_server.web import HubError, Request, Response, User, answer

if TYPE_CHECKING:
    from hub_server.server import HubServer

KIND, ID = r"(?P<kind>models|datasets|spaces)", r"(?P<id>[\w.-]+/[\w.-]+)"
REVISION = r"(?P<revision>[^/]+)"  # a slash inside a revision arrives as %2F


def signed_in(request: Request) -> User:
    """The user of the request's token; without a token, 401."""
    if request.user is None:
        raise HubError(401, "Invalid username or password.")
    return request.user


def find(hub: HubServer, request: Request, kind: str, repo_id: str) -> Repo:
    """A repository the user may see; a stranger cannot tell a private one from one that is not there."""
    kind = kind or "models"
    if new := hub.store.moved.get((kind, repo_id)):
        raise HubError(307, f"moved to {new}", Location=hub.endpoint + request.path.replace(repo_id, new, 1))
    repo = hub.store.repos.get((kind, repo_id))
    if repo is None or (repo.private and not (request.user and request.user.may_read(repo.namespace))):
        raise HubError(404 if request.user else 401, "Repository not found", "RepoNotFound")
    return repo


def writable(hub: HubServer, request: Request, kind: str, repo_id: str) -> Repo:
    """A repository that the user may change."""
    repo = find(hub, request, kind, repo_id)
    if not signed_in(request).may_write(repo.namespace):
        raise HubError(403, "you must use a write token to upload to a repository.")
    return repo


def check_gate(request: Request, repo: Repo) -> None:
    """Refuse the files of a gated repository to whoever was not let in."""
    user = request.user
    if repo.gated and not (user and (user.may_read(repo.namespace) or user.name in repo.granted)):
        raise HubError(403 if user else 401, f"Access to model {repo.id} is restricted.", "GatedRepo")


def whoami(hub: HubServer, request: Request) -> Response:
    user = signed_in(request)
    token = {"displayName": "test", "role": user.role}
    orgs = [{"type": "org", "name": name, "roleInOrg": "write"} for name in user.orgs]
    return answer({"type": "user", "name": user.name, "orgs": orgs, "auth": {"type": "token", "accessToken": token}})


def named(request: Request) -> tuple[str, str]:
    """(kind, id) of a request whose body names a repository."""
    asked = request.json()
    namespace = asked.get("organization") or signed_in(request).name
    return f"{asked.get('type') or 'model'}s", f"{namespace}/{asked['name']}"


def create(hub: HubServer, request: Request) -> Response:
    asked, (kind, repo_id) = request.json(), named(request)
    user, namespace = signed_in(request), repo_id.partition("/")[0]
    url = f"{hub.endpoint}/{'' if kind == 'models' else kind + '/'}{repo_id}"
    if not user.may_write(namespace):
        raise HubError(403, f"You don't have the rights to create a model under the namespace {namespace}")
    if (kind, repo_id) in hub.store.repos:
        return answer({"error": "You already created this model repo", "url": url}, 409)
    private = asked.get("visibility") == "private" or bool(asked.get("private"))
    hub.store.create(kind, repo_id, private, user.name)
    return answer({"url": url, "name": repo_id})


def delete(hub: HubServer, request: Request) -> Response:
    kind, repo_id = named(request)
    del hub.store.repos[kind, writable(hub, request, kind, repo_id).id]
    return answer({})


def move(hub: HubServer, request: Request) -> Response:
    asked = request.json()
    kind, new = f"{asked.get('type') or 'model'}s", asked["toRepo"]
    repo = writable(hub, request, kind, asked["fromRepo"])
    if (kind, new) in hub.store.repos:
        raise HubError(409, f"{new} exists already")
    if not signed_in(request).may_write(new.partition("/")[0]):
        raise HubError(403, "You don't have the rights to move a repository there")
    hub.store.repos[kind, new] = hub.store.repos.pop((kind, repo.id))
    hub.store.moved[kind, repo.id] = new
    repo.id = new
    return answer({})


def settings(hub: HubServer, request: Request, kind: str, id: str) -> Response:
    repo, asked = writable(hub, request, kind, id), request.json()
    if "visibility" in asked or "private" in asked:
        repo.private = asked.get("visibility") == "private" or bool(asked.get("private"))
    repo.gated = asked.get("gated", repo.gated)
    return answer({"private": repo.private, "gated": repo.gated})


def auth_check(hub: HubServer, request: Request, kind: str, id: str) -> Response:
    check_gate(request, find(hub, request, kind, id))
    return answer({})


def branch(hub: HubServer, request: Request, kind: str, id: str, revision: str) -> Response:
    repo, name = writable(hub, request, kind, id), unquote(revision)
    if request.method == "POST":
        if name in repo.branches:
            raise HubError(409, f"Reference already exists: {name}")
        repo.branches[name] = repo.resolve(request.json().get("startingPoint", "main")).oid
    elif repo.branches.pop(name, None) is None or name == "main":
        raise HubError(404, f"no branch {name}", "RevisionNotFound")
    return answer({})


def tag(hub: HubServer, request: Request, kind: str, id: str, revision: str) -> Response:
    repo = writable(hub, request, kind, id)
    if request.method == "DELETE":
        if repo.tags.pop(unquote(revision), None) is None:
            raise HubError(404, f"no tag {unquote(revision)}", "RevisionNotFound")
        return answer({})
    name = request.json()["tag"]
    if name in repo.tags:
        raise HubError(409, f"Tag already exists: {name}")
    repo.tags[name] = repo.resolve(unquote(revision)).oid
    return answer({})


ROUTES = [
    ("GET", re.compile(r"/api/whoami-v2"), whoami),
    ("POST", re.compile(r"/api/repos/create"), create),
    ("DELETE", re.compile(r"/api/repos/delete"), delete),
    ("POST", re.compile(r"/api/repos/move"), move),
    ("PUT", re.compile(rf"/api/{KIND}/{ID}/settings"), settings),
    ("GET", re.compile(rf"/api/{KIND}/{ID}/auth-check"), auth_check),
    ("POST DELETE", re.compile(rf"/api/{KIND}/{ID}/branch/{REVISION}"), branch),
    ("POST DELETE", re.compile(rf"/api/{KIND}/{ID}/tag/{REVISION}"), tag),
]
