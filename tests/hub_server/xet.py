"""Xet without a storage service: the client writes into a folder of ours, and the bytes are read back from there.

A client that is told `casUrl: local:///folder` keeps its shards (which file is which chunks) and xorbs (the chunks) there.
Layout of both: https://huggingface.co/docs/xet/index
"""

from __future__ import annotations

import hashlib
import shutil
import struct
from dataclasses import dataclass
from itertools import count
from pathlib import Path

HEADER = ENTRY = 48  # bytes of a shard's header, and of every record in its file section
END = b"\xff" * 32
VERIFIED, SUMMED = 1 << 31, 1 << 30  # flags of a file: followed by verification records, by its SHA-256


def spelt(raw: bytes) -> str:
    """A Xet hash as its hexadecimal name: four little-endian words of 8 bytes."""
    return b"".join(raw[at : at + 8][::-1] for at in range(0, 32, 8)).hex()


def lz4_block(data: bytes, output: bytearray) -> None:
    """Append one LZ4 block's bytes: https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md"""
    at = 0

    def length(short: int) -> int:
        nonlocal at
        total = short
        while short == 15:
            total += (byte := data[at])
            at += 1
            if byte != 255:
                break
        return total

    while at < len(data):
        token = data[at]
        at += 1
        literals = length(token >> 4)
        output += data[at : at + literals]
        at += literals
        if at >= len(data):
            return
        offset = data[at] | data[at + 1] << 8
        at += 2
        start, copies = len(output) - offset, length(token & 15) + 4
        while copies > 0:  # a match may overlap what it writes
            piece = output[start : start + min(copies, offset)]
            output += piece
            start, copies = start + len(piece), copies - len(piece)


def lz4_frame(data: bytes) -> bytes:
    """The bytes of one LZ4 frame: https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md"""
    flags = data[4]
    at = (
        7 + (8 if flags & 8 else 0) + (4 if flags & 1 else 0)
    )  # magic, flags, block size, [content size, dictionary], sum
    output = bytearray()
    while size := struct.unpack_from("<I", data, at)[0]:
        block = data[at + 4 : at + 4 + (size & 0x7FFFFFFF)]
        if size >> 31:
            output += block
        else:
            lz4_block(block, output)
        at += 4 + len(block) + (4 if flags & 16 else 0)
    return bytes(output)


def ungrouped(data: bytes) -> bytes:
    """Undo the grouping by four: every first byte, every second, every third, every fourth."""
    output, at = bytearray(len(data)), 0
    for lane in range(4):
        size = (len(data) + 3 - lane) // 4
        output[lane::4] = data[at : at + size]
        at += size
    return bytes(output)


def chunks(xorb: bytes, last: int) -> list[bytes]:
    """The first `last` chunks of a xorb: 8 bytes of header each (version, stored size, scheme, true size)."""
    found, at = [], 0
    while len(found) < last:
        stored, scheme = int.from_bytes(xorb[at + 1 : at + 4], "little"), xorb[at + 4]
        data = xorb[at + 8 : at + 8 + stored]
        plain = data if scheme == 0 else lz4_frame(data)
        found.append(ungrouped(plain) if scheme == 2 else plain)
        at += 8 + stored
    return found


@dataclass(frozen=True)
class Stored:
    """One file found in a client's folder."""

    xet: str
    sha256: str
    content: bytes


def read_shard(shard: Path) -> list[Stored]:
    """Every file that a shard describes, with its bytes."""
    data, at, found = shard.read_bytes(), HEADER, []
    while data[at : at + 32] != END:
        name, (flags, count_) = spelt(data[at : at + 32]), struct.unpack_from("<II", data, at + 32)
        content = b""
        for entry in range(at + ENTRY, at + ENTRY * (1 + count_), ENTRY):
            first, last = struct.unpack_from("<II", data, entry + 40)
            xorb = shard.parent.parent / "xorbs" / f"default.{spelt(data[entry : entry + 32])}"
            content += b"".join(chunks(xorb.read_bytes(), last)[first:])
        at += ENTRY * (1 + count_ * (2 if flags & VERIFIED else 1))
        sha256 = spelt(data[at : at + 32]) if flags & SUMMED else hashlib.sha256(content).hexdigest()
        at += ENTRY if flags & SUMMED else 0
        found.append(Stored(name, sha256, content))
    return found


class XetStore:
    """Folders lent to clients: a fresh one per write token, a copy per read token (a client locks its folder)."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.homes: dict[str, set[Path]] = {}
        """Xet hash -> the folders that hold it whole."""
        self._seen: set[Path] = set()
        self._names = count()

    def to_write(self) -> Path:
        """An empty folder for one upload."""
        folder = self.root / f"write-{next(self._names)}"
        folder.mkdir(parents=True)
        return folder

    def collect(self) -> list[Stored]:
        """Files that arrived since the last call."""
        arrived = []
        for shard in sorted(self.root.glob("write-*/xet/xorbs/shards/*.mdb")):
            if shard not in self._seen:
                self._seen.add(shard)
                files = read_shard(shard)
                arrived += files
                for file in files:
                    self.homes.setdefault(file.xet, set()).add(shard.parents[3])
        return arrived

    def home(self, hashes: set[str]) -> Path | None:
        """A folder that holds all of `hashes`, if any does."""
        homes = [self.homes.get(name, set()) for name in hashes]
        common = set.intersection(*homes) if homes else set()
        return min(common, default=None)

    def to_read(self, hashes: set[str]) -> Path | None:
        """A copy of the folder that holds `hashes`."""
        home = self.home(hashes)
        if home is None:
            return None
        copy = self.root / f"read-{next(self._names)}"
        shutil.copytree(home / "xet" / "xorbs", copy / "xet" / "xorbs")
        return copy
