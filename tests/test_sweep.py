"""A sweep trains every combination once, goes on after a kill, survives a failing run, and compares what came out."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import toy
from evals.test_compare import PRIMARY, judged, marks
from launching import ROOT
from medslm import sweep, sweep_cli
from medslm.errors import MedslmError
from medslm.sweep import running
from medslm.sweep.cells import LONGEST, values_of

RECIPE = f"""
from medslm import recipe, train

RECIPE = recipe.Sft(
    name="toy-lora", base="{toy.HUB_ID}", lora="all-linear-r16", mixture={{"MIXTURE": 1.0}}, suite="SUITE",
    format="toon", dtype="float32", max_length=640, global_batch_size=8, max_steps=2, eval_steps=1, logging_steps=1,
    validation_fraction=0.1,
)

if __name__ == "__main__":
    train.main(RECIPE)
"""

STAND_IN = """
import sys, time
from pathlib import Path
from medslm import files
from medslm.train import launch

def main(recipe):
    asked = launch.parse(recipe)
    folder = asked.runs / asked.recipe.name
    begun = folder / "begun"
    folder.mkdir(parents=True, exist_ok=True)
    with begun.open("a") as stream:
        stream.write("begun ")
    if asked.recipe.seed == 13:
        print("medslm: the thirteenth fails", file=sys.stderr)
        sys.exit(2)
    time.sleep(asked.recipe.weight_decay if begun.read_text() == "begun " else 0)
    points = [{"step": 1, "eval_loss": 2.0}, {"step": 2, "eval_loss": 1.5}]
    done = {"steps": 2, "best_eval_loss": 1.5, "seconds": 60, "tokens_per_second": 1234.5}
    record = {"status": "finished", "recipe": asked.recipe.as_dict(), "train": done, "curve": points}
    files.write_json(folder / "run.json", record)
"""
"""In the place of a training run, so that a sweep's own doings take no time; it sleeps `weight_decay` seconds at first."""


def written(folder: Path, name: str = "toy_lora", suite: str = "", stand_in: bool = True) -> Path:
    """A recipe file, which trains nothing if it is a stand-in."""
    rows = folder / "rows.jsonl"
    told = [{"instruction": "Code it.", "input": f"rash number {n}", "output": f"L{n}"} for n in range(40)]
    rows.write_text("".join(json.dumps(row) + "\n" for row in told), encoding="utf-8")
    text = RECIPE.replace("SUITE", suite).replace("toy-lora", name.replace("_", "-"))
    text = text.replace("MIXTURE", f"local:{rows}")
    if stand_in:
        text = text.replace("from medslm import recipe, train", "from medslm import recipe\nimport stand_in as train")
        (folder / "stand_in.py").write_text(STAND_IN, encoding="utf-8")
    path = folder / f"{name}.py"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe without a suite that trains nothing; recipes can be imported here and in what is started."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]]))
    return written(tmp_path)


def planned(recipe: Path, *sets: str) -> sweep.Sweep:
    return sweep.Sweep(recipe.parent / "runs" / "s", sweep.combine([recipe], sets), launcher=(sys.executable,))


def kept(asked: sweep.Sweep) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = json.loads((asked.folder / running.FILE).read_text(encoding="utf-8"))["runs"]
    return runs


def begun(asked: sweep.Sweep) -> list[int]:
    """How often each run was started."""
    paths = [asked.folder / cell.name / "begun" for cell in asked.cells]
    return [path.read_text(encoding="utf-8").count("begun") if path.exists() else 0 for path in paths]


@pytest.mark.parametrize(
    ("told", "field", "values"),
    [
        ("learning_rate=1e-4,2e-4", "learning_rate", ["1e-4", "2e-4"]),
        ("--learning-rate=1e-4", "learning_rate", ["1e-4"]),
        ("mixture=a=1,a=1 b=0.5", "mixture", ["a=1", "a=1 b=0.5"]),
        ('mixture="local:a, b.csv=1",c=1', "mixture", ['"local:a, b.csv=1"', "c=1"]),
    ],
)
def test_values_are_separated_by_commas_outside_of_quotes(told: str, field: str, values: list[str]) -> None:
    assert values_of(told) == (field, values)


