"""A user reads a sentence; a programmer can have the traceback."""

from __future__ import annotations

import pytest

from medslm.errors import MedslmError, as_exit_code


def test_an_error_becomes_one_line_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end, as_exit_code():
        raise MedslmError("there is no such thing; name another")
    assert end.value.code == 2
    assert capsys.readouterr() == ("", "medslm: there is no such thing; name another\n")


def test_the_traceback_can_be_had(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MEDSLM_TRACEBACK", "1")
    with pytest.raises(MedslmError), as_exit_code():
        raise MedslmError("there is no such thing; name another")
    assert capsys.readouterr().err == ""


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError), as_exit_code():
        1 / 0  # noqa: B018


def test_what_works_leaves_no_trace(capsys: pytest.CaptureFixture[str]) -> None:
    with as_exit_code():
        print("done")
    assert capsys.readouterr() == ("done\n", "")
