"""Tables and sentences of studies: nothing is wider than a terminal, and no figure loses its task, side and n."""

from __future__ import annotations

from medslm.evals.trust import lines

HEAD = ("task", "side", "n", *(f"measure {place}" for place in range(8)))


def test_a_table_that_fits_is_one() -> None:
    told = lines.aligned([HEAD[:4], ("medqa", "base", "6", "12.3 % [1.0, 40.0]")], left=2)
    assert len(told) == 3 and told[2].endswith("12.3 % [1.0, 40.0]")


def test_a_wide_table_is_told_in_parts_that_each_name_task_side_and_n() -> None:
    rows = [("medqa", side, "1,273", *(f"{place}.3 % [1.0, 40.0]" for place in range(8))) for side in ("base", "tuned")]
    told = lines.aligned([HEAD, *rows], left=2)
    assert max(map(len, told)) <= lines.WIDTH
    heads = [line for line in told if line.startswith("task")]
    assert len(heads) > 1 and all(line.split()[:3] == ["task", "side", "n"] for line in heads)
    assert " ".join(heads).count("measure") == 8 and "\n".join(told).count("1,273") == 2 * len(heads)
    assert told.count("") == len(heads) - 1


def test_a_cell_that_is_too_wide_by_itself_is_told_whole() -> None:
    told = lines.aligned([("task", "why"), ("medqa", "x" * 200)])
    assert "x" * 200 in told[2]


def test_a_long_sentence_is_folded_and_loses_no_word() -> None:
    sentence = " ".join(["a reason with an address, https://hub.example/" + "x" * 30] * 4)
    told = lines.text(["short", "", sentence])
    assert told.startswith("short\n\n") and max(map(len, told.split("\n"))) <= lines.WIDTH
    assert told.split()[1:] == sentence.split()


def test_a_small_p_is_never_told_as_nought() -> None:
    row = {"task": "medqa", "measure": "brier", "n": 9, "value": 0.1, "ci95": [0.05, 0.15], "verdict": "worse"}
    told = lines.differences([{**row, "p_holm": 0.0004}, {**row, "p_holm": 0.0123}])
    assert "< 0.001" in told[2] and " 0.012 " in told[3] and len(told[2]) == len(told[3])
