"""Tables of text come back as a CSV writer wrote them, with whatever delimiter; what is broken is said with its line."""

from __future__ import annotations

import csv
import gzip
import io
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from medslm.data.sources.readers import reading
from medslm.errors import MedslmError

SECRET = "Mrs Example of 12 Any Street"
NUL = "" if sys.version_info >= (3, 11) else "\0"  # Python 3.10's csv refuses it
CELL = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters=NUL)),
    st.sampled_from(
        ["a\u2028b", "c\x85d", "e\rf", "g\r\nh", "\n", '"', '""', "'", " lead", "😀", "", ",;|\t", "\ufeff"]
    ),
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


@given(cells=st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=6), suffix=st.sampled_from(["csv", "tsv"]))
@settings(deadline=None, derandomize=True)
def test_a_table_comes_back_unchanged(tmp_path_factory: Any, cells: list[tuple[str, ...]], suffix: str) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, "excel" if suffix == "csv" else "excel-tab").writerows([("id", "question", "answer"), *cells])
    path = written(tmp_path_factory.mktemp("rows"), f"x.{suffix}", text.getvalue())
    assert [tuple(row.values()) for row in reading.rows(path)] == cells


@given(cells=st.lists(st.tuples(CELL, CELL), min_size=1, max_size=6), mark=st.sampled_from([";", "\t", "|"]))
@settings(deadline=None, derandomize=True)
def test_another_delimiter_is_recognised_and_the_cells_are_the_same(
    tmp_path_factory: Any, cells: list[tuple[str, ...]], mark: str
) -> None:
    assume(all("\n" not in cell for row in cells for cell in row))
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=mark, quoting=csv.QUOTE_ALL).writerows([("question", "answer"), *cells])
    path = written(tmp_path_factory.mktemp("rows"), "x.csv", text.getvalue())
    assert [tuple(row.values()) for row in reading.rows(path)] == cells


@pytest.mark.parametrize(("mark", "said"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
def test_a_delimiter_that_the_name_does_not_promise_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mark: str, said: str
) -> None:
    path = written(tmp_path, "x.csv", f"question{mark}answer\na, or b?{mark}b\n")
    assert list(reading.rows(path)) == [{"question": "a, or b?", "answer": "b"}]
    assert f"{path} is separated by {said}, not by commas as its name promises" in caplog.text


def test_the_promised_delimiter_needs_no_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = written(tmp_path, "x.csv", "question,answer\na; b,b;\n")
    assert list(reading.rows(path)) == [{"question": "a; b", "answer": "b;"}]
    assert caplog.text == ""


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_of_every_system_and_breaks_inside_quotes_are_kept_apart(tmp_path: Path, end: str) -> None:
    path = written(tmp_path, "x.csv", end.join(["\ufeffa,b", '"one\n\ntwo","3 ""x"""', "", "4,5", ""]))
    rows = list(reading.rows(path))
    assert rows == [{"a": "one\n\ntwo", "b": '3 "x"'}, {"a": "4", "b": "5"}]
    assert [row.number for row in rows] == [2, 6]


def test_a_cell_of_thirty_megabytes_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, "x.csv", 'a,b\n1,"' + "x" * 30_000_000 + '"\n')
    assert [len(row["b"]) for row in reading.rows(path)] == [30_000_000]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "a,b\n1,2\n%s,2,3\n",
            "line 3 has 3 cell(s) where the header has 2; a comma, line break or quote inside a cell",
        ),
        ("a,b\n1\n", "line 2 has 1 cell(s) where the header has 2"),
        ('a,b\n1,2\n3,"%s\n5,6\n', "line 3: a quoted cell begins in this row and never ends"),
        ('a,b\n1,"%s" x\n', "line 2: text follows the quote that ends a cell"),
        ("a,b,a\n1,2,3\n", "line 1 gives more than one column the name a;"),
        ("a,,\n1,2,3\n", "gives more than one column the name (no name);"),
        ("a,b\n", "has a header and no rows"),
        ("\n\n", "has no rows"),
        ("", "is empty"),
        ("1,%s\n2,x\n", "line 1 does not look like a header: cell 1 of 2 is a number"),
        ("a,%s" + "x" * 100 + "\n2,x\n", "line 1 does not look like a header: cell 2 of 2 is 128 characters long"),
    ],
)
def test_what_is_broken_is_said_with_file_and_line_and_without_content(tmp_path: Path, text: str, said: str) -> None:
    assert said in refusal(written(tmp_path, "x.csv", text.replace("%s", SECRET)))


def test_the_index_that_pandas_writes_is_a_column_without_a_name(tmp_path: Path) -> None:
    assert list(reading.rows(written(tmp_path, "x.csv", ",a\n0,b\n"))) == [{"": "0", "a": "b"}]


def test_a_table_in_an_archive_is_read(tmp_path: Path) -> None:
    assert list(reading.rows(written(tmp_path, "x.tsv.gz", gzip.compress(b"a\tb\n1\t2\n")))) == [{"a": "1", "b": "2"}]
