"""Damaged files: whatever was cut, changed or mistaken for TOON is a sentence with file and line, without content."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medslm.data.example import Example
from medslm.data.toon import layout, store, table
from medslm.errors import MedslmError

SECRET = "Mrs Jones"
HEAD = "[2]{id,input}:\n"


def read(path: Path) -> list[Example]:
    return list(store.examples(path))


def refusal(path: Path) -> str:
    with pytest.raises(MedslmError) as refused:
        read(path)
    assert SECRET not in str(refused.value)
    return str(refused.value)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "a.toon"
    store.write([Example(str(id), "Code it.", f"{SECRET},\n{id}", SECRET, "é") for id in range(4)], path)
    return path


def test_a_cut_at_any_byte_is_caught_by_the_manifest(written: Path) -> None:
    whole = written.read_bytes()
    for end in range(len(whole)):
        written.write_bytes(whole[:end])
        assert refusal(written) == (
            f"{written} has {end} bytes and its manifest says {len(whole)}; the file was cut or changed: write or fetch it "
            "again (or remove the manifest if the change is yours)"
        )


def test_without_a_manifest_a_cut_is_caught_unless_it_is_within_the_last_cell(written: Path) -> None:
    whole, examples = written.read_bytes(), read(written)
    written.with_suffix(".manifest.json").unlink()
    last_cell = whole.rindex(b",") + 1
    for end in range(len(whole)):
        written.write_bytes(whole[:end])
        if end in (last_cell, len(whole) - 1):  # the last cell is empty, or only the end of its line is missing
            assert [one.family for one in read(written)] == ["é", "é", "é", "" if end == last_cell else "é"]
            assert [one.id for one in read(written)] == [one.id for one in examples]
        else:
            assert refusal(written).startswith(str(written))


@pytest.mark.parametrize("place", [0, 30, 120, -2])
def test_a_changed_byte_is_caught_by_the_manifest(written: Path, place: int) -> None:
    changed = bytearray(written.read_bytes())
    changed[place] ^= 1
    written.write_bytes(changed)
    assert refusal(written).startswith(
        f"the SHA-256 of {written} is not the one in its manifest; the file was cut or changed"
    )


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", " is empty; write or fetch it again"),
        (b"\n\n# nothing\n", " holds nothing but comments and blank lines, so there is no table"),
        (HEAD.encode() + b"  1,Mrs Jones\n", ": its header promises 2 rows and there are 1; the file was cut or changed"),
        (HEAD.encode() + b"  1,a\n  2,b\n  3,Mrs Jones\n", ", line 2: its header promises 2 rows and there are more"),
        (b"[]\n  1,Mrs Jones\n", ", line 2: it is an empty list and there are more"),
        (HEAD.encode() + b"  1,a\n  2,Mrs Jones,c\n", ", line 3: Expected 2 values but found 3; the file was cut or changed"),
        (HEAD.encode() + b"  1,a\n  Mrs Jones\n", ", line 3: Expected 2 values but found 1"),
        (HEAD.encode() + b'  1,a\n  2,"Mrs Jones\n', ", line 3: Unterminated string"),
        (HEAD.encode() + b'  1,a\n  2,"Mrs Jones\\q"\n', ", line 3: Invalid escape sequence"),
        (HEAD.encode() + b"  1,a\n2,Mrs Jones\n", ", line 3: this is no row of the table (indentation of two spaces"),
        (HEAD.encode() + b"  1,a\n    2,Mrs Jones\n", ", line 3: Unexpected indentation"),
        (HEAD.encode() + b"  1,a\nname: Mrs Jones\n", ", line 3: this is no row of the table"),
        (HEAD.encode() + b"  1,a\n\n  2,Mrs Jones\n", ", line 3: a blank line within the table"),
        (HEAD.encode() + b"  1,Mrs Jones\n  1,b\n", ", line 3: an earlier row has the same id; ids are given once"),
        (HEAD.encode() + b"  1,a\n  2,null\n", ", line 3: input is null, and every value is text"),
        (HEAD.encode() + b"  1,a\n  2,Mrs Jones\xff\n", ", line 3: not UTF-8 (invalid start byte)"),
        (HEAD.encode() + b"  1,a\n  2,\xed\xa0\x80\n", ", line 3: not UTF-8"),  # half of a surrogate pair
        (b"[2]{id,id}:\n  1,2\n  3,4\n", ", line 1: the header of the table is not valid TOON: Duplicate field name"),
        (b"name: Mrs Jones\n", ", line 1: no header of a table such as [2]{id,input,output}: stands here"),
        (b"[1]:\n  - id: Mrs Jones\n", ", line 1: no header of a table"),
        (b"[1:]{id}:\n  x: Mrs Jones\n", ", line 1: no header of a table"),
        (b'{"id": "Mrs Jones"}\n', ", line 1: no header of a table"),
        (b"[1]{id,note}:\n  1,Mrs Jones\n", ", line 2: the row is no example: it has the columns note, and an example has id,"),
        (b"[1]{input}:\n  Mrs Jones\n", ", line 2: the row is no example: it has no column id"),
        (b"[1]{id,input_json}:\n  1,Mrs Jones\n", ", line 2: the row is no example: its input_json is not JSON"),
        (b'[1]{id,input_json}:\n  1,"[1]"\n', ", line 2: the row is no example: its input does not hold what an example has"),
        (b"[1]{id,family{a}}:\n  1,Mrs Jones\n", ", line 2: the row is no example: its family does not hold"),
        (b'[1]{id,turns_json}:\n  1,"[[\\"user\\"]]"\n', ", line 2: the row is no example: its turns does not hold"),
    ],
)  # fmt: skip
def test_a_broken_file_is_a_sentence_with_its_line(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "a.toon"
    path.write_bytes(content)
    assert refusal(path).startswith(f"{path}{problem}")


def test_the_line_is_right_behind_comments_and_many_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "BLOCK_ROWS", 3)
    rows = "".join(f"  {id},x\n" for id in range(10))
    (tmp_path / "a.toon").write_text(f"# one\n\n[11]{{id,input}}:\n{rows}# two\n  Mrs Jones\n")
    assert refusal(tmp_path / "a.toon").startswith(f"{tmp_path / 'a.toon'}, line 15: Expected 2 values but found 1")


def test_a_bom_and_crlf_are_read_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.toon"
    path.write_bytes(b'\xef\xbb\xbf[2]{id,input}:\r\n  1,a\r\n  2,"b\\r\\n"\r\n')
    assert [one.text for one in read(path)] == ["a", "b\r\n"]
    assert f"{path} begins with a byte order mark; it is left out" in caplog.text
    assert f"{path} has lines that end in CRLF" in caplog.text


def test_line_separators_of_unicode_do_not_break_a_row(tmp_path: Path) -> None:
    path = tmp_path / "a.toon"
    path.write_bytes("[2]{id,input}:\n  1,a\u2028b\n  2,a\x85b\n".encode())
    assert [one.text for one in read(path)] == ["a\u2028b", "a\x85b"]


def test_a_file_in_the_older_layout_is_never_taken_for_toon(tmp_path: Path) -> None:
    path = tmp_path / "a.toon"
    path.write_text("### Instruction:\n\n### Response:\n\n### End\n\n")
    assert (
        "line 1: this is the older layout of headings (### Instruction:), which TOON would take for comments"
        in refusal(path)
    )
    assert table.is_older_layout(path)


def test_a_toon_file_is_never_taken_for_the_older_layout(written: Path) -> None:
    with pytest.raises(MedslmError, match="line 1: this is a table in TOON, not the older layout of headings"):
        list(layout.rows(written))
    assert not table.is_older_layout(written)


def test_shards_and_their_manifest_must_agree(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    store.write([Example(str(id), "", SECRET, "", "") for id in range(4)], folder, rows_per_shard=2)
    (folder / "00001.toon").rename(folder / "00002.toon")
    assert "its manifest differ in 00001.toon, 00002.toon; fetch or write the folder again" in refusal(folder)
    (folder / "00002.toon").rename(folder / "00001.toon")
    (folder / "shards.manifest.json").unlink()
    assert (
        "has no shards.manifest.json, so it is no folder of shards; it holds 00000.toon, 00001.toon: name one"
        in refusal(folder)
    )


def test_one_id_in_two_shards_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    store.write([Example(str(id), "", SECRET, "", "") for id in range(2)], folder, rows_per_shard=1)
    (folder / "00001.toon").write_bytes((folder / "00000.toon").read_bytes())
    told = json.loads((folder / "shards.manifest.json").read_text())
    told["shards"][1] = told["shards"][0] | {"name": "00001.toon"}
    (folder / "shards.manifest.json").write_text(json.dumps(told))
    assert refusal(folder).endswith("00001.toon, line 2: an earlier row has the same id; ids are given once")


@pytest.mark.parametrize(
    ("told", "problem"),
    [
        ("{", "is not valid JSON"),
        ("[]", "is no manifest of TOON files"),
        ("{}", "is no manifest of TOON files ('schema')"),
        (
            '{"schema": "medslm.example/9"}',
            "describes the schema 'medslm.example/9', and this version reads 'medslm.example/1'",
        ),
        ('{"schema": "medslm.example/1", "shards": [{}]}', "is no manifest of TOON files"),
    ],
)
def test_a_broken_manifest_is_a_sentence(written: Path, told: str, problem: str) -> None:
    written.with_suffix(".manifest.json").write_text(told)
    assert problem in refusal(written)


def test_a_file_that_is_not_there_or_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.toon") == f"{tmp_path / 'none.toon'} is not there"
    with pytest.raises(MedslmError, match=r"cannot read .*: Is a directory"):
        list(table.rows(tmp_path))
