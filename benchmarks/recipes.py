"""Every recipe on its base's true shape with random weights: predicted and measured memory, and tokens a second.

    python benchmarks/recipes.py --json recipes.json              # on a GPU, in one process
    python benchmarks/recipes.py --only tinyllama-icd-qlora       # some of them, in this order
    python benchmarks/recipes.py --toy                            # the same path on a CPU, with tiny layers
    python benchmarks/recipes.py --plan                           # only what the planner expects; needs no GPU
    .venv-unsloth/bin/python benchmarks/recipes.py --unsloth      # those of Unsloth's trainer, in its environment

Rows are synthetic: random tokens, the last three quarters of which carry loss. Their lengths are lognormal with a
median of 0.4 times the recipe's `max_length` and a sigma of 0.6, clipped to 16 tokens and to `max_length`, drawn with
seed 0; the plan is made for these rows, and a run sees them in the order of its recipe's seed, but that of its first
32 steps the one with the fullest pass is the third, so that the shortest run meets it. All else is
`train.supervised.train` as a recipe calls it, with the recipe's trainer, LoRA, quantisation, batch and GPU preset,
whose memory is enforced. The peak is what torch's allocator held from when the base was there (loading is not
measured), `off` is the prediction's distance from it, and tokens a second are the median of whole steps behind the
first: kernels are compiled in it, and in some of the others. A recipe that fails is shown as failed, and the others go
on.

Recipes that train all weights of a GPT-2 run in their own loop, on such rows or on windows of random text; nothing is
planned for them. Unsloth changes what is imported after it, so that its recipes have a process of their own; it draws
its own order of rows, and how many share a pass is `train.trainers.unsloth`'s choice.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import importlib.util
import io
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from medslm import environment

environment.prepare()  # before torch reads how its allocator is to work
environment.quiet()
UNSLOTH = "--unsloth" in sys.argv
if UNSLOTH:
    if importlib.util.find_spec("unsloth") is None:
        raise SystemExit("Unsloth is not installed here; `make env-unsloth` makes an environment for it")
    importlib.import_module("unsloth")  # before what it changes

import datasets  # noqa: E402
import numpy  # noqa: E402
import pyarrow  # noqa: E402
import torch  # noqa: E402
from pretraining import fresh, windows  # noqa: E402
from rivals.bases import random_base  # noqa: E402
from rivals.shapes import tokenizer  # noqa: E402
from transformers import TrainerCallback  # noqa: E402

from medslm.data.rows import Rows  # noqa: E402
from medslm.models import load, shapes, source  # noqa: E402
from medslm.models import unsloth as unsloth_base  # noqa: E402
from medslm.models.base import resolve  # noqa: E402
from medslm.models.lora import loras  # noqa: E402
from medslm.recipe import Fingerprint, Pretrain, Sft  # noqa: E402
from medslm.train import batches, blocks, loop, memory, planning, supervised  # noqa: E402
from medslm.train.memory import card  # noqa: E402
from medslm.train.trainers import full_memory, unsloth  # noqa: E402

GIB = 2**30
RECIPES = Path(__file__).parents[1] / "recipes"
MEDIAN, SIGMA, SHORTEST = 0.4, 0.6, 16
STEPS = 32
"""Steps that the rows suffice for; a longer run begins with them again."""

LEAST, MOST = 3, 10_000
"""Steps of a run."""

TOY = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "vocab_size": 512}
TOY |= {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16}
TOY_IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
TOY_GPT2 = {"n_layer": 2, "n_embd": 64, "n_head": 4, "vocab_size": 512, "gradient_accumulation_steps": 2}


def recipes(only: list[str], toy: bool) -> list[Sft | Pretrain]:
    """As named, or all that this process can measure in the order of their files; for a toy with shorter rows and fewer."""
    found = {}
    for path in sorted(RECIPES.glob("*.py")):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found[module.RECIPE.name] = module.RECIPE
    if unknown := [name for name in only if name not in found]:
        raise SystemExit(f"no such recipe: {', '.join(unknown)}; there are {', '.join(found)}")
    wanted = [found[name] for name in only or found if only or not UNSLOTH or learns(found[name]) == "unsloth"]
    return [small(recipe) if toy else recipe for recipe in wanted]


def small(recipe: Sft | Pretrain) -> Sft | Pretrain:
    """The same with few short rows and, if its own layers are made, tiny ones."""
    rows: dict[str, Any] = {"max_length": 64, "global_batch_size": 4}
    return replace(recipe, **rows, **(TOY_GPT2 if isinstance(recipe, Pretrain) else {"tokens_per_pass": 0}))


def learns(recipe: Sft | Pretrain) -> str:
    """The trainer, or that of a GPT-2, which has none to choose."""
    return "loop" if isinstance(recipe, Pretrain) else recipe.trainer


def config(base: str, toy: bool) -> Any:
    """The base's configuration, as it is published."""
    hub_id = resolve(base).hub_id
    if not toy:
        return shapes.published(hub_id)
    fields = shapes.SHAPES[hub_id]
    experts = {"num_local_experts": 4} if "num_local_experts" in fields else {}
    return shapes.published(hub_id, **TOY, **TOY_IDS, **experts)


