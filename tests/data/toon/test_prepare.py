"""The five sets: what can be had is written, what cannot is told, and only nothing at all is a failure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

import toy_data
from medslm.data.corpus import Corpus, Row, Skip, corpora
from medslm.data.example import Example
from medslm.data.toon import prepare, store
from medslm.data.toon.prepare import FIVE, Outcome, Wanted
from medslm.errors import MedslmError
from medslm.registry import Registry

HERE, GONE = Wanted("here.toon", "here"), Wanted("gone.toon", "gone")


@dataclass(frozen=True)
class Gone:
    """A source that cannot be reached, or breaks off after some rows."""

    held: tuple[Row, ...] = ()
    name: str = "org/gone"

    def rows(self) -> Iterable[Row]:
        yield from self.held
        raise MedslmError("org/gone could not be fetched\n(no network)")

    def version(self) -> str:
        return "1"


def registry(*gone: Row) -> Registry[Corpus]:
    known = toy_data.corpora(here=[toy_data.example(text, id) for id, text in (("1", "a"), ("2", "b"), ("1", "a"))])
    known.add("gone", Corpus(Gone(gone), "mit", "toy", ("example",), toy_data.as_it_is))
    return known


def test_the_five_files_are_those_of_the_project_and_their_corpora_are_registered() -> None:
    assert [one.file for one in FIVE] == ["discharge.toon", "medical_qa.toon", "pubmed.toon", "icd.toon", "legal.toon"]
    assert {one.corpus for one in FIVE} | {one.instead for one in FIVE if one.instead} <= set(corpora)


def test_without_a_network_the_icd_set_is_written_from_the_embedded_data_and_this_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outcomes = prepare.five(tmp_path)
    assert [outcome.file for outcome in outcomes if outcome.rows] == ["icd.toon"]
    assert next(store.examples(tmp_path / "icd.toon")) == next(corpora["icd10cm"].load())
    about = json.loads((tmp_path / "icd.manifest.json").read_text())["about"]
    assert about["corpus"] == "icd10cm" and about["instead_of"]["wanted"] == "mimic-icd-visit"
    assert about["instead_of"]["reason"] in caplog.text and "icd10cm is written instead" in caplog.text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["icd.manifest.json", "icd.toon"]
    told = prepare.table(outcomes).split("\n")
    assert len(told) == 6 and all("not written: " in line for line in (told[1], told[2], told[3], told[5]))
    assert "instead of another: " in told[4]


def test_what_is_written_tells_its_source_and_what_was_left_out(tmp_path: Path) -> None:
    known = registry()
    assert prepare.five(tmp_path, [HERE, GONE], known) == [
        Outcome("here.toon", "here", 2),
        Outcome("gone.toon", "gone", 0, "org/gone could not be fetched\n(no network)"),
    ]
    assert json.loads((tmp_path / "here.manifest.json").read_text())["about"] == {
        "corpus": "here",
        "instead_of": None,
        "source": "toy",
        "version": known["here"].source.version(),
        "license": "mit",
        "skipped": {"a copy of an earlier example": 1},
    }


def test_a_corpus_that_breaks_off_leaves_no_file(tmp_path: Path) -> None:
    prepare.five(tmp_path, [GONE, HERE], registry({"example": toy_data.example("x")}))
    assert not (tmp_path / "gone.toon").exists()


def test_a_file_of_an_earlier_time_stays_and_this_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store.write([toy_data.example("old")], tmp_path / "gone.toon")
    prepare.five(tmp_path, [GONE, HERE], registry())
    assert next(store.examples(tmp_path / "gone.toon")).text == "old"
    assert f"{tmp_path / 'gone.toon'} was not written; the file of an earlier time is still there" in caplog.text


def test_nothing_at_all_is_an_error_with_every_reason(tmp_path: Path) -> None:
    wanted = [GONE, Wanted("other.toon", "unheard-of"), Wanted("third.toon", "gone", instead="unheard-of")]
    with pytest.raises(MedslmError) as refused:
        prepare.five(tmp_path, wanted, registry())
    head, _, *lines = str(refused.value).split("\n")
    assert head == f"no file could be written to {tmp_path}:"
    assert lines[0].endswith("not written: org/gone could not be fetched (no network)")
    assert "no corpus is called 'unheard-of'" in lines[1]
    assert "(no network); and unheard-of: no corpus is called" in lines[2]


def test_rows_that_a_builder_leaves_out_are_counted_in_the_manifest(tmp_path: Path) -> None:
    def none(row: Row) -> Iterable[Example]:
        if row["example"].text == "b":
            raise Skip("the answer is empty")
        return [row["example"]]

    rows = tuple({"example": toy_data.example(text, text)} for text in "abc")
    known: Registry[Corpus] = Registry("corpus")
    known.add("here", Corpus(toy_data.Rows(rows), "physionet-credentialed-health-data", "toy", ("example",), none))
    assert prepare.five(tmp_path, [HERE], known)[0].rows == 2
    assert json.loads((tmp_path / "here.manifest.json").read_text())["about"]["skipped"] == {"the answer is empty": 1}


def test_two_different_examples_with_one_id_are_an_error(tmp_path: Path) -> None:
    known = toy_data.corpora(here=[toy_data.example("a"), toy_data.example("b")])
    with pytest.raises(MedslmError, match="example 2 has the id of an earlier one"):
        prepare.five(tmp_path, [HERE], known)


def test_files_under_an_agreement_are_said_to_be(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    known: Registry[Corpus] = Registry("corpus")
    rows = toy_data.Rows(({"example": toy_data.example("a")},))
    known.add("here", Corpus(rows, "physionet-credentialed-health-data", "toy", ("example",), toy_data.as_it_is))
    prepare.five(tmp_path, [HERE], known)
    assert "a data use agreement binds those who read it" in caplog.text
