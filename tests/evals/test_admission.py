"""Who is not judged here, by what, and which sentence says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evals.test_tasks import medqa, put
from medslm.data import given
from medslm.data.benchmark import Benchmark, benchmarks
from medslm.data.formats.render import Renderer
from medslm.data.suite import Suite
from medslm.data.suites.exams import EXAMS
from medslm.errors import MedslmError
from medslm.evals import admission, documents
from toy_world import Gone


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A suite of two benchmarks, of which one is given as a file and the other is on a Hub that cannot be reached."""
    put(monkeypatch, tmp_path, medqa=medqa())
    gone = Benchmark(Gone(), "mit", "all", benchmarks["medmcqa"].items)
    monkeypatch.setitem(benchmarks._records, "medmcqa", gone)
    suite = Suite(EXAMS["medqa"] + EXAMS["medmcqa"], studies=("cost",))
    monkeypatch.setitem(admission.suites._records, "two", suite)


@pytest.mark.usefixtures("two")
def test_benchmarks_that_cannot_be_had_are_named_with_their_reason() -> None:
    with pytest.raises(MedslmError) as caught:
        admission.examine("two", own=False, limit=None, available=False)
    said = str(caught.value)
    assert "1 of the benchmarks that suite 'two' asks cannot be had" in said
    assert "  medmcqa: org/gone could not be fetched" in said and "--available" in said and "medqa:" not in said


@pytest.mark.usefixtures("two")
def test_the_rest_is_judged_only_if_that_is_asked_for_and_what_is_missing_is_kept() -> None:
    exam = admission.examine("two", own=False, limit=None, available=True)
    assert [task.name for task in exam.suite.tasks] == ["medqa", "medqa_shuffled", "medqa_cot"]
    assert exam.suite.studies == ("cost",) and exam.missing == {"medmcqa": "org/gone could not be fetched"}


@pytest.mark.usefixtures("two")
def test_a_suite_of_which_nothing_can_be_had_is_refused_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(admission.suites._records, "none", Suite(EXAMS["medmcqa"]))
    with pytest.raises(MedslmError, match="could not be fetched") as caught:
        admission.examine("none", own=False, limit=None, available=True)
    assert "--available" not in str(caught.value)


def test_a_file_that_lacks_a_key_is_refused_with_its_place_even_where_the_rest_would_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tokenizer: Any
) -> None:
    rows: list[dict[str, Any]] = medqa()
    del rows[0]["label"]
    put(monkeypatch, tmp_path, medqa=rows)
    for available in (False, True):
        with pytest.raises(MedslmError, match=r"medqa\.jsonl.* has no column label; it has id, sent1"):
            admission.examine("medqa", own=False, limit=None, available=available)
    rows[0]["label"] = 0
    del rows[3]["label"]  # further down it is found when the documents are made
    put(monkeypatch, tmp_path, medqa=rows)
    admission.examine("medqa", own=False, limit=None, available=False)
    with pytest.raises(MedslmError, match=r"medqa\.jsonl.*4 has no column label"):
        documents.render(EXAMS["medqa"][0], Renderer(tokenizer, "chat"))


def test_an_unknown_suite_is_answered_with_the_nearest() -> None:
    with pytest.raises(MedslmError, match="no suite is called 'medical-mqc'; did you mean 'medical-mcq'"):
        admission.examine("medical-mqc", own=False, limit=None, available=False)


@pytest.mark.parametrize("quantization", ["nf4", "fp8"])
def test_without_a_gpu_quantised_weights_are_not_judged_and_that_is_said(
    quantization: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds, notes = admission.kinds(quantization, "cpu")
    assert kinds == {"full-precision": "none"} and f"trained on {quantization} weights" in notes[0]
    assert "judged on full-precision weights only" in capsys.readouterr().err
    assert admission.kinds(quantization, "cuda")[0] == {"as-trained": quantization, "full-precision": "none"}
    assert admission.kinds("none", "cpu") == ({"as-trained": "none"}, ())


def test_a_benchmark_on_the_hub_is_not_asked_for_when_its_file_is_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    put(monkeypatch, tmp_path, medqa=medqa())
    assert given.paths() and admission.examine("medqa", own=True, limit=3, available=False).missing == {}


@pytest.mark.parametrize("available", [True, False])
def test_a_file_without_an_item_says_why_before_any_weight_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, available: bool
) -> None:
    first, second, third = medqa(3)
    put(monkeypatch, tmp_path, medqa=[{**first, "sent1": " "}, {**second, "label": -1}, {**third, "sent1": None}])
    said = r"no row of benchmark 'medqa' can be asked: the question is empty \(2\), the key is hidden \(1\)"
    with pytest.raises(MedslmError, match=said):
        admission.examine("medqa", own=False, limit=None, available=available)