def lengths(recipe: Sft | Pretrain) -> Any:
    """Tokens of each training row, one of which is as long as the recipe reads. (N,)"""
    number = STEPS * recipe.global_batch_size
    drawn = numpy.random.default_rng(0).lognormal(numpy.log(MEDIAN * recipe.max_length), SIGMA, number)
    drawn[0] = recipe.max_length
    return numpy.clip(drawn, SHORTEST, recipe.max_length).astype("i8")


def arranged(recipe: Sft, tokens_per_pass: int) -> Any:
    """`lengths`, with the step that has the fullest pass in the place of the third. (N,)"""
    tokens = lengths(recipe)
    order = batches.Order(len(tokens), recipe.global_batch_size, recipe.seed)
    order.set_epoch(0)
    steps = list(order)

    def fullest(step: Any) -> int:
        documents = [(numpy.zeros(length, "i8"),) * 2 for length in tokens[step]]
        return max(one.tokens for one in batches.side_by_side(documents, tokens_per_pass))

    place = max(range(STEPS), key=lambda step: fullest(steps[step]))
    tokens[steps[place]], tokens[steps[LEAST - 1]] = tokens[steps[LEAST - 1]], tokens[steps[place]]
    return tokens


def predicted(recipe: Sft, toy: bool) -> memory.MemoryPlan:
    """What the planner expects of the recipe within its own preset."""
    wishes = memory.Wishes(recipe.tokens_per_pass, recipe.recompute, recipe.optim)
    shape = memory.Shape.of(config(recipe.base, toy))
    budget = card.preset("80gb" if recipe.gpu == "auto" else recipe.gpu)
    rows = (lengths(recipe), recipe.global_batch_size)
    if recipe.trainer == "full":
        return full_memory.plan(shape, *rows, budget, 2, wishes)
    return memory.plan(shape, loras[recipe.lora], *rows, recipe.quantization, budget, 2, wishes)


