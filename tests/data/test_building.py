"""A built dataset holds every example whole, with its report, and is a corpus again; or there is no folder at all."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import toy_world
from medslm import files
from medslm.data import building
from medslm.data.building import Storage
from medslm.data.corpus import Corpus
from medslm.data.example import Example
from medslm.data.sources import own
from medslm.errors import MedslmError
from medslm.recipe import Lesson
from medslm.registry import Registry
from toy_data import corpora
from toy_world import CODES, LETTERS, NOTES

LABS = [{"name": "Na, serum", "value": "1e3"}, {"name": "K", "value": "4.0"}]
SHAPES = [
    Example("table", "Sum up.", {"note": "a\nb", "labs": LABS}, {"codes": ["I10", "250.00"], "none": []}, "f1"),
    Example("turns", "Reply.", "Why?", "Since.", "f2", turns=(("system", "Be brief."), ("user", "é, 50 %?"))),
    Example("thoughts", "Think.", "fever", "A01", "f3", reasoning='first "this",\nthen that'),
    Example("fields", "Code it.", "cough", {"code": "R05", "flag": "true"}, "f4"),
    Example("options", "Choose.", "which?", {"answer": "one", "why": ""}, "f5", ("one", "two", "three")),
]
STORAGES: list[Any] = ["parquet", "toon"]


@pytest.fixture(autouse=True)
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry[Corpus]:
    monkeypatch.setenv("MEDSLM_CACHE", str(tmp_path / "cache"))
    held = toy_world.settle(monkeypatch)
    held.add("shapes", corpora(shapes=SHAPES)["shapes"])
    return held


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("policy", ["mask", "surrogate"])
def test_ids_and_families_of_rows_are_no_identifiers_of_patients_once_those_are_replaced(
    tmp_path: Path, world: Registry[Corpus], policy: str, storage: Storage
) -> None:
    visits = [
        Example(f"MRN 0048291{n}", "Sum up.", f"Visit {n} of one.", f"Cough {n}.", f"Zhang {n // 2}") for n in range(8)
    ]
    world.add("visits", corpora(visits=visits)["visits"])
    build(tmp_path / "clean", "visits", storage=storage, deidentify=policy)
    back = read(tmp_path / "clean")
    assert sorted({one.id for one in back}) == sorted(one.id for one in back) and len(back) == 8
    assert len({one.family for one in back}) == 4
    assert not [one for one in back if "0048291" in one.id or "Zhang" in one.family]
    assert "0048291" not in (tmp_path / "clean" / "build.json").read_text(encoding="utf-8")


def build(folder: Path, *names: str, storage: Storage = "parquet", **fields: Any) -> dict[str, Any]:
    lesson = Lesson(**{"mixture": dict.fromkeys(names, 1.0), "validation_fraction": 0.3, **fields})
    return building.build(lesson, folder, storage)


def read(folder: Path) -> list[Example]:
    """Both splits, each as one's own data."""
    return [one for split in ("train", "validation") for one in own.corpus(f"local:{folder / split}", {}, None).load()]


def by_id(examples: list[Example]) -> list[Example]:
    return sorted(examples, key=lambda one: one.id)


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("names", [("notes", "codes"), ("letters",), ("shapes",), ("codes",)])
def test_what_is_built_is_read_back_as_it_was(tmp_path: Path, names: tuple[str, ...], storage: Storage) -> None:
    held = {"notes": NOTES, "codes": CODES, "letters": LETTERS, "shapes": SHAPES}
    build(tmp_path / "built", *names, storage=storage)
    assert by_id(read(tmp_path / "built")) == by_id([one for name in names for one in held[name]])


def test_datasets_loads_both_splits_though_only_one_has_thoughts(tmp_path: Path) -> None:
    import datasets

    report = build(tmp_path / "built", "shapes", "codes")
    shards = {split: str(tmp_path / "built" / split / "*.parquet") for split in ("train", "validation")}
    loaded = datasets.load_dataset("parquet", data_files=shards, cache_dir=str(tmp_path / "hf"))
    assert {split: len(rows) for split, rows in loaded.items()} == report["rows"]
    assert loaded["train"].column_names == loaded["validation"].column_names == report["columns"]
    assert len(set(loaded["train"]["reasoning"]) | set(loaded["validation"]["reasoning"])) == 2
    thinkers = [split for split, rows in loaded.items() if any(rows["reasoning"])]
    assert len(thinkers) == 1  # the other has the column all the same


def test_a_built_dataset_passes_the_checks_before_a_push(tmp_path: Path) -> None:
    from medslm.hub import publish_dataset

    for storage in STORAGES:
        build(tmp_path / storage, "shapes", "codes", storage=storage)
        collected = publish_dataset.collect(tmp_path / storage)
        assert {"README.md", "build.json"} < set(collected.files)
        assert len(collected.files) == 4 and all("manifest" in name for name in collected.left_out)


