"""Preparation: the rows of a corpus become tokenised examples on disk, looked at by every gate, once for each setting."""

from __future__ import annotations

import hashlib
import importlib.metadata
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medslm import environment, files
from medslm.data import options, workers
from medslm.data.corpus import Corpus, Row, Skip
from medslm.data.example import Example, digest
from medslm.data.formats import fields_of
from medslm.data.formats.refusal import Unwritable
from medslm.data.formats.render import Renderer
from medslm.data.gates import duplicates, quality
from medslm.data.gates.bands import PERMUTATIONS
from medslm.data.gates.contamination import Screen
from medslm.data.gates.phi.examples import mask_example, texts
from medslm.data.gates.phi.scanner import Scanner, Style
from medslm.data.gates.phi.secret import secret
from medslm.data.tally import PAIRS, Tally
from medslm.errors import MedslmError

if TYPE_CHECKING:
    import datasets
    import numpy
    import pyarrow

PIECE = 500
"""Rows that are worked on at a time."""

Numbered = tuple[int, Row]

NOTHING: tuple[list[int], list[int]] = ([], [])


@dataclass(frozen=True)
class Preparation:
    """What is done to a corpus. Picklable, since worker processes get it."""

    corpus: Corpus

    renderer: Renderer | None
    """Writes the tokens; without one an example has none."""

    screen: Screen | None
    """Finds copies of test items."""

    scanner: Scanner | None
    """Finds identifiers of patients."""

    mask: Style | None = None
    """Replace the identifiers that the scanner finds, by their type or by surrogates."""

    keep: bool = False
    """Keep the example itself beside its tokens."""

    shuffle: bool = False
    """Draw the order of a question's options."""

    def __call__(self, piece: list[Numbered]) -> tuple[pyarrow.RecordBatch, bytes, Tally]:
        """The examples of some rows as columns, their signatures, and what was found in them."""
        tally = Tally(rows=len(piece))
        found = [columns for number, row in piece for columns in self._of_row(number, row, tally)]
        signatures = b"".join(columns.pop("signature").tobytes() for columns in found)
        return self._batch(found), signatures, tally

    def _of_row(self, number: int, row: Row, tally: Tally) -> Iterator[dict[str, Any]]:
        try:
            for example in self.corpus.of_row(number, row):
                yield self._columns(example, tally)
        except Skip as skip:
            tally.skipped[str(skip)] += 1

    def _columns(self, example: Example, tally: Tally) -> dict[str, Any]:
        match = self.screen.find(example) if self.screen else None
        if match:
            tally.contaminated[match.benchmark] += 1
            if len(tally.pairs) < PAIRS:
                tally.pairs.append({"example": example.id, **asdict(match)})
        example = self._without_identifiers(example, tally)
        findings = quality.inspect(example)
        tally.findings.update(findings.names)
        tally.languages.update([findings.language] if findings.language else [])
        unusable, ids, labels = findings.drops, *NOTHING
        asked = example if unusable else self._ordered(example, tally)
        try:
            ids, labels = NOTHING if unusable else self._tokens(asked)
        except Unwritable as refusal:
            tally.findings[refusal.reason] += 1
            unusable = True
        columns = {
            "input_ids": ids,
            "labels": labels,
            "length": len(ids),
            "family": digest(example.family),
            "fingerprint": duplicates.fingerprint(example),
            "signature": duplicates.signature(example),
            "contaminated": match is not None,
            "unusable": unusable,
        }
        tally.examples += 1
        if not unusable:
            self._count(asked, tally)
        return columns | ({"example": asked.as_json()} if self.keep else {})

    def _ordered(self, example: Example, tally: Tally) -> Example:
        if not self.shuffle or not example.options:
            return example
        asked = options.lesson(example)
        tally.findings.update([options.KEPT] if asked is None else [])
        return asked or example

    def _without_identifiers(self, example: Example, tally: Tally) -> Example:
        if self.scanner is None:
            return example
        types = self.scanner.count(texts(example))
        tally.identifiers.update(types)
        tally.identified += bool(types)
        if self.mask is None or not types:
            return example
        return mask_example(example, self.scanner, self.mask, secret() if self.mask == "surrogate" else b"")

    def _count(self, example: Example, tally: Tally) -> None:
        one = Tally(instructions={example.instruction: list(fields_of(example.output))})
        is_new = tally.instructions is not None and example.instruction not in tally.instructions
        if is_new and self._names_somebody(example.instruction):
            one.instructions = None  # they are published with the adapter
        if example.options and isinstance(example.output, str):
            one.answers = type(tally.findings)([example.output])
        tally.add(one)

    def _names_somebody(self, instruction: str) -> bool:
        return bool(self.scanner and not self.mask and self.scanner.count([instruction]))

    def _tokens(self, example: Example) -> tuple[list[int], list[int]]:
        """Token ids, and the same where they carry loss, else -100. (T,), (T,)"""
        if self.renderer is None:
            return NOTHING
        tokens = self.renderer.tokens(example)
        return tokens.input_ids, [
            token if learnt else -100 for token, learnt in zip(tokens.input_ids, tokens.completion_mask)
        ]

    def _batch(self, found: list[dict[str, Any]]) -> pyarrow.RecordBatch:
        import pyarrow

        names = self.schema.names
        return pyarrow.RecordBatch.from_arrays(
            [pyarrow.array([columns[name] for columns in found], self.schema.field(name).type) for name in names],
            schema=self.schema,
        )

    @property
    def schema(self) -> pyarrow.Schema:
        """The columns of the file."""
        import pyarrow

        tokens = pyarrow.list_(pyarrow.int32())
        fields = {
            "input_ids": tokens,  # prompt, answer, end of turn. (T,)
            "labels": tokens,  # the same where it carries loss, else -100. (T,)
            "length": pyarrow.int32(),
            "family": pyarrow.uint64(),
            "fingerprint": pyarrow.uint64(),
            "contaminated": pyarrow.bool_(),
            "unusable": pyarrow.bool_(),
        }
        return pyarrow.schema(fields | ({"example": pyarrow.large_string()} if self.keep else {}))

    @property
    def key(self) -> str:
        """SHA-256 of all that decides the result: rows, code, template, tokenizer, gates."""
        decided = [
            [described(self.corpus.source), self.corpus.source.version(), described(self.corpus.examples)],
            self.renderer and [self.renderer.template_hash, self.renderer.vocabulary_hash],
            self.screen and self.screen.digest,
            [self.scanner and self.scanner.engine, self.mask, self.keep, self.shuffle],
            hashlib.sha256(secret()).hexdigest() if self.mask == "surrogate" else None,
            code(),
        ]
        return hashlib.sha256(json.dumps(decided).encode()).hexdigest()