@pytest.mark.parametrize(
    "told", ["seed", "seed=", "=1", "seed=1,,2", "seed=1, ", 'mixture="a=1', "mixture=local:C:\\", "name=x", "runs=y"]
)
def test_what_is_no_field_with_values_is_a_sentence(told: str) -> None:
    with pytest.raises(MedslmError, match="--set"):
        values_of(told)


def test_every_combination_is_a_run_that_the_recipes_own_command_line_has_read(stand_in: Path) -> None:
    found = sweep.combine([stand_in], ["learning_rate=1e-4,2e-4", "mixture=icd10cm=1,icd10cm=0.5 medqa=2"])
    assert [(cell.asked.learning_rate, dict(cell.asked.mixture)) for cell in found] == [
        (1e-4, {"icd10cm": 1.0}),
        (1e-4, {"icd10cm": 0.5, "medqa": 2.0}),
        (2e-4, {"icd10cm": 1.0}),
        (2e-4, {"icd10cm": 0.5, "medqa": 2.0}),
    ]
    assert found[0].name == found[0].asked.name == "toy-lora-learning-rate-1e-4-mixture-icd10cm-1"
    assert found[1].options[2:5] == ["--mixture", "icd10cm=0.5", "medqa=2"]


def test_fields_of_a_variant_change_together(stand_in: Path) -> None:
    variants = ["", "trainer=full lora=none", "mixture='icd10cm=1 medqa=2'"]
    found = sweep.combine([stand_in], ["seed=1,2"], variants)
    assert [(cell.asked.trainer, cell.asked.seed, len(cell.asked.mixture)) for cell in found] == [
        *(("peft", 1, 1), ("peft", 2, 1), ("full", 1, 1), ("full", 2, 1), ("peft", 1, 2), ("peft", 2, 2))
    ]
    assert found[2].name == "toy-lora-trainer-full-lora-none-seed-1"


@pytest.mark.parametrize(
    ("variant", "said"),
    [
        ("trainer", "at 'trainer'"),
        ("trainer=full lora='none", "No closing quotation"),
        ("seed=3", "both by --set and by --variant"),
        ("name=x", "leave name out"),
        ("weight_decay=1 weight-decay=2", "names weight_decay twice"),
        ("trainer=full", "lora"),
    ],
)
def test_a_variant_that_cannot_be_run_is_refused(stand_in: Path, variant: str, said: str) -> None:
    with pytest.raises(MedslmError, match=said):
        sweep.combine([stand_in], ["seed=1"], [variant])


def test_a_value_that_joins_later_renames_nothing(stand_in: Path) -> None:
    before = [cell.name for cell in sweep.combine([stand_in], ["seed=1,2"])]
    assert before == [cell.name for cell in sweep.combine([stand_in], ["seed=0,1,2"])][1:]


def test_values_that_read_alike_in_a_name_are_told_apart(stand_in: Path) -> None:
    names = [cell.name for cell in sweep.combine([stand_in], ["max_steps=1,-1"])]
    assert names[0] == "toy-lora-max-steps-1" and names[1].startswith("toy-lora-max-steps-1-")


