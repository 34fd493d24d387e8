"""The measured results of a run: checked against the run they belong to, put into words, and in the Hub's two forms."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, EvalResultEntry
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # public, though not re-exported

from medslm import files
from medslm.errors import MedslmError

SCHEMA = 1
ADAPTER = "adapter_model.safetensors"  # in the folder `adapter` of a run, at the root of a repository
HEADLINE = "as-trained"  # the protocol that judges the adapter on the very weights it was trained on
CONFIDENCE = 95  # per cent: the `95` of `ci95`
ALPHA = 1 - CONFIDENCE / 100

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Evidence:
    """What a card may speak of: a finished run and the complete evaluation of exactly its adapter."""

    run: Record
    """`run.json`"""

    scores: Record
    """`scores.json`"""

    @property
    def headlines(self) -> list[Record]:
        """The primary results of the protocol `HEADLINE`, one a task."""
        return [result for result in self.scores["results"] if result["primary"] and result["protocol"] == HEADLINE]


def load(folder: Path) -> Evidence:
    """Read `run.json` and `scores.json` of a run's folder.

    Raises `MedslmError` if a file is missing, the run unfinished, or the scores partial or of another state of the run.
    """
    name = folder.resolve().name
    train, evaluate = f"accelerate launch recipes/{name.replace('-', '_')}.py", f"make eval NAME={name}"
    run = _read(folder / "run.json", train)
    if run.get("status") != "finished":
        raise MedslmError(f"{folder} holds a run that is {run.get('status')!r}, not finished; end it with `{train}`")
    if not (folder / "scores.json").exists() and (folder / "scores.limited.json").exists():
        raise MedslmError(f"{folder} was judged on a part of the items only (scores.limited.json); run `{evaluate}`")
    evidence = Evidence(run, _read(folder / "scores.json", evaluate))
    _same(name, "name", {"run.json": run, "scores.json": evidence.scores}, "move the files to the folder of their run")
    _current(folder, evidence, evaluate)
    _complete(folder, evidence, evaluate)
    return evidence


def _read(path: Path, made_by: str) -> Record:
    record = files.read_json(path, made_by)
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        schema = record.get("schema") if isinstance(record, dict) else None
        raise MedslmError(f"{path} has schema {schema!r} where {SCHEMA} is read; write it again with `{made_by}`")
    try:
        json.dumps(record, allow_nan=False)
    except ValueError:
        raise MedslmError(f"{path} holds a NaN or an infinity, which is no result; write it with `{made_by}`") from None
    return record


def _same(expected: object, key: str, records: Mapping[str, Record], remedy: str) -> None:
    for file, record in records.items():
        if (found := at(record, key, file)) != expected:
            raise MedslmError(f"{file} has {key} '{found}' where '{expected}' was expected; {remedy}")


def _current(folder: Path, evidence: Evidence, evaluate: str) -> None:
    """The scores speak of this run, this way of writing examples and these weights."""
    stale = f"the evaluation is of another state of the run: run `{evaluate}` again"
    for key in ("fingerprint", "template_hash"):
        _same(at(evidence.run, key, "run.json"), key, {"scores.json": evidence.scores}, stale)
    weights = folder / "adapter" / ADAPTER
    if not weights.is_file():
        raise MedslmError(f"{weights} is not there, so nobody can tell what was judged; restore it or train again")
    _same(files.sha256(weights), "adapter_sha256", {"scores.json": evidence.scores}, stale)


def _complete(folder: Path, evidence: Evidence, evaluate: str) -> None:
    limit = at(evidence.scores, "limit", "scores.json")
    if limit is not None:
        raise MedslmError(f"{folder / 'scores.json'} was measured on {limit} items a task only; run `{evaluate}`")
    for result in at(evidence.scores, "results", "scores.json"):
        for key in ("protocol", "task", "metric", "primary", "n", "dataset.source", "dataset.version"):
            at(result, key, "a result in scores.json")
        for key in ("base.value", "adapter.value", "adapter.ci95", "difference.value", "difference.ci95"):
            if at(result, key, "a result in scores.json") is None:
                raise MedslmError(f"{key} of {result['task']} in scores.json is null; measure it with `{evaluate}`")
    if not evidence.headlines:
        raise MedslmError(f"{folder / 'scores.json'} has no primary result for '{HEADLINE}'; run `{evaluate}`")


def at(record: Record, path: str, file: str) -> Any:
    """The value at a dotted path; raises `MedslmError` naming it if it is absent."""
    value: Any = record
    for key in path.split("."):
        if not isinstance(value, Mapping) or key not in value:
            raise MedslmError(f"{file} has no '{path}', which the model card needs; write it again with this version")
        value = value[key]
    return value


def percent(value: float) -> str:
    """`0.123` -> `12.3 %`. Raises `ValueError` for what is no fraction, such as a percentage given twice."""
    if not 0 <= value <= 1:
        raise ValueError(f"{value} is not between 0 and 1; scores are kept as fractions")
    return f"{100 * value:.1f} %"


def points(value: float) -> str:
    """A difference of two fractions in percentage points: `0.1` -> `+10.0`."""
    return f"{100 * value:+.1f}"


def p_value(value: float) -> str:
    """`< 0.001` or three decimals."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def verdict(result: Record) -> str:
    """What the numbers allow to be said about one result, in a sentence or two."""
    base, adapter, difference = result["base"], result["adapter"], result["difference"]
    low, high = difference["ci95"]
    p = difference.get("p_mcnemar")
    change = (
        f"from {percent(base['value'])} to {percent(adapter['value'])}, a difference of {points(difference['value'])} "
        f"points ({CONFIDENCE} % interval {points(low)} to {points(high)}"
        + (")" if p is None else f"; McNemar's test: p {p_value(p) if p < 0.001 else '= ' + p_value(p)})")
    )
    return f"{change}. {_conclusion(low, high, p)} {_beside_the_floor(result)}".rstrip()


