"""Latency and tokens a second of greedy decoding: the library's decoder beside transformers' plain `generate`.

    python benchmarks/inference.py                     # on a GPU; a table, and inference.json
    python benchmarks/inference.py --compiled          # also generate with a static cache, compiled: minutes more
    python benchmarks/inference.py --toy               # does it run? a tiny model, on a CPU too

Weights are random (speed does not depend on them) but for SmolLM2-135M, which is real. An adapter is rank 16 on all
linear layers, in float32 as PEFT loads it; `merged` is the base with it added in. Every way decodes the same prompts
in the same process and arithmetic, all the new tokens, and is run once before it is timed.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import gc
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from medslm import environment

environment.prepare()
environment.quiet()

import peft  # noqa: E402
import torch  # noqa: E402
from rivals.bases import random_base  # noqa: E402

from medslm import files  # noqa: E402
from medslm.infer.decode import Decoder  # noqa: E402
from medslm.models import load, shapes  # noqa: E402
from medslm.models.base import resolve  # noqa: E402

SHAPES = {"llama-3.2-1b": "meta-llama/Llama-3.2-1B-Instruct", "llama-3.2-3b": "meta-llama/Llama-3.2-3B-Instruct"}
"""What is measured with random weights."""

TOY: dict[str, Any] = {"vocab_size": 512, "num_key_value_heads": 2, "hidden_size": 64, "intermediate_size": 128}
TOY |= {"num_hidden_layers": 2, "num_attention_heads": 4}
REAL = "smollm2-135m"
VARIANTS = ("base", "adapter", "merged", "nf4", "nf4+adapter")


def base(name: str, nf4: bool, **changes: Any) -> Any:
    """The model called `name`, created where it runs, in that device's 16-bit type; its linear layers in 4 bits.

    `changes` are to the toy's configuration.
    """
    quantization = "nf4" if nf4 else "none"
    if name == REAL:
        return load.model(resolve("smollm2-135m-instruct"), quantization)
    from transformers import LlamaConfig

    torch.manual_seed(0)
    endless = {"eos_token_id": None, "bos_token_id": None}
    toy = name == "toy"
    config = LlamaConfig(**TOY | changes | endless) if toy else shapes.published(SHAPES[name], **endless)
    return random_base(config, quantization, load.dtype())


def variant(name: str, kind: str) -> Any:
    """The model as it is served: with its adapter beside it or in it, in 16 bits or in 4."""
    model = base(name, nf4=kind.startswith("nf4"))
    if kind in ("base", "nf4"):
        return model
    config = peft.LoraConfig(task_type="CAUSAL_LM", r=16, lora_alpha=32, target_modules="all-linear")
    adapted = peft.get_peft_model(model, config).eval()  # as it is loaded to be asked: nothing made ready for training
    for part, held in adapted.named_parameters():
        if "lora_B" in part:
            torch.nn.init.normal_(held, std=1e-3)  # or the adapter would add nothing, and ties would show nothing
    return adapted if kind != "merged" else adapted.merge_and_unload()


def plain(model: Any, ids: torch.Tensor, tokens: int, compiled: bool = False) -> list[list[int]]:
    """transformers' `generate` in the evaluation's arithmetic."""
    static = {"cache_implementation": "static"} if compiled else {}
    half = model.dtype != torch.float32
    with (
        torch.no_grad(),
        torch.autocast(model.device.type, dtype=model.dtype if half else None, enabled=half),
    ):
        whole = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=tokens,
            eos_token_id=None,
            pad_token_id=0,
            **static,
        )
    replies: list[list[int]] = whole[:, ids.shape[1] :].tolist()
    return replies


def settle() -> None:
    """Wait until the device has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def milliseconds(run: Callable[[], Any], times: int) -> list[float]:
    """Of each of `times` runs."""
    taken = []
    for _ in range(times):
        settle()
        start = time.perf_counter()
        run()
        settle()
        taken.append((time.perf_counter() - start) * 1e3)
    return taken


@contextlib.contextmanager
def timed_steps(model: Any, taken: list[float]) -> Iterator[None]:
    """Note the milliseconds between the forward passes that `generate` begins, the device having finished each."""
    last: list[float] = []

    def note(module: Any, inputs: Any) -> None:
        settle()
        now = time.perf_counter()
        taken.extend((now - before) * 1e3 for before in last)
        last[:] = [now]

    bare = model.get_base_model() if hasattr(model, "get_base_model") else model  # whose generate() PEFT calls
    hook = bare.register_forward_pre_hook(note)
    try:
        yield
    finally:
        hook.remove()


def generate_way(model: Any, ids: torch.Tensor, tokens: int, compiled: bool) -> dict[str, Any]:
    """First call, prefill, steps and throughput of `generate`. A compiled step is timed as a share of the whole."""
    replies: list[list[int]] = []
    first = milliseconds(lambda: replies.extend(plain(model, ids, tokens, compiled)), 1)[0]
    prefill = milliseconds(lambda: plain(model, ids, 1, compiled), 3)
    whole = milliseconds(lambda: plain(model, ids, tokens, compiled), 1)
    steps: list[float] = []
    if compiled:  # a hook would have to be compiled, too
        steps = [(taken - statistics.median(prefill)) / (tokens - 1) for taken in whole]
    else:
        with timed_steps(model, steps):
            plain(model, ids, tokens)
        steps = steps[1:]  # the first is the prefill
    return {"first": first, "prefill": prefill, "steps": steps, "whole": whole, "replies": replies}


