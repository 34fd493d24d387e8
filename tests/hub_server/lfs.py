"""Routes of large files over plain HTTP: the batch, the upload in one piece or in parts, the check, the download."""

from __future__ import annotations

import hashlib
import math
import re
from typing import TYPE_CHECKING, Any

from hub_server.listings import PREFIX
from hub_server.repos import ID, writable
from hub_server.web import HubError, Request, Response, answer, ranged

if TYPE_CHECKING:
    from hub_server.server import HubServer

OID = r"(?P<oid>[0-9a-f]{64})"


def signed(hub: HubServer, request: Request) -> None:
    """Storage knows signatures, not tokens: a token that reaches it has left the Hub."""
    if "Authorization" in request.headers:
        raise HubError(400, "Only one auth mechanism allowed")
    if request.query.get("signature") != hub.signature:
        raise HubError(403, "Request has expired")


def batch(hub: HubServer, request: Request, kind: str, id: str) -> Response:
    repo, asked = writable(hub, request, kind, id), request.json()
    prefix = "" if repo.kind == "models" else f"{repo.kind}/"
    verify = f"{hub.endpoint}/{prefix}{repo.id}.git/info/lfs/verify"

    def described(wanted: dict[str, Any]) -> dict[str, Any]:
        found = {"oid": wanted["oid"], "size": wanted["size"]}
        if wanted["oid"] in hub.store.large:
            return found
        return {**found, "actions": {"upload": upload_action(hub, **found), "verify": {"href": verify}}}

    transfer = "xet" if "xet" in asked.get("transfers", ()) else "basic"
    return answer({"transfer": transfer, "objects": [described(wanted) for wanted in asked["objects"]]})


def upload_action(hub: HubServer, oid: str, size: int) -> dict[str, Any]:
    """Where to send a large file: one address, or one for each part and one to put them together."""
    url = f"{hub.storage}/storage/{oid}"
    if not hub.multipart or size < hub.multipart:
        return {"href": f"{url}?signature={hub.signature}"}
    parts = range(1, math.ceil(size / hub.multipart) + 1)
    header = {str(part): f"{url}/{part}?signature={hub.signature}" for part in parts}
    return {
        "href": f"{hub.endpoint}/complete/{oid}?signature={hub.signature}",
        "header": {**header, "chunk_size": str(hub.multipart)},
    }


def keep(hub: HubServer, oid: str, content: bytes) -> None:
    """Keep a large file if it is what its name says."""
    if hashlib.sha256(content).hexdigest() != oid:
        raise HubError(400, "XAmzContentSHA256Mismatch: the checksum does not match the content")
    hub.store.large[oid] = content


def put(hub: HubServer, request: Request, oid: str) -> Response:
    signed(hub, request)
    keep(hub, oid, request.body)
    return Response(headers={"ETag": f'"{oid}"'})


def put_part(hub: HubServer, request: Request, oid: str, part: str) -> Response:
    signed(hub, request)
    hub.store.parts.setdefault(oid, {})[int(part)] = request.body
    return Response(headers={"ETag": f'"{hashlib.md5(request.body).hexdigest()}"'})


def complete(hub: HubServer, request: Request, oid: str) -> Response:
    arrived = hub.store.parts.pop(oid, {})
    listed = [(part["partNumber"], part["etag"].strip('"')) for part in request.json()["parts"]]
    if listed != [(number, hashlib.md5(arrived[number]).hexdigest()) for number in sorted(arrived)]:
        raise HubError(400, "InvalidPart: one or more of the specified parts could not be found")
    keep(hub, oid, b"".join(arrived[number] for number, _ in listed))
    return answer({})


def verify(hub: HubServer, request: Request, kind: str, id: str) -> Response:
    writable(hub, request, kind, id)
    asked = request.json()
    if len(hub.store.large.get(asked["oid"], b"")) != asked["size"]:
        raise HubError(404, "the object was not uploaded")
    return answer({})


def get(hub: HubServer, request: Request, oid: str) -> Response:
    signed(hub, request)
    if oid not in hub.store.large:
        raise HubError(404, "NoSuchKey")
    return ranged(hub.store.large[oid], request, {"ETag": f'"{oid[:32]}"'})


ROUTES = [
    ("POST", re.compile(rf"/{PREFIX}{ID}\.git/info/lfs/objects/batch"), batch),
    ("POST", re.compile(rf"/{PREFIX}{ID}\.git/info/lfs/verify"), verify),
    ("POST", re.compile(rf"/complete/{OID}"), complete),
    ("PUT", re.compile(rf"/storage/{OID}"), put),
    ("PUT", re.compile(rf"/storage/{OID}/(?P<part>\d+)"), put_part),
    ("GET HEAD", re.compile(rf"/storage/{OID}"), get),
]