def _conclusion(low: float, high: float, p: float | None) -> str:
    outside = low > 0 or high < 0
    if outside and (p is None or p < ALPHA):
        return "Chance alone hardly explains " + ("this gain." if low > 0 else "this loss: the untuned base is better.")
    if outside or (p is not None and p < ALPHA):
        return "The interval and the test disagree, so the difference is not established."
    return "Chance alone can explain this difference: it shows neither a gain nor a loss."


def _beside_the_floor(result: Record) -> str:
    floors = {"the most frequent answer": result.get("majority_class"), "guessing": result.get("chance")}
    known = {name: value for name, value in floors.items() if value is not None}
    if not known:
        return ""
    floor = max(known, key=lambda name: known[name])
    beats = "clearly beats" if result["adapter"]["ci95"][0] > known[floor] else "does not clearly beat"
    return f"The adapter {beats} {floor}, which scores {percent(known[floor])}."


def is_hub_id(source: str) -> bool:
    """False for `pypi:NAME`, true for a Hub id. Raises `MedslmError` for anything else, such as a local path."""
    if source.startswith("pypi:"):
        return False
    try:
        validate_repo_id(source)
    except HFValidationError:
        raise MedslmError(f"{source!r} is neither `org/name` on the Hub nor `pypi:NAME`; mend its record") from None
    return True


def _commit(version: str) -> str | None:
    return version if re.fullmatch(r"[0-9a-f]{40}", version) else None


def model_index(evidence: Evidence) -> list[EvalResult]:
    """Every result of the adapter, for the card's own metadata (the Hub's older form)."""
    return [_eval_result(result) for result in evidence.scores["results"]]


def _eval_result(result: Record) -> EvalResult:
    source, version = result["dataset"]["source"], result["dataset"]["version"]
    return EvalResult(
        task_type="text-generation",
        dataset_type=source,
        dataset_name=source if is_hub_id(source) else version,  # `simple-icd-10-cm==1.5.0` says more
        dataset_split=result["dataset"].get("split"),
        dataset_revision=_commit(version),
        metric_type=result["metric"],
        metric_name=f"{result['metric']} ({result['task']}, {result['protocol']})",
        metric_value=result["adapter"]["value"],
        metric_args={
            "n": result["n"],
            "ci95": result["adapter"]["ci95"],
            "untuned_base": result["base"]["value"],
            "quantization": result.get("quantization"),
        },
    )


def entries(evidence: Evidence) -> list[EvalResultEntry]:
    """The headlines for `.eval_results/*.yaml`, which takes only benchmarks that are datasets on the Hub.

    The Hub shows an entry on a leaderboard if the dataset's own `eval.yaml` has a task of that name
    (https://huggingface.co/docs/hub/eval-results).
    """
    return [_entry(result) for result in evidence.headlines if is_hub_id(result["dataset"]["source"])]


def _entry(result: Record) -> EvalResultEntry:
    low, high = result["adapter"]["ci95"]
    interval = f"{CONFIDENCE} % interval {low:.4f} to {high:.4f}"
    return EvalResultEntry(
        dataset_id=result["dataset"]["source"],
        task_id=result["task"],
        value=result["adapter"]["value"],
        dataset_revision=_commit(result["dataset"]["version"]),
        notes=f"{result['metric']}, {result['protocol']}, n={result['n']}, {interval}",
    )
