"""The older layout: no text is lost or torn, and what can be read in two ways is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medslm.data.toon import layout
from medslm.errors import MedslmError

FRAME = "### Instruction:\n{}\n\n### Response:\n{}\n\n### End\n\n"  # as the older writer had it


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "old.toon"


def read(path: Path, text: str) -> tuple[list[layout.Row], dict[str, int]]:
    path.write_text(text, encoding="utf-8", newline="")
    ambiguous: dict[str, int] = {}
    return list(layout.rows(path, ambiguous)), ambiguous


def row(instruction: str, output: str, ambiguous: str = "", input: str = "") -> layout.Row:
    return {"instruction": instruction, "input": input, "output": output, "ambiguous": ambiguous}


def test_records_are_read_in_their_order(path: Path) -> None:
    assert read(path, FRAME.format("a", "b") + FRAME.format("c", "d")) == ([row("a", "b"), row("c", "d")], {})


LINES = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), max_size=8)
    | st.sampled_from(
        ["", " ", "### Endocrine", "### End ", "# x", "###", "### Responses:", "\u2028", "a\x85b", "\ufeff"]
    ),
    min_size=1,
    max_size=5,
).map("\n".join)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pairs=st.lists(st.tuples(LINES, LINES), min_size=1, max_size=4))
def test_texts_without_lines_of_the_frame_come_back_as_they_were(path: Path, pairs: list[tuple[str, str]]) -> None:
    expected = [row(*pair) for pair in pairs]
    assert read(path, "".join(FRAME.format(*pair) for pair in pairs)) == (expected, {})


def test_a_heading_that_only_begins_like_the_end_does_not_cut(path: Path) -> None:
    note = "### Endocrine\nTSH 4.1\n### End of stay\nhome\n ### End"
    assert read(path, FRAME.format(note, note)) == ([row(note, note)], {})


def test_a_second_response_belongs_to_the_first_and_is_told(path: Path) -> None:
    why = "a line '### Response:' within a text"
    text = FRAME.format("a", "b\n### Response:\nc") + FRAME.format("d", "e")
    assert read(path, text) == ([row("a", "b\n### Response:\nc", why), row("d", "e")], {why: 1})


def test_an_end_within_a_text_is_text_unless_a_record_follows(path: Path) -> None:
    why = "a line '### End' within a text"
    assert read(path, FRAME.format("a", "b\n### End\n\nc\n### End")) == (
        [row("a", "b\n### End\n\nc\n### End", why)],
        {why: 1},
    )
    assert read(path, FRAME.format("a\n### End\nb", "c")) == ([row("a\n### End\nb", "c", why)], {why: 1})


def test_a_record_whose_end_is_missing_swallows_the_next_and_is_told(path: Path) -> None:
    rows, ambiguous = read(path, FRAME.format("a", "b").replace("### End\n", "") + FRAME.format("c", "d"))
    assert [one["output"] for one in rows] == ["b\n\n\n### Instruction:\nc\n\n### Response:\nd"]
    assert ambiguous == {"a line '### Instruction:' within a text": 1, "a line '### Response:' within a text": 1}


def test_an_input_section_is_read(path: Path) -> None:
    text = "### Instruction:\na\n\n### Input:\nnote\n\n### Response:\nb\n### Input:\nc\n\n### End\n"
    assert read(path, text)[0] == [row("a", "b\n### Input:\nc", "a line '### Input:' within a text", "note")]


def test_white_space_of_the_text_itself_stays(path: Path) -> None:
    assert read(path, FRAME.format("  a ", "\n b\n\n\t")) == ([row("  a ", "\n b\n\n\t")], {})


def test_bom_and_crlf_are_read_and_said(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert read(path, "\ufeff" + FRAME.format("a\nb", "c").replace("\n", "\r\n"))[0] == [row("a\nb", "c")]
    assert "byte order mark" in caplog.text and "CRLF" in caplog.text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", " is empty"),
        ("\n \n", " holds no line '### Instruction:', so there are no records"),
        ("Mrs Jones\n", ", line 1: text before the first line '### Instruction:'"),
        (FRAME.format("a", "b") + "### Instruction:\nMrs Jones\n\n### Response:\nc", ", line 9: the record that begins here has no line '### End'"),
        (FRAME.format("a", "b") + "### Instruction:\nMrs Jones\n\n### End\n", ", line 9: the record that begins here has no line '### Response:'"),
    ],
)  # fmt: skip
def test_what_is_not_the_layout_is_a_sentence_without_content(path: Path, text: str, problem: str) -> None:
    with pytest.raises(MedslmError) as refused:
        read(path, text)
    assert str(refused.value).startswith(f"{path}{problem}") and "Jones" not in str(refused.value)


def test_a_cut_anywhere_before_the_last_end_is_found(path: Path) -> None:
    whole = FRAME.format("a", "b") + FRAME.format("c", "d")
    ends = whole.index("### Instruction:", 5)
    for cut in range(ends + 1, len(whole) - len("\n\n")):
        with pytest.raises(MedslmError, match=r"line (1|9): the record that begins here has no line"):
            read(path, whole[:cut])