def test_a_long_name_is_cut_and_stays_its_own(stand_in: Path) -> None:
    mixtures = [" ".join(f"local:{letter * 40}.csv=1" for letter in pair) for pair in ("ab", "ac")]
    one, two = (cell.name for cell in sweep.combine([stand_in], ["mixture=" + ",".join(mixtures)]))
    assert one != two and len(one) <= LONGEST


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (["lerning_rate=1"], "did you mean 'learning_rate'"),
        (["learning_rate=0"], "above 0"),
        (["seed=1", "seed=2"], "names seed twice"),
        (["seed=1,1"], "two runs would be called"),
        (["learning_rate=fast"], "learning_rate=fast is refused"),
        (["learning_rate=1e-3,0.001"], "two runs would be the same: .*=1e-3, and .*=0.001;"),
        (["seed=1,2", "lora=all-linear-r16,all-linear-r61"], "no LoRA preset is called 'all-linear-r61'"),
        (["base=qwen3-0.6b,lama"], "base=lama: no base model is called 'lama'"),
        (["mixture=icd10cm=1,icd10=1"], "no corpus is called 'icd10'"),
        (["suite=icd10cm,icd10"], "no suite is called 'icd10'"),
        (["format=chat,tune"], "no format is called 'tune'"),
    ],
)
def test_bad_fields_and_values_are_refused_before_anything_is_trained(
    stand_in: Path, sets: list[str], said: str
) -> None:
    with pytest.raises(MedslmError, match=said):
        sweep.combine([stand_in], sets)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"suite": "icd10"}, "no suite is called 'icd10'"),
        ({"limit": 0}, "--limit 0: "),
        ({"config_file": Path("launch.yaml")}, r"--config-file launch\.yaml is not there"),
    ],
)
def test_what_would_fail_each_run_is_refused_before_the_first(stand_in: Path, options: Any, said: str) -> None:
    with pytest.raises(MedslmError, match=said):
        sweep_cli.sweep("s", recipe=(stand_in,), runs=stand_in.parent / "runs", **options)
    assert not (stand_in.parent / "runs").exists()


def test_a_log_that_cannot_be_written_is_a_sentence(stand_in: Path) -> None:
    asked = planned(stand_in, "seed=1")
    asked.folder.mkdir(parents=True)
    (asked.folder / "logs").write_text("a file", encoding="utf-8")
    with pytest.raises(MedslmError, match=r"cannot write .*seed-1\.train\.log"):
        sweep.run(asked)


def test_a_sweep_is_not_laid_into_the_folder_of_a_run(stand_in: Path) -> None:
    asked = planned(stand_in, "seed=1")
    asked.folder.mkdir(parents=True)
    (asked.folder / "run.json").write_text("{}", encoding="utf-8")
    with pytest.raises(MedslmError, match=r"is the folder of a run.*give the sweep another name"):
        sweep.run(asked)
    assert [path.name for path in asked.folder.iterdir()] == ["run.json"]


def test_a_file_that_is_not_there_is_refused_before_the_first_run(stand_in: Path) -> None:
    asked = planned(
        stand_in, f"mixture=local:{stand_in.parent / 'rows.jsonl'}=1,local:{stand_in.parent / 'gone.jsonl'}=1"
    )
    with pytest.raises(MedslmError, match=r"gone\.jsonl"):
        sweep.run(asked)
    assert begun(asked) == [0, 0]


def test_the_command_lines_that_are_shown_can_be_typed(stand_in: Path, tmp_path: Path, capsys: Any) -> None:
    recipe, config = tmp_path / "my recipe.py", tmp_path / "one GPU.yaml"
    recipe.write_bytes(stand_in.read_bytes())
    config.touch()
    sweep_cli.sweep("s", recipe=(recipe,), config_file=config, dry_run=True, runs=tmp_path / "my runs")
    shown = shlex.split(capsys.readouterr().out.splitlines()[1])
    assert shown[:5] == ["accelerate", "launch", "--config_file", str(config), str(recipe)]
    assert shown[-2:] == ["--runs", str(tmp_path / "my runs" / "s")]


