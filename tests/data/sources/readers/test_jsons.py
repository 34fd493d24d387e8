"""JSON files of any size and with hostile text come back as they were written; what is broken is said with its line."""

from __future__ import annotations

import gzip
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medslm.data.sources.readers import jsons, reading
from medslm.errors import MedslmError

SECRET = "Mrs Example of 12 Any Street"
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
HOSTILE = st.sampled_from(
    ["a\u2028b", "c\x85d", "\r\n", "\n", '"', "\\", "\ufeff", "\0", " lead", "😀", "", "[{", "},"]
)
CELL = st.one_of(TEXT, HOSTILE, st.none(), st.booleans(), st.integers(-(2**70), 2**70))
ROWS = st.lists(
    st.dictionaries(st.one_of(TEXT, HOSTILE), CELL | st.lists(CELL, max_size=3), min_size=1), min_size=1, max_size=5
)


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refusal(path: Path) -> str:
    with pytest.raises(MedslmError) as refused:
        list(reading.rows(path))
    assert SECRET not in str(refused.value)
    assert str(path) in str(refused.value)
    return str(refused.value)


@given(rows=ROWS, ascii=st.booleans(), end=st.sampled_from(["\n", "\r\n"]))
@settings(deadline=None, derandomize=True)
def test_json_lines_come_back_unchanged(tmp_path_factory: Any, rows: list[Any], ascii: bool, end: str) -> None:
    text = "".join(json.dumps(row, ensure_ascii=ascii) + end for row in rows)
    path = written(tmp_path_factory.mktemp("rows"), "x.jsonl", text)
    assert list(reading.rows(path)) == rows


@given(rows=ROWS, ascii=st.booleans(), indent=st.sampled_from([None, 1]), chunk=st.sampled_from([1, 7, 1 << 20]))
@settings(deadline=None, derandomize=True)
def test_an_array_comes_back_unchanged_wherever_its_pieces_are_cut(
    tmp_path_factory: Any, rows: list[Any], ascii: bool, indent: int | None, chunk: int
) -> None:
    path = written(tmp_path_factory.mktemp("rows"), "x.json", json.dumps(rows, ensure_ascii=ascii, indent=indent))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsons, "CHUNK", chunk)
        assert list(reading.rows(path)) == rows


@pytest.mark.parametrize("name", ["x.jsonl", "x.ndjson", "x.json", "x.JSONL", "x.jsonl.gz", "x.json.gz"])
def test_one_object_a_line_is_read_under_every_name(tmp_path: Path, name: str) -> None:
    text = b'{"a": "1"}\n\n{"a": "2"}'
    path = written(tmp_path, name, gzip.compress(text) if name.endswith("gz") else text)
    assert [(row["a"], row.place) for row in reading.rows(path)] == [("1", f"{path}, line 1"), ("2", f"{path}, line 3")]


def test_a_row_keeps_its_place_when_it_is_sent_to_another_process(tmp_path: Path) -> None:
    (row,) = reading.rows(written(tmp_path, "x.jsonl", '{"a": 250.00}\n'))
    sent = pickle.loads(pickle.dumps(row))
    assert (sent, sent.place, sent.key, sent["a"].text) == ({"a": 250.0}, row.place, "1", "250.00")


