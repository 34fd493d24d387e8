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
    assert words[words.index("generate") + 1 :] == ["toy", asked]