def test_where_locks_are_unknown_it_is_said(stand_in: Path, monkeypatch: Any) -> None:
    def unknown(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", unknown)
    with pytest.raises(MedslmError, match=r"cannot be locked \(No locks available\).*--runs"):
        sweep.run(planned(stand_in, "seed=1"))


def test_no_recipe_and_two_recipes_of_one_name_are_refused(stand_in: Path) -> None:
    with pytest.raises(MedslmError, match="without a recipe"):
        sweep.combine([], [])
    with pytest.raises(MedslmError, match="two runs would be called 'toy-lora'"):
        sweep.combine([stand_in, stand_in], [])


def test_a_failing_run_is_said_and_the_others_go_on_and_only_it_is_tried_again(stand_in: Path) -> None:
    asked = planned(stand_in, "seed=1,13,2")
    outcomes = sweep.run(asked)
    assert [one.status for one in outcomes] == ["finished", "failed", "finished"]
    assert outcomes[1].stage == "train" and outcomes[1].said.startswith("the thirteenth fails (exit status 2; ")
    assert [one["status"] for one in kept(asked)] == ["finished", "failed", "finished"]
    told = sweep.tell(asked, outcomes)
    assert "toy-lora-seed-13 failed (train): the thirteenth fails" in told
    rows = [line.split() for line in told.splitlines()[2:5]]
    assert [row[2:5] for row in rows] == [["1", "finished", "2"], ["13", "failed", "-"], ["2", "finished", "2"]]
    assert "1,234" in rows[0] and "0 of 3 runs were judged" in told
    assert (asked.folder / "loss.png").stat().st_size > 0 and (asked.folder / "sweep.txt").read_text("utf-8") == told
    sweep.run(asked)
    assert begun(asked) == [1, 2, 1]


def test_the_reason_of_a_failure_is_found_behind_a_progress_bar_and_before_what_the_launcher_says(
    tmp_path: Path,
) -> None:
    said = (
        "\r 50%|#    | 1/2 [00:00]\r100%|##| 2/2 [00:00, loss=6.4]medslm is slow  medslm: eval_loss is not a number\n"
    )
    launcher = "Traceback (most recent call last):\nsubprocess.CalledProcessError: returned non-zero exit status 2.\n"
    (tmp_path / "log").write_text(said + launcher, encoding="utf-8")
    assert running._last_words(tmp_path / "log") == "eval_loss is not a number"


def test_a_recipe_that_was_changed_since_is_refused_before_anything_is_trained(stand_in: Path) -> None:
    sweep.run(planned(stand_in, "seed=1"))
    stand_in.write_text(stand_in.read_text(encoding="utf-8").replace("max_steps=2", "max_steps=3"), encoding="utf-8")
    changed = planned(stand_in, "seed=0,1")
    with pytest.raises(MedslmError, match="max_steps 2 -> 3"):
        sweep.run(changed)
    assert begun(changed) == [0, 1]


def started(asked: sweep.Sweep, recipe: Path, *sets: str) -> subprocess.Popen[bytes]:
    """A process that sweeps; it has begun its second run when this returns."""
    code = (
        "import sys; from pathlib import Path; from medslm import sweep\n"
        "from medslm.errors import as_exit_code\n"
        "with as_exit_code():\n"
        "    cells = sweep.combine([Path(sys.argv[1])], sys.argv[3:])\n"
        "    sweep.run(sweep.Sweep(Path(sys.argv[2]), cells, launcher=(sys.executable,)))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(recipe), str(asked.folder), *sets])
    deadline = time.monotonic() + 60
    while begun(asked)[1] == 0:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    return process


def test_an_ended_sweep_ends_its_run_and_goes_on_where_it_was(stand_in: Path) -> None:
    slow = ("seed=1,2", "weight_decay=1.5", "max_steps=1")  # seconds, for the stand-in
    asked = planned(stand_in, *slow)
    process = started(asked, stand_in, *slow)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 128 + signal.SIGTERM
    outcomes = sweep.run(asked)  # the lock is free at once: nothing was left behind
    assert [one.status for one in outcomes] == ["finished", "finished"] and begun(asked) == [1, 2]


def test_a_run_that_outlives_a_killed_sweep_bars_the_way_until_it_ends(stand_in: Path) -> None:
    slow = ("seed=1,2", "weight_decay=2.5")
    asked = planned(stand_in, *slow)
    process = started(asked, stand_in, *slow)
    process.kill()
    process.wait(60)
    with pytest.raises(MedslmError, match="at work already"):
        sweep.run(asked)
    deadline = time.monotonic() + 60
    while True:  # until the orphan has come to its end
        try:
            outcomes = sweep.run(asked)
            break
        except MedslmError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert [one.status for one in outcomes] == ["finished", "finished"] and begun(asked) == [1, 1]


def test_judged_runs_are_paired_with_the_first_that_was_judged(stand_in: Path) -> None:
    asked = planned(stand_in, "seed=13,1,2")
    outcomes = sweep.run(asked)
    for cell, right in zip(asked.cells[1:], (50, 70)):
        judged(asked.folder / cell.name, {PRIMARY: marks(right)})
    told = sweep.tell(asked, outcomes)
    assert "Compared with toy-lora-seed-1, since toy-lora-seed-13 was not judged." in told
    assert "+20.0 [" in told and "p < 0.001" in told and "better" in told and "50.0 %" in told.splitlines()[3]
    assert (asked.folder / "sweep.png").stat().st_size > 0


@pytest.mark.parametrize("scores", ["{", '{"schema": 1, "suite": "icd10cm", "limit": null}'])
def test_scores_that_are_broken_or_of_another_version_are_written_again(
    stand_in: Path, scores: str, monkeypatch: Any, capsys: Any
) -> None:
    asked = dataclasses.replace(planned(stand_in, "seed=1"), suite="icd10cm")
    sweep.run(dataclasses.replace(asked, suite=None))
    path = asked.folder / asked.cells[0].name / "scores.icd10cm.json"
    path.write_text(scores, encoding="utf-8")
    started: list[str] = []
    monkeypatch.setattr(running, "_start", lambda words, log, lock: started.append(words[3]) or 1)
    monkeypatch.setattr(running, "_last_words", lambda log: "the stand-in judges nothing")
    assert [one.stage for one in sweep.run(asked)] == ["eval"] == started
    assert "write it again with `medslm eval toy-lora-seed-1`" in capsys.readouterr().out


def test_runs_that_other_versions_have_trained_are_told(stand_in: Path) -> None:
    asked = planned(stand_in, "seed=1,2,3")
    outcomes = sweep.run(asked)
    for cell, version in zip(asked.cells, ("0.1", "0.1", "0.2")):
        path = asked.folder / cell.name / "run.json"
        told = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(told | {"packages": {"medslm": version, "torch": "2.0"}}), encoding="utf-8")
    assert "the same versions" not in sweep.tell(asked, outcomes[:2])
    assert "by more than the fields: medslm 0.1 (run 1, 2), 0.2 (run 3)." in sweep.tell(asked, outcomes)


SWEEP = (
    "import tyro; from medslm import environment, sweep_cli; from medslm.errors import as_exit_code\n"
    "environment.prepare()\nwith as_exit_code(): tyro.cli(sweep_cli.sweep)"
)
PAUSE = """
    import os, time
    from pathlib import Path
    from medslm.train import checkpoint
    seal, marker = checkpoint.seal, Path(os.environ.get("PAUSE", "nowhere"))
    def pausing(folder, *rest):  # where the test kills it
        seal(folder, *rest)
        if marker.exists() and "1e-2" in str(folder):
            marker.with_name("paused").touch()
            time.sleep(600)
    checkpoint.seal = pausing
    train.main(RECIPE)
"""
"""In the place of a recipe's last line: the second cell stands still behind its first checkpoint while the marker exists."""


def real(recipe: Path, runs: Path, *cells: str) -> list[str]:
    """The command line of a sweep that trains and judges."""
    command = [sys.executable, "-c", SWEEP, "lr", "--recipe", str(recipe), "--limit", "4", "--runs", str(runs)]
    return [*command, "--variant", *cells, "--config-file", str(ROOT / "recipes/launch/single.yaml")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, toy_base: object) -> tuple[Path, Path, str]:
    """A recipe, and the folder and the output of its sweep: two cells that finish, and one that fails."""
    folder = tmp_path_factory.mktemp("sweep")
    recipe = written(folder, suite="icd10cm", stand_in=False)
    text = recipe.read_text(encoding="utf-8").replace("    train.main(RECIPE)\n", PAUSE.lstrip("\n"))
    recipe.write_text(text.replace("max_steps=2", "max_steps=3"), encoding="utf-8")
    command = real(recipe, folder / "runs", "learning_rate=1e-4", "learning_rate=1e-2", "max_length=5")
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 1, done.stderr  # no row is as short as that
    return recipe, folder / "runs" / "lr", done.stdout


def test_two_real_runs_and_a_failing_one_end_in_a_table_with_paired_differences(whole: tuple[Path, Path, str]) -> None:
    _, folder, said = whole
    assert "toy-lora-max-length-5 failed (train): nothing is left of corpus" in said
    assert "less toy-lora-learning-rate-1e-4" in said and "(Holm)" in said
    assert (folder / "sweep.png").stat().st_size > 0


def results(folder: Path, cell: str) -> tuple[Any, ...]:
    """What a run learnt and how it was judged, without times."""
    record = json.loads((folder / cell / "run.json").read_text(encoding="utf-8"))
    (path,) = (folder / cell).glob("*scores*.json")
    scores = json.loads(path.read_text(encoding="utf-8"))
    curve = [{name: one[name] for name in ("step", "loss", "eval_loss") if name in one} for one in record["curve"]]
    return (
        record["adapter_sha256"],
        record["train"]["steps"],
        record["train"]["best_eval_loss"],
        curve,
        scores["results"],
    )


def test_a_sweep_killed_in_the_middle_of_a_cell_ends_as_one_that_was_not(
    whole: tuple[Path, Path, str], tmp_path: Path
) -> None:
    import psutil

    recipe, uninterrupted, _ = whole
    cells = ("learning_rate=1e-4", "learning_rate=1e-2")
    command, folder = real(recipe, tmp_path / "runs", *cells), tmp_path / "runs" / "lr"
    first, second = (f"toy-lora-{cell.replace('_', '-').replace('=', '-')}" for cell in cells)
    shutil.copytree(
        uninterrupted / first, folder / first
    )  # as the other sweep trained it: the second cell is the matter
    (tmp_path / "marker").touch()
    environ = {**os.environ, "PAUSE": str(tmp_path / "marker")}
    with (tmp_path / "said").open("wb") as said:
        process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=said, stderr=said)
        deadline = time.monotonic() + 300
        while not (tmp_path / "paused").exists():
            assert time.monotonic() < deadline and process.poll() is None, (tmp_path / "said").read_text("utf-8")
            time.sleep(0.1)
        for one in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]:
            one.kill()  # as a machine does that loses its power
        process.wait(60)
    assert running.record(folder / second).get("status") != "finished"
    trained = (folder / first / "adapter" / "adapter_model.safetensors").stat().st_mtime_ns
    (tmp_path / "marker").unlink()
    again = subprocess.run(command, check=False, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=600)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("train: done before") == again.stdout.count("eval: done before") == 1
    assert (folder / first / "adapter" / "adapter_model.safetensors").stat().st_mtime_ns == trained
    log = (folder / "logs" / f"{second}.train.log").read_text(encoding="utf-8")
    assert "going on from checkpoint-1" in log
    for cell in (first, second):
        assert results(folder, cell) == results(uninterrupted, cell)
    for picture in ("loss.png", "sweep.png"):
        assert (folder / picture).read_bytes() == (uninterrupted / picture).read_bytes()
