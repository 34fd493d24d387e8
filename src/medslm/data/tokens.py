"""Running text as tokens: documents one after the other in a file of two bytes a token, read by memory map.

    bytes 0 to 4096     magic, version, length and SHA-256 of the record, the record (`Header`) as JSON, zeros
    bytes 4096 to end   the tokens, little-endian uint16; each document ends with the end-of-text token

While it is made, the tokens stand in `.NAME.partial`, and `.NAME.journal` says after each piece how far they are: whatever
is in the journal is on the disk and is not tokenised again, also after a `kill -9`.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from medslm import environment, files
from medslm.data import workers
from medslm.data.example import Example
from medslm.data.formats.refusal import Unwritable
from medslm.data.formats.render import Renderer
from medslm.errors import MedslmError

if TYPE_CHECKING:
    import datasets
    import numpy

MAGIC, VERSION, ROOM = b"MEDSLMTK", 1, 4096
FRONT = struct.Struct("<8sII32s")
DTYPE = "<u2"
LARGEST = 2**16 - 1
PIECE = 2000
"""Examples that are tokenised, written and entered in the journal together."""


@dataclass(frozen=True)
class Origin:
    """What tokens were made of."""

    tokenizer: str
    """`Renderer.vocabulary_hash`."""

    source: str
    """SHA-256 of whatever decides which documents they are, and their order."""


@dataclass(frozen=True)
class Header:
    """What a file says of itself."""

    tokenizer: str
    source: str
    count: int
    """Tokens."""

    documents: int
    sha256: str
    """Of the tokens' bytes."""

    left_out: dict[str, int] = field(default_factory=dict)
    """Documents that could not be written, by reason."""

    dtype: str = DTYPE


@dataclass
class Done:
    """How far a file has come."""

    examples: int = 0
    count: int = 0
    documents: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Tokenise:
    """The tokens of some examples. Picklable, since worker processes get it."""

    renderer: Renderer

    def __call__(self, lines: list[str]) -> tuple[bytes, Done]:
        """Tokens as they stand in the file, and how many they are; `lines` are examples as JSON."""
        import numpy

        done, found = Done(examples=len(lines)), []
        for line in lines:
            try:
                found.append(numpy.asarray(self.renderer.tokens(Example.from_json(line)).input_ids, DTYPE))
            except Unwritable as refusal:
                done.left_out[refusal.reason] += 1
        done.documents, done.count = len(found), sum(map(len, found))
        return b"".join(tokens.tobytes() for tokens in found), done


def build(path: Path, examples: datasets.Dataset, renderer: Renderer, source: str, vocabulary: int) -> Header:
    """Tokenise `examples` (a column `example` of JSON) into `path`, in all cores, or find it made or begun.

    Several processes may ask at once; one of them works. Raises `MedslmError` for a file of another origin, a damaged one,
    or a `vocabulary` whose ids do not fit into two bytes.
    """
    from filelock import FileLock

    if vocabulary - 1 > LARGEST:
        raise MedslmError(
            f"the tokenizer has {vocabulary:,} tokens and {path.name} holds ids up to {LARGEST:,}; choose a base with "
            "fewer, such as gpt2"
        )
    origin = Origin(renderer.vocabulary_hash, source)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if not path.exists():
            _make(path, examples, renderer, origin)
        return check(path, origin)


def _make(path: Path, examples: datasets.Dataset, renderer: Renderer, origin: Origin) -> None:
    from tqdm import tqdm

    partial, journal = _begun(path)
    try:
        done = _recover(partial, journal, origin)
        with (
            partial.open("r+b") as tokens,
            journal.open("a", encoding="utf-8") as entries,
            tqdm(desc=path.name, unit=" documents", total=len(examples), initial=done.examples, leave=False) as bar,
        ):
            digest = _rewind(tokens, done)
            pieces = _pieces(examples, done.examples)
            for written, more in workers.each(Tokenise(renderer), pieces, environment.cpus()):
                tokens.write(written)
                digest.update(written)
                _add(done, more)
                _enter(tokens, entries, done)
                bar.update(more.examples)
            _close(tokens, Header(**asdict(origin), **_counts(done), sha256=digest.hexdigest()))
        os.replace(partial, path)
        files.remove(journal)
    except OSError as error:
        raise MedslmError(
            f"cannot write {path}: {error.strerror or error}; free space, or use another --runs"
        ) from error


def _begun(path: Path) -> tuple[Path, Path]:
    return path.with_name(f".{path.name}.partial"), path.with_name(f".{path.name}.journal")


def _recover(partial: Path, journal: Path, origin: Origin) -> Done:
    """How far an earlier start came; files for a new one where there was none. Raises `MedslmError` for another origin."""
    entries = list(_entries(journal))
    if entries:
        _same(partial, Origin(**entries[0]), origin)
        size = (partial.stat().st_size if partial.exists() else 0) - ROOM
        for entry in reversed(entries[1:]):
            if 2 * entry["count"] <= size:
                _begin(journal, entries[0], entry)  # else what follows would be glued to a line that was cut off
                return Done(**{**entry, "left_out": Counter(entry["left_out"])})
    partial.write_bytes(bytes(ROOM))
    _begin(journal, asdict(origin))
    return Done()


