"""The figures of a lesson are those of its rows: lengths, limits, packing, and a picture and a report of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import toy
import toy_world
from medslm.data import packing, rows, statistics
from medslm.data.rows import Rows
from medslm.recipe import Lesson

LONGEST = 640


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rows:
    toy_world.settle(monkeypatch)
    monkeypatch.setenv("MEDSLM_CACHE", str(tmp_path / "cache"))
    return rows.build(Lesson(mixture={"lost": 1.0, "codes": 1.0}, max_length=LONGEST), toy.tokenizer(), None)


def test_the_text_has_the_gates_the_lengths_and_the_packing(built: Rows) -> None:
    said = statistics.text(built, LONGEST)
    assert "lost (mit): 26 examples read, 3 without question or answer, 1 copies of test items" in said
    assert "NOT with gone" in said
    assert f"{len(built.lengths)} examples; tokens: median" in said
    assert "max_length" in said and "1,024" in said
    assert said.endswith(statistics.packed(built, LONGEST))


def test_packing_leaves_out_what_is_too_long_and_counts_the_rest(built: Rows) -> None:
    taken = built.lengths[built.lengths <= LONGEST]
    assert len(taken) == len(built.lengths) - 1
    packs = packing.pack(taken, LONGEST)
    fill = taken.sum() / (len(packs) * LONGEST)
    assert statistics.packed(built, LONGEST) == (
        f"{len(taken)} examples of {taken.sum():,} tokens fill {len(packs)} sequences of 640 tokens to {fill:.1%}; "
        f"one example a sequence would fill {taken.mean() / LONGEST:.1%}"
    )


def test_the_picture_and_the_report_are_written(built: Rows, tmp_path: Path) -> None:
    statistics.write(built, LONGEST, tmp_path / "new" / "folder")
    assert (tmp_path / "new" / "folder" / "lengths.png").read_bytes().startswith(b"\x89PNG")
    report = json.loads((tmp_path / "new" / "folder" / "report.json").read_text(encoding="utf-8"))
    assert report["corpora"]["lost"]["too_long"] == 1
    assert set(report["gates"]) == {"contamination", "deidentification", "quality", "lengths", "license"}
