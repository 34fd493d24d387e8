"""Sources of several parts, and of a file that the user has fetched."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from medslm.data.builders.joined import Joined
from medslm.data.builders.own_file import OwnFile
from medslm.data.corpus import corpora
from medslm.errors import MedslmError
from toy_data import Rows

VARIABLE = "MEDSLM_DEMI_MATHANALYSIS"


def test_the_parts_of_a_dataset_are_read_in_their_order_under_one_name_and_commit() -> None:
    first = Rows(({"n": 1}, {"n": 2}), "owner/data")
    joined = Joined((first, Rows(({"n": 3},), "owner/data")))  # type: ignore[arg-type]
    assert [row["n"] for row in joined.rows()] == [1, 2, 3]
    assert (joined.name, joined.version()) == (first.name, first.version())


def test_the_parts_of_a_joined_source_are_of_one_dataset() -> None:
    for corpus in corpora.values():
        if isinstance(corpus.source, Joined):
            assert len({part.hub_id for part in corpus.source.parts}) == 1
            assert len(set(corpus.source.parts)) == len(corpus.source.parts)


def test_a_file_of_ones_own_is_read_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "all.csv"
    text = '\ufeffProblemType,Problem,Solution\r\nLimits,"Let $a_n$\nbe bounded.","It is.\n"\r\n'
    file.write_bytes(text.encode())
    monkeypatch.setenv(VARIABLE, str(file))
    corpus = corpora["demi-mathanalysis"]
    (example,) = corpus.load()
    assert (example.input, example.output) == ("Let $a_n$\nbe bounded.", "It is.\n")
    assert corpus.source.version() == f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    assert corpus.source.name == "local:DEMI-MathAnalysis"


@pytest.mark.parametrize("named", [None, ""])
def test_a_file_that_is_not_named_is_asked_for(named: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    if named is not None:
        monkeypatch.setenv(VARIABLE, named)
    with pytest.raises(
        MedslmError, match=f"not on the Hub; fetch https://.* and set the environment variable {VARIABLE}"
    ):
        list(OwnFile("DEMI-MathAnalysis", VARIABLE, "https://github.com/x").rows())


def test_a_named_file_that_is_not_there_is_missed_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "nowhere.csv"))
    with pytest.raises(MedslmError, match=r"there is no file .*nowhere\.csv"):
        list(corpora["demi-mathanalysis"].load())
