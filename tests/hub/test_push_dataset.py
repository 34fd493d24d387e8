"""A built dataset is published with a card that `datasets` understands, or refused with the reason."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from huggingface_hub import DatasetCard

from hub_server import HubServer, run_client
from medslm.data.corpus import corpora
from medslm.errors import MedslmError
from medslm.hub import client, publish_dataset

FAKE = "hf_" + "Abc1234567" * 3  # shaped like a token, and none
COLUMNS = ["id", "instruction", "input", "output"]
ROWS = {
    "train": [dict(zip(COLUMNS, (str(number), "Code it.", f"fever {number}", "A01"))) for number in range(5)],
    "validation": [dict(zip(COLUMNS, ("9", "Code it.", "cough", "R05")))],
}


def corpus(name: str = "icd10cm", license: str | None = None, **fields: Any) -> dict[str, Any]:
    """What a build reports of one corpus."""
    license = license or corpora[name].license
    source = {"source": "org/coding", "version": "a" * 40, "license": license, "format": "chat", "rows": 9, "read": 8}
    dropped = {"skipped": {"no code": 1}, "unusable": 0, "contaminated": 2, "repeated": 0, "near": 0, "too_long": 0}
    return {**source, **dropped, "train": 5, "taken": 5, "validation": 1, **fields}


def gates(name: str = "icd10cm", policy: str = "scan", found: int = 2) -> dict[str, Any]:
    """What the gates report."""
    return {
        "contamination": {"policy": "drop", "screened": {"medqa": 3}, "missing": {"mmlu": "gone"}, "found": {name: {}}, "pairs": []},
        "deidentification": {"policy": policy, "engine": "rules", "examples": {name: found}, "identifiers": {name: {"date": found} if found else {}}},
        "quality": {"policy": "exact", "findings": {name: {}}, "languages": {name: {"en": 990, "de": 5}}, "answers": {}, "near_copies_across_validation": 0},
        "lengths": {"p50": 12},
        "license": {"id": "mit", "name": None, "flags": []},
    }  # fmt: skip


def build(folder: Path, corpora: dict[str, Any] | None = None, shards: int = 2, **changes: Any) -> Path:
    """The folder of a built dataset."""
    folder.mkdir(parents=True)
    report = {"name": folder.name, "license": "mit", "flags": [], "publishable": True, "reasons": []}
    report |= {"corpora": corpora or {"icd10cm": corpus()}, "gates": gates(), "columns": COLUMNS, "medslm": "1.0"}
    report |= {"rows": {split: len(rows) for split, rows in ROWS.items()}, **changes}
    (folder / "build.json").write_text(json.dumps(report), encoding="utf-8")
    for split, rows in ROWS.items():
        for number in range(shards if split == "train" else 1):
            held = rows[number::shards] if split == "train" else rows
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(held), folder / f"{split}-0000{number}.parquet")
    return folder


def push_all(orders: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Push each order with the real client, then load what lies there."""
    from dataclasses import asdict
    from pathlib import Path

    import datasets

    from medslm.data.sources.hub import Dataset
    from medslm.errors import MedslmError
    from medslm.hub import client, publish_dataset

    client.PAUSE = 0.01
    said: list[dict[str, Any]] = []
    for order in orders:
        load = order.pop("load", False)
        try:
            outcome = asdict(publish_dataset.push(Path(order.pop("folder")), **order))
        except MedslmError as error:
            said.append({"error": str(error)})
            continue
        if load:
            loaded = datasets.load_dataset(order["repo_id"])
            outcome["loaded"] = {split: rows.to_list() for split, rows in loaded.items()}
            outcome["ours"] = list(Dataset(order["repo_id"], split="validation").rows())
        said.append(outcome)
    return said