def described(part: Any) -> Any:
    """A source or a row function as JSON values: functions by name, with what they are bound to; records by field."""
    if isinstance(part, partial):
        return [described(part.func), *map(described, part.args), described(part.keywords)]
    if is_dataclass(part):
        return [type(part).__qualname__, {field.name: described(getattr(part, field.name)) for field in fields(part)}]
    if isinstance(part, Mapping):
        return {str(name): described(value) for name, value in part.items()}
    if isinstance(part, (list, tuple)):
        return list(map(described, part))
    return f"{part.__module__}.{part.__qualname__}" if callable(part) else str(part)


@cache
def code() -> str:
    """SHA-256 of the code of this room, its lists of names, and the versions of what it stands on."""
    room = Path(__file__).parent
    sources = "".join(files.sha256(path) for path in sorted(room.rglob("*")) if path.suffix in (".py", ".txt"))
    packages = (
        *("transformers", "tokenizers", "toon-format", "simple-icd-10-cm"),
        *("numpy", "py3langid", "ftfy", "presidio-analyzer", "spacy"),
    )
    versions = {name: _version(name) for name in packages}
    return hashlib.sha256(json.dumps([sources, versions]).encode()).hexdigest()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


@dataclass(frozen=True)
class Prepared:
    """A prepared corpus on disk; its columns are read by memory map."""

    folder: Path
    tally: Tally

    @property
    def dataset(self) -> datasets.Dataset:
        """Every example, also those that the gates will drop."""
        import datasets

        return datasets.Dataset.from_file(str(self.folder / "rows.arrow"))

    def column(self, name: str) -> numpy.ndarray[Any, Any]:
        """One number for each example. (N,)"""
        column: numpy.ndarray[Any, Any] = self.dataset.data.column(name).to_numpy()
        return column

    @property
    def signatures(self) -> numpy.ndarray[Any, Any]:
        """MinHash of each example's words, on disk. (N, `PERMUTATIONS`)"""
        import numpy

        path = self.folder / "signatures.bin"
        if not path.stat().st_size:
            return numpy.empty((0, PERMUTATIONS), "u2")
        return numpy.memmap(path, "u2", mode="r").reshape(-1, PERMUTATIONS)


def prepare(preparation: Preparation) -> Prepared:
    """Prepare a corpus, or find it prepared in the cache. Several processes may ask at once; one of them works."""
    from filelock import FileLock

    folder = environment.cache() / "prepared" / preparation.key
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            _write(preparation, folder)
    return Prepared(folder, Tally.from_dict(files.read_json(folder / "tally.json", "the run itself")))


def _write(preparation: Preparation, folder: Path) -> None:
    import pyarrow
    from tqdm import tqdm

    tally, source = Tally(), preparation.corpus.source
    with files.beside(folder) as temporary:
        temporary.mkdir()
        with (
            pyarrow.ipc.new_stream(str(temporary / "rows.arrow"), preparation.schema) as writer,
            (temporary / "signatures.bin").open("wb") as signatures,
            tqdm(desc=f"preparing {source.name}", unit=" rows", leave=False) as bar,
        ):
            for batch, words, counted in workers.each(preparation, pieces(source.rows()), environment.cpus()):
                writer.write_batch(batch)
                signatures.write(words)
                tally.add(counted)
                bar.update(counted.rows)
        if not tally.rows:
            raise MedslmError(f"{source.name} has no rows; choose another split or file")
        files.write_json(temporary / "tally.json", tally.as_dict())


def pieces(rows: Iterable[Row]) -> Iterator[list[Numbered]]:
    """Rows with their numbers, `PIECE` at a time."""
    numbered = iter(enumerate(rows))
    while piece := list(itertools.islice(numbered, PIECE)):
        yield piece
