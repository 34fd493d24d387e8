"""What `medslm report` says of a run: its scores, what studies told of it, and a command that can be pasted."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from medslm import cli
from medslm.evals import scores, table

CASE = {"id": "pain", "input": "Doesn't it hurt?", "sides": {}}


def found(tasks: tuple[str, ...], **studies: Any) -> dict[str, Any]:
    return {"results": [{"task": task} for task in tasks], "studies": studies}


@pytest.mark.parametrize(
    ("told", "asked"),
    [
        (found(("medical_o1",), cases={"as-trained": {"cases": [CASE]}}), "Doesn't it hurt?"),
        (
            found(("icd10cm_list",), cases={"as-trained": {"cases": [CASE | {"input": {"statements": ["a"]}}]}}),
            "Typhoid fever with heart involvement",
        ),
        (found(("icd10cm_coding",)), "Typhoid fever with heart involvement"),
        (found(("billsum_brief",)), "<a text of yours>"),
    ],
)
def test_a_run_is_to_be_asked_what_it_was_judged_on(
    told: dict[str, Any],
    asked: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "toy" / "adapter").mkdir(parents=True)
    monkeypatch.setattr(scores, "find", lambda *_, **__: told)
    monkeypatch.setattr(table, "text", lambda of: "the table")
    cli.report("toy", runs=tmp_path)
    said = capsys.readouterr().out
    assert said.startswith("the table\n")
    (line,) = (line for line in said.splitlines() if " generate " in line)
    words = shlex.split(line, comments=True)
    assert words[words.index("generate") + 1 :] == ["toy", asked, "--runs", str(tmp_path)]


def test_what_comes_next_is_found_where_the_run_is_and_no_card_is_shown_before_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(scores, "find", lambda *_, **__: found(("icd10cm_coding",)))
    monkeypatch.setattr(table, "text", lambda of: "the table")
    run = tmp_path / "my runs" / "toy"
    (run / "adapter").mkdir(parents=True)
    cli.report("toy", runs=run.parent)
    said = [shlex.split(line, comments=True) for line in capsys.readouterr().out.splitlines()]
    assert ["make", "card", "NAME=toy", f"RUNS={run.parent}"] in said
    assert not any("push" in words or "less" in words for words in said)
    (run / "README.md").write_text("the card", encoding="utf-8")
    cli.report("toy", runs=run.parent)
    said = [shlex.split(line, comments=True) for line in capsys.readouterr().out.splitlines()]
    assert ["less", str(run / "README.md")] in said
    assert any(words[:3] == ["make", "push", "NAME=toy"] and f"RUNS={run.parent}" in words for words in said)