def rows(tokens: Any, vocabulary: int) -> Rows:
    """Rows of these lengths (N,) of random tokens, the first quarter of each without loss."""
    draw = numpy.random.default_rng(0)

    def made(of: Any) -> datasets.Dataset:
        ends = numpy.concatenate([[0], numpy.cumsum(of)])
        ids = draw.integers(3, vocabulary, ends[-1])
        labels = numpy.where(
            numpy.arange(ends[-1]) - numpy.repeat(ends[:-1], of) < numpy.repeat(of // 4, of), -100, ids
        )
        columns = [pyarrow.ListArray.from_arrays(ends.astype("i4"), pyarrow.array(flat)) for flat in (ids, labels)]
        return datasets.Dataset(pyarrow.table([*columns, pyarrow.array(of)], names=["input_ids", "labels", "length"]))

    return Rows(made(tokens), made(tokens[:2]), {}, {}, {}, tokens)


class Clock(TrainerCallback):  # type: ignore[misc]
    """Tokens and seconds of each optimiser step; ends the run when its seconds are over."""

    def __init__(self, seconds: float) -> None:
        self.steps: list[tuple[int, float]] = []
        self._seconds, self._begun, self._before = seconds, 0.0, 0

    @property
    def enough(self) -> bool:
        """True if the next step may be the last."""
        return len(self.steps) >= LEAST - 1 and sum(seconds for _, seconds in self.steps[1:]) >= self._seconds

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start, and say whether this step is the last: it is judged and kept."""
        if self.enough:
            state.max_steps = state.global_step + 1
        self._begun, self._before = now(), state.num_input_tokens_seen

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Stop."""
        self.steps.append((int(state.num_input_tokens_seen - self._before), now() - self._begun))


def now() -> float:
    """Seconds, when all that was asked of the GPU is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def speed(steps: list[tuple[int, float]]) -> float:
    """Tokens a second of the middle step behind the first."""
    return statistics.median(tokens / seconds for tokens, seconds in steps[1:])


def counted(build: Callable[..., Any]) -> Callable[..., Any]:
    """What builds a base; from when it is there the peak counts."""

    def built(*words: Any, **named: Any) -> Any:
        model = build(*words, **named)
        collect()
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        return model

    return built


def watched(build: Callable[..., Any], clock: Clock) -> Callable[..., Any]:
    """What builds a trainer; the clock looks on."""

    def built(*words: Any, **named: Any) -> Any:
        trainer = build(*words, **named)
        trainer.add_callback(clock)
        return trainer

    return built


def laid(recipe: Sft, folder: Path, toy: bool) -> Any:
    """The base's configuration, which is written; with weights and tokenizer for Unsloth, which reads them itself."""
    made, words = config(recipe.base, toy), tokenizer(recipe.max_length)
    made.save_pretrained(folder)
    if recipe.trainer == "unsloth":
        random_base(made, "none", load.dtype(recipe.dtype)).save_pretrained(folder)
        words.save_pretrained(folder)
    return made, words


def measure(recipe: Sft, tokens_per_pass: int, asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """A short run of the recipe; what is put in the place of the Hub is taken away again."""
    clock, toy = Clock(asked.seconds), asked.toy
    base, run = folder / "base", folder / recipe.name
    made, words = laid(recipe, base, toy)
    built = rows(arranged(recipe, tokens_per_pass), made.get_text_config().vocab_size)

    @counted
    def model(_: Any, quantization: str = "none", wanted: str = "auto") -> Any:
        return random_base(made, recipe.quantization, load.dtype(wanted))

    short = replace(recipe, max_steps=MOST, eval_steps=MOST, logging_steps=1, **({"gpu": "auto"} if toy else {}))

    class Renderer:
        template_hash, end_of_turn = "0" * 64, words.eos_token

    planned = planning.Plan(short, run, words, Renderer(), built, Fingerprint(), 1)  # type: ignore[arg-type]
    with contextlib.ExitStack() as stack:
        for owner, name, value in (
            (source, "find", lambda _: source.Source("hub", base, "0" * 40, "mit")),
            (load, "model", model),
            (unsloth_base, "loaded", counted(unsloth_base.loaded)),
            (planning, "plan", lambda *_: planned),
            (planning, "describe", lambda *_: None),  # there are no gates to speak of
            (supervised, "trainer", watched(supervised.trainer, clock)),
            (unsloth, "trainer", watched(unsloth.trainer, clock)),
        ):
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, value)
        if torch.cuda.is_available():
            stack.callback(torch.cuda.set_per_process_memory_fraction, 1.0)
        for redirected in (contextlib.redirect_stdout, contextlib.redirect_stderr):  # what a run says, and its bar
            stack.enter_context(redirected(io.StringIO()))
        supervised.train(short, run)
    return told_by(json.loads((run / "run.json").read_text(encoding="utf-8")), clock)


def in_loop(recipe: Pretrain, seconds: float) -> dict[str, Any]:
    """Some steps of a GPT-2's own loop, from random weights; nothing is planned, and nothing evaluated or kept."""
    torch.compiler.reset()
    source: blocks.Source = windows(recipe) if recipe.on_text else answers(recipe)
    run = loop.Loop(fresh(recipe).to(load.device()).train(), recipe, MOST, Path(tempfile.gettempdir()))
    steps: list[tuple[int, float]] = []
    for step in batches.Ahead(run._ahead(source)):
        begun = now()
        run.learn(step)
        steps.append((step.tokens, now() - begun))
        if len(steps) >= loop.COMPILED_FROM and sum(took for _, took in steps[1:]) >= seconds:
            break
    told = {"rows_per_pass": recipe.rows(1), "compiled": run.compiled, "steps": len(steps)}
    return told | peak() | {"tokens_per_second": speed(steps)}


def answers(recipe: Pretrain) -> blocks.Examples:
    """Rows as the other recipes have them."""
    return blocks.Examples(rows(lengths(recipe), recipe.vocab_size).train, recipe.seed)


def peak() -> dict[str, float]:
    """GiB that torch's allocator held at most, and that were in use."""
    if not torch.cuda.is_available():
        return {}
    held, used = torch.cuda.max_memory_reserved(), torch.cuda.max_memory_allocated()
    return {"peak_gib": held / GIB, "allocated_gib": used / GIB}


def told_by(written: dict[str, Any], clock: Clock) -> dict[str, Any]:
    """What is kept of a run: its own plan, which knew what memory is free, and what came of it."""
    ran, told = written["speed"], peak()
    if ran["memory"]:
        told |= {"predicted_gib": ran["memory"]["predicted"] / GIB, "planned_tokens": ran["memory"]["tokens_per_pass"]}
        told |= {"off": told["predicted_gib"] / told["peak_gib"] - 1} if "peak_gib" in told else {}
    kept = {name: ran[name] for name in ("paths", "backed_off")}
    return told | kept | {"tokens_per_second": speed(clock.steps), "steps": len(clock.steps)}


def collect() -> None:
    """Give back what nobody holds."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


HEAD = (
    f"{'recipe':<36}{'base':<24}{'learns':<8}{'kept':<6}{'length':>6}{'gpu':>6}{'pass':>8}{'predicted':>11}{'peak GiB':>10}"
    f"{'off':>8}{'tok/s':>9}{'s':>7}"
)


def line(recipe: Sft | Pretrain, told: dict[str, Any]) -> str:
    """Of the table."""
    kept, gpu = ("none", "-") if isinstance(recipe, Pretrain) else (recipe.quantization, recipe.gpu)
    head = f"{recipe.name:<36}{recipe.base:<24}{learns(recipe):<8}{kept:<6}{recipe.max_length:>6}{gpu:>6}"
    for why in ("not here", "failed"):
        if why in told:
            return f"{head}  {why}: {told[why][:160]}"
    forms = {"planned_tokens": "8,", "predicted_gib": "11.2f", "peak_gib": "10.2f", "off": "+8.1%"}
    forms |= {"tokens_per_second": "9,.0f", "seconds": "7.1f"}
    widths = (8, 11, 10, 8, 9, 7)
    cells = [
        f"{told[name]:{form}}" if name in told else f"{'-':>{width}}"
        for (name, form), width in zip(forms.items(), widths)
    ]
    return head + "".join(cells) + ("  backed off" if told.get("backed_off") else "")


def one(recipe: Sft | Pretrain, asked: argparse.Namespace) -> dict[str, Any]:
    """What is found of a recipe; whatever goes wrong with it, the others are still measured."""
    if (learns(recipe) == "unsloth") != UNSLOTH:
        return {
            "not here": "without --unsloth" if UNSLOTH else "with --unsloth, in the environment of make env-unsloth"
        }
    start = time.perf_counter()
    told: dict[str, Any] = {}
    try:
        if isinstance(recipe, Pretrain):
            told |= {} if asked.plan else in_loop(recipe, asked.seconds)
        else:
            told |= expected(recipe, asked.toy)
            if not asked.plan:
                with tempfile.TemporaryDirectory() as folder:
                    told |= measure(recipe, told.get("planned_tokens", unsloth.TOKENS), asked, Path(folder))
    except Exception as error:  # noqa: BLE001
        told["failed"] = f"{type(error).__name__}: {error}"
    return told | {"seconds": round(time.perf_counter() - start, 1)}


def expected(recipe: Sft, toy: bool) -> dict[str, Any]:
    """What the planner expects, if it is asked at all."""
    if recipe.trainer == "unsloth":
        return {}
    plan = predicted(recipe, toy)
    told = {"predicted_gib": plan.predicted / GIB, "planned_tokens": plan.tokens_per_pass, "fullest": plan.fullest}
    return told | {"levels": list(plan.levels), "offload": plan.offload, "optim": plan.optim}


def main() -> None:
    """Predict, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], help="names of recipes, in the order to measure them in")
    parser.add_argument(
        "--seconds", type=float, default=2.0, help="of training, behind the first step; three steps at least"
    )
    parser.add_argument("--toy", action="store_true", help="tiny layers, on any machine")
    parser.add_argument("--plan", action="store_true", help="measure nothing")
    parser.add_argument("--unsloth", action="store_true", help="the recipes of Unsloth's trainer, and no others")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    if not (asked.toy or asked.plan or torch.cuda.is_available()):
        raise SystemExit("this measures a CUDA GPU, and there is none; --plan and --toy need none")
    wanted = recipes(asked.only, asked.toy)
    print(HEAD)
    results = {}
    for recipe in wanted:
        told = results[recipe.name] = one(recipe, asked)
        print(line(recipe, told), flush=True)
        collect()
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        if asked.json:  # at once: whoever stops this keeps what was measured
            asked.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    if found := [abs(told["off"]) for told in results.values() if "off" in told]:
        mean = sum(found) / len(found)
        print(f"predicted beside measured: at most {max(found):.1%} off, {mean:.1%} in the mean of {len(found)}")
    if any("failed" in told for told in results.values()):
        raise SystemExit("some recipes failed; the reasons are above")


if __name__ == "__main__":
    main()
