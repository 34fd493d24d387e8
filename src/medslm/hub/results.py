"""The measured results of a run: checked against the run they belong to, put into words, and in the Hub's two forms."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, EvalResultEntry
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # public, though not re-exported

from medslm import figures, files
from medslm.errors import MedslmError
from medslm.hub import learnt
from medslm.hub.learnt import Learnt

RUN, SCORES = "run.json", "scores.json"
SCHEMAS = {RUN: 1, SCORES: 2}
HEADLINE = "as-trained"  # the protocol that judges what was learnt on the very weights it was trained on
CONFIDENCE = 95  # per cent: the `95` of `ci95`
ALPHA = 1 - CONFIDENCE / 100

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Evidence:
    """What a card may speak of: a finished run, and what was measured on exactly the weights that it left."""

    run: Record
    """`run.json`"""

    scores: Record
    """`scores.json`: by the suite that the recipe names. Empty for a pretraining that no suite has judged."""

    others: tuple[Record, ...] = ()
    """`scores.<suite>.json`: by other suites, of the same weights."""

    left_out: tuple[str, ...] = ()
    """Why other files of scores are not among them, a sentence each."""

    @property
    def headlines(self) -> list[Record]:
        """The primary results of the protocol `HEADLINE`, one a task."""
        results = self.scores["results"] if self.scores else ()
        return [result for result in results if result["primary"] and result["protocol"] == HEADLINE]

    @property
    def learnt(self) -> Learnt:
        """What was measured."""
        return learnt.of(self.run)


def load(folder: Path) -> Evidence:
    """Read `run.json` and the files of scores of a run's folder; of other suites' those that are whole and current.

    A pretraining is measured by its validation loss, which stands in `run.json`; it may lack `scores.json`.
    Raises `MedslmError` if a file or a measurement is missing, the run unfinished, or `scores.json` partial or stale.
    """
    name = folder.resolve().name
    train, evaluate = f"accelerate launch recipes/{name.replace('-', '_')}.py", f"make eval NAME={name}"
    run = _read(folder / RUN, SCHEMAS[RUN], train)
    if run.get("status") != "finished":
        raise MedslmError(f"{folder} holds a run that is {run.get('status')!r}, not finished; end it with `{train}`")
    _same(name, "name", {RUN: run}, "move the files to the folder of their run")
    if learnt.of(run).pretrained:
        learnt.check_measured(folder, run, train)
        if not (folder / SCORES).exists():
            return _with_others(folder, Evidence(run, {}), evaluate)
    elif not (folder / SCORES).exists() and (folder / "scores.limited.json").exists():
        raise MedslmError(f"{folder} was judged on a part of the items only (scores.limited.json); run `{evaluate}`")
    evidence = Evidence(run, _scores(folder, SCORES, run, evaluate))
    if not evidence.headlines:
        notes = " ".join(f"Its note: {note}." for note in evidence.scores.get("notes", ()))
        raise MedslmError(
            f"{folder / SCORES} has no primary result for '{HEADLINE}'; run `{evaluate}`. {notes}".rstrip()
        )
    return _with_others(folder, evidence, evaluate)


def _with_others(folder: Path, evidence: Evidence, evaluate: str) -> Evidence:
    others, left_out = [], []
    for path in sorted(folder.glob("scores.*.json")):
        if not path.name.endswith(".limited.json"):
            suite = path.name.removeprefix("scores.").removesuffix(".json")
            try:
                others.append(_scores(folder, path.name, evidence.run, f"{evaluate} SUITE={suite}"))
            except MedslmError as error:
                left_out.append(str(error).removeprefix(f"{folder}/"))
    return replace(evidence, others=tuple(others), left_out=tuple(left_out))


def _scores(folder: Path, file: str, run: Record, evaluate: str) -> Record:
    """Scores of exactly these weights on all items. Raises `MedslmError` for others."""
    scores = _read(folder / file, SCHEMAS[SCORES], evaluate)
    _same(folder.resolve().name, "name", {file: scores}, "move the files to the folder of their run")
    _current(folder, run, scores, file, evaluate)
    _complete(folder, scores, file, evaluate)
    return scores


def _read(path: Path, schema: int, made_by: str) -> Record:
    record = files.read_json(path, made_by)
    found = record.get("schema") if isinstance(record, dict) else None
    if not isinstance(record, dict) or found != schema:
        raise MedslmError(f"{path} has schema {found!r} where {schema} is read; write it again with `{made_by}`")
    try:
        json.dumps(record, allow_nan=False)
    except ValueError:
        raise MedslmError(f"{path} holds a NaN or an infinity, which is no result; write it with `{made_by}`") from None
    return record


def _same(expected: object, key: str, records: Mapping[str, Record], remedy: str) -> None:
    for file, record in records.items():
        if (found := at(record, key, file)) != expected:
            raise MedslmError(f"{file} has {key} '{found}' where '{expected}' was expected; {remedy}")


def _current(folder: Path, run: Record, scores: Record, file: str, evaluate: str) -> None:
    """The scores speak of this run, this way of writing examples and these weights."""
    stale = f"the evaluation is of another state of the run: run `{evaluate}` again"
    for key in ("fingerprint", "template_hash"):
        _same(at(run, key, RUN), key, {file: scores}, stale)
    weights = folder / learnt.of(run).weights
    if not weights.is_file():
        raise MedslmError(f"{weights} is not there, so nobody can tell what was judged; restore it or train again")
    _same(files.sha256(weights), "adapter_sha256", {file: scores}, stale)


def _complete(folder: Path, scores: Record, file: str, evaluate: str) -> None:
    limit = at(scores, "limit", file)
    if limit is not None:
        raise MedslmError(f"{folder / file} was measured on {limit} items a task only; run `{evaluate}`")
    for result in at(scores, "results", file):
        for key in ("protocol", "task", "metric", "unit", "primary", "n", "dataset.source", "dataset.version"):
            at(result, key, f"a result in {file}")
        for key in ("base.value", "adapter.value", "adapter.ci95", "difference.value", "difference.ci95"):
            if at(result, key, f"a result in {file}") is None:
                raise MedslmError(f"{key} of {result['task']} in {file} is null; measure it with `{evaluate}`")


def at(record: Record, path: str, file: str) -> Any:
    """The value at a dotted path; raises `MedslmError` naming it if it is absent."""
    value: Any = record
    for key in path.split("."):
        if not isinstance(value, Mapping) or key not in value:
            raise MedslmError(f"{file} has no '{path}', which the model card needs; write it again with this version")
        value = value[key]
    return value


def verdict(result: Record, word: str = "adapter") -> str:
    """What the numbers allow to be said about one result, in a sentence or two; `word` is what was learnt."""
    base, adapter, difference, unit = result["base"], result["adapter"], result["difference"], result["unit"]
    low, high = difference["ci95"]
    p = difference.get("p_holm", difference["p"])
    change, least, most = (figures.changed(value, unit) for value in (difference["value"], low, high))
    test = "McNemar's test" if difference["test"] == "McNemar" else f"test by {difference['test']}"
    adjusted = ", adjusted over the primary measures" if "p_holm" in difference else ""
    told = (
        f"from {figures.told(base['value'], unit)} to {figures.told(adapter['value'], unit)}, a difference of {change}"
        f"{' points' if unit == 'share' else ''} ({CONFIDENCE} % interval {least} to {most}; {test}{adjusted}: "
        f"p {figures.p_value(p)})"
    )
    return f"{told}. {_conclusion(low, high, p, result['higher_is_better'])} {_beside_the_floor(result, word)}".rstrip()


def _conclusion(low: float, high: float, p: float, higher_is_better: bool) -> str:
    outside = low > 0 or high < 0
    if outside and p < ALPHA:
        gain = (low > 0) == higher_is_better
        return "Chance alone hardly explains " + ("this gain." if gain else "this loss: the untuned base is better.")
    if outside or p < ALPHA:
        return "The interval and the test disagree, so the difference is not established."
    return "Chance alone can explain this difference: it shows neither a gain nor a loss."


def _beside_the_floor(result: Record, word: str) -> str:
    floors = {"the most frequent answer": result.get("majority_class"), "guessing": result.get("chance")}
    known = {name: value for name, value in floors.items() if value is not None}
    if not known:
        return ""
    floor = max(known, key=lambda name: known[name])
    beats = "clearly beats" if result["adapter"]["ci95"][0] > known[floor] else "does not clearly beat"
    return f"The {word} {beats} {floor}, which scores {figures.percent(known[floor])}."


def is_hub_id(source: str) -> bool:
    """False for `pypi:NAME` and one's own `local:NAME`, true for a Hub id. Raises `MedslmError` for anything else."""
    if source.startswith(("pypi:", "local:")):
        return False
    try:
        validate_repo_id(source)
    except HFValidationError:
        raise MedslmError(f"{source!r} is neither `org/name` on the Hub nor `pypi:NAME`; mend its record") from None
    return True