@dataclass
class Outcome:
    hub: HubServer
    said: list[dict[str, Any]]
    folder: Path


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    """One process that pushes one dataset again and again, over plain HTTP."""
    home = tmp_path_factory.mktemp("push")
    folder, fewer = build(home / "coded"), build(home / "fewer" / "coded", shards=1)
    (folder / "notes.txt").write_text("not for others")
    with HubServer(home / "hub") as hub:
        hub.create("alice/public", "datasets")
        hub.faults.add("POST /api/datasets/alice/lost/commit/", drop=True, acts=True)
        orders: list[dict[str, Any]] = [
            {"folder": str(folder), "repo_id": "alice/coded", "load": True},
            {"folder": str(folder), "repo_id": "alice/coded"},
            {"folder": str(fewer), "repo_id": "alice/coded"},
            {"folder": str(folder), "repo_id": "alice/lost"},
            {"folder": str(folder), "repo_id": "alice/public"},
            {"folder": str(folder), "repo_id": "alice/open", "private": False},
        ]
        yield Outcome(hub, run_client(hub, home, push_all, token=hub.token("alice"), orders=orders), folder)


def test_what_was_pushed_is_loaded_by_name_row_for_row(outcome: Outcome) -> None:
    loaded = outcome.said[0]["loaded"]
    assert loaded["validation"] == outcome.said[0]["ours"] == ROWS["validation"]
    assert sorted(loaded["train"], key=lambda row: row["id"]) == ROWS["train"]


