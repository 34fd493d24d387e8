"""A dataset of the Hub: only the files of one split come, as its card or its layout says, and what is wrong is a sentence."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from hub_server import HubServer, run_client
from medslm.data.sources import hub_layout
from medslm.data.sources.hub import Dataset
from medslm.errors import MedslmError

CARD = """---
license: cc-by-sa-4.0
configs:
- config_name: en
  data_files:
  - split: train
    path: en/train-*.jsonl
  - split: test
    path: en/test.jsonl
- config_name: tables
  sep: ;
  data_files: tables.csv
---
# Questions
"""
QUESTION = {"question": "Which nerve?", "options": {"A": "ulnar", "B": "radial"}, "answer_idx": "A", "meta_info": None}
"""A row in the schema of GBaker/MedQA-USMLE-4-options, written for this test."""


def lines(*rows: dict[str, Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def parquet(**columns: list[Any]) -> bytes:
    out = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), out)
    return out.getvalue()


def large(hub: HubServer, content: bytes) -> Any:
    """A file that the server keeps as a large one."""
    digest = hashlib.sha256(content).hexdigest()
    hub.store.large[digest] = content
    return hub.store.big(digest, len(content))


def publish(hub: HubServer, repo_id: str, **files: bytes) -> str:
    """A dataset repository with these files (`__` stands for a slash, `_dot_` for a dot); its commit."""
    hub.create(repo_id, "datasets")
    named = {name.replace("__", "/").replace("_dot_", "."): content for name, content in files.items()}
    return hub.commit(repo_id, named, "datasets").oid


def read_all(orders: list[list[Any]]) -> list[dict[str, Any]]:
    """Rows and version of each dataset, or the sentence, in one process."""
    from medslm import environment

    environment.prepare()
    from medslm.data.sources.hub import Dataset
    from medslm.errors import MedslmError

    said: list[dict[str, Any]] = []
    for order in orders:
        try:
            dataset = Dataset(*order)
            said.append({"rows": list(dataset.rows()), "version": dataset.version()})
        except MedslmError as error:
            said.append({"error": str(error)})
    return said


ORDERS: dict[str, list[Any]] = {
    "train": ["org/medqa", "en"],
    "test": ["org/medqa", "en", "test"],
    "both": ["org/medqa", "en", "train+test"],
    "other reader": ["org/medqa", "tables"],
    "no such configuration": ["org/medqa", "de"],
    "which configuration": ["org/medqa"],
    "no such split": ["org/medqa", "en", "dev"],
    "by file names": ["org/plain", None, "test"],
    "shards": ["org/shards"],
    "array": ["org/alpaca"],
    "converted": ["org/script"],
    "converted, no such split": ["org/script", "default", "test"],
    "program": ["org/program"],
    "empty": ["org/empty"],
    "gated": ["org/gated"],
    "missing": ["org/none"],
    "thief": ["org/thief"],
    "broken": ["org/broken"],
    "pictures": ["org/pictures"],
    "broken card": ["org/card"],
}


@dataclass
class Outcome:
    hub: HubServer
    home: Path
    said: dict[str, dict[str, Any]]
    asked: list[str]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    """One process that reads many datasets, each with a trouble of its own."""
    home = tmp_path_factory.mktemp("datasets")
    with HubServer(home / "hub") as hub:
        publish(
            hub,
            "org/medqa",
            README_dot_md=CARD.encode(),
            en__train_dot_jsonl=lines({"question": "never: it matches no pattern"}),
            en__test_dot_jsonl=lines(QUESTION),
            tables_dot_csv=b"a;b\n1;2\n",
        )
        shards = {f"en/train-{number}.jsonl": lines({**QUESTION, "number": number}) for number in range(2)}
        hub.commit("org/medqa", shards, "datasets")
        publish(hub, "org/plain", train_dot_csv=b"q\n1\n", test_dot_csv=b"q\n2\n")
        publish(hub, "org/shards", a_dot_txt=b"not data")
        repo = hub.repo("org/shards", "datasets")
        names = [f"data/train-0000{number}-of-00002.parquet" for number in range(2)]
        files = {name: large(hub, parquet(q=[name])) for name in names}
        repo.commit({**repo.resolve("main").files, **files}, "main", "shards", "", "org")
        alpaca = [
            {"instruction": "Add.", "input": "1 1", "output": "2"},
            {"instruction": "Hi.", "input": "", "output": ""},
        ]
        publish(hub, "org/alpaca", alpaca_data_dot_json=json.dumps(alpaca).encode())
        publish(hub, "org/script", script_dot_py=b"import os", README_dot_md=b"# A program\n")
        converted = {"default/train/0000.parquet": large(hub, parquet(q=["converted"]))}
        hub.repo("org/script", "datasets").commit(converted, "refs/convert/parquet", "parquet", "", "hub")
        publish(hub, "org/program", program_dot_py=b"import os", data_dot_csv=b"a\n1\n")
        publish(hub, "org/empty", train_dot_jsonl=b"", test_dot_jsonl=lines(QUESTION))
        publish(hub, "org/gated", train_dot_jsonl=lines(QUESTION))
        hub.repo("org/gated", "datasets").gated = "manual"
        thief = b"---\nconfigs:\n- config_name: default\n  data_files: /etc/hostname\n---\n"
        publish(hub, "org/thief", README_dot_md=thief, train_dot_jsonl=lines(QUESTION))
        publish(hub, "org/broken", train_dot_jsonl=b'{"q": 1}\n{"q":\n')
        publish(hub, "org/pictures", train__a_dot_png=b"\x89PNG\0")
        publish(hub, "org/card", README_dot_md=b"---\nconfigs: [\n---\n", train_dot_jsonl=lines(QUESTION))
        said = run_client(hub, home, read_all, orders=list(ORDERS.values()))
        yield Outcome(hub, home, dict(zip(ORDERS, said)), [line.path for line in hub.log])


def test_a_split_is_read_as_the_card_says_and_its_version_is_the_commit(outcome: Outcome) -> None:
    train, test = outcome.said["train"], outcome.said["test"]
    assert [row["number"] for row in train["rows"]] == [0, 1]
    assert test["rows"] == [QUESTION]
    assert [row["question"] for row in outcome.said["both"]["rows"]] == [QUESTION["question"]] * 3
    assert train["version"] == test["version"] == outcome.hub.repo("org/medqa", "datasets").branches["main"]


def test_only_the_files_of_the_split_are_fetched(outcome: Outcome) -> None:
    fetched = {path.rpartition("/")[2] for path in outcome.asked if "/org/plain/resolve/" in path}
    assert fetched == {"test.csv"}
    fetched = {path.rpartition("/")[2] for path in outcome.asked if "/org/medqa/resolve/" in path}
    assert "train.jsonl" not in fetched


def test_the_cards_options_for_a_reader_hold(outcome: Outcome) -> None:
    assert outcome.said["other reader"]["rows"] == [{"a": 1, "b": 2}]


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("by file names", [{"q": 2}]),
        ("shards", [{"q": f"data/train-0000{number}-of-00002.parquet"} for number in range(2)]),
        ("converted", [{"q": "converted"}]),
    ],
)
def test_without_configurations_the_layout_says_where_a_split_is(
    outcome: Outcome, name: str, rows: list[dict[str, Any]]
) -> None:
    assert outcome.said[name]["rows"] == rows


def test_a_json_array_in_the_schema_of_alpaca_is_read_whole(outcome: Outcome) -> None:
    assert outcome.said["array"]["rows"][0] == {"instruction": "Add.", "input": "1 1", "output": "2"}
    assert len(outcome.said["array"]["rows"]) == 2


def test_a_program_is_never_run_and_its_conversion_is_read_at_a_commit_of_its_own(outcome: Outcome) -> None:
    repo = outcome.hub.repo("org/script", "datasets")
    assert outcome.said["converted"]["version"] == repo.branches["refs/convert/parquet"]
    assert not [path for path in outcome.asked if path.endswith(".py")]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("no such configuration", "has no configuration 'de'; it has en, tables"),
        ("which configuration", "has several configurations and no default; name one of en, tables"),
        ("no such split", "has no split 'dev' in 'en'; it has train, test"),
        ("converted, no such split", "has no split 'test' in 'default'; it has train"),
        ("program", "is made by a program (program.py), which is not run"),
        ("empty", "org/empty (default, train) has no rows; choose another split"),
        ("gated", "org/gated is gated: accept its terms"),
        ("missing", "org/none is not on the Hub, or is private"),
        ("thief", "asks for /etc/hostname, which is outside its repository: not read"),
        ("broken", "org/broken (default, train) cannot be read after row 0: "),
        ("pictures", "has no file for split 'train' of 'default' that is read here (.parquet"),
        ("broken card", "does not say which files hold its rows"),
    ],
)
def test_what_cannot_be_read_is_a_sentence(outcome: Outcome, name: str, sentence: str) -> None:
    assert sentence in outcome.said[name]["error"]


def test_without_the_hub_the_same_rows_come_from_the_cache(outcome: Outcome) -> None:
    names = ["train", "test", "by file names", "shards", "converted"]
    asked = len(outcome.hub.log)
    orders = [ORDERS[name] for name in names]
    said = run_client(
        outcome.hub, outcome.home, read_all, variables={"HF_HUB_OFFLINE": "1", "NO_SOCKETS": "1"}, orders=orders
    )
    assert said == [outcome.said[name] for name in names]
    assert len(outcome.hub.log) == asked


def test_a_split_that_was_never_fetched_is_named_when_there_is_no_hub(outcome: Outcome) -> None:
    [said] = run_client(
        outcome.hub,
        outcome.home,
        read_all,
        variables={"HF_DATASETS_OFFLINE": "1"},
        orders=[["org/plain", None, "train"]],
    )
    assert "could not be fetched (HF_DATASETS_OFFLINE is set), and the local cache lacks train.csv" in said["error"]


def test_a_dataset_can_be_sent_to_a_worker() -> None:
    dataset = Dataset("org/medqa", "en", "test")
    assert pickle.loads(pickle.dumps(dataset)) == dataset
    assert dataset.name == "org/medqa"


@pytest.mark.parametrize(
    "pattern", ["/etc/passwd", "../other/x.csv", "https://example.org/x.csv", "zip://a::b.zip", "~/x"]
)
def test_a_card_cannot_make_us_read_anything_but_its_repository(tmp_path: Path, pattern: str) -> None:
    (tmp_path / "README.md").write_text(f"---\nconfigs:\n- config_name: d\n  data_files: '{pattern}'\n---\n")
    with pytest.raises(MedslmError, match="outside its repository: not read"):
        hub_layout.choose("org/thief", ["README.md", "a.csv"], tmp_path / "README.md", None, "train")


def test_compressed_files_are_read_by_the_format_below(tmp_path: Path) -> None:
    listed = ["data/train.jsonl.gz", "data/notes.txt", "LICENSE", "x/../../escape.csv"]
    chosen = hub_layout.choose("org/gz", listed, None, None, "train")
    assert (chosen.files, chosen.reader) == (("data/train.jsonl.gz",), "json")


def test_the_features_of_the_card_give_every_row_every_column(tmp_path: Path) -> None:
    card = "---\ndataset_info:\n  features:\n  - name: a\n    dtype: string\n  - name: b\n    dtype: string\n---\n"
    (tmp_path / "README.md").write_text(card)
    chosen = hub_layout.choose("org/typed", ["README.md", "x.jsonl"], tmp_path / "README.md", None, "train")
    assert list(chosen.options["features"]) == ["a", "b"]
