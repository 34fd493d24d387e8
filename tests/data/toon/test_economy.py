"""The token economy: known costs give known savings, against both baselines, with an interval."""

from __future__ import annotations

import random
from pathlib import Path

import numpy
import pytest

from medslm.data.example import Example
from medslm.data.toon import economy
from medslm.data.toon.economy import Row, Saving
from medslm.errors import MedslmError

LABS = [{"test": "Na", "value": "140"}, {"test": "K", "value": "4.1"}, {"test": "Hb", "value": "13"}]


def visit(id: int, labs: int = 3) -> Example:
    return Example(
        str(id), "Sum up.", {"note": "Line one.\nLine two.", "labs": LABS[:labs]}, {"codes": LABS[:labs]}, "f"
    )


def by(rows: list[Row], part: str, notation: str) -> Row:
    return next(row for row in rows if (row.part, row.notation) == (part, notation))


def test_the_four_ways_are_what_a_model_would_read() -> None:
    value = visit(1, 2).input
    assert (
        economy.written(value, "input", "TOON", len)
        == 'note: "Line one.\\nLine two."\nlabs[2]{test,value}:\n  Na,"140"\n  K,"4.1"'
    )
    assert economy.written(value, "input", "JSON", len) == (
        '{"note":"Line one.\\nLine two.","labs":[{"test":"Na","value":"140"},{"test":"K","value":"4.1"}]}'
    )
    assert economy.written(value, "input", "auto", len).startswith(
        "note:\nLine one.\nLine two.\n\nlabs[2]{test,value}:\n"
    )
    assert "- test: Na; value: 140" in economy.written(value, "input", "plain", len)
    for way, text in (("TOON", '"5"'), ("JSON", '"5"'), ("auto", "5"), ("plain", "5")):
        assert economy.written("5", "output", way, len) == text


def test_tokens_are_means_over_records_and_savings_follow_from_them() -> None:
    rows = economy.measure([visit(1), visit(2, 1)], len, corpus="visits", tokenizer="characters")
    assert [(row.part, row.notation, row.n) for row in rows] == [
        (part, notation, 2) for part in ("input", "output") for notation in ("TOON", "auto")
    ]
    row = by(rows, "output", "TOON")
    toon = [len(economy.written(visit(1, labs).output, "output", "TOON", len)) for labs in (3, 1)]
    plain = [len(economy.written(visit(1, labs).output, "output", "plain", len)) for labs in (3, 1)]
    assert row.tokens["TOON"] == sum(toon) / 2 and row.tokens["plain"] == sum(plain) / 2
    assert row.savings["plain"].percent == pytest.approx(100 * (1 - sum(toon) / sum(plain)))
    assert row.savings["JSON"].percent > 20


def test_the_interval_holds_the_true_saving_about_95_times_in_a_hundred(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(economy, "RESAMPLES", 400)
    draws, inside = numpy.random.default_rng(1), 0
    for seed in range(60):
        baseline = draws.integers(50, 150, 80)
        tokens = (baseline * draws.uniform(0.5, 0.9, 80)).astype(int)  # 30 % saved on average, less half a token
        one = economy.saving(tokens, baseline, seed)
        assert one.low is not None and one.high is not None
        inside += one.low <= 30.5 <= one.high
    assert 50 <= inside <= 60


def test_nothing_saved_is_zero_and_a_cost_is_negative() -> None:
    same = numpy.array([3, 5, 8])
    assert economy.saving(same, same) == Saving(0.0, 0.0, 0.0)
    assert str(economy.saving(2 * same, same)) == "-100.0 % [-100.0, -100.0]"


def test_one_record_has_no_interval() -> None:
    one = economy.saving(numpy.array([3]), numpy.array([4]))
    assert one == Saving(25.0, None, None) and str(one) == "+25.0 %"


def test_a_part_that_is_empty_everywhere_is_left_out_and_no_examples_are_a_sentence() -> None:
    assert {row.part for row in economy.measure([Example("1", "", "", "text", "")], len)} == {"output"}
    with pytest.raises(MedslmError, match="no examples to count the tokens of"):
        economy.measure([], len)


def test_a_sample_is_the_same_each_time_and_drawn_from_all() -> None:
    texts = [str(10**size) for size in range(200)]
    examples = [Example(text, "", text, "", "") for text in texts]
    first, again = (economy.measure(iter(examples), len, sample=20) for _ in range(2))
    assert first == again and first[0].n == 20
    other = economy.measure(iter(examples), len, sample=20, seed=1)
    assert other[0].tokens != first[0].tokens
    assert 50 < first[0].tokens["plain"] < 150  # the first 20 alone would give 10.5


def test_the_table_is_aligned_markdown_with_both_baselines() -> None:
    rows = economy.measure(
        [visit(id, random.Random(id).randint(1, 3)) for id in range(9)], len, corpus="visits", tokenizer="x"
    )
    lines = economy.table(rows).split("\n")
    assert len({len(line) for line in lines}) == 1 and len(lines) == 2 + 4
    assert [cell.strip() for cell in lines[0].strip("|").split("|")] == [
        "corpus", "tokenizer", "part", "notation", "n", "tokens", "JSON", "plain", "saved, JSON", "saved, plain"
    ]  # fmt: skip
    assert set(lines[1]) <= set("|-: ")
    assert lines[2].startswith("| visits | x ")


def test_the_picture_is_a_png(tmp_path: Path) -> None:
    economy.plot(
        economy.measure([visit(1), visit(2)], len) + economy.measure([visit(1)], len), tmp_path / "economy.png"
    )
    assert (tmp_path / "economy.png").read_bytes().startswith(b"\x89PNG")
