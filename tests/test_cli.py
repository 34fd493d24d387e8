"""The command line: what it lists, and that a slip is a sentence and exit status 2."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from medslm import catalogue, cli, export_cli, hub_cli
from medslm.errors import MedslmError
from medslm.export import run as exporting
from medslm.hub import card, learnt

ROOT = Path(__file__).parents[1]


def medslm(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "medslm", *words], check=False, cwd=folder, capture_output=True, text=True, timeout=120
    )


def test_every_preset_is_listed_in_one_line() -> None:
    listed = dict(catalogue.lines())
    assert set(listed) == {"bases", "loras", "corpora", "benchmarks", "formats", "engines", "suites"}
    assert any(line.startswith("smollm2-135m-instruct") and "embedded" in line for line in listed["bases"])
    assert all("\n" not in line for lines in listed.values() for line in lines)


def test_an_unknown_kind_of_preset_is_answered_with_the_nearest() -> None:
    with pytest.raises(MedslmError, match="did you mean 'bases'"):
        list(catalogue.lines("basis"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("eval", "smollm2"), "no run is called 'smollm2' in runs; there: smollm2-icd10-lora"),
        (("card", "smollm2-icd10-lora"), "write the card's prose"),
        (("eval", "smollm2-135m-instruct"), "is a base, which no recipe gave a suite; name one with --suite"),
        (("eval", "smollm2-icd10-lora", "--format", "chat"), "is judged as it was trained; leave it out"),
        (("report", "smollm2-icd10-lora"), "scores.json is not there"),
        (("report", "smollm2-icd10-lora", "--suite", "medqa"), "scores.medqa.json is not there; `medslm eval"),
        (("compare", "smollm2-icd10-lora", "--suite", "medqa"), "scores.medqa.json is not there; `medslm eval"),
        (("push", "smollm2-icd10-lora", "--to", "me"), "run.json has schema None where 1 is read"),
        (("pull", "no-slash"), "no-slash"),
        (("generate", "no-such-adapter", "text"), "no adapter and no model is called 'no-such-adapter'"),
    ],
)
def test_a_slip_is_a_sentence_and_exit_status_2(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    run = tmp_path / "runs" / "smollm2-icd10-lora"
    run.mkdir(parents=True)
    (run / "run.json").write_text("{}", encoding="utf-8")
    done = medslm(tmp_path, *words)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_an_interrupt_is_a_line_and_its_exit_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(catalogue, "lines", interrupted)
    monkeypatch.setattr(sys, "argv", ["medslm", "list"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 130
    assert capsys.readouterr().err.strip().startswith("medslm: interrupted; the same command uses what was kept")


def test_the_command_that_is_told_to_be_run_next_exists_as_it_is_told() -> None:
    make = subprocess.run(["make", "help"], check=True, cwd=ROOT, capture_output=True, text=True)
    targets = {line.split()[0] for line in make.stdout.splitlines()}
    assert {"quickstart", "test", "eval", "card", "push", "pull", "check", "test-oldest"} <= targets


@pytest.mark.parametrize("target", ["test-gpu", "test-unsloth", "test-vllm"])
def test_what_needs_a_gpu_is_given_one(target: str) -> None:
    told = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    for given, seen in (({}, "0"), ({"CUDA_VISIBLE_DEVICES": "1"}, "1")):
        words = ["make", "--dry-run", target]
        made = subprocess.run(words, check=True, cwd=ROOT, capture_output=True, text=True, env=told | given)
        (line,) = (line for line in made.stdout.splitlines() if "pytest -m " in line)
        assert line.startswith(f"CUDA_VISIBLE_DEVICES={seen} ")  # else the tests hide all of them


def test_make_hands_the_suite_to_the_command() -> None:
    words = ["make", "--dry-run", "--always-make", "eval", "NAME=smollm2-icd10-lora", "SUITE=medqa", "LIMIT=4"]
    done = subprocess.run(words, check=True, cwd=ROOT, capture_output=True, text=True)
    assert "medslm eval smollm2-icd10-lora --runs runs --suite medqa --limit 4" in done.stdout


def test_make_says_which_variable_is_missing() -> None:
    env = {name: value for name, value in os.environ.items() if name != "NAME"}
    done = subprocess.run(
        ["make", "eval"],
        check=False,
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "NAME is not set" in done.stderr


def test_make_hands_over_a_folder_of_runs_whose_name_has_blanks_as_one_word(tmp_path: Path) -> None:
    program = tmp_path / "venv" / "bin" / "medslm"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n", encoding="utf-8")
    program.chmod(0o755)
    (tmp_path / "venv" / "installed-quickstart").touch()  # newer than what it is made of
    words = ["make", "--silent", "card", "NAME=toy", f"VENV={tmp_path / 'venv'}", f"RUNS={tmp_path}/my  runs"]
    done = subprocess.run(words, check=True, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["card", "toy", "--runs", f"{tmp_path}/my  runs"]


@pytest.mark.parametrize("venv", ["/somewhere/my venv", ""])
def test_make_refuses_an_environment_that_it_could_not_build(venv: str) -> None:
    words = ["make", "--dry-run", "--always-make", "install", f"VENV={venv}"]
    done = subprocess.run(words, check=False, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and f"VENV is '{venv}'" in done.stderr
    assert "pip install" not in done.stdout


@pytest.mark.parametrize(
    ("found", "alone", "next"),
    [
        ({"limit": 4}, False, "the same without --limit"),
        ({}, False, "make card NAME=toy RUNS='my runs'"),
        ({}, True, "medslm compare toy <run> --suite medqa --runs 'my runs'"),
        ({"engine": "vllm"}, False, "medslm compare toy toy@vllm --suite medqa --runs 'my runs'"),
    ],
)
def test_what_comes_after_scores_is_told_with_the_folder_of_the_run(found: Any, alone: bool, next: str) -> None:
    scores = {"limit": None, "engine": "transformers", "suite": "medqa", **found}
    assert cli._after("toy", scores, alone, Path("my runs")) == next
    assert "uns" not in cli._after("toy", scores, alone, Path("runs")).replace("<run>", "")


def test_the_help_of_list_names_every_kind_of_preset(tmp_path: Path) -> None:
    told = medslm(tmp_path, "list", "--help").stdout
    assert all(kind in told for kind in catalogue.KINDS)


@pytest.mark.parametrize(
    ("refused", "next"),
    [
        ("", "make push NAME=toy TO=<user or organisation> RUNS="),
        ("a licence forbids it", 'medslm generate toy "..." --'),
    ],
)
def test_a_card_does_not_send_to_push_what_push_would_refuse(
    refused: str, next: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def clear(_: Path) -> None:
        if refused:
            raise MedslmError(refused)

    (tmp_path / "my runs" / "toy").mkdir(parents=True)
    (tmp_path / "toy.md").write_text("prose", encoding="utf-8")
    (tmp_path / "my runs" / "toy" / "run.json").write_text('{"recipe": {}}', encoding="utf-8")
    monkeypatch.setattr(card, "write", lambda run, _: run / "README.md")
    monkeypatch.setattr(card, "clear", clear)
    monkeypatch.setattr(learnt, "nameless_start", lambda _: None)
    hub_cli.card("toy", runs=tmp_path / "my runs", cards=tmp_path)
    told = capsys.readouterr()
    assert f"Next: {next}" in told.out and told.out.rstrip().endswith("my runs'")
    assert told.err == (f"note: {refused}\n" if refused else "")


@pytest.mark.parametrize(
    ("to", "next"),
    [
        ("safetensors", "medslm serve toy --export 'my exports/out' --runs 'my runs'"),
        ("onnx", "my exports/out/README.md says how it is loaded"),
    ],
)
def test_an_export_says_how_it_is_used(
    to: str, next: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    drift = {"divergence": 0.0, "top1": 1.0, "positions": 9, "prompts": 9, "scores": {}}
    record = {"merge": None, "drift": drift, "loader": "toy", "bound": {"drift": 0.01}, "served": None}
    record |= {"notes": [], "files": {}, "seconds": 1.0}
    monkeypatch.chdir(tmp_path)
    Path("my runs/toy").mkdir(parents=True)
    monkeypatch.setattr(exporting, "export", lambda *_, **__: exporting.Exported(Path("my exports/out"), record))
    export_cli.export("toy", to=to, out=Path("my exports/out"), runs=Path("my runs"))
    assert capsys.readouterr().out.splitlines()[-1] == f"Next: {next}"
