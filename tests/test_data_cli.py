"""`medslm data` does what each of its lines promises, says what comes next, and answers a slip with a sentence."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import toy
from hub_server import HubServer
from medslm import cli
from medslm.data.sources import own
from medslm.data.toon import store
from medslm.models.base import Base

PNG = b"\x89PNG"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a user stands: a folder with notes of his own."""
    monkeypatch.chdir(tmp_path)
    rows = [{"note": f"Mr. Whitfield had fever number {n}.", "code": f"R{n}"} for n in range(30)]
    Path("notes.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return tmp_path


NOTES = ("local:notes.jsonl", "--columns", "input=note", "output=code", "instruction==Code the note.")
BASE = ("--base", toy.HUB_ID)


def typed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[int, str, str]:
    """Exit status and what is printed where, as if `medslm data ...` had been typed."""
    monkeypatch.setattr(sys, "argv", ["medslm", "data", *words])
    status = 0
    try:
        cli.main()
    except SystemExit as stopped:
        status = int(stopped.code or 0)
    told = capsys.readouterr()
    return status, told.out, told.err


def medslm(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "medslm", "data", *words],
        check=False,
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_stats_shows_what_the_gates_found_and_writes_picture_and_report(
    folder: Path, toy_base: Base, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    status, out, err = typed(capsys, monkeypatch, "stats", *NOTES, *BASE, "--out", "figures")
    assert status == 0, err
    said = out.splitlines()
    assert said[0] == "local:notes.jsonl (unknown): 30 examples read"
    assert any(re.match(r"contamination \(drop\): compared with .*; NOT with .*\bmedqa\b", line) for line in said)
    assert "identifiers of patients (rules): in 30 examples, counted, not replaced: NAME 30" in said
    assert any(
        re.fullmatch(r"30 examples of [\d,]+ tokens fill \d+ sequences of 1,024 tokens to .*", line) for line in said
    )
    assert said[-2] == "Histogram and report in figures"
    assert shlex.split(said[-1]) == ["Next:", "medslm", "data", "show", *NOTES]
    assert (folder / "figures" / "lengths.png").read_bytes().startswith(PNG)
    report = json.loads((folder / "figures" / "report.json").read_text(encoding="utf-8"))
    assert report["corpora"]["local:notes.jsonl"]["read"] == 30
    assert "Whitfield" not in out + err + json.dumps(report)


@pytest.mark.parametrize("storage", ["parquet", "toon"])
def test_what_build_says_comes_next_can_be_done(
    folder: Path, storage: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("build", *NOTES, "--licenses", "local:notes.jsonl=mit", "--out", "my-notes", "--storage", storage)
    status, out, err = typed(capsys, monkeypatch, *words, "--validation-fraction", "0.2", "--deidentify", "mask")
    assert status == 0, err
    assert "24 examples to train on and 6 for validation in my-notes; see build.json" in out
    told = re.search(r"^Next: medslm data push my-notes --to <user or organisation>, or train on (\S+)$", out, re.M)
    assert told is not None
    back = list(own.corpus(told[1], {}, None).load())
    assert len(back) == 24 and all("[NAME]" in one.text and "Whitfield" not in one.text for one in back)
    report = json.loads((folder / "my-notes" / "build.json").read_text(encoding="utf-8"))
    assert (report["license"], report["publishable"]) == ("mit", True)


def test_a_built_dataset_is_pushed_and_can_be_trained_on(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("build", *NOTES, "--licenses", "local:notes.jsonl=mit", "--out", "my-notes")
    assert typed(capsys, monkeypatch, *words)[0] == 0
    with HubServer(folder / "hub") as hub:
        user = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "0"}
        user["HF_TOKEN"] = hub.token("alice")
        done = medslm(folder, "push", "my-notes", "--to", "alice", **user)
        assert done.returncode == 0, done.stderr
        assert "Pushed " in done.stdout and ", private: " in done.stdout
        assert done.stdout.splitlines()[-1] == "Next: train on it with --mixture alice/my-notes=1"
        shown = medslm(folder, "show", "alice/my-notes", "--copies", "--number", "1", **user)
        assert shown.returncode == 0, shown.stderr
        assert "compared with " in shown.stdout


def test_a_dataset_in_toon_is_trained_on_once_it_is_fetched_as_push_says(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("build", *NOTES, "--licenses", "local:notes.jsonl=mit", "--out", "my-notes", "--storage", "toon")
    assert typed(capsys, monkeypatch, *words)[0] == 0
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    with HubServer(folder / "hub") as hub:
        user = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "0"}
        user["HF_TOKEN"] = hub.token("alice")
        done = medslm(folder, "push", "my-notes", "--to", "alice", **user)
        assert done.returncode == 0, done.stderr
        fetch, _, then = (
            done.stdout.splitlines()[-1].removeprefix("Next: ").partition(", and train on it with --mixture ")
        )
        program, *told = shlex.split(fetch)
        hf = [str(Path(sys.executable).parent / program), *told]
        subprocess.run(hf, check=True, cwd=elsewhere, env={**os.environ, **user}, capture_output=True, timeout=120)
    shown = medslm(elsewhere, "show", then.removesuffix("=1"), "--copies", "--number", "1")
    assert shown.returncode == 0 and "compared with " in shown.stdout, shown.stderr


def test_show_prints_examples_as_the_model_sees_them(
    toy_base: Base, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    status, out, err = typed(capsys, monkeypatch, "show", "icd10cm", "--number", "2", *BASE)
    assert status == 0, err
    assert out.count("[learnt from here]") == 2 and out.count("<|im_start|>assistant") == 2
    assert re.search(r"^---- .*: \d+ tokens, \d+ of them learnt -+$", out, re.M)
    assert out.splitlines()[-1] == "Next: medslm data stats icd10cm"


def test_show_copies_prints_a_thief_beside_its_item(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from medslm.data.benchmark import benchmarks

    item = next(iter(benchmarks["icd10cm-coding"].examples()))
    thief = {"note": item.text.upper(), "code": "A00"}
    Path("notes.jsonl").write_text(
        "\n".join(map(json.dumps, [{"note": "nothing", "code": "R0"}, thief])), encoding="utf-8"
    )
    status, out, err = typed(capsys, monkeypatch, "show", *NOTES, "--copies")
    assert status == 0, err
    assert f"is icd10cm-coding {item.id} (exact, 1.00)" in out
    assert item.text.upper() in out and item.text in out and "nothing" not in out
    assert "NOT with " in out


def test_economy_prints_a_table_and_writes_figures_and_plot(
    folder: Path, toy_base: Base, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("economy", "icd10cm", "local:notes.jsonl", *NOTES[1:], *BASE, "--number", "20", "--out", "economy")
    status, out, err = typed(capsys, monkeypatch, *words)
    assert status == 0, err
    told = json.loads(Path("economy/economy.json").read_text(encoding="utf-8"))
    assert {(row["corpus"], row["tokenizer"]) for row in told} == {
        ("icd10cm", toy.HUB_ID),
        ("local:notes.jsonl", toy.HUB_ID),
    }
    assert Path("economy/economy.md").read_text(encoding="utf-8") in out
    assert Path("economy/economy.png").read_bytes().startswith(PNG)
    assert out.splitlines()[-2:] == [
        "Table, figures and plot in economy",
        "Next: medslm data stats icd10cm --format toon",
    ]


def test_toon_writes_what_can_be_had_and_says_what_cannot(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    status, out, err = typed(capsys, monkeypatch, "toon", "--out", "five")
    assert status == 0, err
    lines = {line.split()[0]: line for line in out.splitlines()}
    for name in ("discharge", "medical_qa", "pubmed", "legal"):
        assert " 0  not written: " in lines[f"{name}.toon"] and "could not be fetched" in lines[f"{name}.toon"]
    assert sorted(path.name for path in Path("five").iterdir()) == ["icd.manifest.json", "icd.toon"]
    rows = sum(1 for _ in store.rows(Path("five/icd.toon")))
    assert rows > 1000 and f" {rows:,}  instead of another: " in lines["icd.toon"]
    assert out.splitlines()[-1] == "Next: train on one of them with --mixture local:five/<name>.toon=1"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("stats", "icd10cmm", *BASE), "no corpus is called 'icd10cmm'; did you mean 'icd10cm'?"),
        (("stats", *BASE), "no corpus was named; `medslm list corpora`"),
        (("build", "--out", "new"), "no corpus was named; `medslm list corpora`"),
        (("economy", *BASE), "no corpus was named; `medslm list corpora`"),
        (("economy", "local:nots.jsonl", *BASE), "there is no file nots.jsonl; did you mean 'notes.jsonl'?"),
        (("stats", "icd10cm", "--columns", "note", *BASE), "written as name=value, such as input=note, not note"),
        (("stats", *NOTES, "--format", "tooon", *BASE), "no format is called 'tooon'; did you mean 'toon'?"),
        (("show", "local:notes.jsonl", "--columns", "input=nte", "output=code", *BASE), "did you mean 'note'?"),
        (("build", *NOTES, "--out", "My Notes"), "a dataset cannot be called 'My Notes'"),
        (("build", *NOTES, "--out", "new", "--licenses", "notes=mit"), "licenses=notes; it must be one of the mixture"),
        (("build", *NOTES, "--out", "new", "--validation-fraction", "2"), "validation_fraction=2.0"),
        (("push", "nowhere", "--to", "alice"), "there is no built dataset at nowhere; `medslm data build` makes one"),
    ],
)
def test_a_slip_is_a_sentence_and_exit_status_2(
    folder: Path,
    toy_base: Base,
    words: tuple[str, ...],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    status, out, err = typed(capsys, monkeypatch, *words)
    assert status == 2 and "Next:" not in out
    assert re.search(rf"^medslm: .*{re.escape(said)}", err, re.M), err
    assert [path.name for path in folder.iterdir()] == ["notes.jsonl"]


@pytest.mark.parametrize("command", ["stats", "show", "build", "push", "toon", "economy"])
def test_every_command_has_help(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    status, out, _ = typed(capsys, monkeypatch, command, "--help")
    assert status == 0 and "usage: medslm data" in out


def test_a_slip_on_the_real_command_line_shows_no_traceback(folder: Path) -> None:
    done = medslm(folder, "build", *NOTES, "--out", "My Notes")
    assert done.returncode == 2
    assert done.stderr.startswith("medslm: a dataset cannot be called 'My Notes'") and "Traceback" not in done.stderr


@pytest.mark.parametrize("first", ["stats", "show", "economy"])
def test_what_is_said_to_come_next_can_be_typed_for_ones_own_data_as_it_stands(
    first: str, folder: Path, toy_base: Base, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("notes.jsonl").rename("my notes, new.jsonl")
    own_data = ("local:my notes, new.jsonl", *NOTES[1:], *BASE, "--number", "2")
    status, out, err = typed(capsys, monkeypatch, first, *(own_data if first != "stats" else own_data[:-2]))
    assert status == 0, err
    told = shlex.split(out.splitlines()[-1])
    assert told[:3] == ["Next:", "medslm", "data"]
    status, _, err = typed(capsys, monkeypatch, *told[3:], *BASE)
    assert status == 0, err


def test_build_does_not_send_to_push_what_push_would_refuse(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    status, out, err = typed(capsys, monkeypatch, "build", *NOTES, "--out", "my-notes")
    assert status == 0, err
    assert "It may not be published: Corpus 'local:notes.jsonl' states no licence" in out and "--licenses" in out
    assert out.splitlines()[-1] == "Next: train on local:my-notes/train"
