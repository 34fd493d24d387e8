"""Should a model that writes TOON tables write the number of their rows first? Trained and measured, format by format.

    python benchmarks/toon_targets.py --runs /tmp/targets --seeds 1 2 3 --json targets.json

Fine-tunes the embedded base on lists of three to six diagnostic statements (`icd10cm-list`) and has it answer the lists
of held-out categories, in each format. A row counts as found if it stands in the reply, chapter and code together, or
chapter alone; codes of categories that were never seen can hardly be known.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from medslm import environment

environment.prepare()
environment.quiet()

import medslm.data.builders  # noqa: E402, F401
from medslm.data.benchmark import benchmarks  # noqa: E402
from medslm.data.example import Example  # noqa: E402
from medslm.data.formats import fields_of  # noqa: E402
from medslm.data.formats.render import Renderer  # noqa: E402
from medslm.evals.engine import Engine  # noqa: E402
from medslm.models import load  # noqa: E402
from medslm.models.base import resolve  # noqa: E402
from medslm.recipe import Sft  # noqa: E402
from medslm.train import supervised  # noqa: E402

BASE = "smollm2-135m-instruct"
FORMATS = ("toon", "toon-countless", "json", "chat")


def recipe(format: str, seed: int, options: argparse.Namespace) -> Sft:
    """The same lesson for each format."""
    return Sft(
        name=f"targets-{format}-{seed}",
        base=BASE,
        lora="all-linear-r16",
        mixture={"icd10cm-list": options.passes},
        suite="icd10cm",
        format=format,
        max_length=1024,
        global_batch_size=8,
        learning_rate=options.learning_rate,
        validation_fraction=0.03,
        eval_steps=100,
        seed=seed,
    )


def f1(found: Iterable[Any], wanted: Iterable[Any]) -> float:
    """F1 of two bags."""
    found, wanted = Counter(found), Counter(wanted)
    right = sum((found & wanted).values())
    return 2 * right / max(1, found.total() + wanted.total())


def rows(value: Any) -> list[dict[str, str]]:
    """The rows of a table; none of what is no table."""
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def judge(renderer: Renderer, item: Example, reply: str) -> dict[str, float]:
    """What a reply is worth, between 0 and 1 each, and its tokens."""
    answer = renderer.format.read(renderer.reply(reply), fields_of(item.output))
    assert not isinstance(item.output, str)
    found, wanted = rows(answer.fields.get("diagnoses")), rows(item.output["diagnoses"])
    told = {
        "parse_strict": answer.parse_strict,
        "parse_lenient": answer.parse_lenient,
        "rows_ok": len(found) == len(wanted),
        "chapter_f1": f1([row.get("chapter") for row in found], [row["chapter"] for row in wanted]),
        "row_f1": f1([tuple(sorted(row.items())) for row in found], [tuple(sorted(row.items())) for row in wanted]),
        "tokens": renderer.cost(reply),
    }
    return told if answer.count_ok is None else told | {"count_ok": answer.count_ok}


def measure(trained: Sft, runs: Path, items: Sequence[Example]) -> dict[str, float]:
    """Train, ask, judge."""
    folder = runs / trained.name
    supervised.train(trained, folder)
    tokenizer = load.tokenizer(resolve(BASE))
    model = load.with_adapter(load.model(resolve(BASE)), folder / "adapter")
    renderer = Renderer(tokenizer, trained.format)
    replies = Engine(model, tokenizer, renderer, 64).reply([renderer.prompt(item) for item in items], 320)
    judged = [judge(renderer, item, reply) for item, reply in zip(items, replies)]
    return {name: statistics.fmean(one[name] for one in judged) for name in judged[0]}


def main() -> None:
    """Measure every format with every seed, print the table, write the figures."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--runs", type=Path, required=True, help="folder of the runs")
    asked.add_argument("--formats", nargs="+", default=FORMATS)
    asked.add_argument("--seeds", nargs="+", type=int, default=[1])
    asked.add_argument("--passes", type=float, default=1.0)
    asked.add_argument("--learning-rate", type=float, default=2e-3)
    asked.add_argument("--items", type=int, help="fewer test lists, to see whether it works")
    asked.add_argument("--json", type=Path)
    options = asked.parse_args()
    items = list(benchmarks["icd10cm-list"].examples())[: options.items]
    found: dict[str, list[dict[str, float]]] = {}
    for format in options.formats:
        for seed in options.seeds:
            figures = measure(recipe(format, seed, options), options.runs, items)
            found.setdefault(format, []).append(figures)
            print(json.dumps({"format": format, "seed": seed, "n": len(items)} | figures), flush=True)
    if options.json:
        options.json.write_text(json.dumps({"n": len(items), "formats": found}, indent=2) + "\n")
    print(table(found))


def table(found: dict[str, list[dict[str, float]]]) -> str:
    """Means over the seeds, with the lowest and the highest in brackets where there are several."""
    names = ["parse_strict", "parse_lenient", "count_ok", "rows_ok", "chapter_f1", "row_f1", "tokens"]
    lines = [["format", *names]]
    for format, seeds in found.items():
        lines.append([format, *(cell([figures[name] for figures in seeds if name in figures], name) for name in names)])
    widths = [max(len(line[column]) for line in lines) for column in range(len(names) + 1)]
    return "\n".join("| " + " | ".join(text.ljust(width) for text, width in zip(line, widths)) + " |" for line in lines)


def cell(values: Sequence[float], name: str) -> str:
    """`91.4 % (90.1-92.7)`, or a number of tokens."""
    if not values:
        return "-"
    scale, digits = (1, 0) if name == "tokens" else (100, 1)
    mean, low, high = (f"{scale * value:.{digits}f}" for value in (statistics.fmean(values), min(values), max(values)))
    unit = "" if name == "tokens" else " %"
    return f"{mean}{unit}" + (f" ({low}-{high})" if len(values) > 1 else "")


if __name__ == "__main__":
    main()
