"""What came out of a sweep: one aligned table, the runs compared with the first of them, and two pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from medslm import figures, files
from medslm.errors import MedslmError
from medslm.evals import scores
from medslm.evals.compare import compare
from medslm.sweep.running import Outcome, Sweep, record
from medslm.train import curve

TABLE, DIFFERENCES, LOSSES = "sweep.txt", "sweep.png", "loss.png"
BESIDE = ("status", "steps", "validation loss", "tokens/s", "peak GiB", "min")


def tell(sweep: Sweep, outcomes: Sequence[Outcome]) -> str:
    """The table, the failures and the paired comparison, which are also kept in `sweep.txt`; draws both pictures.

    Differences are those of `medslm compare`: paired item by item with the first run that was judged, Holm over all.
    """
    parts = ["\n".join(figures.aligned(_rows(sweep, outcomes)))]
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    if failed:
        parts.append("\n".join(f"{one.cell.name} failed ({one.stage}): {one.said}" for one in failed))
    parts += _versions(sweep, outcomes)
    parts += _compared(sweep, outcomes)
    parts += [f"The validation losses are drawn in {path}." for path in _losses(sweep, outcomes)]
    text = "\n\n".join(part.strip("\n") for part in parts) + "\n"
    files.write_text(sweep.folder / TABLE, text)
    return text


def _rows(sweep: Sweep, outcomes: Sequence[Outcome]) -> list[tuple[str, ...]]:
    """Head and one row a run: its number, what sets it apart, what it took, and the primary metrics."""
    fields = list(dict.fromkeys(field for outcome in outcomes for field in outcome.cell.changes))
    judged = [_primary(sweep, outcome) for outcome in outcomes]
    metrics = list(dict.fromkeys(name for of_run in judged for name in of_run))
    head = ("run", "recipe", *fields, *BESIDE, *metrics)
    return [
        head,
        *(
            (
                str(number),
                outcome.cell.recipe.stem,
                *(outcome.cell.changes.get(field, "") for field in fields),
                outcome.status,
                *_taken(record(sweep.folder / outcome.cell.name).get("train", {})),
                *(of_run.get(name, "-") for name in metrics),
            )
            for number, (outcome, of_run) in enumerate(zip(outcomes, judged), 1)
        ),
    ]


def _versions(sweep: Sweep, outcomes: Sequence[Outcome]) -> list[str]:
    """What to know where runs that were finished before were trained by other versions than those that joined later."""
    found: dict[str, dict[str, list[int]]] = {}
    for number, outcome in enumerate(outcomes, 1):
        kept = record(sweep.folder / outcome.cell.name)
        if kept.get("status") == "finished":
            for package, version in kept.get("packages", {}).items():
                found.setdefault(package, {}).setdefault(version, []).append(number)
    told = []
    for package, of_package in sorted(found.items()):
        if len(of_package) > 1:
            each = (f"{version} (run {', '.join(map(str, numbers))})" for version, numbers in of_package.items())
            told.append(f"{package} {', '.join(each)}")
    if not told:
        return []
    return [
        f"Not all runs were trained by the same versions, which may differ by more than the fields: {'; '.join(told)}."
    ]


def _taken(trained: Mapping[str, Any]) -> Iterator[str]:
    peak = trained.get("peak_memory_gib", {})
    wanted = {
        "steps": (trained.get("steps"), "{:,}"),
        "validation loss": (trained.get("best_eval_loss"), "{:.3f}"),
        "tokens/s": (trained.get("tokens_per_second"), "{:,.0f}"),
        "peak GiB": (peak.get("device") or peak.get("host"), "{:.2f}"),
        "min": (None if "seconds" not in trained else trained["seconds"] / 60, "{:.1f}"),
    }
    return ("-" if value is None else told.format(value) for value, told in wanted.values())


def _primary(sweep: Sweep, outcome: Outcome) -> dict[str, str]:
    """`metric of task (protocol)` -> the figure with its interval, of a judged run."""
    if outcome.status != "finished" or (found := _scores(sweep, outcome)) is None:
        return {}
    side = "adapter" if found["adapter_sha256"] else "base"
    return {
        f"{one['metric']} of {one['task']} ({one['protocol']})": _figure(one[side], one["unit"])
        for one in found["results"]
        if one["primary"] and side in one
    }


def _scores(sweep: Sweep, outcome: Outcome) -> dict[str, Any] | None:
    try:
        return scores.find(sweep.folder / outcome.cell.name, sweep.suite)
    except MedslmError:  # a recipe without a suite is not judged
        return None


def _figure(found: Mapping[str, Any], unit: str) -> str:
    value = figures.told(found["value"], unit)
    if "ci95" not in found:
        return value
    scale = 100 if unit == "share" else 1
    low, high = (f"{scale * bound:.1f}" if unit == "share" else figures.value(bound) for bound in found["ci95"])
    return f"{value} [{low}, {high}]"


def _compared(sweep: Sweep, outcomes: Sequence[Outcome]) -> list[str]:
    """The text of `medslm compare`, with what has to be said of who is compared; draws the differences."""
    judged = [one for one in outcomes if one.status == "finished" and _scores(sweep, one) is not None]
    if len(judged) < 2:
        return [f"{len(judged)} of {len(outcomes)} runs were judged, so that nothing is compared."]
    first = f"Compared with {judged[0].cell.name}"
    first += "." if judged[0] is outcomes[0] else f", since {outcomes[0].cell.name} was not judged."
    folders = [sweep.folder / one.cell.name for one in judged]
    try:
        return [first, compare(folders, sweep.folder / DIFFERENCES, sweep.suite)]
    except MedslmError as error:  # no two were judged alike, so that there is no picture
        return [first, compare(folders, None, sweep.suite), f"Not drawn: {error}"]


def _losses(sweep: Sweep, outcomes: Sequence[Outcome]) -> list[Path]:
    """The picture of all validation losses; none without a finished run."""
    from matplotlib.figure import Figure  # without pyplot: no display and no global state

    curves = [(one.cell.name, record(sweep.folder / one.cell.name).get("curve", [])) for one in outcomes]
    drawn = [(name, *curve.points(points, "eval_loss")) for name, points in curves if points]
    if not drawn:
        return []
    figure = Figure(figsize=(8, 5), dpi=144, layout="constrained")
    axes = figure.subplots()
    for name, steps, losses in drawn:
        axes.plot(steps, losses, marker="o", markersize=3, label=name)
    axes.set(xlabel="optimiser step", ylabel="validation loss per completion token (nats)", title=sweep.folder.name)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)
    axes.legend(frameon=False, fontsize=7)
    path = sweep.folder / LOSSES
    with files.beside(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})
    return [path]