@pytest.mark.parametrize("storage", STORAGES)
def test_large_splits_are_written_in_several_files(
    tmp_path: Path, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "SHARD", 6)
    monkeypatch.setattr(building, "GROUP", 4)
    report = build(tmp_path / "built", "notes", storage=storage)
    suffix = f"*.{storage}"
    assert len(list((tmp_path / "built" / "train").glob(suffix))) == -(-report["rows"]["train"] // 6) > 1
    assert by_id(read(tmp_path / "built")) == by_id(NOTES)


@pytest.mark.parametrize("storage", STORAGES)
def test_files_whose_rows_have_the_same_numbers_can_stand_in_one_dataset(tmp_path: Path, storage: Storage) -> None:
    for name in ("one", "two"):
        lines = [json.dumps({"question": f"{name} {n}", "answer": str(n)}) for n in range(8)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    built = build(tmp_path / "built", *(f"local:{tmp_path / name}.jsonl" for name in ("one", "two")), storage=storage)
    back = read(tmp_path / "built")
    assert sorted(one.text for one in back) == sorted(f"{name} {n}" for name in ("one", "two") for n in range(8))
    assert len(back) == sum(built["rows"].values()) == 16


def test_the_report_lies_beside_the_rows_and_tells_no_path(tmp_path: Path) -> None:
    lines = [json.dumps({"question": f"fever {n}", "answer": str(n)}) for n in range(8)]
    (tmp_path / "ward.jsonl").write_text("\n".join(lines), encoding="utf-8")
    told = build(tmp_path / "built", f"local:{tmp_path / 'ward.jsonl'}", "notes")
    report = json.loads((tmp_path / "built" / "build.json").read_text(encoding="utf-8"))
    assert report == files.as_json(told)
    assert str(tmp_path) not in json.dumps(report)
    assert set(report["corpora"]) == {"local:ward.jsonl", "notes"}
    assert (report["license"], report["publishable"]) == ("unknown", False)
    assert any("'local:ward.jsonl' states no licence" in reason for reason in report["reasons"])
    assert set(report["gates"]) == {"contamination", "deidentification", "quality", "license"}
    assert build(tmp_path / "other", "notes")["publishable"] is True


@pytest.mark.parametrize("storage", STORAGES)
def test_what_the_gates_drop_or_mask_is_in_no_file(tmp_path: Path, storage: Storage) -> None:
    report = build(tmp_path / "built", "lost", "patients", storage=storage, deidentify="mask")
    back = read(tmp_path / "built")
    asked = [one.text for one in back]
    assert {toy_world.ITEM, "nothing said"}.isdisjoint(asked)
    assert len(asked) == len(set(asked)) > 0
    assert report["corpora"]["lost"]["contaminated"] == 1
    assert "Whitfield" not in "".join(one.as_json() for one in back)
    assert "[NAME]" in "".join(one.as_json() for one in back)
    for path in (tmp_path / "built").rglob("*"):
        assert path.is_dir() or b"Whitfield" not in path.read_bytes()


@pytest.mark.parametrize(
    ("folder", "fields", "sentence"),
    [
        ("there", {}, "is there already; remove it, or build into another folder"),
        ("My Set", {}, "a dataset cannot be called 'My Set'; use lower case words joined by hyphens"),
        ("new", {"mixture": {"notes": 2.0}}, "a dataset holds each example once, but notes is to be passed over more"),
        ("new", {"contamination": "fail"}, "1 examples are copies of test items"),
    ],
)
def test_what_cannot_be_built_is_a_sentence_and_no_folder(
    tmp_path: Path, folder: str, fields: dict[str, Any], sentence: str
) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(MedslmError) as refusal:
        build(tmp_path / folder, "lost", **fields)
    assert sentence in str(refusal.value)
    assert {path.name for path in tmp_path.iterdir()} <= {"there", "cache"} and not any((tmp_path / "there").iterdir())


@pytest.mark.parametrize("storage", STORAGES)
def test_an_example_that_no_table_can_hold_leaves_nothing_half_written(
    tmp_path: Path, storage: Storage, world: Registry[Corpus]
) -> None:
    nested: Any = "x"
    for _ in range(70):
        nested = [nested]
    thief = replace(CODES[0], id="thief", output={"codes": nested})
    world.add("deep", corpora(deep=[*NOTES, thief])["deep"])
    with pytest.raises(
        MedslmError, match=r"example (thief|1?[0-9]) cannot be written: it is nested more than 64 levels"
    ):
        build(tmp_path / "built", "deep", storage=storage)
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]
