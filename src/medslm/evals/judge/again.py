"""`medslm judge NAME`: judge the kept answers of an evaluation, without asking the model again, and add to its scores."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medslm import files
from medslm.errors import MedslmError
from medslm.evals import samples, scores
from medslm.evals.admission import MADE_BY
from medslm.evals.judge import endpoint, study
from medslm.evals.judge.agreement import SIDES
from medslm.evals.judge.endpoint import Settings
from medslm.evals.respondent import HERE
from medslm.infer import records

STUDY = "judge"


def judge_run(
    run: Path, settings: Settings | None, suite: str | None = None, limited: bool = False, engine: str = HERE
) -> tuple[Path, dict[str, str]]:
    """Judge the replies behind `run/scores.json`, or those of `suite` or an engine; that file, and each protocol's text.

    Answers that are kept are not asked again. Raises `MedslmError` if no judge is configured, the run is not evaluated,
    and as `study.measure`; protocols that were judged before are written nevertheless.
    """
    if settings is None:
        raise MedslmError(endpoint.MISSING[0].upper() + endpoint.MISSING[1:])
    home = scores.home(run, engine)
    options = {"suite": suite, "engine": engine if engine != HERE else None}
    asked = [f"--{name} {value}" for name, value in options.items() if value]
    made_by = " ".join(["medslm eval", run.resolve().name, *asked, *(["--limit <n>"] if limited else [])])
    path = _file(home, suite, limited, made_by)
    found = scores.read(path, made_by)
    if not found["results"]:
        raise MedslmError(f"{path} has no figures, so that there are no answers to judge; evaluate more items")
    record = records.read(run / "run.json", MADE_BY, ("recipe",))
    mixture = list(record["recipe"].get("mixture", ()))
    folder = home / "eval" / (found["suite"] if found["limit"] is None else f"{found['suite']}.limited")
    for protocol in dict.fromkeys(result["protocol"] for result in found["results"]):
        measured = study.judged(_samples(folder / protocol, found, protocol), settings, folder / protocol, mixture)
        found["studies"].setdefault(STUDY, {})[protocol] = files.as_json(measured)
        found["told"].setdefault(STUDY, {})[protocol] = study.STUDY.text(measured)
        found["missing"].pop(STUDY, None)
        files.write_json(path, found)
    return path, found["told"][STUDY]


def _file(home: Path, suite: str | None, limited: bool, made_by: str) -> Path:
    """The file of a suite's scores, which has no name in it where the recipe names the suite."""
    named, own = home / scores.file(suite, limited), home / scores.file(None, limited)
    is_own = not named.is_file() and own.is_file() and scores.read(own, made_by)["suite"] == suite
    return own if is_own else named


def _samples(folder: Path, found: Mapping[str, Any], protocol: str) -> dict[str, dict[str, list[samples.Sample]]]:
    """Side -> task -> samples of one protocol."""
    tasks = dict.fromkeys(result["task"] for result in found["results"] if result["protocol"] == protocol)
    return {
        side: {task: list(samples.read(folder / side / f"{task}.jsonl").values()) for task in tasks} for side in SIDES
    }