def test_a_push_is_one_private_commit_with_card_report_and_checksums(outcome: Outcome, tmp_path: Path) -> None:
    repo, first = outcome.hub.repo("alice/coded", "datasets"), outcome.said[0]
    assert repo.private
    pushed = repo.commits[first["commit"]]
    assert pushed.title == "Publish coded"
    shards = ["train-00000.parquet", "train-00001.parquet", "validation-00000.parquet"]
    assert sorted(set(pushed.files) - {".gitattributes"}) == ["README.md", "SHA256SUMS", "build.json", *shards]
    assert first["url"] == f"{outcome.hub.endpoint}/datasets/alice/coded"
    assert first["left_out"] == ["notes.txt"]
    for name, file in pushed.files.items():
        (tmp_path / name).write_bytes(outcome.hub.store.read(file))
    checked = subprocess.run(
        ["sha256sum", "-c", "SHA256SUMS"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert checked.stdout.count(": OK") == 5


def test_an_unchanged_dataset_makes_no_second_commit_and_a_lost_reply_neither(outcome: Outcome) -> None:
    assert not outcome.said[1]["changed"]
    assert [commit.title for commit in outcome.hub.repo("alice/lost", "datasets").history("main")][:-1] == [
        "Publish coded"
    ]


def test_a_shard_that_is_no_more_leaves_the_repository(outcome: Outcome) -> None:
    held = outcome.hub.repo("alice/coded", "datasets").resolve("main").files
    assert outcome.said[2]["changed"]
    assert "train-00000.parquet" in held and "train-00001.parquet" not in held


def test_a_public_repository_is_not_written_by_a_private_push(outcome: Outcome) -> None:
    assert "exists and is public" in outcome.said[4]["error"]
    assert f"{outcome.hub.endpoint}/datasets/alice/public/settings" in outcome.said[4]["error"]
    assert not outcome.hub.repo("alice/open", "datasets").private


def test_the_card_states_terms_sources_splits_and_what_was_looked_for(outcome: Outcome) -> None:
    card = DatasetCard((outcome.folder / "README.md").read_text(encoding="utf-8"))
    data = card.data.to_dict()
    assert (data["license"], data["language"], data["size_categories"]) == (
        corpora["icd10cm"].license,
        ["en"],
        ["n<1K"],
    )
    assert data["source_datasets"] == ["org/coding"]
    assert [split["split"] for split in data["configs"][0]["data_files"]] == ["train", "validation"]
    for stated in (
        "5 rows for train and 1 row for validation",
        "2 copies of test items",
        "NOT with mmlu",
        "build.json",
    ):
        assert stated in card.text
    assert "found by `rules` in 2 rows (date); they were **not replaced**" in card.text
    assert "| `icd10cm` | org/coding |" in card.text
    assert "licence of what is trained" not in card.text


@pytest.mark.parametrize(
    ("policy", "found", "said"),
    [
        ("off", 0, "were **not looked for**"),
        ("scan", 0, "does not prove that there is none"),
        ("mask", 3, "each was replaced by its type"),
        ("surrogate", 3, "each was replaced by a stand-in"),
    ],
)
def test_the_card_says_whether_identifiers_were_looked_for(tmp_path: Path, policy: str, found: int, said: str) -> None:
    folder = build(tmp_path / "coded", gates=gates(policy=policy, found=found))
    publish_dataset.collect(folder)
    assert said in (folder / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], str]:
    """The sentence with which a push ends; whoever comes as far as the Hub fails."""

    def reached(*_: object, **__: object) -> None:
        raise AssertionError("the Hub was asked")

    def push(folder: Path) -> str:
        with pytest.raises(MedslmError) as caught:
            publish_dataset.push(folder, "alice/coded", token="hf_test")
        return str(caught.value)

    monkeypatch.setattr(client, "persist", reached)
    return push


Refused = Callable[[Path], str]


@pytest.mark.parametrize(
    ("license", "reason"),
    [
        ("physionet-credentialed-health-data", "a data use agreement binds those who read it"),
        ("cc-by-nd-4.0", "it forbids publishing derived works"),
        ("unknown", "states no licence that can be read here"),
        ("", "states no licence that can be read here"),
    ],
)
def test_rows_under_a_licence_that_forbids_it_are_not_published(
    tmp_path: Path, refused: Refused, license: str, reason: str
) -> None:
    own = {"mine": {**corpus(), "license": license}}
    said = refused(build(tmp_path / "coded", own))
    assert "may not be published, since every row of it would be" in said
    assert reason in said
    assert not (tmp_path / "coded" / "README.md").exists()


def test_licences_that_contradict_each_other_are_refused(tmp_path: Path, refused: Refused) -> None:
    both = {"a": corpus(license="cc-by-sa-4.0"), "b": corpus(license="cc-by-nc-4.0")}
    assert "cannot be satisfied at once" in refused(build(tmp_path / "coded", both))


def test_what_the_build_forbids_is_not_published(tmp_path: Path, refused: Refused) -> None:
    folder = build(tmp_path / "coded", publishable=False, reasons=["It holds notes of patients"])
    assert "It holds notes of patients" in refused(folder)


def test_a_licence_that_is_not_the_records_is_refused(tmp_path: Path, refused: Refused) -> None:
    said = refused(build(tmp_path / "coded", {"icd10cm": corpus(license="apache-2.0")}))
    assert "corpus 'icd10cm' is under 'apache-2.0', its record says 'mit'" in said


def test_shards_that_are_not_what_was_counted_are_refused(tmp_path: Path, refused: Refused) -> None:
    assert "counts 6" in refused(build(tmp_path / "a", rows={"train": 6, "validation": 1}))
    assert "has no file of its 3 rows for test" in refused(
        build(tmp_path / "b", rows={"train": 5, "validation": 1, "test": 3})
    )
    assert "which build.json does not count" in refused(build(tmp_path / "c", rows={"train": 5}))
    assert "has the columns id, instruction, input, output" in refused(build(tmp_path / "d", columns=["id"]))
    (build(tmp_path / "e") / "train-00000.parquet").write_bytes(b"PAR1")
    assert "is not a readable Parquet file" in refused(tmp_path / "e")


def test_a_folder_that_was_not_built_is_refused(tmp_path: Path, refused: Refused) -> None:
    assert "there is no built dataset" in refused(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    assert "build.json is not there; `medslm data build` writes it" in refused(tmp_path / "empty")
    (tmp_path / "empty" / "build.json").write_text('{"name": "x"}')
    assert "does not say license, flags" in refused(tmp_path / "empty")


def test_a_token_in_the_report_is_refused_and_not_repeated(tmp_path: Path, refused: Refused) -> None:
    said = refused(build(tmp_path / "coded", medslm=FAKE))
    assert "looks like a Hub token" in said
    assert FAKE not in said


def test_shards_of_toon_are_published_and_named_as_such(tmp_path: Path) -> None:
    folder = build(tmp_path / "coded", storage="toon")
    for shard in folder.glob("*.parquet"):
        shard.unlink()
    for split in ROWS:
        (folder / f"{split}-00000.toon").write_text("rows[1]: a", encoding="utf-8")
    made = publish_dataset.collect(folder)
    assert {"train-00000.toon", "validation-00000.toon"} <= set(made.files)
    card = DatasetCard((folder / "README.md").read_text(encoding="utf-8"))
    assert "configs" not in card.data.to_dict()
    assert "TOON" in card.text
