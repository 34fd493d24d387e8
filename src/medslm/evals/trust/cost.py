"""What an answer costs on this machine's device: time, memory, tokens and energy of base, adapter and merged model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from medslm.errors import MedslmError
from medslm.evals import energy, statistics
from medslm.evals.statistics import NO_DIFFERENCE, Difference, Estimate
from medslm.evals.study import Case, Study
from medslm.evals.trust import lines, merging, spent, timing
from medslm.evals.trust.timing import Clock, Speed
from medslm.infer import decode
from medslm.models import load

if TYPE_CHECKING:
    import torch

ON_CPU = 8
"""Prompts at a time on a CPU, at most: more take longer in proportion."""

MERGED = "merged"


@dataclass(frozen=True)
class Work:
    """What is timed, of every side alike."""

    prompt: int = 256
    """Tokens of a prompt; fewer where the model reads less."""

    new: int = 64
    """Tokens of a reply, written whatever they say."""

    alone: int = 5
    """Repetitions with one prompt at a time."""

    together: int = 3
    """Repetitions with many."""


def measure(case: Case, work: Work = Work(), clock: Clock | None = None) -> dict[str, Any]:
    """Latency, throughput, memory and energy of each side, and tokens an answer; what is not known says why.

    One side is timed after the other, so that what else the machine does shows as a difference: the device should have
    nothing else to do. The adapter's matrices are in memory on the base's side as well.
    """
    model = case.engine.model
    told: dict[str, Any] = {"device": load.gpu() or "CPU", "dtype": str(model.dtype).removeprefix("torch.")}
    told |= {
        "answers": spent.answers(case),
        "energy": meter if isinstance(meter := energy.meter(model.device), str) else "NVML",
    }
    ids = [token for prompt in _prompts(case) for token in case.engine.renderer.ids(prompt)]
    if why := decode.refusal(model) or ("" if ids else "no task was asked, so there is no prompt to read"):
        return told | {"not_measured": why}
    room = case.engine.room or work.prompt + work.new
    if (length := min(work.prompt, room - work.new)) < 1:
        return told | {"not_measured": f"the model reads {room} tokens, too few for {work.new} new ones"}
    speeds = dict(_speeds(case, ids, length, work, clock or Clock.of(model.device)))
    kinds = {(side, kind): speed for (side, kind), speed in speeds.items() if isinstance(speed, Speed)}
    return told | {
        "prompt_tokens": length,
        "new_tokens": work.new,
        "warm_up": "one reply each, not counted",
        "speed": [_told(side, kind, speed) for (side, kind), speed in kinds.items()],
        "differences": _differences(kinds),
        MERGED: next((why for why in speeds.values() if isinstance(why, str)), "measured"),
    }


def _prompts(case: Case) -> Iterator[str]:
    """The prompts that the suite asked."""
    for outcomes in next(iter(case.outcomes.values())).values():
        yield from (outcome.prompt for outcome in outcomes)


def prompts(ids: Sequence[int], length: int, rows: int) -> list[list[int]]:
    """`rows` prompts of `length` tokens out of a run of tokens; each begins elsewhere, so that no start is shared."""
    long = list(ids) * (1 + 2 * length // len(ids))
    places = [row * len(ids) // rows for row in range(rows)]
    return [long[place : place + length] for place in places]


def _speeds(
    case: Case, ids: Sequence[int], length: int, work: Work, clock: Clock
) -> Iterator[tuple[tuple[str, str], Speed | str]]:
    """(Side, `alone` or `together`) -> its speed, or why there is none. All sides have the same prompts."""
    model, rows = case.engine.model, _rows(case)
    meter = energy.meter(model.device)
    joules = None if isinstance(meter, str) else meter

    def timed(side: str) -> Iterator[tuple[tuple[str, str], Speed]]:
        nonlocal rows
        one = prompts(ids, length, 1)
        yield (side, "alone"), timing.measure(model, one, work.new, work.alone, clock, joules)
        rows, speed = fitting(
            rows, lambda n: timing.measure(model, prompts(ids, length, n), work.new, work.together, clock, joules)
        )
        yield (side, "together"), speed

    for side, switched in case.sides.items():
        with switched():
            yield from timed(side)
    if why := merging.refusal(model):
        yield (MERGED, "alone"), why
        return
    with case.sides["adapter"]():
        before = _logits(model, ids[:length])
        with merging.merged(model, case.folder / "cost"):
            yield from timed(MERGED)
        after = _logits(model, ids[:length])
    if not bool((before == after).all()):
        raise MedslmError(
            "the model answers otherwise since its adapter was merged and taken out again; evaluate once more, and tell "
            "us the base and the versions in scores.json"
        )


def _rows(case: Case) -> int:
    return case.engine.batch_size if case.engine.model.device.type == "cuda" else min(ON_CPU, case.engine.batch_size)


def fitting(rows: int, run: Callable[[int], Speed]) -> tuple[int, Speed]:
    """What `run` measures with the most rows, `rows` halved as often as needed, that fit into memory; and how many."""
    import torch

    while True:
        try:
            return rows, run(rows)
        except torch.OutOfMemoryError as error:
            if rows == 1:
                raise MedslmError(
                    "one prompt at a time does not fit into the device's memory; close other programs, or evaluate with "
                    "quantization=nf4"
                ) from error
        rows //= 2
        torch.cuda.empty_cache()


def _logits(model: Any, ids: Sequence[int]) -> torch.Tensor:
    import torch

    with torch.no_grad():
        found: torch.Tensor = model(input_ids=torch.tensor([list(ids)], device=model.device), logits_to_keep=1).logits
    return found.cpu()


def _told(side: str, kind: str, speed: Speed) -> dict[str, Any]:
    steps = [1e3 * taken for of in speed.steps for taken in of]
    return {
        "side": side,
        "batch": kind,
        "rows": speed.rows,
        "repetitions": len(speed.prefill),
        "prefill_ms": _percentiles([1e3 * taken for taken in speed.prefill]),
        "token_ms": _percentiles(steps),
        "tokens_per_second": statistics.average(speed.rates, 0).as_json(),
        "peak_gib": speed.peak_gib,
        "joules_per_1000_tokens": speed.joules and statistics.average(speed.joules, 0).as_json(),
    }


def _percentiles(values: Sequence[float]) -> dict[str, Any]:
    return {f"p{percent}": percentile(values, percent).as_json() for percent in (50, 95)}


def percentile(values: Sequence[float], percent: int) -> Estimate:
    """A percentile, interpolated, with its distribution-free 95 % interval between two of the sorted values.

    Conover, Practical Nonparametric Statistics, 3rd edition, section 3.2. Of few values the highest is the upper end, and
    the interval holds less than it says.
    """
    import numpy
    from scipy.stats import binom

    ranked, n, share = sorted(values), len(values), percent / 100
    below, above = (int(binom.ppf(tail, n, share)) for tail in (0.025, 0.975))
    value = float(numpy.percentile(ranked, percent))
    return Estimate(value, ranked[max(0, below - 1)], ranked[min(n - 1, above)], n)


def _differences(speeds: Mapping[tuple[str, str], Speed]) -> list[dict[str, Any]]:
    """Milliseconds a token of each other side less the base's, position by position in the reply, Holm over all."""
    tests: dict[tuple[str, str], Difference] = {}
    for (side, kind), speed in speeds.items():
        if side != "base" and speed.rows == speeds["base", kind].rows:
            tests[side, kind] = statistics.difference(_by_position(speeds["base", kind]), _by_position(speed))
    adjusted = statistics.holm([test.p for test in tests.values()])
    words = {"better": "faster", "worse": "slower"}
    return [
        {
            "side": side,
            "batch": kind,
            **test.as_json(),
            "p_holm": p,
            "verdict": words.get(statistics.verdict(test, p, lower_is_better=True), NO_DIFFERENCE),
        }
        for ((side, kind), test), p in zip(tests.items(), adjusted)
    ]


