"""One's own data becomes a corpus by its name alone; what is read is said, and no row is lost or taken for another."""

from __future__ import annotations

import csv
import json
import pickle
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from hub_server import HubServer, run_client
from medslm.data.corpus import corpora
from medslm.data.example import Example
from medslm.data.sources import hub, own
from medslm.data.sources.local import Local
from medslm.data.sources.readers.located import say
from medslm.data.sources.shapes.mapping import check_prefixes
from medslm.errors import MedslmError
from medslm.registry import UnknownName

SECRET = "Mrs Example of 12 Any Street"
TEXT = st.one_of(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1),
    st.sampled_from(["a\u2028b", "c\x85d", "e\r\nf", '"', " lead", "😀", "\ufeff", ",;\t|", "=x"]),
).filter(lambda text: bool(text.strip()))


@pytest.fixture(autouse=True)
def _everything_is_said() -> None:
    say.cache_clear()


def local(path: Path, **columns: str) -> list[Example]:
    return list(own.corpus(f"local:{path}", columns, None).load())


def lines(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def refusal(path: Path, **columns: str) -> str:
    with pytest.raises(MedslmError) as refused:
        local(path, **columns)
    assert SECRET not in str(refused.value)
    return str(refused.value)


@given(rows=st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=5))
@settings(deadline=None, derandomize=True)
def test_the_same_rows_give_the_same_examples_from_every_kind_of_file(tmp_path_factory: Any, rows: list[Any]) -> None:
    folder = tmp_path_factory.mktemp("rows")
    told = [{"id": f"i{at}", "question": asked, "answer": said} for at, (asked, said) in enumerate(rows)]
    lines(folder / "x.jsonl", *told)
    (folder / "x.json").write_text(json.dumps(told))
    with (folder / "x.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, told[0])
        writer.writeheader()
        writer.writerows(told)
    parquet.write_table(pyarrow.Table.from_pylist(told), folder / "x.parquet")
    read = [local(folder / f"x.{kind}") for kind in ("jsonl", "json", "csv", "parquet")]
    assert [(one.input, one.output) for one in read[0]] == rows
    assert all(examples == read[0] for examples in read)


def test_what_a_corpus_writes_as_json_comes_back_as_it_was(tmp_path: Path) -> None:
    examples = [
        Example(
            "1", "Code it.", {"note": "x", "labs": ["5.0"]}, {"chapter": "one", "code": "250.00"}, "f", ("one", "two")
        ),
        Example(
            "2", "", "And?", "B", "g", ("a", "b"), "thoughts", (("system", "s"), ("user", "u"), ("assistant", "a"))
        ),
        Example("3", "", "", "Text to be continued.", "h"),
    ]
    (tmp_path / "x.jsonl").write_text("".join(example.as_json() + "\n" for example in examples))
    assert local(tmp_path / "x.jsonl") == examples


def test_the_shape_and_what_is_not_used_are_said_in_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = lines(tmp_path / "x.jsonl", *[{"question": "a", "answer": "b", "topic": "c"}] * 3)
    assert [example.id for example in local(path) + local(path)] == ["1", "2", "3"] * 2
    assert [record.getMessage() for record in caplog.records] == [
        f"local:x.jsonl ({path}): question and answer (input <- question, output <- answer); not used: topic; ids are numbers of lines"
    ]


def test_a_column_that_only_later_rows_have_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    row = {"question": "a", "answer": "b"}
    local(lines(tmp_path / "x.jsonl", row, {**row, "topic": "c"}, {**row, "topic": "d"}))
    assert caplog.records[1].getMessage().endswith("from line 2 on, also not used: topic")
    assert len(caplog.records) == 2


def test_a_field_that_only_later_rows_have_is_used(tmp_path: Path) -> None:
    row = {"instruction": "Do.", "output": "b"}
    assert [example.input for example in local(lines(tmp_path / "x.jsonl", row, {**row, "input": "c"}))] == ["", "c"]


def test_an_id_given_twice_is_refused_with_both_lines(tmp_path: Path) -> None:
    rows = [{"id": id, "question": SECRET, "answer": "b"} for id in ("p1", "p2", "p1")]
    path = lines(tmp_path / "x.jsonl", *rows)
    assert f"the id 'p1' is given twice: {path}, line 1 and {path}, line 3" in refusal(path)
    mapped = lines(tmp_path / "y.jsonl", *[{"who": 5, "a": "b", "c": "d"}] * 2)
    assert "the id '5' is given twice" in refusal(mapped, id="who", input="a", output="c")


def test_the_same_id_in_two_files_of_a_folder_is_refused(tmp_path: Path) -> None:
    for name in ("x.jsonl", "y.jsonl"):
        lines(tmp_path / name, {"id": "p1", "question": "a", "answer": "b"})
    assert f"{tmp_path / 'x.jsonl'}, line 1 and {tmp_path / 'y.jsonl'}, line 1" in refusal(tmp_path)


def test_rows_without_ids_get_them_from_file_and_line(tmp_path: Path) -> None:
    lines(tmp_path / "x.jsonl", *[{"question": "a", "answer": "b"}] * 2)
    (tmp_path / "y.csv").write_text("question,answer\nc,d\n")
    assert [example.id for example in local(tmp_path)] == ["x.jsonl:1", "x.jsonl:2", "y.csv:2"]


def test_a_file_of_another_shape_in_a_folder_is_refused(tmp_path: Path) -> None:
    lines(tmp_path / "x.jsonl", {"question": "a", "answer": "b"})
    lines(tmp_path / "y.jsonl", {"instruction": SECRET, "output": "b"})
    assert refusal(tmp_path).startswith(
        f"{tmp_path / 'y.jsonl'}, line 1: its columns (instruction, output) are instruction"
    )


def test_rows_left_out_are_counted(tmp_path: Path) -> None:
    skipped: dict[str, int] = {}
    rows = [{"question": "a", "answer": answer} for answer in ("b", None, " ")]
    corpus = own.corpus(f"local:{lines(tmp_path / 'x.jsonl', *rows)}", {}, None)
    assert len(list(corpus.load(skipped))) == 1
    assert skipped == {"the answer is empty": 2}


def test_columns_can_be_mapped_for_one_corpus_by_its_name_or_its_file(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("note,ask,sum\nA note.,Why?,So.\n")
    for prefix in ("", "local:x.csv:", f"local:{path}:"):
        columns = {f"{prefix}input": "note+ask", f"{prefix}output": "sum", f"{prefix}instruction": "=Sum up."}
        assert local(path, **columns) == [
            Example("2", "Sum up.", {"note": "A note.", "ask": "Why?"}, "So.", local(path, **columns)[0].family)
        ]
    assert "are those of no known shape" in refusal(path, **{"local:y.csv:output": "sum"})


def test_a_mapping_for_a_corpus_that_is_not_in_the_mixture_is_refused() -> None:
    check_prefixes({"input": "a", "local:x.csv:input": "a"}, ["local:x.csv"])
    with pytest.raises(
        MedslmError, match=r"'local:y\.csv' is no corpus of one's own in the mixture; did you mean 'local:x\.csv'"
    ):
        check_prefixes({"local:y.csv:input": "a"}, ["local:x.csv"])


def test_a_number_keeps_the_digits_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"question": 250.00, "answer": {"code": 1E50, "n": 10}}\n')
    (example,) = local(path)
    assert (example.input, example.output) == ("250.00", {"code": "1E50", "n": "10"})


def test_nothing_is_read_before_rows_are_asked_for_and_a_process_can_be_given_the_corpus(tmp_path: Path) -> None:
    corpus = own.corpus(f"local:{tmp_path / 'x.jsonl'}", {"output": "b", "input": "a"}, "mit")
    lines(tmp_path / "x.jsonl", {"a": "1", "b": "2"})
    sent = pickle.loads(pickle.dumps(corpus))
    rows = pickle.loads(pickle.dumps(list(corpus.source.rows())))
    (example,) = sent.of_row(0, rows[0])
    assert (example.input, example.output, sent.license) == ("1", "2", "mit")
    assert isinstance(corpus.source, Local) and corpus.source.name == "local:x.jsonl"
    assert corpus.source.version().startswith("sha256:")


def test_a_dataset_of_the_hub_is_named_with_configuration_and_split() -> None:
    for name, config, split in (
        ("o/n", None, "train"),
        ("o/n:c", "c", "train"),
        ("o/n:c:s", "c", "s"),
        ("o/n::s", None, "s"),
    ):
        source = own.corpus(name, {}, None).source
        assert isinstance(source, hub.Dataset)
        assert (source.name, source.config, source.split) == ("o/n", config, split)


def publish_and_read(folder: str) -> Any:
    """Publish a dataset with two configurations, and read one of them as a corpus, named as a mixture names it."""
    import logging
    from pathlib import Path

    from huggingface_hub import HfApi

    from medslm.data.sources import own

    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("medslm.data.sources").addHandler(handler)
    HfApi().create_repo("alice/exam", repo_type="dataset", private=True)
    HfApi().upload_folder(repo_id="alice/exam", folder_path=Path(folder), repo_type="dataset")
    corpus = own.resolve("alice/exam:easy:train", {}, {"alice/exam:easy:train": "mit"})
    examples = [[one.id, one.input, one.output, list(one.options)] for one in corpus.load()]
    return {"examples": examples, "said": said, "name": corpus.source.name, "version": len(corpus.source.version())}


def test_a_dataset_of_the_hub_is_read_counted_and_recognised(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    lines(folder / "easy.jsonl", *[{"question": text, "choices": ["a", "b"], "answer": 1} for text in ("Why?", "How?")])
    lines(folder / "hard.jsonl", {"question": "What?", "choices": ["a", "b"], "answer": 0})
    files = "".join(
        f"- config_name: {name}\n  data_files:\n  - split: train\n    path: {name}.jsonl\n" for name in ("easy", "hard")
    )
    (folder / "README.md").write_text(f"---\nconfigs:\n{files}---\n")
    with HubServer(tmp_path / "hub") as server:
        saw = run_client(server, tmp_path, publish_and_read, token=server.token("alice"), folder=str(folder))
    assert saw["examples"] == [["1", "Why?", "B", ["a", "b"]], ["2", "How?", "B", ["a", "b"]]]
    assert saw["said"][-1] == (
        "alice/exam, split train: multiple choice (input <- question, options <- choices, output <- answer (from0)); "
        "not used: none; ids are numbers of rows"
    )
    assert (saw["name"], saw["version"]) == ("alice/exam", 40)


@pytest.mark.parametrize(
    "split", ["test", "validation", "Test", "dev", "train+test", "test_easy", "valid", "train + val"]
)
def test_a_split_kept_for_an_exam_is_refused(split: str) -> None:
    with pytest.raises(MedslmError, match="a corpus has no test split: what is kept for an exam is not learnt"):
        own.corpus(f"org/name:default:{split}", {}, None)


@pytest.mark.parametrize("name", ["local:", "name", "a/b/c", "a/b:c:d:e", "", "/a"])
def test_a_name_of_another_form_is_refused(name: str) -> None:
    with pytest.raises(MedslmError, match=r"names no file|is neither local:PATH nor a dataset of the Hub"):
        own.corpus(name, {}, None)


def test_a_licence_is_one_of_the_table_or_unknown() -> None:
    assert own.corpus("local:x.csv", {}, None).license == "unknown"
    assert own.corpus("local:x.csv", {}, "CC-BY-4.0").license == "cc-by-4.0"
    with pytest.raises(
        MedslmError,
        match=r"given the licence 'apache-2', which is not in the table of licences; did you mean 'apache-2\.0'",
    ):
        own.corpus("local:x.csv", {}, "apache-2")


def test_a_registered_name_is_the_registered_corpus(monkeypatch: pytest.MonkeyPatch) -> None:
    record = own.corpus("local:x.csv", {}, None)
    monkeypatch.setitem(corpora._records, "toy-notes", record)
    assert own.resolve("toy-notes", {"input": "a"}, {"local:y.csv": "mit"}) is record
    with pytest.raises(UnknownName, match="no corpus is called 'toy-note'; did you mean 'toy-notes'"):
        own.resolve("toy-note", {}, {})
    for columns, licenses in (({"toy-notes:input": "a"}, {}), ({}, {"toy-notes": "mit"})):
        with pytest.raises(
            MedslmError, match="'toy-notes' is a registered corpus with columns and a licence of its own; take"
        ):
            own.resolve("toy-notes", columns, licenses)


def test_other_names_are_ones_own_data_with_its_licence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert own.resolve("org/name", {}, {"org/name": "mit"}).license == "mit"
    assert own.resolve("local:x.csv", {}, {}).source.name == "local:x.csv"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    lines(tmp_path / "data" / "x.jsonl", {"a": "b"})
    for name in ("data/x.jsonl", "data", "./data"):
        with pytest.raises(MedslmError, match=f"there is such a file or folder; write local:{name} for it"):
            own.resolve(name, {}, {})
