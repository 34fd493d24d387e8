"""Answers survive the process that asked for them, and never those of another question."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from medslm import files
from medslm.errors import MedslmError
from medslm.evals import kept

KEY = {"adapter": "a" * 8, "template": ("t", 1)}
IDS = [f"q{number}" for number in range(7)]


class Answerer:
    """Answers each id with its length, and remembers what it was asked; dies at a number of ids."""

    def __init__(self, dies_at: int | None = None) -> None:
        self.asked: list[str] = []
        self.chunks: list[int] = []
        self.dies_at = dies_at

    def __call__(self, ids: list[str]) -> list[Any]:
        if self.dies_at is not None and len(self.asked) + len(ids) > self.dies_at:
            raise KeyboardInterrupt
        self.asked += ids
        self.chunks.append(len(ids))
        return [{"of": name} for name in ids]


def test_answers_come_in_the_order_of_the_ids_and_each_is_asked_once(tmp_path: Path) -> None:
    ask = Answerer()
    assert kept.replies(tmp_path / "a" / "r.jsonl", KEY, ["b", "a", "b"], ask) == [
        {"of": "b"},
        {"of": "a"},
        {"of": "b"},
    ]
    assert ask.asked == ["b", "a"]


def test_an_interrupted_asking_loses_only_its_last_chunk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, first, second = tmp_path / "r.jsonl", Answerer(dies_at=5), Answerer()
    with pytest.raises(KeyboardInterrupt):
        kept.replies(path, KEY, IDS, first, at_once=2)
    assert kept.replies(path, KEY, IDS, second, at_once=2) == [{"of": name} for name in IDS]
    assert first.asked + second.asked == IDS and second.chunks == [2, 1]
    assert f"note: 4 of 7 answers were kept in {path} and are not asked again" in capsys.readouterr().err


def test_that_answers_were_kept_is_said_once_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one.jsonl", "two.jsonl"):
        kept.replies(tmp_path / name, KEY, IDS, Answerer())
    for name in ("one.jsonl", "two.jsonl"):
        again = kept.Kept(tmp_path / name, KEY)
        again.answers(IDS[:2], Answerer())
        again.answers(IDS, Answerer())
        assert again.reused == len(IDS)
    assert capsys.readouterr().err == (
        f"note: 2 of 2 answers were kept in {tmp_path / 'one.jsonl'} and are not asked again; nor are others that are kept "
        "in that folder\n"
    )


@pytest.mark.parametrize("cut", [1, 5, 18])
def test_a_torn_last_line_is_said_and_asked_again(tmp_path: Path, cut: int, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "r.jsonl"
    kept.replies(path, KEY, IDS, Answerer())
    path.write_bytes(path.read_bytes()[:-cut])
    again = Answerer()
    assert kept.replies(path, KEY, IDS, again) == [{"of": name} for name in IDS]
    assert again.asked == IDS[-1:] and "ends in a torn line; its answer is asked again" in caplog.text
    assert [json.loads(line)["id"] for line in path.read_text(encoding="utf-8").splitlines()[1:]] == IDS


@pytest.mark.parametrize("other", [{**KEY, "adapter": "b" * 8}, {}, {**KEY, "seed": 1}])
def test_answers_under_another_key_are_set_aside_and_never_mixed(
    tmp_path: Path, other: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "r.jsonl"
    kept.replies(path, KEY, IDS, Answerer())
    before, again = path.read_bytes(), Answerer()
    kept.replies(path, other, IDS[:2], again)
    assert again.asked == IDS[:2] and "everything is asked anew" in caplog.text
    assert (tmp_path / "r.jsonl.old").read_bytes() == before
    assert json.loads(path.read_text(encoding="utf-8").splitlines()[0])["key"] == files.as_json(other)


def test_a_key_is_the_same_after_it_was_written_as_json(tmp_path: Path) -> None:
    again = Answerer()
    kept.replies(tmp_path / "r.jsonl", KEY, IDS, Answerer())
    kept.replies(tmp_path / "r.jsonl", KEY, IDS, again)
    assert again.asked == []


@pytest.mark.parametrize("line", ['{"id": "q1"}', "{", "[1]", '{"value": 1}'])
def test_a_broken_line_in_the_middle_is_a_sentence_with_its_place(tmp_path: Path, line: str) -> None:
    path = tmp_path / "r.jsonl"
    kept.replies(path, KEY, IDS, Answerer())
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([*lines[:2], line, *lines[3:]]) + "\n", encoding="utf-8")
    with pytest.raises(MedslmError, match=r"r\.jsonl:3 is no kept answer .*delete the file"):
        kept.replies(path, KEY, IDS, Answerer())


@pytest.mark.parametrize("content", [b"", b'{"key": ', b'{"id": "q1", "value": 1}\n'])
def test_a_file_that_says_no_key_is_set_aside(tmp_path: Path, content: bytes) -> None:
    path, again = tmp_path / "r.jsonl", Answerer()
    path.write_bytes(content)
    kept.replies(path, KEY, IDS, again)
    assert again.asked == IDS and (tmp_path / "r.jsonl.old").read_bytes() == content


def test_answers_that_are_not_as_many_as_the_questions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MedslmError, match="1 answers came for 7 questions"):
        kept.replies(tmp_path / "r.jsonl", KEY, IDS, lambda ids: ["one"])


def test_odd_text_comes_back_as_it_was(tmp_path: Path) -> None:
    odd = "line\u2028break \ud800 half a pair\n\x00 naïve"
    for _ in range(2):
        assert kept.replies(tmp_path / "r.jsonl", KEY, ["q"], lambda ids: [odd]) == [odd]


def test_only_what_an_earlier_process_left_counts_as_reused(tmp_path: Path) -> None:
    store = kept.Kept(tmp_path / "r.jsonl", KEY)
    for _ in range(2):
        store.answers(IDS[:3], Answerer())
    assert store.reused == 0
    later = kept.Kept(tmp_path / "r.jsonl", KEY)
    for _ in range(2):
        later.answers(IDS, Answerer())
    assert later.reused == 3
