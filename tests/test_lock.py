"""The lock is TOML that every reader understands, and says nothing that is not a commit."""

from __future__ import annotations

import string
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medslm import lock
from medslm.errors import MedslmError
from medslm.lock import Lock

A, B = "a" * 40, "0123456789" * 4
IDS = st.text(string.ascii_letters + string.digits + "-_.", min_size=1).map(lambda name: f"org/{name}")
TABLES = st.dictionaries(IDS, st.text("0123456789abcdef", min_size=40, max_size=40), max_size=5)


@given(models=TABLES, datasets=TABLES)
def test_a_lock_is_read_as_it_was_written(models: dict[str, str], datasets: dict[str, str]) -> None:
    written = Lock(models, datasets)
    assert lock.parse(written.text, "it") == written


def test_the_lock_is_sorted_toml() -> None:
    text = Lock({"org/b": B, "org/a": A}, {"org/c.d": A}).text
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert lines == ["[models]", f'"org/a" = "{A}"', f'"org/b" = "{B}"', "[datasets]", f'"org/c.d" = "{A}"']
    if sys.version_info >= (3, 11):  # before that Python has no reader for TOML
        import tomllib

        assert tomllib.loads(text) == {"models": {"org/a": A, "org/b": B}, "datasets": {"org/c.d": A}}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f'[models]\n"org/a" = "{A[:39]}"', 2),
        (f'[models]\n"org/a" = "{A[:39]}G"', 2),
        ('[models]\n"org/a" = "main"', 2),
        (f'"org/a" = "{A}"', 1),
        (f'[models]\n"org/a" = "{A}"\n"org/a" = "{B}"', 3),
        ("[spaces]", 1),
        (f"[models]\norg/a = {A}", 2),
    ],
)
def test_whatever_is_not_a_commit_under_a_table_is_refused_with_its_line(text: str, line: int) -> None:
    with pytest.raises(MedslmError, match=rf"here\.toml, line {line}: .*write the file again with `medslm lock`"):
        lock.parse(text, "here.toml")


def test_comments_and_empty_lines_are_no_entries() -> None:
    text = f'# why\n\n[datasets]\n"org/a" = "{A}"  # the reviewed one\n'
    assert lock.parse(text, "it").of("dataset") == {"org/a": A}


def test_the_lock_lies_here_or_in_the_bundle_or_where_the_variable_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert lock.commit("org/a", "model") is None
    lock.write(lock.path(), Lock({"org/a": A}))
    assert (tmp_path / "hub.lock.toml").is_file()
    assert lock.commit("org/a", "model") == A
    assert lock.commit("org/a", "dataset") is None
    monkeypatch.setenv("MEDSLM_BUNDLE", str(tmp_path / "bundle"))
    lock.write(tmp_path / "bundle" / "hub.lock.toml", Lock({"org/a": B}))
    assert lock.commit("org/a", "model") == B
    lock.write(tmp_path / "mine.toml", Lock({"org/a": "c" * 40}))
    monkeypatch.setenv("MEDSLM_LOCK", str(tmp_path / "mine.toml"))
    assert lock.commit("org/a", "model") == "c" * 40


def test_a_lock_that_was_promised_must_be_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MEDSLM_LOCK", str(tmp_path / "gone.toml"))
    with pytest.raises(MedslmError, match=r"MEDSLM_LOCK names .*gone\.toml, which is not there"):
        lock.commit("org/a", "model")