def _begin(journal: Path, *entries: dict[str, Any]) -> None:
    files.write_text(journal, "".join(json.dumps(entry) + "\n" for entry in entries))


def _entries(journal: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a journal; the last one may have been cut off."""
    if not journal.exists():
        return
    for line in journal.read_text(encoding="utf-8").splitlines(keepends=True):
        try:
            entry: dict[str, Any] = json.loads(line)
        except ValueError:
            return
        yield entry


def _rewind(tokens: IO[bytes], done: Done) -> Any:
    """Cut off what the journal does not know, and give the SHA-256 of what it does."""
    tokens.truncate(ROOM + 2 * done.count)
    tokens.seek(ROOM)
    digest = hashlib.sha256()
    while block := tokens.read(1 << 20):
        digest.update(block)
    return digest


def _pieces(examples: datasets.Dataset, first: int) -> Iterator[list[str]]:
    for start in range(first, len(examples), PIECE):
        yield examples[start : start + PIECE]["example"]


def _add(done: Done, more: Done) -> None:
    done.examples += more.examples
    done.count += more.count
    done.documents += more.documents
    done.left_out.update(more.left_out)


def _enter(tokens: IO[bytes], entries: IO[str], done: Done) -> None:
    """Put on the disk first what the journal then says is there."""
    tokens.flush()
    os.fsync(tokens.fileno())
    entries.write(json.dumps(vars(done)) + "\n")
    entries.flush()


def _counts(done: Done) -> dict[str, Any]:
    return {"count": done.count, "documents": done.documents, "left_out": dict(done.left_out)}


def _close(tokens: IO[bytes], header: Header) -> None:
    record = json.dumps(asdict(header)).encode()
    front = FRONT.pack(MAGIC, VERSION, len(record), hashlib.sha256(record).digest())
    if len(front) + len(record) > ROOM:
        raise MedslmError(
            f"the record of the tokens takes {len(record):,} bytes, and its place has {ROOM:,}: report it"
        )
    tokens.seek(0)
    tokens.write(front + record)
    tokens.flush()
    os.fsync(tokens.fileno())


def check(path: Path, origin: Origin | None = None) -> Header:
    """The header of a file, all of whose bytes were looked at.

    Raises `MedslmError` for a file that is no file of tokens, is cut off, changed, or of another origin than `origin`.
    """
    header = _header(path)
    if origin is not None:
        _same(path, Origin(header.tokenizer, header.source), origin)
    held = (path.stat().st_size - ROOM) // 2
    if held != header.count or (path.stat().st_size - ROOM) % 2:
        raise MedslmError(
            f"{path} was cut off or added to: it holds {held:,} tokens, and was made with {header.count:,}; remove it, "
            "and the next start makes it again"
        )
    with path.open("rb") as stream:
        stream.seek(ROOM)
        digest = hashlib.sha256()
        while block := stream.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != header.sha256:
        raise MedslmError(
            f"{path} has changed since it was made: its tokens have SHA-256 {digest.hexdigest()[:12]}, not "
            f"{header.sha256[:12]}; remove it, and the next start makes it again"
        )
    return header


def _header(path: Path) -> Header:
    try:
        with path.open("rb") as stream:
            room = stream.read(ROOM)
    except FileNotFoundError:
        raise MedslmError(f"{path} is not there; `accelerate launch` of the recipe makes it") from None
    if len(room) < ROOM or room[: len(MAGIC)] != MAGIC:
        raise MedslmError(
            f"{path} is no file of tokens of MedSLM: it does not begin with {MAGIC.decode()} and {ROOM:,} bytes of "
            "header, as a plain array of token ids does not; remove it, and the next start makes it"
        )
    _, version, length, digest = FRONT.unpack_from(room)
    if version != VERSION:
        raise MedslmError(f"{path} is of version {version}, and version {VERSION} is read; remove it and start again")
    record = room[FRONT.size : FRONT.size + length]
    if hashlib.sha256(record).digest() != digest:
        raise MedslmError(f"the header of {path} has changed since it was made; remove the file and start again")
    return Header(**json.loads(record))


def _same(path: Path, found: Origin, wanted: Origin) -> None:
    if found.tokenizer != wanted.tokenizer:
        raise MedslmError(
            f"{path} was made with another tokenizer ({found.tokenizer[:12]}, here it is {wanted.tokenizer[:12]}), so its "
            "numbers mean other words; name the base it was made with, or remove it"
        )
    if found.source != wanted.source:
        raise MedslmError(
            f"{path} was made of other documents: the mixture, a gate, a corpus or the split has changed; give this run "
            "another --name, or remove the file"
        )


def read(path: Path) -> numpy.ndarray[Any, Any]:
    """The tokens of a checked file, as they lie on the disk. (N,) uint16"""
    import numpy

    return numpy.memmap(path, DTYPE, mode="r", offset=ROOM)
