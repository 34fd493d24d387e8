"""Every example comes back from disk as it was, whatever is in it; and the manifest tells what was written."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import medslm.data.builders  # noqa: F401  (registers icd10cm)
from medslm import files
from medslm.data.corpus import corpora
from medslm.data.example import Example
from medslm.data.toon import codec, store, table
from medslm.errors import MedslmError
from toy_data import example

HOSTILE = [
    "", " ", "\n", "a\nb", "\r\n", "\r", "\t", 'say "x"', "a,b", "a:b", "-", "- a", "#", "# a", "### End", "[2]{a}:", "{}",
    "[]", "250.00", "1E50", "05", "-0", "1e999", "true", "null", "NaN", "\u2028", "a\x85b", "\ufeff", "\ufeffa", "a\x00b", "\x1f",
    "\x7f", "🙂👨‍👩‍👧", "\\", "\\n", "\\u0041", "  indented", "trailing  ", "a|b", '"', '""', "é" * 50, "--- ", "\u00a0",
]  # fmt: skip
ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=10) | st.sampled_from(HOSTILE)
PARTS = st.recursive(
    ANY, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY, inner, max_size=3), max_leaves=6
)
STRUCTURES = st.dictionaries(ANY, PARTS, max_size=3)
UNIFORM = st.fixed_dictionaries({"q": ANY, "o": st.fixed_dictionaries({"A": ANY, "B b": ANY})})
TURNS = st.lists(st.tuples(st.sampled_from(["system", "user", "assistant"]), ANY), max_size=3).map(tuple)


def lists_of(value: st.SearchStrategy[Any], options: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Example]]:
    one = st.builds(Example, ANY, ANY, value, value, ANY, options, ANY, TURNS)
    return st.lists(one, min_size=1, max_size=8, unique_by=lambda example: example.id)


EXAMPLES = (
    lists_of(ANY, st.just(()))
    | lists_of(ANY | STRUCTURES, st.lists(ANY, max_size=30).map(tuple))
    | lists_of(UNIFORM, st.tuples(ANY, ANY, ANY))
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(examples=EXAMPLES)
def test_every_example_comes_back_as_it_was(tmp_path: Path, examples: list[Example]) -> None:
    manifest = store.write(examples, tmp_path / "a.toon")
    back = list(store.examples(tmp_path / "a.toon"))
    assert back == examples
    assert [one.as_json() for one in back] == [one.as_json() for one in examples]  # the order of names as well
    assert manifest.rows == len(examples)
    assert (tmp_path / "a.toon").read_bytes().count(b"\n") == len(examples) + 1  # a row is one line


@pytest.mark.parametrize("text", HOSTILE, ids=repr)
def test_hostile_text_comes_back_from_every_field(tmp_path: Path, text: str) -> None:
    hostile = Example(
        text, text, {text: text}, {"rows": [text, {text: [text]}]}, text, (text, text), text, (("user", text),)
    )
    plain = Example("other", "", text, text, "")
    for number, written in enumerate(([hostile], [plain], [plain, hostile])):
        store.write(written, tmp_path / f"{number}.toon")
        assert list(store.examples(tmp_path / f"{number}.toon")) == written


def test_alike_structures_are_groups_and_others_are_json(tmp_path: Path) -> None:
    def columns(*examples: Example) -> str:
        return store.write(examples, tmp_path / "a.toon").shards[0].fields

    def one(id: str, input: Any, output: Any, options: tuple[str, ...] = ()) -> Example:
        return Example(id, "", input, output, "", options)

    assert (
        columns(one("1", "x", {"chapter": "A", "code": "B"}, ("p", "q")))
        == "{id,input,output{chapter,code},options{A,B}}"
    )
    assert columns(one("1", {"a": "x"}, "y"), one("2", {"b": "x"}, "y")) == "{id,input_json,output}"
    assert columns(one("1", {"a": "x", "b": "y"}, ""), one("2", {"b": "x", "a": "y"}, "")) == "{id,input_json}"
    assert (
        columns(one("1", {"a": ["x"]}, "y", ("p",)), one("2", {"a": ["x"]}, "y"))
        == "{id,input_json,output,options_json}"
    )


def test_columns_that_are_empty_in_the_whole_shard_are_left_out(tmp_path: Path) -> None:
    text = Example("", "", "", "Once upon a time.", "")
    store.write([text], tmp_path / "a.toon")
    assert (tmp_path / "a.toon").read_text() == '[1]{id,output}:\n  "",Once upon a time.\n'
    assert list(store.examples(tmp_path / "a.toon")) == [text]
    nothing = Example("1", "", {}, "", "")
    store.write([nothing], tmp_path / "b.toon")
    assert list(store.examples(tmp_path / "b.toon")) == [nothing]


def test_the_manifest_tells_what_was_written_and_by_what(tmp_path: Path) -> None:
    about = {"corpus": "toy", "skipped": {}}

    def examples() -> Iterator[Example]:
        yield example("text")
        about["skipped"] = {"the question is empty": 1}

    store.write(examples(), tmp_path / "a.toon", about=about)
    told = json.loads((tmp_path / "a.manifest.json").read_text())
    package, version = next(iter(codec.packages().items()))
    assert told == {
        "rows": 1,
        "shards": [
            {
                "name": "a.toon",
                "rows": 1,
                "fields": "{id,instruction,input,output,family}",
                "bytes": (tmp_path / "a.toon").stat().st_size,
                "sha256": files.sha256(tmp_path / "a.toon"),
            }
        ],
        "toon_spec": codec.SPEC,
        "written_by": f"{package} {version}",
        "about": {"corpus": "toy", "skipped": {"the question is empty": 1}},
        "schema": "medslm.example/1",
    }


def test_every_package_writes_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = [Example(text, text, {"a": text}, text, text, (text,)) for text in HOSTILE]
    written = set()
    for package, version in codec.packages().items():
        monkeypatch.setattr(codec, "packages", lambda only={package: version}: only)
        written.add(store.write(examples, tmp_path / "a.toon").shards[0].sha256)
        assert list(store.examples(tmp_path / "a.toon")) == examples
    assert len(written) == 1


def test_the_embedded_corpus_survives_in_a_file_and_in_shards(tmp_path: Path) -> None:
    examples = list(corpora["icd10cm"].load())
    store.write(examples, tmp_path / "icd.toon")
    manifest = store.write(iter(examples), tmp_path / "shards", rows_per_shard=2000)
    assert [shard.name for shard in manifest.shards] == ["00000.toon", "00001.toon", "00002.toon"]
    assert sum(shard.rows for shard in manifest.shards) == manifest.rows == len(examples)
    for path in (tmp_path / "icd.toon", tmp_path / "shards"):
        assert list(store.examples(path)) == examples
    assert next(store.examples(tmp_path / "shards" / "00001.toon")) == examples[2000]


def test_a_number_of_rows_that_fills_the_last_shard_leaves_no_empty_one(tmp_path: Path) -> None:
    store.write([example("x", str(id)) for id in range(4)], tmp_path / "f", rows_per_shard=2)
    assert sorted(path.name for path in (tmp_path / "f").iterdir()) == [
        "00000.toon",
        "00001.toon",
        "shards.manifest.json",
    ]


@pytest.mark.parametrize("target", ["a.toon", "folder"])
def test_a_write_that_fails_leaves_what_was_there_and_nothing_else(tmp_path: Path, target: str) -> None:
    store.write([example("old")], tmp_path / target)

    def examples() -> Iterator[Example]:
        yield example("new", "1")
        raise MedslmError("the source broke")

    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(MedslmError, match="the source broke"):
        store.write(examples(), tmp_path / target)
    assert sorted(tmp_path.rglob("*")) == before
    assert list(store.examples(tmp_path / target)) == [example("old")]


@pytest.mark.parametrize(
    ("examples", "problem"),
    [
        ([], "there are no examples to write to .*; nothing was written"),
        ([example("a"), example("b")], "example 2 has the id of an earlier one"),
        ([example("a\ud800")], "example 1 cannot be written: it holds half of a surrogate pair"),
        (
            [Example("1", "", {"a\udc00": "b"}, "", "")],
            "example 1 cannot be written: it holds half of a surrogate pair",
        ),
        (
            [example("a"), Example("2", "", {"a": [float("nan")]}, "", "")],
            "example 2 cannot be written: its input holds something",
        ),
        (
            [Example("1", "", "", {"code": 250.0}, "")],
            "its output holds something else than text; write every value as text",
        ),
        ([Example("1", "", None, "", "")], "its input holds"),  # type: ignore[arg-type]
        ([Example("1", "", "", "", "", (1,))], "its options holds"),  # type: ignore[arg-type]
        ([Example("1", "", "", "", "", turns=(("user",),))], "its turns holds"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_written_is_a_sentence_and_nothing_is_left(
    tmp_path: Path, examples: list[Example], problem: str
) -> None:
    for target in (tmp_path / "a.toon", tmp_path / "folder"):
        with pytest.raises(MedslmError, match=problem):
            store.write(examples, target)
    assert list(tmp_path.iterdir()) == []


def test_endless_nesting_is_a_sentence(tmp_path: Path) -> None:
    value: Any = "x"
    for _ in range(5000):
        value = [value]
    with pytest.raises(MedslmError, match="example 1 cannot be written: it is nested more than 64 levels deep"):
        store.write([Example("1", "", {"a": value}, "", "")], tmp_path / "a.toon")


def test_a_folder_that_holds_other_things_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(MedslmError, match=r"would be replaced, and it holds thesis.tex; choose a folder of its own"):
        store.write([example("x")], tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_targets_that_make_no_sense_are_sentences(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MedslmError, match=r"file is a file; a table is written to a name in \.toon or to a folder"):
        store.write([example("x")], tmp_path / "file")
    for target, rows in ((tmp_path / "a.toon", 5), (tmp_path / "folder", 0)):
        with pytest.raises(MedslmError, match=f"cannot be written with {rows} rows a shard"):
            store.write([example("x")], target, rows_per_shard=rows)


def test_rows_of_any_table_are_read_with_every_scalar_as_text(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.toon").write_text("# labs\n\n[2|]{test|value|high}:\n  Na|250.00|true\n# middle\n  K|1E50|false\n\n")
    assert list(store.rows(tmp_path / "a.toon")) == [
        {"test": "Na", "value": "250.00", "high": "true"},
        {"test": "K", "value": "1E50", "high": "false"},
    ]
    assert "has no manifest, so only the number and width of its rows are checked" in caplog.text


def test_an_empty_list_has_no_rows(tmp_path: Path) -> None:
    (tmp_path / "a.toon").write_text("[]\n")
    assert list(store.rows(tmp_path / "a.toon")) == []


def test_blocks_of_every_size_give_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = [example(text, str(number)) for number, text in enumerate(HOSTILE)]
    store.write(examples, tmp_path / "a.toon")
    for rows, characters in ((1, 1 << 20), (7, 1 << 20), (256, 1), (256, 100)):
        monkeypatch.setattr(table, "BLOCK_ROWS", rows)
        monkeypatch.setattr(table, "BLOCK_CHARACTERS", characters)
        assert list(store.examples(tmp_path / "a.toon")) == examples


def test_a_cell_of_30_mb_comes_back(tmp_path: Path) -> None:
    big = [example("note " * 6_000_000 + "end", "big"), example('with "quotes"\n' * 50_000, "quoted")]
    store.write(big, tmp_path / "a.toon")
    assert (tmp_path / "a.toon").stat().st_size > 30_000_000
    assert list(store.examples(tmp_path / "a.toon")) == big


def test_memory_does_not_grow_with_the_number_of_rows(tmp_path: Path) -> None:
    def peak(rows: int) -> int:
        tracemalloc.start()
        store.write((example("word " * 400 + "end", f"id {id}") for id in range(rows)), tmp_path / "a.toon")
        assert sum(1 for _ in store.examples(tmp_path / "a.toon")) == rows
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    few, many = peak(1000), peak(4000)
    grown = (tmp_path / "a.toon").stat().st_size * 3 / 4
    assert many - few < 1_000_000 < grown / 5  # the ids of 3000 rows, and no text of theirs
