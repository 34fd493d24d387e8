"""What TOON saves in tokens, or costs, on the examples of a corpus: always against compact JSON and against plain text.

    rows = economy.measure(corpora["icd10cm"].load(), lambda text: len(tokenizer(text).input_ids), corpus="icd10cm")
    print(economy.table(rows))

Inputs and outputs are measured apart, without the instruction and the chat template, which are the same in all ways:
- TOON: the whole value as a TOON document, long text escaped within it;
- auto: as the format `toon` shows it to a model: text as it is, a list as TOON or as JSON, whichever is cheaper;
- the baselines are one compact JSON value, and the format `chat` (text as it is, a line a field or a list's element).
Prose and CSV are not among the baselines: on tables they are about as short as TOON.
The saving is that of all records together, 1 - sum(tokens) / sum(baseline tokens), with a 95 % interval by bootstrap over
records (percentiles of `RESAMPLES` resamples with a fixed seed; Efron and Tibshirani 1993, section 13.3).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from medslm import files
from medslm.data.example import Example, Structure
from medslm.data.formats import compact_json, formats
from medslm.data.formats.notation import Cost
from medslm.data.toon import codec
from medslm.errors import MedslmError

if TYPE_CHECKING:
    import numpy

    Counts = numpy.ndarray[tuple[int], numpy.dtype[numpy.int64]]

RESAMPLES = 2000
PARTS = ("input", "output")
BASELINES = ("JSON", "plain")


@dataclass(frozen=True)
class Saving:
    """Share of the baseline's tokens that is saved, in percent; negative where the notation costs more."""

    percent: float

    low: float | None
    """Lower end of the 95 % interval; none for a single record."""

    high: float | None

    def __str__(self) -> str:
        interval = "" if self.low is None or self.high is None else f" [{self.low:+.1f}, {self.high:+.1f}]"
        return f"{self.percent:+.1f} %{interval}"


@dataclass(frozen=True)
class Row:
    """One part of the examples of a corpus, in one notation, for one tokenizer."""

    corpus: str
    tokenizer: str

    part: str
    """`input` or `output`."""

    notation: str
    """`TOON` or `auto`."""

    n: int
    """Records."""

    tokens: Mapping[str, float]
    """Mean tokens a record: of the notation and of both baselines, by name."""

    savings: Mapping[str, Saving]
    """By baseline."""


def written(value: str | Structure, part: str, way: str, cost: Cost) -> str:
    """An input or output in one way: `TOON`, `auto`, `JSON` or `plain`."""
    if way == "TOON":
        return codec.encode(value)
    if way == "JSON":
        return compact_json.dumped(value)
    format = formats["toon" if way == "auto" else "chat"]
    if isinstance(value, str) or part == "input":
        return format.input_of(value, cost)
    return format.write(value)


def measure(
    examples: Iterable[Example],
    encode: Callable[[str], int],
    *,
    corpus: str = "",
    tokenizer: str = "",
    sample: int | None = None,
    seed: int = 0,
) -> list[Row]:
    """Count tokens of every example, or of `sample` of them drawn at random; `encode` gives a text's number of tokens.

    `corpus` and `tokenizer` name the rows. A part that is empty in all records is left out. Raises `MedslmError` for no
    examples.
    """
    drawn = list(examples) if sample is None else _draw(examples, sample, seed)
    if not drawn:
        raise MedslmError("there are no examples to count the tokens of; choose a corpus with examples")
    rows = []
    for part in PARTS:
        values = [getattr(example, part) for example in drawn]
        if any(values):
            rows += _compare(values, part, encode, corpus, tokenizer, seed)
    return rows


def _draw(examples: Iterable[Example], size: int, seed: int) -> list[Example]:
    """`size` examples, each equally likely to be drawn, in one pass (Vitter 1985, algorithm R)."""
    chance = random.Random(seed)
    drawn: list[Example] = []
    for number, example in enumerate(examples):
        if number < size:
            drawn.append(example)
        elif (place := chance.randrange(number + 1)) < size:
            drawn[place] = example
    return drawn