def _commit(version: str) -> str | None:
    return version if re.fullmatch(r"[0-9a-f]{40}", version) else None


def model_index(evidence: Evidence) -> list[EvalResult]:
    """Every result of what was learnt, for the card's own metadata (the Hub's older form)."""
    held_out = _validation(evidence.run) if evidence.learnt.pretrained else []
    return [*held_out, *(_eval_result(result) for result in (evidence.scores["results"] if evidence.scores else ()))]


def _validation(run: Record) -> list[EvalResult]:
    """Loss and perplexity on what a pretraining held out of its corpora."""
    sources = {at(corpus, "source", RUN): at(corpus, "version", RUN) for corpus in at(run, "corpora", RUN).values()}
    (source, version), *others = sources.items()
    loss = at(run, "train.best_eval_loss", RUN)
    unit = "token" if at(run, "recipe.format", RUN) == "text" else "token of the answer"
    values = {"loss": (loss, f"nats per {unit}"), "perplexity": (learnt.perplexity(loss), f"per {unit}")}
    return [
        EvalResult(
            task_type="text-generation",
            dataset_type="mixture" if others else source,
            dataset_name=", ".join(sources),
            dataset_split="held out of training",
            dataset_revision=None if others else _commit(version),
            metric_type=metric,
            metric_name=f"{metric} (validation)",
            metric_value=value,
            metric_args={"unit": unit, "step": at(run, "train.best_step", RUN)},
        )
        for metric, (value, unit) in values.items()
    ]


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
            "unit": result["unit"],
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
