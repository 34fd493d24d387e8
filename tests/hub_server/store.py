"""What the server holds: repositories, their commits and refs, and the bytes, under git's and LFS's own ids."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field

from hub_server.web import HubError
from hub_server.xet import Stored

ATTRIBUTES = b"".join(
    f"*.{suffix} filter=lfs diff=lfs merge=lfs -text\n".encode()
    for suffix in ("arrow", "bin", "gz", "jpg", "parquet", "png", "pt", "safetensors", "zip")
)


def object_id(kind: str, content: bytes) -> str:
    """The SHA-1 that git gives an object of this kind and content."""
    return hashlib.sha1(f"{kind} {len(content)}\0".encode() + content).hexdigest()


def pointer(sha256: str, size: int) -> bytes:
    """The small text that git holds in the place of a large file."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


@dataclass(frozen=True)
class File:
    """One file of one commit."""

    oid: str
    """Git's blob id, of the pointer for a large file."""
    size: int
    sha256: str = ""
    """Set for a large file only."""
    xet: str = ""
    """The Xet hash, where the bytes came through Xet."""

    @property
    def lfs(self) -> dict[str, object] | None:
        """The entry that trees and listings carry for a large file."""
        if not self.sha256:
            return None
        return {"oid": self.sha256, "size": self.size, "pointerSize": len(pointer(self.sha256, self.size))}


@dataclass(frozen=True)
class Commit:
    """One commit: whole, with every file, so that a tree is read without walking back."""

    oid: str
    parent: str
    title: str
    message: str
    author: str
    date: str
    files: dict[str, File]


def tree_ids(files: dict[str, File]) -> dict[str, str]:
    """Folder path -> the tree id git would give it; the root is the empty path."""
    folders: dict[str, list[tuple[str, str, str]]] = {"": []}
    for path in files:
        parents = path.split("/")[:-1]
        for depth in range(len(parents)):
            folders.setdefault("/".join(parents[: depth + 1]), [])
    ids: dict[str, str] = {}
    for path, file in files.items():
        folder, _, name = path.rpartition("/")
        folders[folder].append((name, "100644", file.oid))
    for folder in sorted(folders, key=lambda path: (-path.count("/") - bool(path), path)):  # the deepest first
        entries = sorted(folders[folder], key=lambda entry: entry[0] + "/" * (entry[1] == "40000"))
        content = b"".join(f"{mode} {name}\0".encode() + bytes.fromhex(oid) for name, mode, oid in entries)
        ids[folder] = object_id("tree", content)
        if folder:
            parent, _, name = folder.rpartition("/")
            folders[parent].append((name, "40000", ids[folder]))
    return ids


@dataclass
class Repo:
    """One repository and its whole history."""

    kind: str
    """`models`, `datasets` or `spaces`."""
    id: str
    private: bool = False
    gated: str | bool = False
    granted: set[str] = field(default_factory=set)
    """Users who were let through the gate."""
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    pulls: dict[str, str] = field(default_factory=dict)
    """`refs/pr/1` -> commit."""

    @property
    def namespace(self) -> str:
        """The user or organisation that owns it."""
        return self.id.partition("/")[0]

    def commit(self, files: dict[str, File], branch: str, title: str, message: str, author: str) -> Commit:
        """Add a commit to `branch` and move the branch to it."""
        refs = self.pulls if branch.startswith("refs/pr/") else self.branches
        parent = refs.get(branch, "")
        seconds = int(time.time()) + len(self.commits)  # git would give two equal commits of one second one id
        parents = f"parent {parent}\n" if parent else ""
        who = f"{author} <{author}@hub> {seconds} +0000"
        content = f"tree {tree_ids(files)['']}\n{parents}author {who}\ncommitter {who}\n\n{title}\n\n{message}\n"
        date = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(seconds))
        made = Commit(object_id("commit", content.encode()), parent, title, message, author, date, dict(files))
        self.commits[made.oid] = made
        refs[branch] = made.oid
        return made

    def resolve(self, revision: str) -> Commit:
        """The commit behind a branch, a tag, `refs/pr/N` or a commit id (7 digits or more)."""
        named = {**self.tags, **self.branches, **self.pulls}
        oid = named.get(revision, named.get(revision.removeprefix("refs/heads/"), revision))
        found = [commit for commit in self.commits if commit.startswith(oid)] if len(oid) >= 7 else []
        if len(found) != 1:
            raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return self.commits[found[0]]

    def history(self, revision: str) -> list[Commit]:
        """The commits behind `revision`, the newest first."""
        line = [self.resolve(revision)]
        while line[-1].parent:
            line.append(self.commits[line[-1].parent])
        return line


class Store:
    """Every repository and every byte."""

    def __init__(self) -> None:
        self.repos: dict[tuple[str, str], Repo] = {}
        self.moved: dict[tuple[str, str], str] = {}
        """(kind, old id) -> new id."""
        self.blobs: dict[str, bytes] = {}
        """Small files by git blob id."""
        self.large: dict[str, bytes] = {}
        """Large files by SHA-256."""
        self.xet: dict[str, str] = {}
        """SHA-256 -> Xet hash, of what came through Xet."""
        self.parts: dict[str, dict[int, bytes]] = {}
        """Parts of a large file that is still arriving."""

    def create(self, kind: str, repo_id: str, private: bool, author: str) -> Repo:
        """A new repository with the Hub's first commit, `.gitattributes`."""
        repo = self.repos[kind, repo_id] = Repo(kind, repo_id, private)
        repo.commit({".gitattributes": self.small(ATTRIBUTES)}, "main", "initial commit", "", author)
        return repo

    def small(self, content: bytes) -> File:
        """Keep a small file."""
        oid = object_id("blob", content)
        self.blobs[oid] = content
        return File(oid, len(content))

    def keep_xet(self, stored: Stored) -> None:
        """Keep a large file that came through Xet, if it is what its SHA-256 says."""
        if hashlib.sha256(stored.content).hexdigest() == stored.sha256:
            self.large[stored.sha256] = stored.content
            self.xet[stored.sha256] = stored.xet

    def big(self, sha256: str, size: int) -> File:
        """A large file whose bytes have arrived."""
        if sha256 not in self.large or len(self.large[sha256]) != size:
            raise HubError(400, f"LFS pointer points to an object that was not uploaded: {sha256}")
        return File(object_id("blob", pointer(sha256, size)), size, sha256, self.xet.get(sha256, ""))

    def read(self, file: File) -> bytes:
        """The bytes of a file."""
        return self.large[file.sha256] if file.sha256 else self.blobs[file.oid]
