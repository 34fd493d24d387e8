"""A folder of one's own files is read in one order, without what is none; what is missing is a sentence."""

from __future__ import annotations

import hashlib
import json
import pickle
from pathlib import Path

import pytest

from medslm.data.sources.local import Local
from medslm.errors import MedslmError

LINE = '{"a": "%s"}\n'


def refusal(path: Path) -> str:
    with pytest.raises(MedslmError) as refused:
        list(Local(path).rows())
    return str(refused.value)


def test_a_folder_is_read_in_the_order_of_names_and_without_what_is_no_data(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "data"
    (folder / "b").mkdir(parents=True)
    (folder / ".cache").mkdir()
    (folder / "b" / "x.jsonl").write_text(LINE % 3)
    (folder / "a.csv").write_text("a\n1\n2\n")
    (folder / "c.json").write_text(json.dumps([{"a": "4"}]))
    for ignored in (
        ".hidden.jsonl",
        ".cache/x.jsonl",
        "x.manifest.json",
        "README.md",
        "notes.txt",
        "more.txt",
        "LICENSE",
    ):
        (folder / ignored).write_text(LINE % "never")
    rows = list(Local(folder).rows())
    assert [row["a"] for row in rows] == ["1", "2", "3", "4"]
    assert [row.key for row in rows] == ["a.csv:2", "a.csv:3", "b/x.jsonl:1", "c.json:1"]
    assert f"{folder}: 3 files are read; not read: 1 .md, 2 .txt, 1 without a suffix" in caplog.text


def test_the_name_holds_no_folder_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notes").mkdir()
    monkeypatch.chdir(tmp_path / "notes")
    assert Local(tmp_path / "notes" / "x.csv").name == "local:x.csv"
    assert Local(Path(".")).name == "local:notes"


def test_the_version_is_the_digest_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(LINE % 1)
    assert Local(path).version() == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    whole = Local(tmp_path).version()
    path.write_text(LINE % 2)
    changed = Local(tmp_path).version()
    path.rename(tmp_path / "y.jsonl")
    assert len({whole, changed, Local(tmp_path).version()}) == 3


def test_a_missing_file_is_said_with_the_nearest_name(tmp_path: Path) -> None:
    for name in ("notes.csv", "labs.csv"):
        (tmp_path / name).write_text("a\n1\n")
    assert refusal(tmp_path / "note.csv") == (
        f"there is no file {tmp_path / 'note.csv'}; did you mean 'notes.csv'? in {tmp_path}: labs.csv, notes.csv"
    )
    assert f"nor the folder {tmp_path / 'no'}; give a path from {Path.cwd()}" in refusal(tmp_path / "no" / "x.csv")
    with pytest.raises(MedslmError, match=r"did you mean 'notes\.csv'"):
        Local(tmp_path / "note.csv").version()


def test_a_folder_without_data_is_a_sentence(tmp_path: Path) -> None:
    assert f"the folder {tmp_path} has no file that is read (it is empty)" in refusal(tmp_path)
    (tmp_path / "scan.pdf").write_text("x")
    assert "has no file that is read (1 .pdf); it may hold .jsonl" in refusal(tmp_path)


def test_an_empty_file_in_a_folder_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(LINE % 1)
    (tmp_path / "b.jsonl").write_text("")
    assert refusal(tmp_path) == f"{tmp_path / 'b.jsonl'} is empty; give a file with rows"


def test_nothing_is_read_before_it_is_asked_for_and_a_process_can_be_given_it(tmp_path: Path) -> None:
    source = Local(tmp_path / "later.jsonl")
    source.rows()
    assert pickle.loads(pickle.dumps(source)) == source