def _by_position(speed: Speed) -> list[float]:
    """Milliseconds of each token after the first, the mean over the repetitions."""
    return [1e3 * sum(of) / len(of) for of in zip(*speed.steps)]


def text(told: Mapping[str, Any]) -> str:
    """What `measure` found, as lines."""
    head = f"On {told['device']}, {told['dtype']}"
    if "not_measured" in told:
        return lines.text([f"{head}: speed not measured: {told['not_measured']}.", *spent.text(told["answers"])])
    head += f": prompts of {told['prompt_tokens']} tokens, {told['new_tokens']} new ones; warm-up: {told['warm_up']}."
    energy_unknown = [] if told["energy"] == "NVML" else [f"Energy: not measured: {told['energy']}."]
    unmerged = [] if told[MERGED] == "measured" else [f"Merged: not measured: {told[MERGED]}."]
    grown = ["Peak GiB: what the process grew by while it was timed."] if told["device"] == "CPU" else []
    parts = [_told_speed(told["speed"]), grown, _told_differences(told["differences"]), unmerged, energy_unknown]
    return lines.text([head, *(line for part in parts for line in part), *spent.text(told["answers"])])


def _told_speed(speeds: Sequence[Mapping[str, Any]]) -> list[str]:
    columns = (
        "side",
        "rows",
        "runs",
        "prefill ms p50",
        "p95",
        "token ms p50",
        "p95",
        "tokens/s",
        "peak GiB",
        "J/1,000 tokens",
    )
    cells = [
        (
            one["side"],
            str(one["rows"]),
            str(one["repetitions"]),
            *(lines.number(one[what][p], 1) for what in ("prefill_ms", "token_ms") for p in ("p50", "p95")),
            lines.number(one["tokens_per_second"], 1),
            one["peak_gib"] if isinstance(one["peak_gib"], str) else f"{one['peak_gib']:.2f}",
            lines.number(one["joules_per_1000_tokens"], 0),
        )
        for one in speeds
    ]
    return lines.aligned([columns, *cells], 2)


def _told_differences(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        f"A token of {row['side']}, {row['batch']}: {lines.number(row, 2)} ms against the base, p (Holm) "
        f"{lines.p_value(row['p_holm'])}: {row['verdict']}."
        for row in rows
    ]


STUDY = Study(measure, text)
