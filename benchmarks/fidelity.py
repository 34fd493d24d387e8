"""Do the fast paths learn what the plain path learns? The loss curves of 200 steps on real weights and real data.

    python benchmarks/fidelity.py --json fidelity.json --plot fidelity.png          # on a GPU: all five
    python benchmarks/fidelity.py --steps 20 --ways plain fast                      # on a CPU, some minutes

Plain is transformers and PEFT as they are: padded rows, autocast, the head over every position. Fast is what a recipe
runs. Both see the same examples in the same order, from the same adapter; what differs is rounding. The embedded base
learns ICD-10-CM, as in the quickstart.
"""

from __future__ import annotations

import argparse
import gc
import json
import runpy
import time
from pathlib import Path
from typing import Any

from medslm import environment

environment.prepare()  # before torch reads how its allocator is to work
environment.quiet()

import numpy  # noqa: E402
import torch  # noqa: E402
from torch.nn.utils.rnn import pad_sequence  # noqa: E402
from transformers import get_cosine_schedule_with_warmup  # noqa: E402

from medslm.data import rows  # noqa: E402
from medslm.errors import as_exit_code  # noqa: E402
from medslm.models import attention, fast, load, nf4  # noqa: E402
from medslm.models.base import resolve  # noqa: E402
from medslm.models.lora import loras  # noqa: E402
from medslm.models.passes import IGNORED, lay  # noqa: E402

WAYS = {"plain": "none", "fast": "none", "fast-fp8": "fp8", "plain-nf4": "nf4", "fast-nf4": "nf4"}
WINDOW = 20
"""Steps that a point of the compared curve is the mean of."""


def plain_loss(model: Any, documents: list[Any]) -> torch.Tensor:
    """Sum of the negative log-likelihood by transformers' own code."""
    ids = pad_sequence([torch.as_tensor(one["input_ids"]) for one in documents], True, 0).to(model.device)
    labels = pad_sequence([torch.as_tensor(one["labels"]) for one in documents], True, IGNORED).to(model.device)
    lengths = torch.tensor([len(one["input_ids"]) for one in documents], device=model.device)
    mask = (torch.arange(ids.shape[1], device=model.device) < lengths[:, None]).long()
    with torch.autocast(model.device.type, dtype=torch.bfloat16):
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    return torch.nn.functional.cross_entropy(
        logits[:, :-1].float().flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED, reduction="sum"
    )


def curve(way: str, data: Any, recipe: Any, steps: int) -> list[float]:
    """The loss of each step of a training by `way`."""
    torch.manual_seed(recipe.seed)
    model = load.with_new_adapter(load.model(resolve(recipe.base), WAYS[way], "bfloat16"), loras[recipe.lora]).train()
    if way.startswith("fast"):
        attention.use(model)
        attention.prove(model)
        fast.quicken(model, fp8=WAYS[way] == "fp8")
    trained = [one for one in model.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-3, weight_decay=0.0)
    schedule = get_cosine_schedule_with_warmup(optimizer, steps // 20, steps)
    order = numpy.random.default_rng(recipe.seed).permutation(len(data))
    losses = []
    for step in range(steps):
        documents = [data[int(order[(step * 8 + place) % len(data)])] for place in range(8)]
        number = sum(label != IGNORED for one in documents for label in one["labels"][1:])
        if way.startswith("fast"):
            pairs = [(numpy.asarray(one["input_ids"]), numpy.asarray(one["labels"])) for one in documents]
            loss = fast.total_loss(model, lay(pairs).to(model.device)) / number
        else:
            loss = plain_loss(model, documents) / number
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.detach())
    return torch.stack(losses).tolist()


def windows(losses: list[float]) -> numpy.ndarray[Any, Any]:
    """The mean of each `WINDOW` steps."""
    whole = len(losses) // WINDOW * WINDOW
    return numpy.asarray(losses[:whole]).reshape(-1, WINDOW).mean(1)


def draw(curves: dict[str, list[float]], path: Path) -> None:
    """All curves in one plot."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    for way, losses in curves.items():
        means = windows(losses)
        axes.plot(
            (numpy.arange(len(means)) + 0.5) * WINDOW, means, label=way, linestyle="--" if "plain" in way else "-"
        )
    axes.set(xlabel="optimiser step", ylabel="loss, nats per completion token", yscale="log")
    axes.legend()
    figure.savefig(path, dpi=120)


def plain_of(way: str) -> str:
    """The way whose curve this one's is compared with; FP8 with bfloat16."""
    return "plain" if WAYS[way] == "fp8" else way.replace("fast", "plain")


def ready(parser: argparse.ArgumentParser, ways: list[str], steps: int) -> list[str]:
    """The ways in the order in which they are trained; ends with a sentence if they cannot be compared, or not here."""
    if steps < WINDOW:
        parser.error(f"--steps {steps}: curves are compared by means of {WINDOW} steps, so there must be as many")
    if lonely := [way for way in ways if plain_of(way) not in ways]:
        parser.error(f"{', '.join(lonely)} is compared with {plain_of(lonely[0])}; add that to --ways")
    with as_exit_code():
        if "fast-fp8" in ways:
            fast.require_fp8(torch.bfloat16)
        if any(WAYS[way] == "nf4" for way in ways):
            nf4.config(torch.bfloat16)
    return sorted(set(ways), key=list(WAYS).index)


def main() -> None:
    """Train every way, and print how far its curve is from that of the plain path on the same base."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    asked = parser.parse_args()
    asked.ways = ready(parser, asked.ways, asked.steps)
    recipe = runpy.run_path(str(Path(__file__).parent.parent / "recipes" / "smollm2_icd10_lora.py"))["RECIPE"]
    data = rows.build(recipe, load.tokenizer(resolve(recipe.base)), "apache-2.0").train
    curves: dict[str, list[float]] = {}
    for way in asked.ways:
        start = time.perf_counter()
        curves[way] = curve(way, data, recipe, asked.steps)
        gc.collect()
        beside = windows(curves[plain_of(way)])
        apart = numpy.abs(windows(curves[way]) / beside - 1)
        print(
            f"{way:<10} loss {curves[way][0]:.4f} -> {windows(curves[way])[-1]:.4f}, at most {apart.max():.2%} and in the "
            f"mean {apart.mean():.2%} from the plain path, {time.perf_counter() - start:.0f} s",
            flush=True,
        )
    if asked.json:
        asked.json.write_text(json.dumps({"window": WINDOW, "curves": curves}) + "\n", encoding="utf-8")
    if asked.plot:
        draw(curves, asked.plot)


if __name__ == "__main__":
    main()