def decoder_way(model: Any, ids: torch.Tensor, tokens: int) -> dict[str, Any]:
    """First call (with the recording), prefill, steps and throughput of `medslm.infer.decode.Decoder`."""
    prompts = ids.tolist()
    settle()
    start = time.perf_counter()
    decoder = Decoder(model, ids.shape[0], ids.shape[1] + tokens)
    replies = decoder.reply(prompts, tokens, set())
    first = (time.perf_counter() - start) * 1e3
    whole = milliseconds(lambda: decoder.reply(prompts, tokens, set()), 2)
    prefill = milliseconds(lambda: decoder.start(prompts), 3)
    steps = milliseconds(decoder.step, tokens - 1)
    return {"first": first, "prefill": prefill, "steps": steps, "whole": whole, "replies": replies}


def p95(values: list[float]) -> float:
    """The 95th of 100, interpolated."""
    return values[0] if len(values) == 1 else statistics.quantiles(values, n=20, method="inclusive")[-1]


def measured(way: Callable[[], dict[str, Any]], rows: int, tokens: int) -> dict[str, Any]:
    """One line of the report: milliseconds, tokens a second over whole replies, GiB at the peak."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    found = way()
    return {
        "first call s": found["first"] / 1e3,
        "prefill ms p50": statistics.median(found["prefill"]),
        "prefill ms p95": p95(found["prefill"]),
        "token ms p50": statistics.median(found["steps"]),
        "token ms p95": p95(found["steps"]),
        "tok/s": rows * tokens / min(found["whole"]) * 1e3,
        "GiB": torch.cuda.max_memory_reserved() / 2**30 if torch.cuda.is_available() else 0.0,
        "replies": found["replies"],
    }


def compare(name: str, kind: str, asked: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """All ways for one model and variant, each batch size; `same` counts replies equal to those of plain `generate`."""
    model = variant(name, kind)
    config = copy.deepcopy(model.generation_config)
    config.eos_token_id = None
    model.generation_config = config
    for rows in asked.rows:
        torch.manual_seed(rows)
        ids = torch.randint(1, model.config.vocab_size, (rows, asked.prompt), device=model.device)
        ways: dict[str, Callable[[], dict[str, Any]]] = {
            "generate": lambda ids=ids: generate_way(model, ids, asked.tokens, False),
            "decoder": lambda ids=ids: decoder_way(model, ids, asked.tokens),
        }
        if asked.compiled:
            ways["compiled"] = lambda ids=ids: generate_way(model, ids, asked.tokens, True)
        wanted: list[list[int]] | None = None
        for way, run in ways.items():
            line = measured(run, rows, asked.tokens)
            replies = line.pop("replies")
            wanted = replies if wanted is None else wanted
            same = sum(ours == theirs for ours, theirs in zip(replies, wanted))
            yield {"model": name, "variant": kind, "rows": rows, "way": way} | line | {"same": f"{same}/{rows}"}


def aligned(lines: list[dict[str, Any]]) -> str:
    """A table with one line for each measurement."""
    cells = [list(lines[0])]
    cells += [[f"{value:.2f}" if isinstance(value, float) else str(value) for value in line.values()] for line in lines]
    widths = [max(map(len, column)) for column in zip(*cells)]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths)) for row in cells)


def main() -> None:
    """Measure what is asked for; print the table, and write the JSON after each line so that a stop loses little."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--models", nargs="+", choices=[*SHAPES, "toy", REAL], default=["llama-3.2-1b", "llama-3.2-3b", REAL]
    )
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=VARIANTS)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 16], help="prompts at a time")
    parser.add_argument("--prompt", type=int, default=512, help="tokens")
    parser.add_argument("--tokens", type=int, default=128, help="new tokens")
    parser.add_argument("--compiled", action="store_true", help="also generate with a static cache, compiled")
    parser.add_argument("--toy", action="store_true", help="a tiny model and few tokens")
    parser.add_argument("--out", type=Path, default=Path("inference.json"))
    asked = parser.parse_args()
    if asked.toy:
        asked.models, asked.rows, asked.prompt, asked.tokens = ["toy"], [1, 2], 24, 8
    environments = {"device": load.gpu() or "CPU", "torch": torch.__version__, "dtype": str(load.dtype())}
    lines: list[dict[str, Any]] = []
    for name in asked.models:
        for kind in asked.variants:
            for line in compare(name, kind, asked):
                lines.append(line)
                print(*(f"{value:.2f}" if isinstance(value, float) else value for value in line.values()), flush=True)
                files.write_json(
                    asked.out, environments | {"prompt": asked.prompt, "tokens": asked.tokens, "lines": lines}
                )
            gc.collect()
    print(f"{environments}, prompts of {asked.prompt} tokens, {asked.tokens} new tokens")
    print(aligned(lines))


if __name__ == "__main__":
    main()
