"""A file is whole or absent, whatever happens while it is written."""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path

import pytest

from medslm import files
from medslm.errors import MedslmError


def break_off(path: Path, reason: BaseException, name: str = "") -> None:
    """Start to write the file `path`, or the file `name` of the folder `path`, and fail half-way."""
    with files.beside(path) as temporary:
        if name:
            temporary.mkdir()
        (temporary / name).write_text("half of the ne", encoding="utf-8")
        raise reason


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path, value = tmp_path / "new" / "folder" / "value.json", {"größe": [1, 2.5, None, "\u2028"]}
    files.write_json(path, value)
    assert files.read_json(path, "nothing") == value
    assert path.read_bytes().endswith(b"\n") and "größe".encode() in path.read_bytes()


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, ValueError])
def test_an_interrupted_file_leaves_the_old_one_and_nothing_else(
    tmp_path: Path, interruption: type[BaseException]
) -> None:
    path = tmp_path / "file.txt"
    files.write_text(path, "old")
    with pytest.raises(interruption):
        break_off(path, interruption())
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.txt"]
    assert path.read_text(encoding="utf-8") == "old"


def test_an_interrupted_folder_leaves_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "adapter"
    files.write_text(path / "old.txt", "old")
    with pytest.raises(KeyboardInterrupt):
        break_off(path, KeyboardInterrupt(), name="new.txt")
    assert [entry.relative_to(tmp_path).as_posix() for entry in sorted(tmp_path.rglob("*"))] == [
        "adapter",
        "adapter/old.txt",
    ]


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "adapter"
    files.write_text(path / "old.txt", "old")
    with files.beside(path) as temporary:
        files.write_text(temporary / "new.txt", "new")
    assert [entry.name for entry in path.iterdir()] == ["new.txt"]


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    path, values = tmp_path / "value.json", [["a" * 50_000], ["b" * 50_000]]
    files.write_json(path, values[0])
    writers = [threading.Thread(target=lambda v=v: [files.write_json(path, v) for _ in range(20)]) for v in values]  # type: ignore[misc]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert files.read_json(path, "nothing") in values
    assert [entry.name for entry in tmp_path.iterdir()] == ["value.json"]


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(MedslmError, match=r"cannot write .*value\.json: .*; free space or choose another place"):
        files.write_json(tmp_path / "file" / "value.json", 1)


def test_a_full_disk_is_a_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(MedslmError, match=r"cannot write .*file: No space left on device; free space"):
        break_off(tmp_path / "file", OSError(28, "No space left on device"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_json_does_not_know_is_not_written(tmp_path: Path, number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "value.json", {"loss": number})
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_names_the_command_that_writes_it(tmp_path: Path) -> None:
    with pytest.raises(MedslmError, match=r"scores\.json is not there; `make eval` writes it"):
        files.read_json(tmp_path / "scores.json", "make eval")


@pytest.mark.parametrize("content", [b'{"half": ', b"", b"\xff\xfe"])
def test_a_broken_file_names_the_command_that_writes_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "scores.json"
    path.write_bytes(content)
    with pytest.raises(MedslmError, match=r"not valid JSON \(.*\); write it again with `make eval`"):
        files.read_json(path, "make eval")


def test_a_value_as_json_equals_what_the_file_gives_back(tmp_path: Path) -> None:
    value = {1: ("a", "b")}
    files.write_json(tmp_path / "value.json", value)
    assert files.as_json(value) == files.read_json(tmp_path / "value.json", "") == {"1": ["a", "b"]} != value


def test_a_digest_covers_every_byte(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000  # more than one piece
    (tmp_path / "file").write_bytes(content)
    assert files.sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()
    (tmp_path / "file").write_bytes(content[:-1] + b"x")
    assert files.sha256(tmp_path / "file") != hashlib.sha256(content).hexdigest()


def test_removing_what_is_not_there_is_no_error(tmp_path: Path) -> None:
    files.remove(tmp_path / "nothing")
    files.write_text(tmp_path / "folder" / "file", json.dumps(1))
    files.remove(tmp_path / "folder")
    assert list(tmp_path.iterdir()) == []
