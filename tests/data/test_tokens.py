"""Files of tokens: whole, of one origin, or refused; and begun again where they were cut off."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import numpy
import pytest

import toy_templates
from medslm.data import tokens
from medslm.data.formats.render import Renderer
from medslm.data.tokens import Done, Origin, Tokenise
from medslm.errors import MedslmError
from toy_data import example

SOURCE = "5" * 64
KILLED = """
import os, sys, time
from pathlib import Path
import datasets, toy_templates
from medslm import environment
from medslm.data import tokens
from medslm.data.formats.render import Renderer

tokens.PIECE = 5
environment.cpus = lambda: 1
honest = tokens.Tokenise.__call__

def slow(self, lines):
    if Path(sys.argv[1]).with_name(".train.bin.journal").read_text().count("\\n") >= 4:
        print("four entries", flush=True)
        time.sleep(60)
    return honest(self, lines)

tokens.Tokenise.__call__ = slow
rows = datasets.Dataset.from_json(sys.argv[2], cache_dir=sys.argv[3])
renderer = Renderer(toy_templates.without_template(), "text")
tokens.build(Path(sys.argv[1]), rows, renderer, "5" * 64, 300)
"""


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small pieces, in this process."""
    monkeypatch.setattr(tokens, "PIECE", 5)
    monkeypatch.setattr("medslm.environment.cpus", lambda: 1)


def renderer(merges: list[tuple[str, str]] | None = None) -> Renderer:
    made = toy_templates.tokenizer(("", ["<|endoftext|>"], "<|endoftext|>"), merges, adds_bos=False)
    made.chat_template = None
    return Renderer(made, "text")


def rows(number: int = 33) -> Any:
    texts = [f"story number {n}" for n in range(number - 1)] + ["a <|endoftext|> within"]
    return datasets.Dataset.from_dict({"example": [story(text).as_json() for text in texts]})


def story(text: str) -> Any:
    made = example("")
    return type(made)("1", "", "", text, "f")


@pytest.mark.usefixtures("few")
def test_documents_stand_one_after_the_other_each_with_its_end(tmp_path: Path) -> None:
    header = tokens.build(tmp_path / "train.bin", rows(), renderer(), SOURCE, 300)
    held = tokens.read(tmp_path / "train.bin")
    told = renderer()._tokenizer.decode(held.tolist())
    assert told == "".join(f"story number {n}<|endoftext|>" for n in range(32))
    assert (header.count, header.documents, held.dtype) == (len(held), 32, numpy.dtype("<u2"))
    assert header.left_out == {"special token in the text": 1}


@pytest.mark.usefixtures("few")
def test_a_second_start_finds_the_file_and_tokenises_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = tokens.build(tmp_path / "train.bin", rows(), renderer(), SOURCE, 300)
    monkeypatch.setattr(Tokenise, "__call__", None)
    assert tokens.build(tmp_path / "train.bin", rows(), renderer(), SOURCE, 300) == first


@pytest.mark.usefixtures("few")
def test_after_a_kill_nothing_that_was_tokenised_is_tokenised_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, cut = tmp_path / "whole" / "train.bin", tmp_path / "cut" / "train.bin"
    expected = tokens.build(whole, rows(), renderer(), SOURCE, 300)
    rows().to_json(tmp_path / "rows.jsonl")
    command = [sys.executable, "-c", KILLED, str(cut), str(tmp_path / "rows.jsonl"), str(tmp_path / "cache")]
    path = os.pathsep.join([*sys.path, str(Path(__file__).parents[1])])
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}) as process:
        assert process.stdout and process.stdout.readline() == b"four entries\n"
        process.send_signal(signal.SIGKILL)
    assert not cut.exists()
    with (cut.parent / ".train.bin.partial").open("ab") as stream:
        stream.write(b"half a piece")  # written, and not in the journal
    again: list[int] = []
    honest = Tokenise.__call__

    def counted(self: Tokenise, lines: list[str]) -> Any:
        again.append(len(lines))
        return honest(self, lines)

    monkeypatch.setattr(Tokenise, "__call__", counted)
    assert tokens.build(cut, rows(), renderer(), SOURCE, 300) == expected
    assert sum(again) == 33 - 3 * 5  # the journal knew three pieces
    assert cut.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in cut.parent.iterdir()) == ["train.bin", "train.bin.lock"]