def test_a_byte_order_mark_is_left_out_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name, text in (("x.jsonl", '\ufeff{"a": "1"}\n'), ("x.json", '\ufeff[{"a": "1"}]')):
        assert list(reading.rows(written(tmp_path, name, text))) == [{"a": "1"}]
        assert f"{tmp_path / name} begins with a byte order mark" in caplog.text


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("x.jsonl", '{"a": "1"}\n{"a": "%s', "line 2 (35 bytes) is not valid JSON (Unterminated string starting at, character 7); mend it or write it again; the file ends there, so it may be cut off"),
        ("x.jsonl", '{"a": "%s}\n{"a": "1"}\n', "line 1 (37 bytes) is not valid JSON (Invalid control character at, character 37); mend it or write it again"),
        ("x.jsonl", '{"a": "1"}\n["%s"]\n', "line 2 holds an array and not an object; write each row as {...}; a file with one array of objects is called .json"),
        ("x.jsonl", '{"a": "1"}\n"%s"\n', "line 2 holds text and not an object"),
        ("x.jsonl", "{}\n3\n", "line 2 holds a number and not an object"),
        ("x.jsonl", '{"%s": NaN}\n', "line 1 (38 bytes) cannot be kept: NaN is no JSON"),
        ("x.jsonl", '{"%s": -Infinity}\n', "-Infinity is no JSON"),
        ("x.jsonl", '{"%s": 1e999}\n', "a number is too large"),
        ("x.jsonl", '{"a": ' + "9" * 5000 + "}\n", "holds a number of thousands of digits"),
        ("x.jsonl", '{"%s": 1, "%s": 2}\n', "one object has the same name twice"),
        ("x.jsonl", '{"a": "%s \\ud83d"}\n', "line 1 holds half of a surrogate pair"),
        ("x.jsonl", '{"a": ' + "[" * 100_000 + "\n", "is nested too deeply"),
        ("x.json", '[{"a": "1"},\n {"a": "%s', "row 2 (line 2) ends with the file, which is cut off"),
        ("x.json", '[{"a": "1"},\n {"a": "%s"}', "row 2 (line 2) is the last: the file ends before its array"),
        ("x.json", '[{"a": "1"},\n {"a" "%s"}]' + " " * 50, "row 2 (line 2) is not valid JSON (Expecting ':' delimiter)"),
        ("x.json", '[{"a": "1"}\n {"a": "%s"}]', "row 1 (line 2) is not followed by , or ]"),
        ("x.json", '[{"a": "1"},\n "%s"]', "row 2 (line 2) holds text and not an object"),
        ("x.json", '[{"%s": NaN}]', "row 1 (line 1) cannot be kept: NaN"),
        ("x.json", '[{"a": "%s \\uDC00"}]', "row 1 (line 1) holds half of a surrogate pair"),
        ("x.json", '[{"a": "1"}] {"a": "%s"}', "has more text after the end of its array"),
        ("x.json", '{\n "a": "%s"\n}', "holds neither an array of objects nor one object a line"),
        ("x.json", "[]", "holds no rows"),
        ("x.jsonl", "\n\n", "holds no rows"),
        ("x.jsonl", "", "is empty"),
        ("x.json", "\ufeff", "is empty"),
    ],
)  # fmt: skip
def test_what_is_broken_is_said_with_file_and_line_and_without_content(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    assert said in refusal(written(tmp_path, name, text.replace("%s", SECRET)))


def test_a_pair_of_surrogates_is_a_character(tmp_path: Path) -> None:
    assert list(reading.rows(written(tmp_path, "x.jsonl", '{"a": "\\ud83d\\ude00"}'))) == [{"a": "😀"}]


@pytest.mark.parametrize("name", ["x.jsonl", "x.json", "x.csv"])
def test_text_in_another_encoding_is_said_with_its_byte(tmp_path: Path, name: str) -> None:
    latin = {"x.jsonl": '{"a": "b"}\n{"a": "é"}\n', "x.json": '[{"a": "b"},\n{"a": "é"}]', "x.csv": "a,b\nc,é\n"}[name]
    said = refusal(written(tmp_path, name, latin.encode("latin-1")))
    assert (
        f"line 2: byte {latin.index('é')} is not UTF-8; convert it, such as with `iconv -f WINDOWS-1252 -t UTF-8 {name}"
        in said
    )
    for encoding in ("utf-16", "utf-32"):
        assert f"is written in {encoding.upper()}" in refusal(written(tmp_path, name, latin.encode(encoding)))


def test_a_broken_archive_is_said(tmp_path: Path) -> None:
    whole = gzip.compress(b'{"a": "1"}\n' * 1000)
    assert "cut off in the middle of its gzip stream" in refusal(written(tmp_path, "x.jsonl.gz", whole[:-20]))
    assert "is not valid gzip" in refusal(written(tmp_path, "y.jsonl.gz", b'{"a": "1"}\n'))


def test_an_object_larger_than_a_chunk_is_read_in_a_few_attempts(tmp_path: Path) -> None:
    rows = [{"a": "x" * 3_000_000}, {"a": "y"}]
    assert list(reading.rows(written(tmp_path, "x.json", json.dumps(rows)))) == rows