def _compare(
    values: Sequence[str | Structure], part: str, encode: Callable[[str], int], corpus: str, tokenizer: str, seed: int
) -> list[Row]:
    import numpy

    counts = {
        way: numpy.array([encode(written(value, part, way, encode)) for value in values])
        for way in ("TOON", "auto", *BASELINES)
    }
    return [
        Row(
            corpus,
            tokenizer,
            part,
            notation,
            len(values),
            {way: float(counts[way].mean()) for way in (notation, *BASELINES)},
            {baseline: saving(counts[notation], counts[baseline], seed) for baseline in BASELINES},
        )
        for notation in ("TOON", "auto")
    ]


def saving(tokens: Counts, baseline: Counts, seed: int = 0) -> Saving:
    """What is saved over all records, and its interval. Both (N,), the tokens of the same records."""
    import numpy

    share = 100 * (1 - tokens.sum() / baseline.sum())
    size = len(tokens)
    if size < 2:
        return Saving(float(share), None, None)
    draws = numpy.random.default_rng(seed)
    shares = numpy.empty(RESAMPLES)
    for resample in range(RESAMPLES):
        records = draws.integers(size, size=size)
        shares[resample] = 100 * (1 - tokens[records].sum() / max(baseline[records].sum(), 1))
    return Saving(float(share), float(numpy.percentile(shares, 2.5)), float(numpy.percentile(shares, 97.5)))


def table(rows: Sequence[Row]) -> str:
    """Markdown, aligned: mean tokens a record in the notation and both baselines, and what is saved against each."""
    head = (
        "corpus",
        "tokenizer",
        "part",
        "notation",
        "n",
        "tokens",
        *BASELINES,
        *(f"saved, {name}" for name in BASELINES),
    )
    body = [
        (
            row.corpus,
            row.tokenizer,
            row.part,
            row.notation,
            f"{row.n:,}",
            *(f"{row.tokens[way]:.1f}" for way in (row.notation, *BASELINES)),
            *(str(row.savings[name]) for name in BASELINES),
        )
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(head, *body)]
    rule = ["-" * width if names else "-" * (width - 1) + ":" for names, width in zip(_NAMES, widths)]
    return "\n".join(_line(line, widths) for line in (head, rule, *body))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    aligned = [cell.ljust(width) if names else cell.rjust(width) for cell, names, width in zip(cells, _NAMES, widths)]
    return f"| {' | '.join(aligned)} |"


_NAMES = (True,) * 4 + (False,) * 6  # columns of the table that hold names; the others hold numbers


def plot(rows: Sequence[Row], path: Path) -> None:
    """Write a PNG: what is saved against each baseline, a bar a row with its interval; `rows` as `measure` gives them."""
    from matplotlib.figure import Figure  # without pyplot: no display and no global state

    names = [" ".join(filter(None, (row.corpus, row.part, row.notation, row.tokenizer))) for row in rows]
    figure = Figure(figsize=(10, 1.2 + 0.28 * len(rows)), dpi=144, layout="constrained")
    for axes, baseline in zip(figure.subplots(1, len(BASELINES), sharey=True), BASELINES):
        savings = [row.savings[baseline] for row in rows]
        colors = ["#1f4e79" if row.notation == "auto" else "#9bb8d3" for row in rows]
        axes.barh(range(len(rows)), [one.percent for one in savings], color=colors, tick_label=names)
        for place, one in enumerate(savings):
            if one.low is not None and one.high is not None:
                axes.plot([one.low, one.high], [place, place], color="#c0392b", linewidth=1.5)
        axes.axvline(0, color="black", linewidth=0.8)
        axes.set(xlabel="tokens saved (%), line: 95 % interval", title=f"against {baseline}")
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_axisbelow(True)
        axes.grid(axis="x", alpha=0.3)
    figure.axes[0].invert_yaxis()  # the first row on top; the panels share the axis
    with files.beside(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})