@pytest.mark.usefixtures("few")
def test_a_file_of_another_tokenizer_is_refused_begun_or_finished(tmp_path: Path) -> None:
    path, other = tmp_path / "train.bin", renderer([("s", "t")])
    tokens.build(path, rows(), renderer(), SOURCE, 300)
    with pytest.raises(
        MedslmError, match=r"train\.bin was made with another tokenizer .* name the base it was made with"
    ):
        tokens.build(path, rows(), other, SOURCE, 300)
    begun = tmp_path / "begun.bin"
    tokens._recover(*tokens._begun(begun), Origin(renderer().vocabulary_hash, SOURCE))
    with pytest.raises(MedslmError, match="made with another tokenizer"):
        tokens.build(begun, rows(), other, SOURCE, 300)


@pytest.mark.usefixtures("few")
def test_a_file_of_other_documents_is_refused(tmp_path: Path) -> None:
    tokens.build(tmp_path / "train.bin", rows(), renderer(), SOURCE, 300)
    with pytest.raises(MedslmError, match="made of other documents: the mixture"):
        tokens.build(tmp_path / "train.bin", rows(), renderer(), "6" * 64, 300)


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda content: content[:-2], "was cut off or added to: it holds"),
        (lambda content: content[:-1], "was cut off or added to: it holds"),
        (lambda content: content + b"\0\0", "was cut off or added to: it holds"),
        (lambda content: flipped(content, tokens.ROOM + 7), "has changed since it was made: its tokens have SHA-256"),
        (lambda content: flipped(content, len(content) - 1), "has changed since it was made: its tokens have SHA-256"),
        (lambda content: flipped(content, 60), "the header of .* has changed"),
        (lambda content: flipped(content, 0), "is no file of tokens of MedSLM"),
        (lambda content: content[tokens.ROOM :], "is no file of tokens of MedSLM"),
        (lambda content: flipped(content, 8), "is of version 0, and version 1 is read"),
        (lambda content: b"", "is no file of tokens of MedSLM"),
    ],
)
def test_a_damaged_file_is_refused_with_a_sentence(harm: Any, said: str, tmp_path: Path) -> None:
    path = tmp_path / "train.bin"
    tokens.build(path, rows(), renderer(), SOURCE, 300)
    path.write_bytes(harm(path.read_bytes()))
    with pytest.raises(MedslmError, match=said) as refusal:
        tokens.build(path, rows(), renderer(), SOURCE, 300)
    assert "remove" in str(refusal.value)


def test_a_vocabulary_that_two_bytes_cannot_count_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MedslmError, match=r"has 128,256 tokens and train\.bin holds ids up to 65,535"):
        tokens.build(tmp_path / "train.bin", rows(), renderer(), SOURCE, 128_256)
    assert not list(tmp_path.iterdir())


def test_a_journal_that_promises_more_than_the_disk_holds_is_not_believed(tmp_path: Path) -> None:
    partial, journal = tokens._begun(tmp_path / "train.bin")
    origin = Origin("t", "s")
    tokens._recover(partial, journal, origin)
    entries = [{"examples": 5, "count": 4, "documents": 5, "left_out": {}}]
    entries.append({**entries[0], "examples": 10, "count": 400})
    with journal.open("a", encoding="utf-8") as stream:
        stream.writelines(json.dumps(entry) + "\n" for entry in entries)
    with partial.open("ab") as stream:
        stream.write(bytes(10))
    assert tokens._recover(partial, journal, origin).examples == 5


def test_what_is_entered_behind_a_line_that_was_cut_off_is_known_at_the_next_start(tmp_path: Path) -> None:
    partial, journal = tokens._begun(tmp_path / "train.bin")
    origin, done = Origin("t", "s"), Done(examples=5, count=4, documents=5)
    tokens._recover(partial, journal, origin)
    with partial.open("ab") as stream, journal.open("a", encoding="utf-8") as entries:
        stream.write(bytes(8))
        tokens._enter(stream, entries, done)
        entries.write('{"examples": 10, "cou')  # the power went
    assert tokens._recover(partial, journal, origin) == done
    later = Done(examples=15, count=12, documents=15)
    with partial.open("ab") as stream, journal.open("a", encoding="utf-8") as entries:
        stream.write(bytes(16))
        tokens._enter(stream, entries, later)
    assert tokens._recover(partial, journal, origin) == later
