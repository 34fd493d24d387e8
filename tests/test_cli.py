"""The command line: what it lists, and that a slip is a sentence and exit status 2."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from medslm import catalogue, cli
from medslm.errors import MedslmError

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
