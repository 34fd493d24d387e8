"""Parquet and TOON files come back as they were written, and a file of another kind is refused by its name."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from medslm.data.example import Example
from medslm.data.sources.readers import columnar, reading
from medslm.data.toon import store
from medslm.errors import MedslmError

CELL = st.one_of(
    st.none(),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.sampled_from(["a\u2028b", "c\x85d", "e\r\nf", "\0", '"', " lead", "😀", "", "250.00"]),
)


def refusal(path: Path) -> str:
    with pytest.raises(MedslmError) as refused:
        list(reading.rows(path))
    return str(refused.value)


@given(
    cells=st.lists(st.tuples(CELL, st.lists(CELL, max_size=3)), min_size=1, max_size=9), batch=st.sampled_from([1, 4])
)
@settings(deadline=None, derandomize=True)
def test_a_parquet_file_comes_back_unchanged(tmp_path_factory: Any, cells: list[Any], batch: int) -> None:
    rows = [{"question": text, "options": listed} for text, listed in cells]
    path = tmp_path_factory.mktemp("rows") / "x.parquet"
    kinds = pyarrow.schema({"question": pyarrow.string(), "options": pyarrow.list_(pyarrow.string())})
    parquet.write_table(pyarrow.Table.from_pylist(rows, kinds), path, row_group_size=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columnar, "BATCH", batch)
        read = list(reading.rows(path))
    assert read == rows
    assert [row.place for row in read] == [f"{path}, row {number}" for number in range(1, len(rows) + 1)]


def test_a_parquet_file_that_is_none_or_is_cut_off_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(b"question,answer\n")
    assert f"{path} (16 bytes) cannot be read as Parquet after row 0" in refusal(path)
    parquet.write_table(pyarrow.table({"a": ["b"] * 1000}), path)
    path.write_bytes(path.read_bytes()[:-10])
    assert "cannot be read as Parquet after row 0; it is cut off, broken or another kind of file" in refusal(path)


def test_a_parquet_file_without_rows_or_with_one_name_twice_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    parquet.write_table(pyarrow.table({"a": pyarrow.array([], pyarrow.string())}), path)
    assert refusal(path) == f"{path} holds no rows; give a file with rows"
    parquet.write_table(pyarrow.Table.from_arrays([pyarrow.array(["b"])] * 2, ["a", "a"]), path)
    assert "has more than one column called a;" in refusal(path)


def test_text_in_parquet_that_is_not_utf8_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    offsets, text = pyarrow.array([0, 4], pyarrow.int32()).buffers()[1], pyarrow.py_buffer(b"caf\xe9")
    column = pyarrow.Array.from_buffers(pyarrow.string(), 1, [None, offsets, text])
    parquet.write_table(pyarrow.table({"a": column}), path)
    assert "a column of text holds bytes that are not UTF-8" in refusal(path)


def test_examples_written_as_toon_come_back_with_all_their_fields(tmp_path: Path) -> None:
    examples = [
        Example("1", "Code it.", {"note": "fever\u2028", "labs": [{"k": "5.0"}]}, "B", "f", ("a", "b"), "thoughts"),
        Example("2", "", "And now?", "Rest.", "g", turns=(("user", "Hello"), ("assistant", "Hello."))),
    ]
    store.write(examples, tmp_path / "x.toon")
    told = [
        {**asdict(one), "options": list(one.options), "turns": [list(turn) for turn in one.turns]} for one in examples
    ]
    read = [{**row, "options": list(row["options"]), "turns": [list(turn) for turn in row["turns"]]} for row in reading.rows(tmp_path / "x.toon")]  # fmt: skip
    assert read == told


def test_a_toon_table_of_other_columns_is_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "x.toon"
    path.write_text('[2]{question,answer}:\n  "Why, then?",Because.\n  How?,So.\n')
    assert list(reading.rows(path)) == [
        {"question": "Why, then?", "answer": "Because."},
        {"question": "How?", "answer": "So."},
    ]


def test_the_older_layout_of_headings_is_read_and_its_doubts_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "x.toon"
    path.write_text("### Instruction:\nSum up.\n\n### Response:\n### Endocrine\nfine\n### Response:\nx\n\n### End\n\n")
    (row,) = reading.rows(path)
    assert row == {"instruction": "Sum up.", "input": "", "output": "### Endocrine\nfine\n### Response:\nx"}
    assert f"{path}: 1 records can be read in two ways (a line '### Response:' within a text)" in caplog.text


@pytest.mark.parametrize(
    ("name", "said"), [("x.xlsx", ".xlsx"), ("notes", "a file without a suffix"), ("a.parquet.gz", ".parquet.gz")]
)
def test_a_file_of_another_kind_is_refused_with_the_kinds_that_are_read(tmp_path: Path, name: str, said: str) -> None:
    path = tmp_path / name
    path.write_text("text")
    assert refusal(path).startswith(
        f"{path} is {said}, which is not read; save it as one of .jsonl, .ndjson, .json, .csv"
    )


def test_a_file_that_may_not_be_read_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").mkdir()  # what even the root user cannot read as a file
    assert f"cannot read {tmp_path / 'x.jsonl'}: Is a directory; check the path and your rights" in refusal(
        tmp_path / "x.jsonl"
    )
